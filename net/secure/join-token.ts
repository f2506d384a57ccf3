// Join tokens, as Docker Swarm prints them, and ours with addresses behind:
//
//   SWMTKN-1-<digest, 50 of base36>-<secret, 25 of base36>[-<address>,<address>...]
//
// The digest is SHA-256 of the cluster's public key: by it the newcomer knows the cluster, before
// it says the secret, by which the cluster knows the newcomer. An address is `host`, `host:port`, or
// for IPv6 `fd00::1` and `fd00::1@2399`: no brackets, which a shell would take for a pattern. Port
// 2377 is left out.

import { formatIp, parseIp } from '../../core/base/address.ts'
import { CodedError } from '../../core/base/error.ts'
import { encodeText } from '../../core/base/text.ts'
import { freshBytes, isEqual, sha256 } from './crypto.ts'

export interface JoinAddress {
  /** An IPv4 or IPv6 address, or a name. */
  readonly host: string
  readonly port: number
}

export interface JoinToken {
  /** SHA-256 of the cluster's public key. */
  readonly digest: Uint8Array
  /** 25 characters of base36. */
  readonly secret: string
  /** Where managers listen; empty in a token of Swarm's own form. */
  readonly addresses: readonly JoinAddress[]
}

export const joinPort = 2377
/** A token names at most so many addresses: as many as a cluster has managers, and some. */
export const joinAddressesMax = 16
const digestCharacters = 50
const secretCharacters = 25
const tokenCharactersMax = 2048

/** The token's text. */
export function formatJoinToken(token: JoinToken): string {
  const digest = formatBase36(token.digest).padStart(digestCharacters, '0')
  const addresses = token.addresses.map(formatAddress).join(',')
  return `SWMTKN-1-${digest}-${token.secret}${addresses === '' ? '' : `-${addresses}`}`
}

/** Reads a token. Throws bad-request with Swarm's words for any other text. */
export function parseJoinToken(text: string): JoinToken {
  const parts = /^SWMTKN-1-([0-9a-z]{50})-([0-9a-z]{25})(?:-(.+))?$/.exec(text.trim())
  const [, digestText = '', secret = '', addressText] = parts ?? []
  const digest = parts === null ? undefined : parseBase36(digestText)
  const addresses = addressText === undefined ? [] : addressText.split(',').map(parseAddress)
  const isKnown = addresses.every((address) => address !== undefined)
  const isLong = text.length > tokenCharactersMax || addresses.length > joinAddressesMax
  if (digest === undefined || !isKnown || isLong) {
    throw new CodedError('bad-request', 'invalid join token')
  }
  return { digest, secret, addresses }
}

/** The digest by which a cluster's public key is known in tokens. */
export function clusterDigest(clusterKey: Uint8Array): Uint8Array {
  return sha256(clusterKey)
}

/** Throws bad-request, in Swarm's words, unless the token was made for the cluster of this key. */
export function checkFingerprint(token: JoinToken, clusterKey: Uint8Array): void {
  if (isEqual(clusterDigest(clusterKey), token.digest)) return
  const expected = Buffer.from(token.digest).toString('hex')
  throw new CodedError('bad-request', `remote CA does not match fingerprint. Expected: ${expected}`)
}

/** A new secret: 25 characters out of 32 random bytes, 129 bits. */
export function makeJoinSecret(): string {
  return formatBase36(freshBytes(32)).padStart(secretCharacters, '0').slice(-secretCharacters)
}

/**
 * True if the secrets are the same, in a time that tells nothing of where they differ, nor how long
 * the right one is.
 */
export function isSameSecret(left: string, right: string): boolean {
  return isEqual(sha256(encodeText(left)), sha256(encodeText(right)))
}

function formatAddress({ host, port }: JoinAddress): string {
  if (port === joinPort) return host
  return host.includes(':') ? `${host}@${port}` : `${host}:${port}`
}

/** undefined for a text that is no address. */
function parseAddress(text: string): JoinAddress | undefined {
  const parts = /^(.*?)(?:@(\d{1,5}))?$/.exec(text)
  const [, rest = '', atPort] = parts ?? []
  const ip = parseIp(rest)
  if (ip !== undefined) return withPort(formatIp(ip), atPort)
  const [, host = '', colonPort] = /^([0-9A-Za-z._-]{1,253})(?::(\d{1,5}))?$/.exec(rest) ?? []
  const isBare = host !== '' && (atPort === undefined || colonPort === undefined)
  return isBare ? withPort(host, colonPort ?? atPort) : undefined
}

function withPort(host: string, text: string | undefined): JoinAddress | undefined {
  const port = text === undefined ? joinPort : Number(text)
  return port >= 1 && port <= 65_535 ? { host, port } : undefined
}

/** The bytes as one number in base36, without leading zeros. */
function formatBase36(bytes: Uint8Array): string {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`).toString(36)
}

/** 32 bytes of a number in base36; undefined if it is more than they hold. */
function parseBase36(text: string): Uint8Array | undefined {
  let value = 0n
  for (const digit of text) value = value * 36n + BigInt(Number.parseInt(digit, 36))
  if (value >> 256n !== 0n) return undefined
  return new Uint8Array(Buffer.from(value.toString(16).padStart(64, '0'), 'hex'))
}
