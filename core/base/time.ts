// Time as data: milliseconds since 1970 inside, Go's duration texts and RFC 3339 outside.

import { CodedError } from './error.ts'

export const nsPerMs = 1_000_000
export const nsPerSecond = 1_000_000_000

const unitNs: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1_000,
  µs: 1_000,
  μs: 1_000,
  ms: nsPerMs,
  s: nsPerSecond,
  m: 60 * nsPerSecond,
  h: 3_600 * nsPerSecond,
}

/**
 * Parses a duration of Go's time.ParseDuration ("1m30s", "1.5h", "-2ms", "0") to nanoseconds.
 * Throws invalid-argument with Go's own words.
 */
export function parseDuration(text: string): number {
  const invalid = (why: string): CodedError =>
    new CodedError('invalid-argument', `time: ${why} duration ${JSON.stringify(text)}`)
  const sign = text.startsWith('-') ? -1 : 1
  let rest = text.replace(/^[-+]/, '')
  if (rest === '0') return 0
  if (rest === '') throw invalid('invalid')
  let total = 0
  while (rest !== '') {
    const number = /^(\d+\.?\d*|\.\d+)/.exec(rest)?.[0]
    if (number === undefined) throw invalid('invalid')
    rest = rest.slice(number.length)
    const unit = /^[^\d.]+/.exec(rest)?.[0]
    if (unit === undefined) throw invalid('missing unit in')
    const ns = unitNs[unit]
    if (ns === undefined) throw invalid(`unknown unit ${JSON.stringify(unit)} in`)
    total += Number(number) * ns
    rest = rest.slice(unit.length)
  }
  return sign * Math.round(total)
}

/** Formats nanoseconds as Go's Duration.String does: "1m30s", "1.5s", "0s". */
export function formatDuration(ns: number): string {
  if (ns === 0) return '0s'
  if (ns < 0) return `-${formatDuration(-ns)}`
  if (ns < 1_000) return `${ns}ns`
  if (ns < nsPerMs) return `${ns / 1_000}µs`
  if (ns < nsPerSecond) return `${ns / nsPerMs}ms`
  const hours = Math.floor(ns / unit('h'))
  const minutes = Math.floor((ns % unit('h')) / unit('m'))
  const seconds = ((ns % unit('m')) / nsPerSecond).toFixed(9).replace(/\.?0+$/, '')
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`
}

function unit(name: 'h' | 'm'): number {
  return unitNs[name] ?? 0
}

/** Milliseconds to RFC 3339 in UTC with up to nine decimals, as Go prints times. */
export function formatTime(ms: number): string {
  const days = Math.floor(ms / 86_400_000)
  const { year, month, day } = civil(days)
  const rest = ms - days * 86_400_000
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  const clock = `${two(rest / 3_600_000)}:${two((rest / 60_000) % 60)}:${two((rest / 1000) % 60)}`
  const fraction = Math.floor(rest % 1000)
  const decimals = fraction === 0 ? '' : `.${String(fraction).padStart(3, '0').replace(/0+$/, '')}`
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${clock}${decimals}Z`
}

/** Days since 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant, civil_from_days). */
function civil(days: number): { year: number; month: number; day: number } {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthShifted = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * monthShifted + 2) / 5) + 1
  const month = monthShifted < 10 ? monthShifted + 3 : monthShifted - 9
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day }
}

/** RFC 3339 to milliseconds since 1970 (finer digits are cut); undefined for any other text. */
export function parseTime(text: string): number | undefined {
  const parts =
    /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/.exec(
      text,
    )
  if (parts === null) return undefined
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number)
  if (year === undefined || month === undefined || day === undefined) return undefined
  if (hour === undefined || minute === undefined || second === undefined) return undefined
  const days = daysOf({ year, month, day })
  const date = civil(days)
  if (date.month !== month || date.day !== day) return undefined
  if (hour > 23 || minute > 59 || second > 59) return undefined
  const fraction = Number((parts[7] ?? '').padEnd(3, '0').slice(0, 3))
  const zone = (Number(parts[9] ?? 0) * 60 + Number(parts[10] ?? 0)) * (parts[8] === '-' ? -1 : 1)
  return days * 86_400_000 + (hour * 60 + minute - zone) * 60_000 + second * 1_000 + fraction
}

/** A date of the Gregorian calendar to days since 1970-01-01 (Hinnant, days_from_civil). */
function daysOf(date: { year: number; month: number; day: number }): number {
  const year = date.month <= 2 ? date.year - 1 : date.year
  const era = Math.floor(year / 400)
  const yearOfEra = year - era * 400
  const monthShifted = date.month + (date.month > 2 ? -3 : 9)
  const dayOfYear = Math.floor((153 * monthShifted + 2) / 5) + date.day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100)
  return era * 146_097 + dayOfEra + dayOfYear - 719_468
}
