// Snapshots: the whole store in one file, so that the log before it can go. What the bytes mean
// is the store's affair; here they are opaque, come in chunks, and may be tens of megabytes.
//
//   make      chunks --> making.new --sync--> rename --sync of the folder--> listed
//   receive   pieces from a leader --> staged.new --sync--> (the log says so) --> rename --> listed
//   read      chunks, each opened by its seal, and the digest of all compared at the end
//
// A snapshot's id is the SHA-256 of its bytes, so equal id means equal bytes. Like a parcel with a
// customs slip, the file carries raft's head of it (index, term, membership) behind the bytes.
//
//   file    'SKEPSNAP', format u32, key id (16 characters), then frames: chunks, head, end mark
//   frame   kind u8 (1 chunk, 2 head, 3 end), length u32, CRC32C u32 of the frame's number, kind,
//           length and bytes; then the bytes: sealed; in the end mark the head's offset, u64, plain
//
// Chunks are all of one size but the last, so that any part can be found without reading the rest.
// A file without its end mark never gets a name that is listed; one that has it and fails a check
// is damaged, and an older good one is used if the log reaches back that far.

import { CodedError, hasCode } from '../../core/base/error.ts'
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
/** Sealing one takes half a millisecond: more would hold up the event loop. */
const chunkBytes = 64 * 1024
const chunkStride = frameHeadBytes + sealOverheadBytes + chunkBytes
const endBytes = frameHeadBytes + 8
/** Good snapshots kept: the newest, and one to fall back on. */
const keptMax = 2
const suffix = '.snapshot'
const makingName = 'making.new'
const stagedName = 'staged.new'

/** A snapshot on the disk. */
export interface StoredSnapshot {
  readonly snapshot: Snapshot
  readonly path: string
  /** The data key that opens it. */
  readonly keyId: string
}

export interface SnapshotStoreOptions {
  readonly disk: Disk
  readonly folder: string
  readonly keys: DataKeys
  readonly log: Log
}

/** A run of a snapshot's bytes. */
export interface ByteRange {
  readonly offset: number
  readonly count: number
}

/** A piece of a snapshot on its way in. */
export interface StagedPiece {
  readonly snapshotId: string
  readonly offset: number
  readonly bytes: Uint8Array
}

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** The snapshots of one member. One at a time is made, and one at a time received. */
export interface SnapshotStore {
  /** Those with a sound head and end, oldest first. Their bytes are checked by `check` or `read`. */
  readonly list: () => readonly StoredSnapshot[]
  /**
   * Stores the bytes that come, under raft's head; on the disk when it resolves. Throws disk-full,
   * and then nothing is left of it.
   */
  readonly make: (head: SnapshotHead, chunks: Chunks) => Promise<Snapshot>
  /**
   * Offset 0 starts afresh; others must follow what is staged. Throws disk-full, and the same piece
   * may be tried again.
   */
  readonly stage: (piece: StagedPiece) => Promise<void>
  /**
   * Completes the staged one and syncs it; not yet listed. Throws damaged-data for other bytes,
   * and then nothing is staged; disk-full, and it may be tried again.
   */
  readonly complete: (snapshot: Snapshot) => Promise<void>
  /** The staged and complete one takes its place in the list: the log says that it is installed. */
  readonly adopt: (snapshotId: string) => Promise<void>
  /** The bytes in chunks, checked as they come; throws damaged-data. */
  readonly read: (snapshotId: string) => AsyncGenerator<Uint8Array>
  /** A part of the bytes, shorter at the end, for a leader that sends them. */
  readonly readAt: (snapshotId: string, range: ByteRange) => Promise<Uint8Array>
  /** True if every byte is as it was written. */
  readonly check: (snapshotId: string) => Promise<boolean>
  /** Removes all but the newest two and those in use. */
  readonly prune: (inUse: readonly string[]) => Promise<void>
  /** Seals the next ones with another key. */
  readonly changeKey: (keys: DataKeys) => void
  readonly close: () => Promise<void>
}

