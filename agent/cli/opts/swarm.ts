// Flags of the cluster: listen addresses, address pools, external certificate authorities.

import { CodedError } from '../../../core/base/error.ts'
import type { ExternalCaJson } from '../api-json.ts'
import { parseCsv } from '../csv.ts'
import { checkIp, cut } from './list.ts'
import { parseUint } from './number.ts'

/** Where a node listens when nothing is said. */
export const defaultListenAddress = '0.0.0.0:2377'

/** Reads `host[:port]`, either part missing, as host:port. */
export function parseNodeAddress(text: string): string {
  const bare = text.replace(/^tcp:\/\//, '')
  if (text === '' || text === 'tcp://') return defaultListenAddress
  if (bare.includes('://') || bare === '') throw invalid(`invalid proto, expected tcp: ${text}`)
  const parts = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(bare)
  const port = Number(parts?.[2] || '2377')
  if (parts === null || port > 65535) throw invalid(`invalid bind address format: ${text}`)
  return `${parts[1] || '0.0.0.0'}:${port}`
}

/** Throws unless the text is an address to listen on. */
export function checkNodeAddress(text: string): void {
  parseNodeAddress(text)
}

/** Throws unless every part of the list is `ip/bits`. */
export function checkAddressRange(text: string): void {
  parseAddressRanges(text)
}

/** Reads `10.0.0.0/8,172.16.0.0/12`. */
export function parseAddressRanges(text: string): readonly string[] {
  return parseCsv(text).map((part) => {
    const { before, after, isCut } = cut(part.trim(), '/')
    try {
      const bits = parseUint(after, { base: 10, bits: 16 })
      const ip = checkIp(before)
      if (isCut && bits <= (ip.includes(':') ? 128 : 32)) return `${ip}/${bits}`
    } catch {}
    throw invalid(`invalid string being converted to CIDR: ${part}`)
  })
}

/** Reads `protocol=cfssl,url=https://...`; `cacert` names a file that the caller reads. */
export function parseExternalCa(text: string): ExternalCaJson & { readonly caFile?: string } {
  let ca: ExternalCaJson & { readonly caFile?: string } = { Options: {} }
  for (const field of parseCsv(text)) {
    const { before: key, after: value, isCut } = cut(field, '=')
    if (!isCut) throw invalid(`invalid field '${field}' must be a key=value pair`)
    const lower = key.toLowerCase()
    if (lower === 'protocol') {
      if (value.toLowerCase() !== 'cfssl') {
        throw invalid(`unrecognized external CA protocol ${value}`)
      }
      ca = { ...ca, Protocol: 'cfssl' }
    } else if (lower === 'url') ca = { ...ca, URL: value }
    else if (lower === 'cacert') ca = { ...ca, caFile: value }
    else ca = { ...ca, Options: { ...ca.Options, [key]: value } }
  }
  if (ca.Protocol === undefined) {
    throw invalid('the external-ca option needs a protocol= parameter')
  }
  if (ca.URL === undefined) throw invalid('the external-ca option needs a url= parameter')
  return ca
}

/** Throws unless the text describes an external certificate authority. */
export function checkExternalCa(text: string): void {
  parseExternalCa(text)
}

function invalid(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}
