// Keys on this disk: two rings, one for each half of a node.
//
//   node.key      the worker's half: its X25519 key. Never sealed, so that a locked node still runs
//                 its tasks, networks and published ports, also after a reboot.
//   manager.key   what makes a manager: its own X25519 key, the data keys of raft's log, the
//                 cluster's signing key. Plain with mode 0600, or, with autolock on, sealed
//                 (nacl.secretbox) under the unlock key, which stands nowhere on this disk.
//
// The unlock key is a text for people: SWMKEY-1-<32 bytes, base64 without padding>, as Swarm's.
// The words of the errors are Swarm's too.
//
// A data key is changed in three steps, so that a crash between them harms nothing:
//   1. the ring gets the new key in front, and is written     (both can be read)
//   2. the log goes on under the new key                      (RaftStorage.changeKey)
//   3. once neither log nor snapshots need the old key, the ring is written without it

import { CodedError } from '../../core/base/error.ts'
import {
  exchangePublicKey,
  freshBytes,
  type KeyPair,
  keyBytes,
  makeExchangeKeys,
  signingPublicKey,
} from '../../net/secure/crypto.ts'
import { asDataKey, type DataKeys, makeDataKey } from './data-key.ts'
import type { Disk } from './disk.ts'
import { loadState, saveState } from './files.ts'

const unlockKeyPrefix = 'SWMKEY-1-'
const nodeKeyName = 'node.key'
const managerKeyName = 'manager.key'

/** What a locked manager answers to everything but unlock, info and ping. */
export const lockedText =
  'Swarm is encrypted and needs to be unlocked before it can be used. ' +
  'Please use "docker swarm unlock" to unlock it.'

/** What makes a manager. */
export interface ManagerKeys {
  /** X25519: the manager's Noise static key. */
  readonly managerKey: KeyPair
  /** Ed25519: signs members' tables. Undefined until the first log or a leader has told it. */
  readonly clusterKey: KeyPair | undefined
  /** Newest first. */
  readonly dataKeys: DataKeys
}

/** The manager's ring as found. */
export type ManagerRing =
  | { readonly type: 'absent' }
  | { readonly type: 'locked' }
  | { readonly type: 'open'; readonly keys: ManagerKeys; readonly isSealed: boolean }

/** Where keys stand. */
export interface KeyPlace {
  readonly disk: Disk
  /** The state folder. */
  readonly folder: string
}

/** A new unlock key: 32 random bytes. */
export function makeUnlockKey(): Uint8Array {
  return freshBytes(keyBytes)
}

/** The text that a user keeps in a password manager. */
export function formatUnlockKey(key: Uint8Array): string {
  return `${unlockKeyPrefix}${Buffer.from(key).toString('base64').replace(/=+$/, '')}`
}

/**
 * The bytes of an unlock key. Throws bad-request 'invalid key string', Swarm's words, for what has
 * not its form; a well-formed one of a wrong length is found out when it does not open anything.
 */
export function parseUnlockKey(text: string): Uint8Array {
  const body = text.startsWith(unlockKeyPrefix) ? text.slice(unlockKeyPrefix.length) : ''
  // Four characters are three bytes; one left over cannot be.
  if (!/^[A-Za-z0-9+/]+$/.test(body) || body.length % 4 === 1) {
    throw new CodedError('bad-request', 'invalid key string')
  }
  return new Uint8Array(Buffer.from(body, 'base64'))
}

/** The node's own key pair, made at the first call. Throws damaged-data, disk-full. */
export async function loadNodeKey(place: KeyPlace): Promise<KeyPair> {
  const path = `${place.folder}/${nodeKeyName}`
  const found = await loadState(place.disk, path)
  if (found.type === 'value') {
    const { privateKey } = (found.value ?? {}) as Record<string, unknown>
    return exchangePair(privateKey, path)
  }
  if (found.type === 'sealed') throw badRing(path, 'is sealed, and should never be')
  const made = makeExchangeKeys()
  await saveState(place.disk, path, { value: { privateKey: made.privateKey } })
  return made
}