/** Opens the folder, making it if needed. A complete staged snapshot is kept for `adopt`. */
export async function openSnapshots(options: SnapshotStoreOptions): Promise<SnapshotStore> {
  const { disk, folder, log } = options
  await disk.makeFolder(folder)
  await disk.syncFolder(folder.slice(0, folder.lastIndexOf('/')) || '/')
  const stored: StoredSnapshot[] = []
  for (const name of await disk.list(folder)) {
    if (!name.endsWith(suffix)) continue
    const path = `${folder}/${name}`
    try {
      stored.push(await readEnds(disk, { path, keys: options.keys }))
    } catch (error) {
      if (!hasCode(error, 'damaged-data')) throw error
      log('error', 'snapshot.damaged', { path, error: error.message })
    }
  }
  await disk.remove(`${folder}/${makingName}`)
  return new Store(options, stored)
}

class Store implements SnapshotStore {
  readonly #options: SnapshotStoreOptions
  #keys: DataKeys
  #stored: readonly StoredSnapshot[]
  #staging: Staging | undefined

  constructor(options: SnapshotStoreOptions, stored: readonly StoredSnapshot[]) {
    this.#options = options
    this.#keys = options.keys
    this.#stored = byIndex(stored)
  }

  list(): readonly StoredSnapshot[] {
    return this.#stored
  }

  async make(head: SnapshotHead, chunks: Chunks): Promise<Snapshot> {
    const path = `${this.#options.folder}/${makingName}`
    const writer = await this.#createWriter(path)
    try {
      for await (const chunk of chunks) await writer.append(chunk)
      const snapshot: Snapshot = { ...head, ...writer.digest() }
      await writer.finish(snapshot)
      await this.#name(snapshot, path)
      return snapshot
    } catch (error) {
      await writer.abandon()
      throw spaceError(path, error)
    }
  }

  async stage({ snapshotId, offset, bytes }: StagedPiece): Promise<void> {
    const path = `${this.#options.folder}/${stagedName}`
    if (offset === 0) {
      await this.#staging?.writer.abandon()
      this.#staging = undefined
      this.#staging = { snapshotId, writer: await this.#createWriter(path), size: 0 }
    }
    const staging = this.#staging
    if (staging?.snapshotId !== snapshotId || staging.size !== offset) {
      const have = staging === undefined ? 'nothing' : `${staging.snapshotId} up to ${staging.size}`
      const text = `a piece of snapshot ${snapshotId} at ${offset} came, staged is ${have}`
      throw new CodedError('out-of-sequence', text)
    }
    try {
      await staging.writer.append(bytes)
      this.#staging = { ...staging, size: offset + bytes.length }
    } catch (error) {
      throw spaceError(path, error)
    }
  }

  async complete(snapshot: Snapshot): Promise<void> {
    const staging = this.#staging
    const path = `${this.#options.folder}/${stagedName}`
    if (staging?.snapshotId !== snapshot.id) {
      throw new CodedError('out-of-sequence', `snapshot ${snapshot.id} is not the staged one`)
    }
    const { id, sizeBytes } = staging.digest ?? staging.writer.digest()
    this.#staging = { ...staging, digest: { id, sizeBytes } }
    if (id !== snapshot.id || sizeBytes !== snapshot.sizeBytes) {
      await this.#unstage()
      const want = `${snapshot.sizeBytes} bytes with digest ${snapshot.id}`
      const text = `the received snapshot has ${sizeBytes} bytes with digest ${id}, not ${want}`
      throw new CodedError('damaged-data', text, { detail: { path } })
    }
    try {
      await staging.writer.finish(snapshot)
      // The log will name it next: its own name must not be younger than that.
      await this.#options.disk.syncFolder(this.#options.folder)
      this.#staging = undefined
    } catch (error) {
      throw spaceError(path, error)
    }
  }

