// Records: in order, whole, or not at all.

import t from 'tap'
import { freshBytes } from '../../../net/secure/crypto.ts'
import {
  createRecordOpener,
  createRecordSealer,
  createUnitParser,
  encodeUnit,
  recordBytesMax,
} from '../../../net/secure/records.ts'

const key = freshBytes(32)

/** What is sealed, without the length before it. */
function sealed(count: number, perKey?: number): readonly Uint8Array[] {
  const seal = createRecordSealer(key, perKey)
  return Array.from({ length: count }, (_, index) => seal(new Uint8Array([index])).slice(2))
}

t.test('records open in their order', async (t) => {
  const open = createRecordOpener(key)
  for (const [index, record] of sealed(5).entries()) t.same(open(record), new Uint8Array([index]))
})

const wrongs: readonly { readonly name: string; readonly order: readonly number[] }[] = [
  { name: 'replayed', order: [0, 1, 1] },
  { name: 'out of its place', order: [0, 2] },
  { name: 'left out', order: [1] },
]
for (const { name, order } of wrongs) {
  t.test(`a record that is ${name} does not open, nor any after it`, async (t) => {
    const records = sealed(5)
    const open = createRecordOpener(key)
    const record = (at: number): Uint8Array => records[at] ?? new Uint8Array(0)
    for (const at of order.slice(0, -1)) open(record(at))
    t.throws(() => open(record(order.at(-1) ?? 0)), { code: 'bad-request' })
    t.throws(() => open(record(order.at(-1) ?? 0)), { code: 'bad-request' })
    t.throws(() => open(record(order.length - 1)), { code: 'bad-request' })
  })
}

t.test(
  'both sides go on to the next key together, and the old one opens nothing new',
  async (t) => {
    const records = sealed(10, 3)
    const open = createRecordOpener(key, 3)
    for (const [index, record] of records.entries()) t.same(open(record), new Uint8Array([index]))
    const without = createRecordOpener(key)
    for (const record of records.slice(0, 3)) without(record)
    t.throws(() => without(records[3] ?? new Uint8Array(0)), { code: 'bad-request' })
  },
)

t.test('units are cut the same, however the bytes arrive', async (t) => {
  const bodies = [0, 1, 2, 300, 65_535, 7].map((length) => freshBytes(length))
  const bytes = Buffer.concat(bodies.map(encodeUnit))
  for (const size of [1, 2, 3, 1_000, 64 * 1024, bytes.length]) {
    const parser = createUnitParser()
    const got: Uint8Array[] = []
    for (let at = 0; at < bytes.length; at += size) {
      parser.push(bytes.subarray(at, at + size))
      for (let unit = parser.next(65_535); unit !== undefined; unit = parser.next(65_535)) {
        got.push(new Uint8Array(unit))
      }
    }
    t.same(
      got.map(({ length }) => length),
      bodies.map(({ length }) => length),
    )
    t.ok(Buffer.concat(got).equals(Buffer.concat(bodies)), `pieces of ${size}`)
    t.notOk(parser.isMidUnit())
  }
})

t.test('a unit that announces too much is refused before it comes, and for ever', async (t) => {
  const parser = createUnitParser()
  parser.push(new Uint8Array([1, 0]))
  t.throws(() => parser.next(255), {
    code: 'bad-request',
    message: 'the peer announces 256 bytes, at most 255 are allowed here',
  })
  t.throws(() => parser.next(255), { code: 'bad-request' })
})

t.test('the largest record fits, one more byte is a bug', async (t) => {
  const seal = createRecordSealer(key)
  t.equal(seal(new Uint8Array(recordBytesMax)).length, 65_537)
  t.throws(() => seal(new Uint8Array(recordBytesMax + 1)), { name: 'AssertionError' })
})
