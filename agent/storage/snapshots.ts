// Snapshots: the whole store in one file, so that the log before it can go. What the bytes mean
// is the store's affair; here they are opaque, come in chunks, and may be tens of megabytes.
//
//   make      chunks --> aside file --sync--> rename --folder sync--> listed
//   receive   pieces from a leader --> staged file --sync--> (log says so) --> rename --> listed
//   read      chunks, each opened by its seal, and the digest of all compared at the end
//
// A snapshot's id is the SHA-256 of its bytes, so equal id means equal bytes. Like a parcel with a
// customs slip, the file carries raft's head of it (index, term, membership) behind the bytes:
//
//   file    +------------+--------------------------+-----------+
//           | SKEPSNAP   | frames: chunks, then head | end mark  |
//           +------------+--------------------------+-----------+
//   first   'SKEPSNAP', format u32, key id (16 characters)
//   frame   kind u8 (1 chunk, 2 head, 3 end), length u32, CRC32C u32 of kind, length and bytes,
//           then as many bytes: sealed, or none for the end mark
//
// A file without its end mark was never finished; one with it that fails a check is damaged, and an
// older good one is used if the log reaches back that far.

import { CodedError } from '../../core/base/error.ts'
import type { Log } from '../../core/base/note.ts'
import type { Snapshot, SnapshotHead } from '../../core/raft/types.ts'
import { createSha256, open, seal, sealOverheadBytes } from '../../net/secure/crypto.ts'
import { decode, encode } from '../../net/wire/codec.ts'
import { crc32c } from './crc32c.ts'
import { type DataKeys, findDataKey } from './data-key.ts'
import { type Disk, type DiskFile, isNoSpace } from './disk.ts'
import { checkSnapshot, damaged } from './wal-record.ts'

const magic = 'SKEPSNAP'
const format = 1
const keyIdBytes = 16
const headBytes = magic.length + 4 + keyIdBytes
const frameHeadBytes = 9
const frameKinds = { chunk: 1, head: 2, end: 3 } as const
/** Larger chunks are cut: sealing one must not hold up the event loop for more than a millisecond. */
const chunkBytesMax = 64 * 1024
/** Good snapshots kept: the newest, and one to fall back on. */
const keptMax = 2
const suffix = '.snapshot'
const asideName = 'aside'
const stagedName = 'staged'

/** A snapshot on the disk. */
export interface StoredSnapshot {
  readonly snapshot: Snapshot
  readonly path: string
  readonly keyId: string
}

export interface SnapshotStoreOptions {
  readonly disk: Disk
  readonly folder: string
  readonly keys: DataKeys
  readonly log: Log
}

/** The snapshots of one member. One at a time is made, and one at a time received. */
export interface SnapshotStore {
  /** Whole and good when the store was opened or made since, oldest first. */
  readonly list: () => readonly StoredSnapshot[]
  /**
   * Stores the bytes that come, under raft's head; on the disk when it resolves. Throws disk-full,
   * and then nothing is left of it.
   */
  readonly make: (head: SnapshotHead, chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => Promise<Snapshot>
  /** A piece on its way in. Offset 0 starts afresh; others must follow what is staged. */
  readonly stage: (piece: { readonly id: string; readonly offset: number; readonly bytes: Uint8Array }) => Promise<void>
  /** Completes the staged one: checked against its id, synced, not yet listed. */
  readonly seal: (snapshot: Snapshot) => Promise<void>
  /** Gives the sealed one its name. Called once the log says that it is installed. */
  readonly adopt: (id: string) => Promise<void>
  /** The bytes, checked as they come. Throws damaged-data at the chunk that is bad. */
  readonly read: (id: string) => AsyncGenerator<Uint8Array>
  /** A part of the bytes, for a leader that sends them: at most `count` from `offset`. */
  readonly readAt: (id: string, range: { readonly offset: number; readonly count: number }) => Promise<Uint8Array>
  /** Removes all but the newest two and those in use. */
  readonly prune: (inUse: readonly string[]) => Promise<void>
  readonly changeKey: (keys: DataKeys) => void
  readonly close: () => Promise<void>
}
