// Checks of what came off the wire: from unknown to a typed value, field by field. A field that is
// not known is passed over, so that a newer peer may say more; a field that is missing or of
// another kind is refused by its name.

import { CodedError } from '../../core/base/error.ts'

/** A record of unknown values, read by the functions below. */
export type Fields = Readonly<Record<string, unknown>>

/** The value as a record. `what` names it in errors: "certificate". Throws bad-request. */
export function readFields(value: unknown, what: string): Fields {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isRecord || value instanceof Uint8Array) throw wrong(what, 'a record', value)
  return value as Fields
}

/** A text of at most so many characters. */
export function readText(fields: Fields, name: string, charactersMax: number): string {
  const value = fields[name]
  if (typeof value !== 'string') throw wrong(name, 'a text', value)
  if (value.length > charactersMax) {
    throw new CodedError(
      'bad-request',
      `field ${name} has ${value.length} characters, at most ${charactersMax} are allowed`,
    )
  }
  return value
}

/** A whole number in bounds. */
export function readCount(
  fields: Fields,
  name: string,
  bounds: { readonly min: number; readonly max: number } = { min: 0, max: 2 ** 53 - 1 },
): number {
  const value = fields[name]
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
    throw wrong(name, 'a whole number', value)
  }
  if (value < bounds.min || value > bounds.max) {
    throw new CodedError(
      'bad-request',
      `field ${name} is ${value}, must be ${bounds.min} to ${bounds.max}`,
    )
  }
  return value
}

/** True or false. */
export function readFlag(fields: Fields, name: string): boolean {
  const value = fields[name]
  if (typeof value !== 'boolean') throw wrong(name, 'true or false', value)
  return value
}

/** Bytes, exactly so many or at most so many. */
export function readBytes(
  fields: Fields,
  name: string,
  length: number | { readonly max: number },
): Uint8Array {
  const value = fields[name]
  if (!(value instanceof Uint8Array)) throw wrong(name, 'bytes', value)
  const isFit = typeof length === 'number' ? value.length === length : value.length <= length.max
  if (!isFit) {
    const want = typeof length === 'number' ? `${length}` : `at most ${length.max}`
    throw new CodedError('bad-request', `field ${name} has ${value.length} bytes, must be ${want}`)
  }
  return value
}

/** One of some words. */
export function readWord<const T extends string>(
  fields: Fields,
  name: string,
  words: readonly T[],
): T {
  const value = fields[name]
  const found = words.find((word) => word === value)
  if (found === undefined) throw wrong(name, `one of ${words.join(', ')}`, value)
  return found
}

/** A list of at most so many, each read by `item`. */
export function readList<T>(
  fields: Fields,
  name: string,
  options: { readonly max: number; readonly item: (value: unknown) => T },
): readonly T[] {
  const value = fields[name]
  if (!Array.isArray(value)) throw wrong(name, 'a list', value)
  if (value.length > options.max) {
    throw new CodedError(
      'bad-request',
      `field ${name} has ${value.length} items, at most ${options.max} are allowed`,
    )
  }
  return value.map(options.item)
}

/** The field by its reader, or undefined if it is not there. */
export function readOptional<T>(fields: Fields, name: string, read: () => T): T | undefined {
  return fields[name] === undefined ? undefined : read()
}

function wrong(name: string, want: string, value: unknown): CodedError {
  const is = Array.isArray(value) ? 'a list' : value === null ? 'null' : typeof value
  return new CodedError('bad-request', `field ${name} must be ${want}, is ${is}`)
}
