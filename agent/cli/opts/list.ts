// Flags that are lists of `key=value` and of addresses: labels, environment, hosts, name servers.
// Each check returns the value as the API wants it, or throws with docker's words.

import { CodedError } from '../../../core/base/error.ts'

/** A text cut at the first separator; `isCut` is false when there is none. */
export interface Cut {
  readonly before: string
  readonly after: string
  readonly isCut: boolean
}

/** Cuts a text at the first separator. */
export function cut(text: string, separator: string): Cut {
  const at = text.indexOf(separator)
  if (at < 0) return { before: text, after: '', isCut: false }
  return { before: text.slice(0, at), after: text.slice(at + separator.length), isCut: true }
}

/** `key=value` texts as a record; the last of a key wins. */
export function recordOf(pairs: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {}
  for (const pair of pairs) {
    const { before, after } = cut(pair, '=')
    record[before] = after
  }
  return record
}

/** A label: a key without white space, and any value. */
export function checkLabel(text: string): string {
  const key = cut(text, '=').before.replace(/^[ \t]+/, '')
  if (key === '') throw invalid(`invalid label '${text}': empty name`)
  if (/[ \t]/.test(key)) throw invalid(`label '${key}' contains whitespaces`)
  return text
}

/** A variable: `NAME=value`, or `NAME`, whose value is then taken from our own environment. */
export function checkEnv(text: string, env: Readonly<Record<string, string | undefined>>): string {
  const { before, isCut } = cut(text, '=')
  if (before === '') throw invalid(`invalid environment variable: ${text}`)
  if (isCut) return text
  const value = env[before]
  return value === undefined ? text : `${before}=${value}`
}

/** An IP address in its usual form. */
export function checkIp(text: string): string {
  const ip = normalIp(text.trim())
  if (ip === undefined) throw invalid(`IP address is not correctly formatted: ${text}`)
  return ip
}

function normalIp(text: string): string | undefined {
  const bytes = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (bytes !== null) {
    const isValid = bytes.slice(1).every((byte) => Number(byte) <= 255 && !/^0\d/.test(byte))
    return isValid ? text : undefined
  }
  if (!text.includes(':') || !URL.canParse(`http://[${text}]/`)) return undefined
  return new URL(`http://[${text}]/`).hostname.slice(1, -1)
}

const domain =
  /^((?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*)\.?\s*$/

/** A search domain; `.` stands for none. */
export function checkDnsSearch(text: string): string {
  const trimmed = text.replace(/^ +| +$/g, '')
  if (trimmed === '.') return trimmed
  const name = /[a-zA-Z]/.test(trimmed) ? domain.exec(trimmed)?.[1] : undefined
  if (name === undefined || name.length >= 255) throw invalid(`${trimmed} is not a valid domain`)
  return name
}

/** A host and its address, `host:ip` or `host=ip`; the answer is `host:ip`. */
export function checkExtraHost(text: string): string {
  const byEquals = cut(text, '=')
  const { before, after, isCut } = byEquals.isCut ? byEquals : cut(text, ':')
  if (!isCut || before === '' || before.includes(':')) {
    throw invalid(`bad format for add-host: ${JSON.stringify(text)}`)
  }
  const ip = after.replace(/^\[(.+)\]$/, '$1')
  if (ip !== 'host-gateway' && normalIp(ip.trim()) === undefined) {
    throw invalid(`invalid IP address in add-host: ${JSON.stringify(ip)}`)
  }
  return `${before}:${ip}`
}

/** A user-defined resource, `name=value`. */
export function checkGenericResource(text: string): string {
  if (!text.includes('=')) {
    throw invalid(`invalid generic-resource format \`${text}\` expected \`name=value\``)
  }
  return text
}

/** A filter, `name=value`; the name in lower case. Empty text is no filter. */
export function parseFilter(text: string): { name: string; value: string } | undefined {
  if (text === '') return undefined
  const { before, after, isCut } = cut(text, '=')
  if (!isCut) throw invalid('bad format of filter (expected name=value)')
  return { name: before.trim().toLowerCase(), value: after.trim() }
}

function invalid(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}
