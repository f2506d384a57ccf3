// Schema: codecs between foreign JSON and our data, put together from small ones. A codec reads a
// value of any type into ours, or says where and why not, and writes ours back.
//
// An object's codec is a table of our keys: each says its JSON name, how its value is read, and what
// absence means. The compiler refuses a table that misses a key of the interface, so that a field
// added to an object cannot be forgotten on the wire.
//
//   { "Env": ["A=b"], "TTY": false }  --parse-->  { env: ['A=b'] }  --format-->  { "Env": ["A=b"] }
//
// The rules of reading are those of Go's encoding/json, which all clients of Docker are used to:
// names match without regard to case, null is absence, later keys win, unknown keys are passed over
// (and collected, if the caller wants to know). Keys are written in the order of the table.

import { decodeBase64, encodeBase64 } from './base64.ts'
import { CodedError } from './error.ts'
import { formatTime, parseTime } from './time.ts'

/** Where in a document we are: "Spec.TaskTemplate.Env[2]". */
export interface Path {
  readonly text: string
  /** Paths of fields that no table knows are put here. */
  readonly unknown?: string[]
}

/** Reads and writes one type. `parse` throws bad-request (or what a rule says) with the path. */
export interface Codec<T> {
  readonly parse: (value: unknown, path: Path) => T
  readonly format: (value: T) => unknown
}

/** One key of an object's table. `Absent` is undefined where our key may be absent. */
export interface Field<V, Absent = undefined> {
  /** The JSON name. */
  readonly name: string
  /** `value` is undefined where the JSON has no such key, or null. */
  readonly parse: (value: unknown, path: Path) => V | Absent
  /** undefined: the key is not written. */
  readonly format: (value: V | undefined) => unknown
}

/** A field for every key of T; only keys that T lets be absent may be read as absent. */
export type FieldMap<T> = {
  readonly [K in keyof T]-?: Record<never, never> extends Pick<T, K>
    ? Field<Exclude<T[K], undefined>, undefined>
    : Field<T[K], never>
}

/** The start of a path. With `unknown`, paths of fields nobody knows are collected there. */
export function rootPath(text: string, unknown?: string[]): Path {
  return unknown === undefined ? { text } : { text, unknown }
}

/** The path of a named part. */
function childPath(path: Path, key: string): Path {
  const text = path.text === '' ? key : `${path.text}.${key}`
  return path.unknown === undefined ? { text } : { text, unknown: path.unknown }
}

function itemPath(path: Path, index: number | string): Path {
  return { ...path, text: `${path.text}[${index}]` }
}

/** A bad-request that names the place: "PATH: WHAT". */
export function badField(path: Path, what: string): CodedError {
  return new CodedError('bad-request', path.text === '' ? what : `${path.text}: ${what}`, {
    detail: { path: path.text },
  })
}

function wrongType(path: Path, want: string, value: unknown): CodedError {
  return badField(path, `must be ${want}, is ${describe(value)}`)
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'absent'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  return `a ${typeof value}`
}

/** Any text. */
export const string: Codec<string> = {
  parse(value, path) {
    if (typeof value !== 'string') throw wrongType(path, 'a string', value)
    return value
  },
  format: (value) => value,
}

/** A text that is an id of ours; whether it names anything is checked where it is looked up. */
export function idText<Id extends string>(): Codec<Id> {
  return { parse: (value, path) => string.parse(value, path) as Id, format: (value) => value }
}

export const boolean: Codec<boolean> = {
  parse(value, path) {
    if (typeof value !== 'boolean') throw wrongType(path, 'true or false', value)
    return value
  },
  format: (value) => value,
}

/** A finite number. */
export const number: Codec<number> = {
  parse(value, path) {
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw wrongType(path, 'a number', value)
    }
    return value
  },
  format: (value) => value,
}

/** A whole number within bounds, both included. */
export function int(bounds: { readonly min: number; readonly max: number }): Codec<number> {
  const want = `a whole number of ${bounds.min} to ${bounds.max}`
  return {
    parse(value, path) {
      if (typeof value !== 'number') throw wrongType(path, want, value)
      if (!Number.isInteger(value) || value < bounds.min || value > bounds.max) {
        throw badField(path, `must be ${want}, is ${value}`)
      }
      return value === 0 ? 0 : value
    },
    format: (value) => value,
  }
}

export const uint32: Codec<number> = int({ min: 0, max: 2 ** 32 - 1 })

/** Go's int64 and uint64. Beyond 2^53 the nearest double is taken, as JSON.parse gives it. */
export const int64: Codec<number> = int({ min: -(2 ** 63), max: 2 ** 63 })
export const uint64: Codec<number> = int({ min: 0, max: 2 ** 64 })

