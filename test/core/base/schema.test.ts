// Codecs: what they read, what they refuse and in which words, what they write.

import fc from 'fast-check'
import t from 'tap'
import { decodeBase64, encodeBase64 } from '../../../core/base/base64.ts'
import { CodedError } from '../../../core/base/error.ts'
import {
  always,
  array,
  boolean,
  bytes,
  type Codec,
  choice,
  given,
  int,
  int64,
  labels,
  mapped,
  number,
  object,
  omitZero,
  orNull,
  parseAs,
  record,
  required,
  string,
  strings,
  timeMs,
  unlessZero,
  word,
} from '../../../core/base/schema.ts'

interface Thing {
  readonly name: string
  readonly size: number
  readonly kind: 'a' | 'b'
  readonly tags?: readonly string[]
  readonly inner?: { readonly isOn?: boolean }
  readonly owner?: string
}

const thing: Codec<Thing> = object<Thing>({
  name: required('Name', string),
  size: omitZero('Size', int({ min: 0, max: 9 }), 0),
  kind: always('Kind', word(['a', 'b'], { empty: 'a', refuse: (text) => `no kind ${text}` }), 'a'),
  tags: unlessZero('Tags', strings),
  inner: given('Inner', object<{ readonly isOn?: boolean }>({ isOn: given('On', boolean) })),
  owner: orNull('Owner', string),
})

function refusal(codec: Codec<unknown>, value: unknown): string | undefined {
  try {
    parseAs(codec, value, { name: 'T' })
  } catch (error) {
    if (error instanceof CodedError && error.code === 'bad-request') return error.message
    throw error
  }
  return undefined
}

t.test('absence, zero and emptiness each have their meaning', async (t) => {
  const least = { name: 'n', size: 0, kind: 'a' } as const
  t.strictSame(parseAs(thing, { Name: 'n' }), least)
  t.strictSame(parseAs(thing, { Name: 'n', Tags: [], Size: null, Kind: '', Inner: null }), least)
  t.strictSame(parseAs(thing, { Name: 'n', Inner: {} }), { ...least, inner: {} })
  t.strictSame(parseAs(thing, { Name: 'n', Inner: { On: false } }), {
    ...least,
    inner: { isOn: false },
  })
  t.equal(JSON.stringify(thing.format(least)), '{"Name":"n","Kind":"a","Owner":null}')
  t.equal(
    JSON.stringify(thing.format({ ...least, size: 3, tags: ['x'], inner: {}, owner: 'o' })),
    '{"Name":"n","Size":3,"Kind":"a","Tags":["x"],"Inner":{},"Owner":"o"}',
  )
})

t.test('names match in any case, the last one wins, unknown ones are collected', async (t) => {
  const unknown: string[] = []
  const value = parseAs(thing, { NAME: 'x', name: 'y', Extra: 1, Inner: { Deep: 1 } }, { unknown })
  t.equal(value.name, 'y')
  t.strictSame(unknown, ['Extra', 'Inner.Deep'])
})

t.test('what cannot be read is named by its path and its type', async (t) => {
  const cases: readonly (readonly [Codec<unknown>, unknown, string])[] = [
    [thing as Codec<unknown>, {}, 'T.Name: must be a string, is absent'],
    [thing as Codec<unknown>, [], 'T: must be an object, is an array'],
    [
      thing as Codec<unknown>,
      { Name: 'n', Size: 10 },
      'T.Size: must be a whole number of 0 to 9, is 10',
    ],
    [thing as Codec<unknown>, { Name: 'n', Kind: 'c' }, 'no kind c'],
    [
      thing as Codec<unknown>,
      { Name: 'n', Tags: ['a', null] },
      'T.Tags[1]: must be a string, is absent',
    ],
    [
      thing as Codec<unknown>,
      { Name: 'n', Inner: { On: 1 } },
      'T.Inner.On: must be true or false, is a number',
    ],
    [number as Codec<unknown>, Number.NaN, 'T: must be a number, is a number'],
    [
      int64 as Codec<unknown>,
      1.5,
      `T: must be a whole number of ${-(2 ** 63)} to ${2 ** 63}, is 1.5`,
    ],
    [bytes as Codec<unknown>, 'eA', 'T: must be base64 with padding'],
    [timeMs as Codec<unknown>, 'now', 'T: must be a time of RFC 3339, is "now"'],
    [labels as Codec<unknown>, { a: {} }, 'T["a"]: must be a string, is an object'],
    [
      record(number) as Codec<unknown>,
      JSON.parse('{"__proto__": 1}'),
      'T["__proto__"]: this name cannot be used',
    ],
  ]
  for (const [codec, value, want] of cases) t.equal(refusal(codec, value), want)
})

t.test('a map is written in the order of its keys', async (t) => {
  t.equal(JSON.stringify(labels.format({ b: '1', a: '2' })), '{"a":"2","b":"1"}')
  t.strictSame(parseAs(labels, { a: null }), { a: '' })
})

type Shape = { readonly type: 'circle'; readonly radius: number } | { readonly type: 'point' }

const shape = choice<Shape>(
  {
    circle: {
      name: 'Circle',
      codec: object<{ readonly radius: number }>({ radius: always('R', number, 1) }),
    },
    point: { name: 'Point', codec: object<Record<never, never>>({}) },
  },
  { none: () => ({ type: 'point' }), several: 'only one shape' },
)

t.test('a union is told apart by the key that is there', async (t) => {
  t.strictSame(parseAs(shape, { circle: { R: 2 } }), { type: 'circle', radius: 2 })
  t.strictSame(parseAs(shape, { Circle: null, Point: {} }), { type: 'point' })
  t.strictSame(parseAs(shape, {}), { type: 'point' })
  t.equal(refusal(shape as Codec<unknown>, { Circle: {}, Point: {} }), 'only one shape')
  t.strictSame(shape.format({ type: 'circle', radius: 3 }), { Circle: { R: 3 } })
  t.strictSame(shape.format({ type: 'point' }), { Point: {} })
})

t.test('a mapped codec goes both ways', async (t) => {
  const doubled = mapped(array(number), {
    parse: (list) => list.map((value) => value * 2),
    format: (list) => list.map((value) => value / 2),
  })
  t.strictSame(parseAs(doubled, [1, 2]), [2, 4])
  t.strictSame(doubled.format([2, 4]), [1, 2])
})

t.test('anything at all is read or refused, never worse', async (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const codec of [thing, shape, labels, bytes, timeMs] as readonly Codec<unknown>[]) {
        refusal(codec, value)
      }
    }),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('base64 goes both ways, and agrees with the platform', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (data) => {
      const text = encodeBase64(data)
      const back = decodeBase64(text)
      return text === Buffer.from(data).toString('base64') && String(back) === String(data)
    }),
    { numRuns: 200 },
  )
  t.strictSame(decodeBase64('aGVs\r\nbG8='), new Uint8Array(Buffer.from('hello')))
  for (const text of ['a', 'ab', '====', 'a===', 'aa=a', 'aa!=', 'aGk=x']) {
    t.equal(decodeBase64(text), undefined, text)
  }
})
