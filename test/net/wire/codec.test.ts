// The codec against values, foreign bytes and liars.
//
//   SEEDS=100000 node test/net/wire/codec.test.ts     tries more random bytes

import fc from 'fast-check'
import t from 'tap'
import { AssertionError } from '../../../core/base/assert.ts'
import { below, numberedRandom } from '../../../core/base/random.ts'
import {
  createFrameParser,
  decode,
  decodeLimits,
  encode,
  encodeFrame,
} from '../../../net/wire/codec.ts'

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
}

function hex(value: Uint8Array): string {
  return Buffer.from(value).toString('hex')
}

t.test('values become the bytes that the MessagePack specification gives them', async (t) => {
  const table: readonly (readonly [value: unknown, want: string])[] = [
    [null, 'c0'],
    [true, 'c3'],
    [0, '00'],
    [127, '7f'],
    [128, 'cc80'],
    [65_536, 'ce00010000'],
    [-1, 'ff'],
    [-33, 'd0df'],
    [-70_000, 'd2fffeee90'],
    [2 ** 40, 'cb4270000000000000'],
    [1.5, 'cb3ff8000000000000'],
    ['', 'a0'],
    ['abc', 'a3616263'],
    ['a'.repeat(32), `d920${'61'.repeat(32)}`],
    ['€', 'a3e282ac'],
    [new Uint8Array([1, 2]), 'c4020102'],
    [[], '90'],
    [[1, [2]], '92019102'],
    [{}, '80'],
    [{ a: 1, b: undefined, c: [null] }, '82a16101a16391c0'],
  ]
  for (const [value, want] of table) t.equal(hex(encode(value)), want, want)
  const long = Array.from({ length: 16 }, () => 0)
  t.equal(hex(encode(long)), `dc0010${'00'.repeat(16)}`)
})

/**
 * Texts of all lengths of UTF-8. fast-check's own `unit: 'binary'` costs seconds at its first use:
 * it makes a table of all there is in Unicode.
 */
const text = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 0x7f }),
      fc.integer({ min: 0x80, max: 0xd7ff }),
      fc.integer({ min: 0xe000, max: 0x10_ffff }),
    ),
    { maxLength: 300 },
  )
  .map((points) => String.fromCodePoint(...points))

const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true }).map((number) => (Object.is(number, -0) ? 0 : number)),
    text,
    fc.uint8Array({ maxLength: 300 }).map((each) => new Uint8Array(each)),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(
      fc.string({ maxLength: 40 }).filter((key) => key !== '__proto__' && key.isWellFormed()),
      tie('value'),
      { noNullPrototype: true },
    ),
  ),
})).value

t.test('every plain value comes back equal, and gives the same bytes again', async () => {
  fc.assert(
    fc.property(plain, (value) => {
      const packed = encode(value)
      const back = decode(packed)
      return hex(encode(back)) === hex(packed) && isSame(value, back)
    }),
    { numRuns: 2_000 },
  )
})

function isSame(left: unknown, right: unknown): boolean {
  if (left instanceof Uint8Array) {
    // Not a Buffer, and not a view of the message.
    if (!(right instanceof Uint8Array) || right.constructor !== Uint8Array) return false
    return right.buffer.byteLength === left.length && hex(left) === hex(right)
  }
  if (Array.isArray(left)) {
    return Array.isArray(right) && left.every((item, at) => isSame(item, right[at]))
  }
  if (typeof left !== 'object' || left === null) return Object.is(left, right)
  const [a, b] = [left as Record<string, unknown>, right as Record<string, unknown>]
  return (
    Object.keys(a).length === Object.keys(b).length &&
    Object.keys(a).every((key) => isSame(a[key], b[key]))
  )
}

t.test('long texts and byte strings of any size are encoded one after the other', async (t) => {
  const random = numberedRandom(9)
  for (let round = 0; round < 60; round++) {
    const size = below(random, [100, 20_000, 2_000_000][round % 3] ?? 1)
    const value = {
      bytes: new Uint8Array(size).fill(round % 251),
      text: 'é'.repeat(below(random, 300)),
    }
    const packed = encode(value)
    t.ok(packed.length < size + 700 && isSame(value, decode(packed)), `${size} bytes`)
  }
})

t.test('what a peer would refuse is refused before it is sent', async (t) => {
  const refused = { code: 'invalid-argument' }
  t.throws(() => encode(JSON.parse('{"labels":{"__proto__":"x"}}')), refused)
  t.throws(() => encode({ text: 'half \ud800 a pair' }), refused)
  t.throws(() => encode({ 'key\udc00': 1 }), refused)
  let deep: unknown = 1
  for (let level = 0; level <= decodeLimits.depthMax; level++) deep = [deep]
  t.throws(() => encode(deep), refused)
  for (const bug of [() => 1, Symbol('x'), 1n, new Map(), new Date(0), undefined, [undefined]]) {
    t.throws(() => encode(bug), AssertionError)
  }
})