/** Nanoseconds, Go's time.Duration. */
export const durationNs: Codec<number> = int64

/** Bytes as base64 with padding (RFC 4648 section 4), as Go writes []byte. */
export const bytes: Codec<Uint8Array> = {
  parse(value, path) {
    const decoded = decodeBase64(string.parse(value, path))
    if (decoded === undefined) throw badField(path, 'must be base64 with padding')
    return decoded
  },
  format: encodeBase64,
}

/** Milliseconds since 1970 as RFC 3339. */
export const timeMs: Codec<number> = {
  parse(value, path) {
    const ms = parseTime(string.parse(value, path))
    if (ms === undefined) throw badField(path, `must be a time of RFC 3339, is ${quote(value)}`)
    return ms
  },
  format: formatTime,
}

/** The value as it is, unread. */
export const anything: Codec<unknown> = { parse: (value) => value, format: (value) => value }

/** An array; null among its items is refused. */
export function array<T>(item: Codec<T>): Codec<readonly T[]> {
  return {
    parse(value, path) {
      if (!Array.isArray(value)) throw wrongType(path, 'an array', value)
      return value.map((entry, index) => item.parse(entry, itemPath(path, index)))
    },
    format: (value) => value.map(item.format),
  }
}

/** A map with free keys, written in their order. `__proto__` is refused: it cannot be a key everywhere data travels. */
export function record<T>(item: Codec<T>): Codec<Readonly<Record<string, T>>> {
  return {
    parse(value, path) {
      const entries = Object.entries(objectOf(value, path))
      return Object.fromEntries(
        entries.map(([key, entry]) => {
          const at = itemPath(path, quote(key))
          if (key === '__proto__') throw badField(at, 'this name cannot be used')
          return [key, item.parse(entry, at)]
        }),
      )
    },
    format(value) {
      const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
      return Object.fromEntries(entries.map(([key, entry]) => [key, item.format(entry)]))
    },
  }
}

/** A map of texts; null is the empty text, as in Go. */
export const labels: Codec<Readonly<Record<string, string>>> = record({
  parse: (value, path) => (value === null ? '' : string.parse(value, path)),
  format: (value) => value,
})

export const strings: Codec<readonly string[]> = array(string)

/** One of some words. */
export function word<const T extends string>(
  values: readonly T[],
  options: {
    /** What the empty text means; without it the empty text is refused. */
    readonly empty?: NoInfer<T>
    /** The words are known in any case. */
    readonly isFolded?: boolean
    /** The sentence for any other text. */
    readonly refuse: (text: string) => string
  },
): Codec<T> {
  const byText = new Map<string, T>(values.map((value) => [value, value]))
  return {
    parse(value, path) {
      const text = string.parse(value, path)
      if (text === '' && options.empty !== undefined) return options.empty
      const found = byText.get(options.isFolded === true ? text.toLowerCase() : text)
      if (found === undefined) {
        throw new CodedError('bad-request', options.refuse(text), { detail: { path: path.text } })
      }
      return found
    },
    format: (value) => value,
  }
}

/** A codec seen through a pair of functions. */
export function mapped<From, To>(
  codec: Codec<From>,
  ways: {
    readonly parse: (value: From, path: Path) => To
    readonly format: (value: To) => From
  },
): Codec<To> {
  return {
    parse: (value, path) => ways.parse(codec.parse(value, path), path),
    format: (value) => codec.format(ways.format(value)),
  }
}

/** An object by its table of fields. */
export function object<T extends object>(fields: FieldMap<T>): Codec<T> {
  const rows = Object.entries(fields) as [string, Field<unknown>][]
  const indexOf = new Map(rows.map(([, field], index) => [field.name.toLowerCase(), index]))
  return {
    parse(value, path) {
      const given = pick(objectOf(value, path), indexOf, path)
      const result: Record<string, unknown> = {}
      rows.forEach(([key, field], index) => {
        const parsed = field.parse(given[index], childPath(path, field.name))
        if (parsed !== undefined) result[key] = parsed
      })
      return result as T
    },
    format(value) {
      const source = value as Readonly<Record<string, unknown>>
      const result: Record<string, unknown> = {}
      for (const [key, field] of rows) {
        const formatted = field.format(source[key])
        if (formatted !== undefined) result[field.name] = formatted
      }
      return result
    },
  }
}

