// Data keys: what seals records and snapshots. Each has a short name made of itself, which stands
// in clear beside what it sealed, so that after a rotation the right key is found at once and an
// unneeded one can be told.

import { CodedError } from '../../core/base/error.ts'
import { freshBytes, keyBytes, sha256 } from '../../net/secure/crypto.ts'

/** `id` is 16 hex digits of the key's digest; it gives nothing away. */
export interface DataKey {
  readonly id: string
  readonly key: Uint8Array
}

/** Newest first: the first one seals, all of them open. Never empty. */
export type DataKeys = readonly [DataKey, ...DataKey[]]

/** A new random data key. */
export function makeDataKey(): DataKey {
  return asDataKey(freshBytes(keyBytes))
}

/** The data key of 32 known bytes. */
export function asDataKey(key: Uint8Array): DataKey {
  return { id: Buffer.from(sha256(key)).toString('hex', 0, 8), key }
}

/** The key that sealed `path`. Throws damaged-data if it is not among ours. */
export function findDataKey(keys: DataKeys, sealedBy: { id: string; path: string }): DataKey {
  const found = keys.find((key) => key.id === sealedBy.id)
  if (found !== undefined) return found
  const known = keys.map((key) => key.id).join(', ')
  throw new CodedError(
    'damaged-data',
    `${sealedBy.path}: sealed with data key ${sealedBy.id}, the key file holds ${known}: ` +
      'restore manager.key and raft/ from one and the same backup, or join again',
    { detail: { path: sealedBy.path, keyId: sealedBy.id } },
  )
}
