// The disk of one raft member: log and snapshots side by side, as raft's `StorageOperation`s ask.
//
//   chunk    --> snapshots: staged
//   install  --> snapshots: completed, synced --> log: installed --> snapshots: adopted
//   hardState, entries, compactTo --> log
//
// The log has the last word: a staged snapshot counts from the moment that the log names it. So a
// crash anywhere leaves either the old log, or the new snapshot in its place.
//
// A snapshot's bytes are values, one after the other, each a frame of MessagePack: the first one
// names the format, the rest are the store's objects.

import { CodedError, hasCode } from '../../core/base/error.ts'
import type { Restored, Snapshot, SnapshotHead, StorageOperation } from '../../core/raft/types.ts'
import { createFrameParser, decode, encode, encodeFrame } from '../../net/wire/codec.ts'
import type { DataKeys } from './data-key.ts'
import { openSnapshots, type SnapshotStore, type StagedPiece } from './snapshots.ts'
import { openWal, type Wal, type WalOptions, type WalStats } from './wal.ts'
import { damaged, type LogState } from './wal-record.ts'

/** Values go to the disk in chunks of about this size. */
const chunkBytesWanted = 64 * 1024
/** One object of the store. Secrets and configs are bounded far below. */
const valueBytesMax = 16 * 1024 * 1024
const valuesFormat = 1

export interface RaftStorageOptions extends WalOptions {
  /** Ids of snapshots that are being sent to followers: they are not pruned. */
  readonly snapshotsInUse: () => readonly string[]
}

export interface RaftStorageStats extends WalStats {
  readonly snapshots: number
}

/** Everything that one member remembers. */
export interface RaftStorage {
  /** What `createRaft` starts from; undefined if this member is new: then `begin` comes first. */
  readonly restored: Restored | undefined
  /** Writes down what a founding, joining or recovered member starts from. */
  readonly begin: (restored: Restored) => Promise<void>
  /**
   * Resolves when the operation is durable; operations complete in order, and wait while the disk
   * is full. Rejects only when the process must end.
   */
  readonly save: (operation: StorageOperation) => Promise<void>
  /** Stores the values; durable, and all entries up to `head.index` too, when it resolves. */
  readonly takeSnapshot: (head: SnapshotHead, values: Iterable<unknown>) => Promise<Snapshot>
  /** The values of a snapshot, in the order in which they were stored. Throws damaged-data. */
  readonly readSnapshot: (snapshotId: string) => AsyncGenerator<unknown>
  /** The `data` of a `snapshotChunk` message that raft wants to send. */
  readonly readPiece: (
    snapshotId: string,
    range: { readonly offset: number; readonly count: number },
  ) => Promise<Uint8Array>
  readonly changeKey: (keys: DataKeys) => Promise<void>
  /** True if there is room (again). The host calls it from time to time after `onSpace(true)`. */
  readonly retrySpace: () => Promise<boolean>
  readonly stats: () => RaftStorageStats
  readonly close: () => Promise<void>
}

/**
 * Opens `folder`/wal and `folder`/snapshots. Throws damaged-data (file, offset, remedy; nothing
 * changed), not-supported for a newer format, disk-full.
 */
export async function openRaftStorage(options: RaftStorageOptions): Promise<RaftStorage> {
  const { folder } = options
  await options.disk.makeFolder(folder)
  const snapshots = await openSnapshots({ ...options, folder: `${folder}/snapshots` })
  const member = new MemberStorage(options, snapshots)
  await member.open()
  return member
}

class MemberStorage implements RaftStorage {
  readonly #options: RaftStorageOptions
  readonly #snapshots: SnapshotStore
  #log: Wal | undefined
  #restored: Restored | undefined
  /** The last operation handed to the log, and the last one that also needs the snapshots. */
  #last: Promise<void> = Promise.resolve()
  #slow: Promise<void> | undefined
  #isLogFull = false
  #wake: (() => void) | undefined
  #isFull = false

  constructor(options: RaftStorageOptions, snapshots: SnapshotStore) {
    this.#options = options
    this.#snapshots = snapshots
  }

  async open(): Promise<void> {
    const log = await openWal({
      ...this.#options,
      folder: `${this.#options.folder}/wal`,
      onSpace: (isFull) => {
        this.#isLogFull = isFull
        this.#announceSpace()
      },
    })
    this.#log = log
    try {
      this.#restored = await this.#restore(log.restored)
    } catch (error) {
      await log.close()
      throw error
    }
  }

  get restored(): Restored | undefined {
    return this.#restored
  }

  async begin(restored: Restored): Promise<void> {
    const { snapshot, hardState, entries } = restored
    // The same bytes under another head (a new epoch): written again, as a whole.
    if (snapshot !== undefined) {
      const { id, sizeBytes: _, ...head } = snapshot
      await this.#snapshots.make(head, this.#snapshots.read(id))
    }
    await this.#wal.save({ hardState, entries })
    this.#restored = restored
  }

