// Noise_XX_25519_ChaChaPoly_SHA256 (The Noise Protocol Framework, revision 34): two strangers meet
// and leave with keys that only they know, each sure of the other's static key. Like two people who
// first agree on a language in the open, then whisper their names.
//
//   initiator                              responder
//      | -- e ------------------------------> |   payload in the open
//      | <- e, ee, s, es ------------------- |   responder's name, sealed against listeners
//      | -- s, se --------------------------> |   initiator's name, sealed to the responder only
//
// A pure machine: bytes in, bytes and keys out. What the payloads say, and whether the other's
// static key is welcome, is left to handshake.ts.

import { assert, present } from '../../core/base/assert.ts'
import { CodedError } from '../../core/base/error.ts'
import { encodeText } from '../../core/base/text.ts'
import {
  aeadNonceBytes,
  aeadTagBytes,
  deriveKey,
  exchange,
  type KeyPair,
  keyBytes,
  makeExchangeKeys,
  openFrame,
  sealFrame,
  sha256,
} from './crypto.ts'

export type NoiseSide = 'initiator' | 'responder'

type Token = 'e' | 's' | 'ee' | 'es' | 'se'

/** The tokens of each message of the pattern XX; the initiator writes the first. */
const pattern: readonly (readonly Token[])[] = [['e'], ['e', 'ee', 's', 'es'], ['s', 'se']]

/** What the messages are longer than their payloads. */
export const noiseOverheadBytes: readonly [number, number, number] = [
  keyBytes,
  keyBytes + keyBytes + aeadTagBytes + aeadTagBytes,
  keyBytes + aeadTagBytes + aeadTagBytes,
]

/** The protocol's name is 32 bytes long, so it is the first hash as it stands. */
const protocolName = encodeText('Noise_XX_25519_ChaChaPoly_SHA256')

/** What both have when the last message is through. */
export interface NoiseResult {
  readonly sendKey: Uint8Array
  readonly receiveKey: Uint8Array
  /** The other's static key: proven to be its own. */
  readonly peersKey: Uint8Array
  /** Hash of all that was said; the same on both sides, and on no other connection. */
  readonly hash: Uint8Array
}

/** One handshake. After an error it is dead: throw it away with its connection. */
export interface Noise {
  /** Our next message with this payload. A call out of turn is a bug. */
  readonly write: (payload: Uint8Array) => Uint8Array
  /** The payload of the other's next message. Throws bad-request for any other bytes. */
  readonly read: (message: Uint8Array) => Uint8Array
  /** The other's static key, as soon as it was received. */
  readonly peersKey: () => Uint8Array | undefined
  /** After the third message: the keys. */
  readonly finish: () => NoiseResult
}

export interface NoiseOptions {
  readonly side: NoiseSide
  readonly staticKeys: KeyPair
  /** What both must have in mind already, or nothing fits. */
  readonly prologue: Uint8Array
  /** For the published vectors only; otherwise drawn afresh. */
  readonly ephemeralKeys?: KeyPair
}

/** What is mixed along the way: the hash of all said, the chain of secrets, the current key. */
interface Symmetric {
  hash: Uint8Array
  chain: Uint8Array
  key: Uint8Array | undefined
  count: number
}

