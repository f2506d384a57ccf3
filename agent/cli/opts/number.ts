// Numbers and switches of flags, read by the rules and with the error texts of Go's strconv.

import { CodedError } from '../../../core/base/error.ts'

/** How a number is read: its base (0: by its prefix) and size in bits. */
export interface NumberForm {
  readonly base: 0 | 8 | 10
  readonly bits: 16 | 32 | 64
}

/** A whole number of 0 and up. Throws `strconv.ParseUint: parsing "x": invalid syntax`. */
export function parseUint(text: string, form: NumberForm): number {
  const value = wholeNumber(text, form.base)
  if (value === undefined) throw failed('ParseUint', text, 'invalid syntax')
  if (value >= 1n << BigInt(form.bits)) throw failed('ParseUint', text, 'value out of range')
  return Number(value)
}

/** A whole number with an optional sign. */
export function parseInt64(text: string, form: NumberForm): number {
  const magnitude = wholeNumber(text.replace(/^[-+]/, ''), form.base)
  if (magnitude === undefined) throw failed('ParseInt', text, 'invalid syntax')
  const value = text.startsWith('-') ? -magnitude : magnitude
  const bound = 1n << BigInt(form.bits - 1)
  if (value >= bound || value < -bound) throw failed('ParseInt', text, 'value out of range')
  return Number(value)
}

function wholeNumber(text: string, base: 0 | 8 | 10): bigint | undefined {
  if (base === 10) return /^\d+$/.test(text) ? BigInt(text) : undefined
  if (base === 8) return /^[0-7]+$/.test(text) ? BigInt(`0o${text}`) : undefined
  const plain = /^[0-9a-zA-Z]+(_[0-9a-zA-Z]+)*$/.test(text) ? text.replaceAll('_', '') : ''
  if (/^0[xX][0-9a-fA-F]+$|^0[bB][01]+$|^0[oO][0-7]+$/.test(plain)) return BigInt(plain)
  if (/^0[0-7]+$/.test(plain)) return BigInt(`0o${plain.slice(1)}`)
  return /^(0|[1-9]\d*)$/.test(plain) ? BigInt(plain) : undefined
}

/** A decimal fraction. */
export function parseFloat32(text: string): number {
  if (!/^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(text)) {
    throw failed('ParseFloat', text, 'invalid syntax')
  }
  return Number(text)
}

const switches: Readonly<Record<string, boolean>> = {
  '1': true,
  t: true,
  T: true,
  TRUE: true,
  true: true,
  True: true,
  '0': false,
  f: false,
  F: false,
  FALSE: false,
  false: false,
  False: false,
}

/** A switch: true, false, 1, 0, t, f. */
export function parseBool(text: string): boolean {
  const value = Object.hasOwn(switches, text) ? switches[text] : undefined
  if (value === undefined) throw failed('ParseBool', text, 'invalid syntax')
  return value
}

function failed(name: string, text: string, why: string): CodedError {
  return new CodedError(
    'invalid-argument',
    `strconv.${name}: parsing ${JSON.stringify(text)}: ${why}`,
  )
}