/** The values of the known names, by their place in the table; null counts as not given. */
function pick(
  source: Readonly<Record<string, unknown>>,
  indexOf: ReadonlyMap<string, number>,
  path: Path,
): readonly unknown[] {
  const given: unknown[] = []
  for (const [name, value] of Object.entries(source)) {
    const index = indexOf.get(name.toLowerCase())
    if (index === undefined) path.unknown?.push(childPath(path, name).text)
    else if (value !== null) given[index] = value
  }
  return given
}

function objectOf(value: unknown, path: Path): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongType(path, 'an object', value)
  }
  return value as Readonly<Record<string, unknown>>
}

/** A field that is there if it was given, however empty: Go's pointers. */
export function given<V>(name: string, codec: Codec<V>): Field<V> {
  return {
    name,
    parse: (value, path) => (value === undefined ? undefined : codec.parse(value, path)),
    format: (value) => (value === undefined ? undefined : codec.format(value)),
  }
}

/** A field whose zero ('', 0, false, [], {}) is the same as its absence: Go's omitempty. */
export function unlessZero<V>(name: string, codec: Codec<V>): Field<V> {
  return {
    name,
    parse(value, path) {
      if (value === undefined) return undefined
      const parsed = codec.parse(value, path)
      return isZero(parsed) ? undefined : parsed
    },
    format: (value) => (value === undefined || isZero(value) ? undefined : codec.format(value)),
  }
}

/** A field that we always have and that is not written when it is zero. */
export function omitZero<V>(name: string, codec: Codec<V>, zero: V): Field<V, never> {
  return {
    name,
    parse: (value, path) => (value === undefined ? zero : codec.parse(value, path)),
    format: (value) => (value === undefined || isZero(value) ? undefined : codec.format(value)),
  }
}

/** A field that is always read and always written; absence means the fallback. */
export function always<V>(name: string, codec: Codec<V>, fallback: V): Field<V, never> {
  return {
    name,
    parse: (value, path) => (value === undefined ? fallback : codec.parse(value, path)),
    format: (value) => codec.format(value ?? fallback),
  }
}

/** A field that must be given. */
export function required<V>(name: string, codec: Codec<V>): Field<V, never> {
  return {
    name,
    parse: (value, path) => codec.parse(value, path),
    format: (value) => (value === undefined ? undefined : codec.format(value)),
  }
}

/** A field whose absence is written as null. */
export function orNull<V>(name: string, codec: Codec<V>): Field<V> {
  const field = given(name, codec)
  return { ...field, format: (value) => field.format(value) ?? null }
}

function isZero(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return !value
  if (value instanceof Uint8Array) return value.length === 0
  return Object.keys(value).length === 0
}

/** How one member of a union stands in JSON: under a key of its own. */
type CaseMap<T extends { readonly type: string }> = {
  readonly [Type in T['type']]: {
    readonly name: string
    readonly codec: Codec<Omit<Extract<T, { readonly type: Type }>, 'type'>>
  }
}

/**
 * A union told apart by `type` here, and by which key is there in JSON:
 * { type: 'replicated', replicas: 3 } <-> { "Replicated": { "Replicas": 3 } }.
 */
export function choice<T extends { readonly type: string }>(
  cases: CaseMap<T>,
  options: {
    /** What none of the keys means; may throw. */
    readonly none: (path: Path) => T
    /** The sentence when there are several. */
    readonly several: string
  },
): Codec<T> {
  const rows = Object.entries(cases) as [string, { name: string; codec: Codec<object> }][]
  const indexOf = new Map(rows.map(([, row], index) => [row.name.toLowerCase(), index]))
  return {
    parse(value, path) {
      const found = pick(objectOf(value, path), indexOf, path)
      const [first, second] = rows.flatMap((row, index) =>
        found[index] === undefined ? [] : [{ row, value: found[index] }],
      )
      if (first === undefined) return options.none(path)
      if (second !== undefined) {
        throw new CodedError('bad-request', options.several, { detail: { path: path.text } })
      }
      const [type, { name, codec }] = first.row
      return { type, ...codec.parse(first.value, childPath(path, name)) } as unknown as T
    },
    format(value) {
      const { type, ...rest } = value
      const row = cases[type as T['type']] as unknown as { name: string; codec: Codec<object> }
      return { [row.name]: row.codec.format(rest) }
    },
  }
}

/** A text in double quotes, as Go's %q shows plain ones. */
export function quote(value: unknown): string {
  return JSON.stringify(String(value))
}

/** Parses a whole JSON document of one type; `name` begins every path. */
export function parseAs<T>(
  codec: Codec<T>,
  value: unknown,
  options: { readonly name?: string; readonly unknown?: string[] } = {},
): T {
  return codec.parse(value, rootPath(options.name ?? '', options.unknown))
}
