// Times on the command line: "42m" ago, RFC 3339 with parts left out, or seconds since 1970.

import { CodedError } from '../../core/base/error.ts'
import { nsPerMs, parseDuration } from '../../core/base/time.ts'

const form =
  /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?)?(Z|[-+]\d\d:\d\d)?$/i

/** A time as the API wants it: seconds, or seconds with nine decimals. Throws invalid-argument. */
export function parseTimestamp(text: string, nowMs: number): string {
  const ago = text === '0' ? undefined : durationOf(text)
  if (ago !== undefined) return String(Math.floor((nowMs - ago / nsPerMs) / 1000))
  const parts = form.exec(text)
  if (parts !== null) {
    const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = ''] = parts
    const zone = parts[8] ?? localZone(text)
    const ms = Date.parse(
      `${year}-${month}-${day}T${hour}:${minute}:${second}${zone.toUpperCase()}`,
    )
    if (!Number.isNaN(ms)) return `${Math.floor(ms / 1000)}.${fraction.padEnd(9, '0')}`
  }
  if (/^\d+(\.\d+)?$/.test(text)) return text
  throw new CodedError(
    'invalid-argument',
    `failed to parse value as time or duration: ${JSON.stringify(text)}`,
  )
}

function durationOf(text: string): number | undefined {
  try {
    return parseDuration(text)
  } catch {
    return undefined
  }
}

/** The zone of this machine on a day, for a time that names none. */
function localZone(text: string): string {
  const minutes = -new Date(`${text.slice(0, 10)}T12:00:00`).getTimezoneOffset()
  const [hours, rest] = [Math.trunc(Math.abs(minutes) / 60), Math.abs(minutes) % 60]
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${minutes < 0 ? '-' : '+'}${two(hours)}:${two(rest)}`
}