t.test('foreign bytes are refused, with the reason and the place', async (t) => {
  const small = { bytesMax: 64, depthMax: 3, itemsMax: 10 }
  const table: readonly (readonly [hex: string, why: RegExp])[] = [
    ['', /cut off/],
    ['a3 61', /cut off/],
    ['c4 05 01', /cut off/],
    ['c6 ff ff ff ff', /cut off/],
    ['ce 00 00', /cut off/],
    ['92 01', /2 values are announced, 1 bytes left/],
    ['dd ff ff ff ff 00', /4294967295 values are announced/],
    ['df ff ff ff ff 00', /values are announced/],
    ['01 02', /1 bytes follow/],
    ['c1', /type 0xc1/],
    ['c7 01 72 00', /type 0xc7/],
    ['d4 72 40', /type 0xd4/],
    ['d6 ff 00 00 00 00', /type 0xd6/],
    ['81 01 02', /a key is not a text/],
    ['81 91 01 02', /a key is not a text/],
    ['81 a9 5f5f70726f746f5f5f 80', /__proto__/],
    ['81 d9 09 5f5f70726f746f5f5f 80', /__proto__/],
    ['a1 ff', /not UTF-8/],
    ['a3 ed a0 80', /not UTF-8/],
    ['cf 00 20 00 00 00 00 00 01', /2\^53/],
    ['d3 80 00 00 00 00 00 00 00', /2\^53/],
    ['91 91 91 91 00', /deeper than 3/],
    [`9b ${'00'.repeat(11)}`, /more than 10 values/],
    [`92 95 ${'00'.repeat(5)} 95 ${'00'.repeat(5)}`, /more than 10 values/],
    ['00'.repeat(65), /65 bytes, 64 are allowed/],
  ]
  for (const [given, why] of table) {
    t.throws(() => decode(bytes(given), small), { code: 'bad-request', message: why }, given)
  }
  t.equal(({} as Record<string, unknown>)['polluted'], undefined)
  t.same(decode(bytes('81 ab 636f6e7374727563746f72 01')), { constructor: 1 })
  t.equal(decode(bytes('cf 00 00 01 00 00 00 00 00')), 2 ** 40)
  t.equal(decode(bytes('d3 ff ff ff ff ff ff ff fe')), -2)
  t.equal(decode(bytes('ca 3f 80 00 00')), 1)
})

t.test('random and mutated bytes are decoded or refused, and nothing else happens', async (t) => {
  const seed = Math.floor(performance.timeOrigin % 1e6)
  const random = numberedRandom(seed)
  const sample = encode({
    type: 'append',
    term: 7,
    entries: [{ data: { name: 'x', list: [1, 'ä', new Uint8Array(9)] } }],
  })
  let refusals = 0
  const count = Number(process.env['SEEDS'] ?? 20_000)
  for (let round = 0; round < count; round++) {
    const given = below(random, 3) === 0 ? new Uint8Array(1 + below(random, 40)) : sample.slice()
    const changes = 1 + below(random, 4)
    if (given.length !== sample.length)
      for (const at of given.keys()) given[at] = below(random, 256)
    for (let change = 0; change < changes; change++) {
      given[below(random, given.length)] = below(random, 256)
    }
    try {
      encode(decode(given))
    } catch (error) {
      refusals++
      const isExpected = (error as { code?: string }).code === 'bad-request'
      if (!isExpected) t.fail(`seed ${seed}, ${hex(given)}: ${String(error)}`)
    }
  }
  t.ok(refusals > 0 && refusals < count, `${refusals} of ${count} refused`)
})

t.test('frames come out whole, however the stream is cut', async (t) => {
  const random = numberedRandom(5)
  const payloads = [0, 1, 3, 100, 5_000, 70_000].map((size) =>
    new Uint8Array(size).fill(size % 251),
  )
  const stream = Buffer.concat(payloads.map(encodeFrame))
  for (let round = 0; round < 50; round++) {
    const parser = createFrameParser(70_000)
    const got: Uint8Array[] = []
    const step = [1, 7, 1_000, 100_000][round % 4] ?? 1
    for (let at = 0; at < stream.length; ) {
      const count = 1 + below(random, step)
      got.push(...parser.push(stream.subarray(at, at + count)).map((frame) => frame.slice()))
      at += count
    }
    t.ok(
      got.length === payloads.length &&
        got.every((frame, at) => hex(frame) === hex(payloads[at] ?? frame)),
    )
    t.equal(parser.heldBytes(), 0)
  }
})

t.test(
  'a frame that announces too much is refused for good, and costs nothing before',
  async (t) => {
    const parser = createFrameParser(1_000)
    t.throws(() => parser.push(bytes('00 00 03 e9')), {
      code: 'too-large',
      message: /1001 bytes, at most 1000/,
    })
    t.throws(() => parser.push(bytes('00 00 00 00')), { code: 'too-large' })
    const before = process.memoryUsage().arrayBuffers
    const many = Array.from({ length: 200 }, () => createFrameParser(64 * 1024 * 1024))
    for (const each of many) each.push(bytes('04 00 00 00 01'))
    const grown = process.memoryUsage().arrayBuffers - before
    t.ok(grown < 200 * 64 * 1024, `${grown} bytes for 200 announcements of 64 MiB`)
  },
)
