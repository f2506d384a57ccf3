// Human units as the docker CLI prints and reads them: "About a minute", "23.54GiB", "512m".

import { CodedError } from '../../core/base/error.ts'

/** An approximate duration: "Less than a second", "5 seconds", "About an hour", "3 weeks". */
export function formatHumanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000)
  if (seconds < 1) return 'Less than a second'
  if (seconds === 1) return '1 second'
  if (seconds < 60) return `${seconds} seconds`
  const minutes = Math.trunc(ms / 60_000)
  if (minutes === 1) return 'About a minute'
  if (minutes < 60) return `${minutes} minutes`
  const hours = Math.trunc(ms / 3_600_000 + 0.5)
  if (hours === 1) return 'About an hour'
  if (hours < 48) return `${hours} hours`
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`
  return `${Math.trunc(Math.trunc(ms / 3_600_000) / 24 / 365)} years`
}

const binaryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB', 'ZiB', 'YiB']
const decimalUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB']

/** Bytes in units of 1024 with four significant digits: "23.54GiB". */
export function formatBytes(sizeBytes: number): string {
  return scaled(sizeBytes, { base: 1024, units: binaryUnits })
}

/** Bytes in units of 1000 with four significant digits: "1.5kB". */
export function formatDecimalBytes(sizeBytes: number): string {
  return scaled(sizeBytes, { base: 1000, units: decimalUnits })
}

function scaled(size: number, scale: { base: number; units: readonly string[] }): string {
  let [value, at] = [size, 0]
  while (value >= scale.base && at < scale.units.length - 1) {
    value /= scale.base
    at++
  }
  return `${formatSignificant(value, 4)}${scale.units[at]}`
}

/** A number as C's %.Ng: N significant digits, no trailing zeros, an exponent when it is large. */
export function formatSignificant(value: number, digits: number): string {
  if (value === 0) return '0'
  const exponent = Number(value.toExponential(digits - 1).split('e')[1])
  if (exponent < -4 || exponent >= digits) {
    const [mantissa = '', power = ''] = value.toExponential(digits - 1).split('e')
    const sign = power.startsWith('-') ? '-' : '+'
    return `${trimZeros(mantissa)}e${sign}${power.replace(/^[-+]/, '').padStart(2, '0')}`
  }
  return trimZeros(value.toFixed(digits - 1 - exponent))
}

function trimZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}

const powers: Readonly<Record<string, number>> = { k: 1, m: 2, g: 3, t: 4, p: 5 }

/** Reads "64m", "1.5GiB", "1024" as bytes, in units of 1024. Throws invalid-argument. */
export function parseMemoryBytes(text: string): number {
  const invalid = (what: string): CodedError => new CodedError('invalid-argument', what)
  const at = Math.max(...[...'01234567890. '].map((digit) => text.lastIndexOf(digit)))
  if (at < 0) throw invalid(`invalid size: '${text}'`)
  const number = text[at] === ' ' ? text.slice(0, at) : text.slice(0, at + 1)
  const suffix = text.slice(at + 1).toLowerCase()
  if (!/^[-+]?(\d+\.?\d*|\.\d+)$/.test(number)) {
    throw invalid(`strconv.ParseFloat: parsing ${JSON.stringify(number)}: invalid syntax`)
  }
  const size = Number(number)
  if (size < 0) throw invalid(`invalid size: '${text}'`)
  if (suffix === '' || suffix === 'b') return Math.trunc(size)
  const power = powers[suffix.charAt(0)]
  if (power === undefined || !/^.(b|ib)?$/.test(suffix))
    throw invalid(`invalid suffix: '${suffix}'`)
  return Math.trunc(size * 1024 ** power)
}

/** Reads a decimal or fraction of CPUs ("0.5", "1/3" is too precise) as 10^-9 CPUs. */
export function parseNanoCpus(text: string): number {
  const parts = /^([-+]?)(\d*)(?:\.(\d*))?(?:[eE]([-+]?\d+))?(?:\/(\d+))?$/.exec(text)
  const [, sign = '', whole = '', decimals = '', exponent = '0', divisor = '1'] = parts ?? []
  if (parts === null || whole + decimals === '' || Number(divisor) === 0) {
    throw new CodedError('invalid-argument', `failed to parse ${text} as a rational number`)
  }
  const shift = 9 + Number(exponent) - decimals.length
  const digits = BigInt(whole + decimals)
  const [top, bottom] =
    shift >= 0
      ? [digits * 10n ** BigInt(Math.min(shift, 40)), BigInt(divisor)]
      : [digits, BigInt(divisor) * 10n ** BigInt(Math.min(-shift, 40))]
  if (top % bottom !== 0n) throw new CodedError('invalid-argument', 'value is too precise')
  return Number(top / bottom) * (sign === '-' ? -1 : 1)
}