/** A handshake's machine, at its start. */
export function createNoise(options: NoiseOptions): Noise {
  const { side, staticKeys } = options
  const symmetric: Symmetric = {
    hash: sha256(protocolName, options.prologue),
    chain: protocolName,
    key: undefined,
    count: 0,
  }
  let ephemeralKeys: KeyPair | undefined
  let peersEphemeral: Uint8Array | undefined
  let peersStatic: Uint8Array | undefined
  let turn = 0
  let isDead = false

  const takeTurn = (isWriting: boolean): readonly Token[] => {
    assert(!isDead, 'a handshake that failed is not used again')
    assert(isWriting === (turn % 2 === (side === 'initiator' ? 0 : 1)), 'noise: not our turn')
    return present(pattern[turn++], 'a message of the pattern')
  }
  const mix = (token: 'ee' | 'es' | 'se'): void => {
    // The letters name the initiator's key and the responder's; ours is the first if we initiate.
    const [first, second] = side === 'initiator' ? [token[0], token[1]] : [token[1], token[0]]
    const ours = first === 'e' ? present(ephemeralKeys, 'our ephemeral key') : staticKeys
    const theirs = present(second === 'e' ? peersEphemeral : peersStatic, "the peer's key")
    const secret = exchange(ours.privateKey, theirs)
    if (secret === undefined) throw refused("the peer's key has a low order")
    mixKey(symmetric, secret)
  }
  const write = (payload: Uint8Array): Uint8Array => {
    const parts: Uint8Array[] = []
    for (const token of takeTurn(true)) {
      if (token === 'e') {
        ephemeralKeys = options.ephemeralKeys ?? makeExchangeKeys()
        mixHash(symmetric, ephemeralKeys.publicKey)
        parts.push(ephemeralKeys.publicKey)
      } else if (token === 's') parts.push(sealNext(symmetric, staticKeys.publicKey))
      else mix(token)
    }
    parts.push(sealNext(symmetric, payload))
    return concat(parts)
  }
  const readTokens = (message: Uint8Array): Uint8Array => {
    let at = 0
    const take = (count: number): Uint8Array => {
      if (message.length - at < count) throw refused(`message ${turn} is cut off`)
      at += count
      return message.slice(at - count, at)
    }
    for (const token of takeTurn(false)) {
      if (token === 'e') {
        peersEphemeral = take(keyBytes)
        mixHash(symmetric, peersEphemeral)
      } else if (token === 's') {
        peersStatic = openNext(symmetric, take(keyBytes + aeadTagBytes), turn)
      } else mix(token)
    }
    return openNext(symmetric, message.slice(at), turn)
  }
  return {
    write,
    read: (message) => {
      try {
        return readTokens(message)
      } catch (error) {
        isDead = true
        throw error
      }
    },
    peersKey: () => peersStatic,
    finish: () => {
      assert(turn === pattern.length && !isDead, 'the handshake is over')
      const [forth, back] = twoKeys(symmetric.chain, new Uint8Array(0))
      const peersKey = present(peersStatic, "the peer's static key")
      return side === 'initiator'
        ? { sendKey: forth, receiveKey: back, peersKey, hash: symmetric.hash }
        : { sendKey: back, receiveKey: forth, peersKey, hash: symmetric.hash }
    },
  }
}

/** The nonce of ChaChaPoly in Noise §12.3: four zero bytes, then the count, little-endian. */
export function noiseNonce(count: number): Uint8Array {
  const nonce = new Uint8Array(aeadNonceBytes)
  const view = new DataView(nonce.buffer)
  view.setUint32(4, count >>> 0, true)
  view.setUint32(8, Math.floor(count / 2 ** 32), true)
  return nonce
}

/** The next key after this one (Noise §4.2, REKEY): who finds the new one cannot go back. */
export function nextKey(key: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(aeadNonceBytes).fill(0xff, 4)
  return sealFrame({ key, nonce, plain: new Uint8Array(keyBytes) }).slice(0, keyBytes)
}

function mixHash(state: Symmetric, data: Uint8Array): void {
  state.hash = sha256(state.hash, data)
}

function mixKey(state: Symmetric, secret: Uint8Array): void {
  const [chain, key] = twoKeys(state.chain, secret)
  state.chain = chain
  state.key = key
  state.count = 0
}

/** Noise's HKDF with two outputs is RFC 5869's with the chain as salt and nothing as info. */
function twoKeys(chain: Uint8Array, secret: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const both = deriveKey({ secret, salt: chain, purpose: '', bytes: 2 * keyBytes })
  return [both.slice(0, keyBytes), both.slice(keyBytes)]
}

/** EncryptAndHash of Noise §5.2. Before the first secret, the text stays open. */
function sealNext(state: Symmetric, plain: Uint8Array): Uint8Array {
  const { key } = state
  const sealed =
    key === undefined
      ? plain
      : sealFrame({ key, nonce: noiseNonce(state.count++), plain, context: state.hash })
  mixHash(state, sealed)
  return sealed
}

/** DecryptAndHash of Noise §5.2. */
function openNext(state: Symmetric, sealed: Uint8Array, turn: number): Uint8Array {
  const { key } = state
  const plain =
    key === undefined
      ? sealed
      : openFrame({ key, nonce: noiseNonce(state.count++), sealed, context: state.hash })
  if (plain === undefined) throw refused(`message ${turn} does not open`)
  mixHash(state, sealed)
  return plain
}

function refused(why: string): CodedError {
  return new CodedError('bad-request', `handshake: ${why}`)
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