/** Writes down a key pair that the node had before. Throws disk-full. */
export async function saveNodeKey(place: KeyPlace, keys: KeyPair): Promise<void> {
  const path = `${place.folder}/${nodeKeyName}`
  await saveState(place.disk, path, { value: { privateKey: keys.privateKey } })
}

/** New keys for a manager to be. */
export function makeManagerKeys(clusterKey?: KeyPair): ManagerKeys {
  return { managerKey: makeExchangeKeys(), clusterKey, dataKeys: [makeDataKey()] }
}

/**
 * The manager's ring. Throws bad-request with Swarm's words if it is sealed and the given key is
 * another; damaged-data if the file is not what was written. A ring that is not sealed opens with
 * any key, or none.
 */
export async function loadManagerKeys(
  place: KeyPlace,
  unlockKey?: Uint8Array,
): Promise<ManagerRing> {
  const path = `${place.folder}/${managerKeyName}`
  const found = await loadState(place.disk, path, unlockKey)
  if (found.type === 'absent') return found
  if (found.type === 'value') {
    return { type: 'open', keys: checkRing(found.value, path), isSealed: found.isSealed }
  }
  if (unlockKey === undefined) return { type: 'locked' }
  throw new CodedError('bad-request', 'swarm could not be unlocked: invalid key provided')
}

/** Writes the ring, sealed if there is an unlock key. It is the old or the new one, whatever comes. */
export async function saveManagerKeys(
  place: KeyPlace,
  ring: { readonly keys: ManagerKeys; readonly unlockKey: Uint8Array | undefined },
): Promise<void> {
  const { managerKey, clusterKey, dataKeys } = ring.keys
  const value = {
    managerKey: managerKey.privateKey,
    clusterKey: clusterKey?.privateKey,
    dataKeys: dataKeys.map((each) => each.key),
  }
  const path = `${place.folder}/${managerKeyName}`
  await saveState(place.disk, path, { value, key: ring.unlockKey })
}

/** The ring is gone: this node is no manager any more. */
export async function removeManagerKeys(place: KeyPlace): Promise<void> {
  await place.disk.remove(`${place.folder}/${managerKeyName}`)
  await place.disk.syncFolder(place.folder)
}

/** The ring with a new data key in front: step 1 of a change. */
export function addDataKey(keys: ManagerKeys): ManagerKeys {
  return { ...keys, dataKeys: [makeDataKey(), ...keys.dataKeys] }
}

/** The ring without the old data keys that nothing on the disk needs: step 3 of a change. */
export function dropDataKeys(keys: ManagerKeys, neededIds: readonly string[]): ManagerKeys {
  const [first, ...older] = keys.dataKeys
  return { ...keys, dataKeys: [first, ...older.filter((each) => neededIds.includes(each.id))] }
}

function checkRing(value: unknown, path: string): ManagerKeys {
  const { managerKey, clusterKey, dataKeys } = (value ?? {}) as Record<string, unknown>
  if (!Array.isArray(dataKeys) || !dataKeys.every(isKey)) throw badRing(path, 'has a bad data key')
  const [first, ...older] = dataKeys.map((key) => asDataKey(key))
  if (first === undefined) throw badRing(path, 'has no data key')
  return {
    managerKey: exchangePair(managerKey, path),
    clusterKey: clusterKey === undefined ? undefined : signingPair(clusterKey, path),
    dataKeys: [first, ...older],
  }
}

function exchangePair(privateKey: unknown, path: string): KeyPair {
  if (!isKey(privateKey)) throw badRing(path, 'has no node key')
  return { privateKey, publicKey: exchangePublicKey(privateKey) }
}

function signingPair(privateKey: unknown, path: string): KeyPair {
  if (!isKey(privateKey)) throw badRing(path, 'has a bad cluster key')
  return { privateKey, publicKey: signingPublicKey(privateKey) }
}

function isKey(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === keyBytes
}

function badRing(path: string, why: string): CodedError {
  const text = `${path} ${why}: restore the state folder from a backup, or join again as a new node`
  return new CodedError('damaged-data', text, { detail: { path } })
}