  async adopt(snapshotId: string): Promise<void> {
    if (this.#stored.some((each) => each.snapshot.id === snapshotId)) return
    const path = `${this.#options.folder}/${stagedName}`
    const staged = await readEnds(this.#options.disk, { path, keys: this.#keys })
    if (staged.snapshot.id !== snapshotId) {
      const why = `holds snapshot ${staged.snapshot.id}, the log was given ${snapshotId}`
      throw damaged({ path, offset: 0 }, why)
    }
    await this.#name(staged.snapshot, path)
  }

  async *read(snapshotId: string): AsyncGenerator<Uint8Array> {
    const { path, keyId, snapshot } = this.#find(snapshotId)
    const { key } = findDataKey(this.#keys, { id: keyId, path })
    const file = await this.#options.disk.open(path, 'read')
    const digester = createSha256()
    try {
      for (let number = 0; number * chunkBytes < snapshot.sizeBytes; number++) {
        const chunk = await readChunk(file, { number, key })
        digester.update(chunk)
        yield chunk
      }
    } finally {
      await file.close()
    }
    if (hex(digester.digest()) !== snapshot.id) {
      throw damaged({ path, offset: headBytes }, 'the bytes have another digest than the id says')
    }
  }

  async readAt(snapshotId: string, { offset, count }: ByteRange): Promise<Uint8Array> {
    const { path, keyId, snapshot } = this.#find(snapshotId)
    const { key } = findDataKey(this.#keys, { id: keyId, path })
    const end = Math.min(offset + count, snapshot.sizeBytes)
    const bytes = new Uint8Array(Math.max(0, end - offset))
    const file = await this.#options.disk.open(path, 'read')
    try {
      for (let at = offset; at < end; ) {
        const number = Math.floor(at / chunkBytes)
        const start = number * chunkBytes
        const chunk = await readChunk(file, { number, key })
        const part = chunk.subarray(at - start, end - start)
        if (part.length === 0) throw damaged({ path, offset: headBytes }, 'a chunk is too short')
        bytes.set(part, at - offset)
        at += part.length
      }
    } finally {
      await file.close()
    }
    return bytes
  }

  async check(snapshotId: string): Promise<boolean> {
    try {
      for await (const _ of this.read(snapshotId));
      return true
    } catch (error) {
      if (!hasCode(error, 'damaged-data')) throw error
      this.#options.log('error', 'snapshot.damaged', { error: error.message })
      return false
    }
  }

  async prune(inUse: readonly string[]): Promise<void> {
    const old = this.#stored.slice(0, -keptMax)
    const doomed = old.filter((each) => !inUse.includes(each.snapshot.id))
    this.#stored = this.#stored.filter((each) => !doomed.includes(each))
    for (const { path } of doomed) await this.#options.disk.remove(path)
  }

  changeKey(keys: DataKeys): void {
    this.#keys = keys
  }

  async close(): Promise<void> {
    await this.#unstage()
  }

  async #unstage(): Promise<void> {
    const staging = this.#staging
    this.#staging = undefined
    await staging?.writer.abandon()
  }

  async #createWriter(path: string): Promise<Writer> {
    try {
      return await createWriter(this.#options.disk, { path, keys: this.#keys })
    } catch (error) {
      throw spaceError(path, error)
    }
  }

  async #name(snapshot: Snapshot, from: string): Promise<void> {
    const { disk, folder } = this.#options
    const index = String(snapshot.index).padStart(16, '0')
    const path = `${folder}/${index}-${snapshot.id.slice(0, 16)}${suffix}`
    await disk.rename(from, path)
    await disk.syncFolder(folder)
    const stored = await readEnds(disk, { path, keys: this.#keys })
    this.#stored = byIndex([...this.#stored.filter((each) => each.path !== path), stored])
  }

  #find(snapshotId: string): StoredSnapshot {
    const found = this.#stored.find((each) => each.snapshot.id === snapshotId)
    if (found !== undefined) return found
    throw new CodedError('not-found', `snapshot ${snapshotId} is not (or no longer) on this disk`)
  }
}

interface Staging {
  readonly snapshotId: string
  readonly writer: Writer
  readonly size: number
  /** Once it was asked for. */
  readonly digest?: ContentDigest
}

interface ContentDigest {
  readonly id: string
  readonly sizeBytes: number
}

/** A snapshot file being written. */
interface Writer {
  /** If it throws, nothing was appended, and it may be tried again. */
  readonly append: (bytes: Uint8Array) => Promise<void>
  /** Id and size of all that was appended. To be called once, last. */
  readonly digest: () => ContentDigest
  /** Writes head and end mark, syncs, closes. A failed write may be tried again, a sync not. */
  readonly finish: (snapshot: Snapshot) => Promise<void>
  /** Closes and removes the file. */
  readonly abandon: () => Promise<void>
}

async function createWriter(
  disk: Disk,
  { path, keys }: { readonly path: string; readonly keys: DataKeys },
): Promise<Writer> {
  const [{ id: keyId, key }] = keys
  const file = await disk.open(path, 'create')
  const digester = createSha256()
  let pending: Uint8Array = new Uint8Array(0)
  let frames = 0
  let position = headBytes
  let sizeBytes = 0
  let isClosed = false
  const writeFrame = async (kind: number, body: Uint8Array): Promise<void> => {
    const bytes = formatFrame({ kind, number: frames, body })
    await file.write(position, bytes)
    position += bytes.length
    frames++
  }
  const close = async (): Promise<void> => {
    if (isClosed) return
    isClosed = true
    await file.close()
  }
  try {
    await file.resize(0)
    await file.write(0, formatHead(keyId))
  } catch (error) {
    await close()
    throw error
  }
  return {
    append: async (bytes) => {
      const start = { position, frames }
      let rest = pending.length === 0 ? bytes : new Uint8Array(Buffer.concat([pending, bytes]))
      try {
        for (; rest.length >= chunkBytes; rest = rest.subarray(chunkBytes)) {
          await writeFrame(frameKinds.chunk, seal(key, rest.subarray(0, chunkBytes)))
        }
      } catch (error) {
        position = start.position
        frames = start.frames
        throw error
      }
      digester.update(bytes)
      sizeBytes += bytes.length
      pending = rest.slice()
    },
    digest: () => ({ id: hex(digester.digest()), sizeBytes }),
    finish: async (snapshot) => {
      const start = { position, frames }
      try {
        if (pending.length > 0) await writeFrame(frameKinds.chunk, seal(key, pending))
        const end = new Uint8Array(8)
        new DataView(end.buffer).setBigUint64(0, BigInt(position), true)
        await writeFrame(frameKinds.head, seal(key, encode(snapshot)))
        await writeFrame(frameKinds.end, end)
        await file.resize(position)
      } catch (error) {
        position = start.position
        frames = start.frames
        throw error
      }
      await file.sync()
      await close()
    },
    abandon: async () => {
      await close()
      await disk.remove(path)
    },
  }
}

function formatHead(keyId: string): Uint8Array {
  const head = new Uint8Array(headBytes)
  head.set(Buffer.from(magic, 'latin1'))
  new DataView(head.buffer).setUint32(magic.length, format, true)
  head.set(Buffer.from(keyId, 'latin1'), magic.length + 4)
  return head
}

interface Frame {
  readonly kind: number
  readonly number: number
  readonly body: Uint8Array
}

function formatFrame({ kind, number, body }: Frame): Uint8Array {
  const bytes = new Uint8Array(frameHeadBytes + body.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, kind)
  view.setUint32(1, body.length, true)
  bytes.set(body, frameHeadBytes)
  view.setUint32(5, frameSum(bytes, number), true)
  return bytes
}

function frameSum(frame: Uint8Array, number: number): number {
  const place = new Uint8Array(4)
  new DataView(place.buffer).setUint32(0, number, true)
  const before = crc32c(frame, { to: 5, before: crc32c(place) })
  return crc32c(frame, { from: frameHeadBytes, before })
}

interface WantedFrame {
  readonly kind: number
  readonly number: number
  readonly path: string
  readonly offset: number
}

/** The body of a frame whose bytes are given. Throws damaged-data. */
function parseFrame(bytes: Uint8Array, want: WantedFrame): Uint8Array {
  const fail = (why: string): CodedError => damaged({ path: want.path, offset: want.offset }, why)
  if (bytes.length < frameHeadBytes) throw fail('the file ends here')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = view.getUint32(1, true)
  if (length !== bytes.length - frameHeadBytes) throw fail(`a frame announces ${length} bytes`)
  if (view.getUint32(5, true) !== frameSum(bytes, want.number)) {
    throw fail('a frame fails its checksum')
  }
  if (view.getUint8(0) !== want.kind) throw fail(`a frame is no frame of kind ${want.kind}`)
  return bytes.subarray(frameHeadBytes)
}

/** Reads what stands at both ends of a finished file. Throws damaged-data, not-supported. */
async function readEnds(
  disk: Disk,
  { path, keys }: { readonly path: string; readonly keys: DataKeys },
): Promise<StoredSnapshot> {
  const file = await disk.open(path, 'read')
  try {
    const size = await file.sizeBytes()
    const keyId = parseHead(await file.read(0, headBytes), path)
    const endAt = size - endBytes
    if (endAt < headBytes) throw damaged({ path, offset: size }, 'the file ends here')
    const end = await file.read(endAt, endBytes)
    const tail = new DataView(end.buffer, end.byteOffset, end.byteLength)
    const slipAt = Number(tail.getBigUint64(frameHeadBytes, true))
    if (slipAt < headBytes || slipAt >= endAt) {
      throw damaged({ path, offset: endAt }, 'the file has no end mark')
    }
    const chunks = Math.ceil((slipAt - headBytes) / chunkStride)
    parseFrame(end, { kind: frameKinds.end, number: chunks + 1, path, offset: endAt })
    const slip = await file.read(slipAt, endAt - slipAt)
    const { key } = findDataKey(keys, { id: keyId, path })
    const want = { kind: frameKinds.head, number: chunks, path, offset: slipAt }
    const plain = open(key, parseFrame(slip, want))
    if (plain === undefined) throw damaged({ path, offset: slipAt }, 'the head fails its seal')
    return { snapshot: checkSnapshot(decode(plain), { path, offset: slipAt }), path, keyId }
  } finally {
    await file.close()
  }
}

function parseHead(head: Uint8Array, path: string): string {
  if (Buffer.from(head.subarray(0, magic.length)).toString('latin1') !== magic) {
    throw damaged({ path, offset: 0 }, 'this is no snapshot')
  }
  if (head.length < headBytes) throw damaged({ path, offset: head.length }, 'the file ends here')
  const found = new DataView(head.buffer, head.byteOffset).getUint32(magic.length, true)
  if (found > format) {
    const text = `${path}: the snapshot has format ${found}, this build reads up to ${format}: `
    throw new CodedError('not-supported', `${text}start the newer version of the agent again`)
  }
  if (found !== format) throw damaged({ path, offset: magic.length }, `format ${found} is unknown`)
  return Buffer.from(head.subarray(magic.length + 4)).toString('latin1')
}

async function readChunk(
  file: DiskFile,
  { number, key }: { readonly number: number; readonly key: Uint8Array },
): Promise<Uint8Array> {
  const offset = headBytes + number * chunkStride
  const place = { path: file.path, offset }
  // The last chunk is shorter, and what follows it is read along.
  const bytes = await file.read(offset, chunkStride)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.length < frameHeadBytes ? 0 : view.getUint32(1, true)
  const frame = bytes.subarray(0, frameHeadBytes + length)
  const plain = open(key, parseFrame(frame, { kind: frameKinds.chunk, number, ...place }))
  if (plain === undefined) throw damaged(place, `chunk ${number} fails its seal`)
  return plain
}

function byIndex(stored: readonly StoredSnapshot[]): readonly StoredSnapshot[] {
  return [...stored].sort((left, right) => left.snapshot.index - right.snapshot.index)
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function spaceError(path: string, error: unknown): unknown {
  if (!isNoSpace(error)) return error
  const text = `${path}: the snapshot cannot be written: ${String(error)}. Make room there`
  return new CodedError('disk-full', text, { detail: { path }, cause: error })
}
