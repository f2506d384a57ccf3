// Key ring: the manager's keys in memory and on the disk, and how they follow the cluster's wish to
// lock. Turning locking on or off, or rotating the unlock key, puts a new data key in front, so
// that what is written from then on cannot be read with what was plain before.

import { CodedError } from '../core/base/error.ts'
import { isEqual, type KeyPair } from '../net/secure/crypto.ts'
import type { DataKeys } from './storage/data-key.ts'
import {
  addDataKey,
  dropDataKeys,
  type KeyPlace,
  loadManagerKeys,
  type ManagerKeys,
  makeManagerKeys,
  removeManagerKeys,
  saveManagerKeys,
} from './storage/keystore.ts'
import type { RaftStorage } from './storage/raft-storage.ts'

export class KeyRing {
  readonly #place: KeyPlace
  #keys: ManagerKeys | undefined
  /** What the file is sealed under now. */
  #unlockKey: Uint8Array | undefined
  /** Changes of the ring run one after the other. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(place: KeyPlace, keys: ManagerKeys | undefined, unlockKey?: Uint8Array) {
    this.#place = place
    this.#keys = keys
    this.#unlockKey = unlockKey
  }

  /** New keys for the first manager of a cluster, written down. Throws disk-full. */
  static async found(
    place: KeyPlace,
    clusterKey: KeyPair,
    unlockKey: Uint8Array | undefined,
  ): Promise<KeyRing> {
    const keys = makeManagerKeys(clusterKey)
    await saveManagerKeys(place, { keys, unlockKey })
    return new KeyRing(place, keys, unlockKey)
  }

  /** New keys for a node that is to be a manager, written down; the cluster's come with its log. */
  static async make(place: KeyPlace): Promise<KeyRing> {
    const keys = makeManagerKeys()
    await saveManagerKeys(place, { keys, unlockKey: undefined })
    return new KeyRing(place, keys)
  }

  /** The ring of the folder, locked if it is sealed. Throws damaged-data. */
  static async load(place: KeyPlace): Promise<KeyRing> {
    const found = await loadManagerKeys(place)
    if (found.type === 'absent') {
      throw new CodedError(
        'damaged-data',
        `${place.folder}/manager.key is gone: restore it from a backup of the state folder, or uninstall and join again`,
      )
    }
    return new KeyRing(place, found.type === 'open' ? found.keys : undefined)
  }

  get isLocked(): boolean {
    return this.#keys === undefined
  }

  get dataKeys(): DataKeys {
    return this.#open().dataKeys
  }

  get managerKey(): KeyPair {
    return this.#open().managerKey
  }

  /** Removes the ring: this node is no manager any more. */
  async remove(): Promise<void> {
    await removeManagerKeys(this.#place)
  }

  /** Opens the ring. Throws bad-request in Swarm's words for a wrong key. */
  async unlock(key: Uint8Array): Promise<void> {
    const found = await loadManagerKeys(this.#place, key)
    if (found.type !== 'open') {
      throw new CodedError('bad-request', 'swarm could not be unlocked: invalid key provided')
    }
    this.#keys = found.keys
    this.#unlockKey = found.isSealed ? key : undefined
  }

  /** Seals the ring as the cluster wants it; resolves with whether that was a change. */
  follow(wanted: () => Uint8Array | undefined, storage: RaftStorage): Promise<boolean> {
    const next = this.#last.then(() => this.#follow(wanted(), storage))
    this.#last = next.catch(() => undefined)
    return next
  }

  async #follow(unlockKey: Uint8Array | undefined, storage: RaftStorage): Promise<boolean> {
    const isSame =
      unlockKey === undefined
        ? this.#unlockKey === undefined
        : this.#unlockKey !== undefined && isEqual(unlockKey, this.#unlockKey)
    if (isSame) {
      await this.#dropOld(storage)
      return false
    }
    const keys = addDataKey(this.#open())
    await saveManagerKeys(this.#place, { keys, unlockKey })
    this.#keys = keys
    this.#unlockKey = unlockKey
    await storage.changeKey(keys.dataKeys)
    return true
  }

  /** Forgets data keys that nothing on the disk needs any more. */
  async #dropOld(storage: RaftStorage): Promise<void> {
    const before = this.#open()
    if (before.dataKeys.length === 1) return
    const keys = dropDataKeys(before, storage.stats().keyIds)
    if (keys.dataKeys.length === before.dataKeys.length) return
    await saveManagerKeys(this.#place, { keys, unlockKey: this.#unlockKey })
    this.#keys = keys
  }

  #open(): ManagerKeys {
    if (this.#keys === undefined) throw new CodedError('locked', 'the manager is locked')
    return this.#keys
  }
}