  save(operation: StorageOperation): Promise<void> {
    const isSlow = operation.chunk !== undefined || operation.install !== undefined
    const before = this.#slow
    if (!isSlow && before === undefined) {
      const saved = this.#wal.save(operation)
      this.#last = saved.catch(() => undefined)
      return saved
    }
    const saved = this.#saveSlowly(operation, before ?? this.#last)
    const settled = saved.catch(() => undefined)
    this.#slow = settled
    this.#last = settled
    void settled.then(() => {
      if (this.#slow === settled) this.#slow = undefined
    })
    return saved
  }

  async takeSnapshot(head: SnapshotHead, values: Iterable<unknown>): Promise<Snapshot> {
    // An entry may be applied before our own disk has it; a snapshot of it must not come first.
    // It may not even be with the log yet, but wait behind an install.
    await this.#last
    await this.#wal.save({})
    const snapshot = await this.#snapshots.make(head, formatValues(values))
    await this.#snapshots.prune(this.#options.snapshotsInUse())
    return snapshot
  }

  async *readSnapshot(snapshotId: string): AsyncGenerator<unknown> {
    const parser = createFrameParser(valueBytesMax)
    let isFirst = true
    for await (const chunk of this.#snapshots.read(snapshotId)) {
      for (const frame of parser.push(chunk)) {
        const value = decode(frame)
        if (!isFirst) yield value
        else checkFormat(value, snapshotId)
        isFirst = false
      }
    }
  }

  readPiece(
    snapshotId: string,
    range: { readonly offset: number; readonly count: number },
  ): Promise<Uint8Array> {
    return this.#snapshots.readAt(snapshotId, range)
  }

  async changeKey(keys: DataKeys): Promise<void> {
    this.#snapshots.changeKey(keys)
    await this.#wal.changeKey(keys)
  }

  async retrySpace(): Promise<boolean> {
    this.#wake?.()
    await this.#wal.retrySpace()
    return !this.#isFull
  }

  stats(): RaftStorageStats {
    const log = this.#wal.stats()
    const stored = this.#snapshots.list()
    const keyIds = [...new Set([...log.keyIds, ...stored.map((each) => each.keyId)])]
    const sizeBytes = stored.reduce((sum, each) => sum + each.snapshot.sizeBytes, log.sizeBytes)
    return { ...log, keyIds, sizeBytes, snapshots: stored.length, isFull: this.#isFull }
  }

  async close(): Promise<void> {
    await this.#log?.close()
    await this.#snapshots.close()
  }

  get #wal(): Wal {
    if (this.#log !== undefined) return this.#log
    throw new CodedError('internal', 'the storage is not open')
  }

  async #saveSlowly(operation: StorageOperation, before: Promise<void>): Promise<void> {
    await before
    const { chunk, install } = operation
    if (chunk !== undefined) {
      const { snapshotId, offset, data } = chunk
      if (!(data instanceof Uint8Array)) {
        throw new CodedError('bad-request', `a piece of snapshot ${snapshotId} is no byte string`)
      }
      const piece: StagedPiece = { snapshotId, offset, bytes: data }
      await this.#whenRoom(() => this.#snapshots.stage(piece))
    }
    // After a start raft may install a snapshot that is stored already: then only the log goes.
    const isStaged = install !== undefined && !this.#has(install.id)
    if (isStaged) await this.#whenRoom(() => this.#snapshots.complete(install))
    await this.#wal.save(operation)
    if (isStaged) {
      await this.#snapshots.adopt(install.id)
      await this.#snapshots.prune(this.#options.snapshotsInUse())
    }
  }

  /** Tries again, each time that the host asks whether there is room, until there is. */
  async #whenRoom(write: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await write()
        this.#wake = undefined
        this.#announceSpace()
        return
      } catch (error) {
        if (!hasCode(error, 'disk-full')) throw error
      }
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      this.#announceSpace()
      await promise
    }
  }

  #announceSpace(): void {
    const isFull = this.#isLogFull || this.#wake !== undefined
    if (isFull === this.#isFull) return
    this.#isFull = isFull
    this.#options.onSpace(isFull)
  }

  /**
   * The newest good snapshot that reaches as far as the log was cut, and the log's entries. It may
   * be ahead of a log that lost its tail (`acceptLossAtTail`): raft then installs it at its start.
   */
  async #restore(log: LogState): Promise<Restored | undefined> {
    const { hardState, installed, compactedTo, entries } = log
    if (hardState === undefined) return undefined
    const snapshots = this.#snapshots
    if (installed !== undefined && !this.#has(installed.id) && compactedTo === installed.index) {
      // The crash came between the log's word and the new name.
      await snapshots.adopt(installed.id)
    }
    const known = snapshots.list().filter(({ snapshot }) => snapshot.index >= compactedTo)
    for (const { snapshot } of known.reverse()) {
      if (await snapshots.check(snapshot.id)) return { hardState, snapshot, entries }
    }
    if (compactedTo === 0) return { hardState, snapshot: undefined, entries }
    const place = { path: `${this.#options.folder}/snapshots`, offset: 0 }
    throw damaged(place, `the log begins behind entry ${compactedTo}, no good snapshot reaches it`)
  }

  #has(snapshotId: string): boolean {
    return this.#snapshots.list().some((each) => each.snapshot.id === snapshotId)
  }
}

/** Frames of the values, in chunks. Yields to the event loop between them, by being asynchronous. */
async function* formatValues(values: Iterable<unknown>): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [encodeFrame(encode({ format: valuesFormat }))]
  let size = 0
  for (const value of values) {
    const frame = encodeFrame(encode(value))
    parts.push(frame)
    size += frame.length
    if (size < chunkBytesWanted) continue
    yield Buffer.concat(parts)
    parts = []
    size = 0
  }
  yield Buffer.concat(parts)
}

function checkFormat(value: unknown, snapshotId: string): void {
  const format = (value as { format?: unknown } | undefined)?.format
  if (format === valuesFormat) return
  const text = `snapshot ${snapshotId} holds values of format ${format}, this build reads ${valuesFormat}`
  throw new CodedError('not-supported', `${text}: start the newer version of the agent`)
}
