// Records: how a stream of TCP is cut into pieces, and each piece sealed after the handshake.
//
//   unit     +-----------------+------------------+     handshake message, or sealed record
//            | length, u16 BE  | length bytes     |
//            +-----------------+------------------+
//   record   +---------------------+---------+
//            | as long as plain    | tag, 16 |          count of the record as nonce, never sent
//            +---------------------+---------+
//
// Since both sides count, a record that is replayed, left out or out of its place does not open, and
// nothing after it: there is no state for it, it cannot be. An empty record says good-bye; a stream
// that ends without one was cut. After so many records both sides go on to the next key.
//
// Pure: what carries the bytes is left to secure-stream.ts.

import { assert } from '../../core/base/assert.ts'
import { CodedError } from '../../core/base/error.ts'
import { aeadTagBytes, openFrame, sealFrame } from './crypto.ts'
import { nextKey, noiseNonce } from './noise.ts'

const lengthBytes = 2
/** A unit's length must fit into 16 bits; it is also the bound of a Noise message. */
export const unitBytesMax = 65_535
/** What one record carries at most. */
export const recordBytesMax = unitBytesMax - aeadTagBytes
/** Records under one key. Far below any bound of the cipher: a found key opens little. */
export const recordsPerKey = 2 ** 20

/** The body with its length before it. */
export function encodeUnit(body: Uint8Array): Uint8Array {
  assert(body.length <= unitBytesMax, 'a unit fits into its length field')
  const unit = new Uint8Array(lengthBytes + body.length)
  unit[0] = body.length >>> 8
  unit[1] = body.length & 0xff
  unit.set(body, lengthBytes)
  return unit
}

/** Cuts a stream of bytes into units. It never holds more than one unit and what was last pushed. */
export interface UnitParser {
  readonly push: (bytes: Uint8Array) => void
  /**
   * The next whole unit, perhaps a view of what was pushed. Throws bad-request for one that
   * announces more than `bytesMax`: before anything is kept for it, and then for ever.
   */
  readonly next: (bytesMax: number) => Uint8Array | undefined
  /** True inside a unit: an end here is a cut. */
  readonly isMidUnit: () => boolean
}

export function createUnitParser(): UnitParser {
  let input: Uint8Array = new Uint8Array(0)
  let body: Uint8Array | undefined
  let filled = 0
  const take = (count: number): Uint8Array => {
    const part = input.subarray(0, count)
    input = input.subarray(count)
    return part
  }
  return {
    push: (bytes) => {
      if (input.length === 0) input = bytes
      else input = new Uint8Array(Buffer.concat([input, bytes]))
    },
    next: (bytesMax) => {
      if (body === undefined) {
        if (input.length < lengthBytes) return undefined
        const length = (input[0] ?? 0) * 256 + (input[1] ?? 0)
        if (length > bytesMax) {
          throw new CodedError(
            'bad-request',
            `the peer announces ${length} bytes, at most ${bytesMax} are allowed here`,
          )
        }
        if (input.length >= lengthBytes + length) return take(lengthBytes + length).subarray(2)
        take(lengthBytes)
        body = new Uint8Array(length)
        filled = 0
      }
      const part = take(Math.min(body.length - filled, input.length))
      body.set(part, filled)
      filled += part.length
      if (filled < body.length) return undefined
      const whole = body
      body = undefined
      return whole
    },
    isMidUnit: () => body !== undefined || input.length > 0,
  }
}

/** Keys and nonces of one direction, in order; both sides draw the same. */
function createKeySchedule(firstKey: Uint8Array, perKey: number): () => KeyUse {
  let key = firstKey
  let count = 0
  return () => {
    if (count > 0 && count % perKey === 0) key = nextKey(key)
    return { key, nonce: noiseNonce(count++) }
  }
}

interface KeyUse {
  readonly key: Uint8Array
  readonly nonce: Uint8Array
}

/** Seals records one after the other; gives whole units. `perKey` is another only in tests. */
export function createRecordSealer(
  key: Uint8Array,
  perKey: number = recordsPerKey,
): (plain: Uint8Array) => Uint8Array {
  const next = createKeySchedule(key, perKey)
  return (plain) => {
    assert(plain.length <= recordBytesMax, 'a record fits into a unit')
    return encodeUnit(sealFrame({ ...next(), plain }))
  }
}

/**
 * Opens records one after the other. Throws bad-request for one that is not the next: changed,
 * replayed, out of order, or of another key. The stream is then dead.
 */
export function createRecordOpener(
  key: Uint8Array,
  perKey: number = recordsPerKey,
): (sealed: Uint8Array) => Uint8Array {
  const next = createKeySchedule(key, perKey)
  let isDead = false
  return (sealed) => {
    const plain = isDead ? undefined : openFrame({ ...next(), sealed })
    if (plain !== undefined) return plain
    isDead = true
    throw new CodedError('bad-request', 'a record does not open: it was changed or is not the next')
  }
}
