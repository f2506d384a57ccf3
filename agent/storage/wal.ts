// The write-ahead log: what raft has promised to remember, on disk before the promise is given.
//
// Think of a ship's log in bound ledgers. The mate collects what there is to note, writes it as
// one numbered record, blots it (one fdatasync), and only then begins the next. So whenever
// record 8 can be read at all, record 7 was dry before: that one rule tells a page torn in the
// storm from a page that mice have been at.
//
//   save(op) ---> queue ---> [ one record: write, fdatasync ] ---> resolved, in order
//                   ^------------- what comes meanwhile waits and shares the next one
//
// On opening, a sector that a record needs and that is not there (blank, or of an earlier use of
// the file) means:
//   * a torn tail, if no higher record stands anywhere behind it: the record was never blotted,
//     so nobody was told of it. It is blanked out, and the log goes on from there;
//   * damage, if a higher record stands behind it, or it is not the last segment, or the sector
//     fails its checksum: refused, with file and offset. Nothing is ever cut silently.
//
// A conflicting suffix is not cut from the file: entries that begin at an index drop all that was
// there from it on, also when read back. Each segment begins with a checkpoint of everything but
// entries, so old segments can go when their entries are no longer needed.
//
// Left to others: snapshots' bytes (snapshots.ts), keys (keystore.ts), what an entry means (raft).

import { assert, present } from '../../core/base/assert.ts'
import { CodedError, hasCode } from '../../core/base/error.ts'
import type { Log } from '../../core/base/note.ts'
import { seal } from '../../net/secure/crypto.ts'
import type { DataKeys } from './data-key.ts'
import { type Disk, type DiskFile, isNoSpace } from './disk.ts'
import {
  formatHead,
  formatRecord,
  recordBytesMax,
  sectorBytes,
  sectorsOf,
  segmentBytes,
  segmentSectors,
} from './segment.ts'
import { type LiveSegment, type LoadedLog, loadLog, segmentSuffix } from './wal-load.ts'
import {
  type Checkpoint,
  emptyLog,
  encodeOperation,
  encodeRecord,
  hardStateAfter,
  type LogOperation,
  type LogRecord,
  type LogState,
  type Piece,
} from './wal-record.ts'

/** Operations join one record up to this size: sealing more would hold up the event loop. */
const recordBytesWanted = 256 * 1024
/** A larger operation goes in pieces of this size, a record each. */
const pieceBytes = 1024 * 1024
/** Freed segments kept for use again; more than these are removed. */
const sparesMax = 3
/** Preallocation writes this much at a time, in the thread pool. */
const zeroBytes = 512 * 1024
/** Operations that may wait; raft's own windows are far below. */
const queueMax = 65_536

/** What `openWal` needs. `onFatal` is called once, when what is on the disk is not known any more. */
export interface WalOptions {
  readonly disk: Disk
  readonly folder: string
  readonly keys: DataKeys
  readonly log: Log
  /** The process must end: every promise given from here on would be a guess. */
  readonly onFatal: (error: CodedError) => void
  /** Called when room for the next segment runs out, and when there is some again. */
  readonly onSpace: (isFull: boolean) => void
  /** For `agent recover` only: takes damage in the very last record for a torn one. */
  readonly acceptLossAtTail?: boolean
}

/** For metrics, and for the owner of the keys. */
export interface WalStats {
  readonly segments: number
  readonly spares: number
  readonly sizeBytes: number
  readonly records: number
  readonly operations: number
  readonly syncs: number
  readonly isFull: boolean
  /** Data keys without which the log could not be read now. */
  readonly keyIds: readonly string[]
}

/** The open log of one member. */
export interface Wal {
  /** As found on opening: what `createRaft` starts from. Undefined if the log was empty. */
  readonly restored: LogState
  /**
   * Resolves when the operation is on the disk; several may be in flight, and complete in order.
   * On a full disk it waits, and all behind it, until `retrySpace` finds room: raft could not go
   * on without it. Rejects, after an error of the disk, with damaged-data for this and every
   * other call; with disk-full if closed while it waits.
   */
  readonly save: (operation: LogOperation) => Promise<void>
  /** Entries up to `index` may go: a snapshot that covers them is durable. Frees whole segments. */
  readonly compact: (index: number) => Promise<void>
  /** Seals all that follows with another key; old segments keep theirs until they are compacted. */
  readonly changeKey: (keys: DataKeys) => Promise<void>
  /** Looks whether there is room again; true if so. The host calls it from time to time when full. */
  readonly retrySpace: () => Promise<boolean>
  readonly stats: () => WalStats
  /** Writes what waits, and closes. */
  readonly close: () => Promise<void>
}

/**
 * Opens the log in a folder, or begins one. Throws damaged-data (file, offset, remedy; nothing
 * changed), not-supported for a newer format, disk-full if a new log finds no room.
 */
export async function openWal(options: WalOptions): Promise<Wal> {
  const loaded = await loadLog(options)
  const writer = new LogWriter(options, loaded)
  await (loaded === undefined ? writer.begin() : writer.resume(loaded))
  return writer
}

/** The segment that is written on. */
interface Current extends LiveSegment {
  readonly file: DiskFile
  readonly nextSector: number
}

interface Waiting {
  readonly operation: LogOperation
  readonly bytes: Uint8Array
  /** Instead of an operation: from here on with these keys. */
  readonly keys?: DataKeys
  readonly resolve: () => void
  readonly reject: (error: CodedError) => void
}

class LogWriter implements Wal {
  readonly #options: WalOptions
  readonly restored: LogState
  #keys: DataKeys
  #checkpoint: Checkpoint
  #lastIndex: number
  /** Older segments that are needed, oldest first. */
  #older: readonly LiveSegment[] = []
  #current: Current | undefined
  /** Sectors behind the last record that a failed write may have touched. */
  #dirtySectors = 0
  #spares: string[] = []
  #preparing: Promise<void> | undefined
  #queue: Waiting[] = []
  #running: Promise<void> | undefined
  #isFull = false
  /** The next group finds no room: it waits for `retrySpace`. */
  #isHeld = false
  #isClosed = false
  #failure: CodedError | undefined
  #counts = { records: 0, operations: 0, syncs: 0 }

  constructor(options: WalOptions, loaded: LoadedLog | undefined) {
    this.#options = options
    this.#keys = options.keys
    this.restored = loaded?.state ?? emptyLog
    const { entries, hardState, installed, compactedTo } = this.restored
    this.#checkpoint = { hardState, installed, compactedTo }
    this.#lastIndex = entries[entries.length - 1]?.index ?? compactedTo
  }

  /** A new log: a first segment and a spare one. */
  async begin(): Promise<void> {
    const { disk, folder } = this.#options
    await disk.makeFolder(folder)
    await disk.syncFolder(parentOf(folder))
    // Files here, and no head in any: the first start was cut short before anything was written.
    for (const name of await disk.list(folder)) {
      if (name.endsWith(segmentSuffix)) await disk.remove(`${folder}/${name}`)
    }
    await this.#prepareSpare()
    await this.#rotate()
  }

  /** Goes on where a log ends. What was read may only be in memory yet: it is written again. */
  async resume(loaded: LoadedLog): Promise<void> {
    const { disk, log } = this.#options
    for (const path of loaded.leftovers) await disk.remove(path)
    const last = present(loaded.segments[loaded.segments.length - 1], 'the last segment')
    this.#older = loaded.segments.slice(0, -1)
    const file = await disk.open(last.path, 'write')
    this.#current = { ...last, file, nextSector: loaded.nextSector }
    this.#spares = [...loaded.spares]
    try {
      if (loaded.torn !== undefined) {
        const { from, to } = loaded.torn
        log('warn', 'wal.torn', { path: last.path, offset: from * sectorBytes, sectors: to - from })
        blank(file, loaded.torn)
      }
      const { from, to } = loaded.tail
      file.writeNow(
        from * sectorBytes,
        await file.read(from * sectorBytes, (to - from) * sectorBytes),
      )
      await file.sync()
      await disk.syncFolder(this.#options.folder)
    } catch (error) {
      await file.close()
      throw ioError(last.path, error)
    }
    await this.#trimSpares()
    this.#wantSpare()
  }

  save(operation: LogOperation): Promise<void> {
    const bytes = this.#failure === undefined ? encodeOperation(operation) : new Uint8Array(0)
    return this.#enqueue({ operation, bytes })
  }

  compact(index: number): Promise<void> {
    return this.save({ compactTo: index })
  }

  changeKey(keys: DataKeys): Promise<void> {
    return this.#enqueue({ operation: {}, bytes: new Uint8Array(0), keys })
  }

  async retrySpace(): Promise<boolean> {
    this.#wantSpare()
    await this.#preparing
    await this.#running
    return !this.#isFull
  }

  stats(): WalStats {
    const segments = this.#current === undefined ? [] : [...this.#older, this.#current]
    return {
      segments: segments.length,
      spares: this.#spares.length,
      sizeBytes: (segments.length + this.#spares.length) * segmentBytes,
      ...this.#counts,
      isFull: this.#isFull,
      keyIds: [...new Set(segments.map((segment) => segment.keyId))],
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#running
    await this.#preparing
    for (const item of this.#queue.splice(0)) item.reject(this.#noSpace('closed while it waited'))
    await this.#current?.file.close()
    this.#current = undefined
  }

  #enqueue(item: Omit<Waiting, 'resolve' | 'reject'>): Promise<void> {
    assert(!this.#isClosed, 'a closed log is not written')
    assert(this.#queue.length < queueMax, 'raft has bounded what it asks of the disk')
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) reject(this.#failure)
      else this.#queue.push({ ...item, resolve, reject })
      this.#start()
    })
  }

  #start(): void {
    // Not at once: what the same turn of the loop still saves shares the first record.
    this.#running ??= Promise.resolve().then(() => this.#run())
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0 && !this.#isHeld && this.#failure === undefined) {
      const group = this.#nextGroup()
      try {
        await this.#write(group)
        this.#queue.splice(0, group.length)
        this.#counts.operations += group.length
        for (const item of group) item.resolve()
      } catch (error) {
        if (hasCode(error, 'disk-full')) {
          this.#isHeld = true
          this.#setFull(true)
        } else this.#fail(error)
      }
    }
    this.#running = undefined
  }

  /** The operations at the head of the queue that fit in one record. They stay in the queue. */
  #nextGroup(): readonly Waiting[] {
    let count = 0
    let size = 0
    for (const { keys, bytes } of this.#queue) {
      const isAlone = keys !== undefined || bytes.length > pieceBytes
      size += bytes.length
      if (count > 0 && (isAlone || size > recordBytesWanted)) break
      count++
      if (isAlone) break
    }
    return this.#queue.slice(0, count)
  }

  /** Resolves when the group is on the disk. */
  async #write(group: readonly Waiting[]): Promise<void> {
    const [first] = group
    if (first === undefined) return
    if (first.keys !== undefined) {
      this.#keys = first.keys
      await this.#rotate()
      return
    }
    const operations = group.map((item) => item.operation)
    // Nothing to write: whoever saved this wants to know when all before it is on the disk.
    if (operations.every(isEmpty)) return
    this.#checkOrder(operations)
    if (first.bytes.length <= pieceBytes) {
      await this.#writeRecord({ operations: group.map((item) => item.bytes) }, operations)
    } else {
      for (const piece of piecesOf(first.bytes)) await this.#writeRecord({ piece }, operations)
    }
  }

  #checkOrder(operations: readonly LogOperation[]): void {
    let last = this.#lastIndex
    for (const operation of operations) {
      const first = operation.entries?.[0]?.index
      const base = operation.install?.index ?? last
      assert(first === undefined || first <= base + 1, `entry ${first} does not follow ${base}`)
      last = lastIndexAfter(operation, last)
    }
  }

  /** `operations` are those that the record holds, or that it holds a piece of. */
  async #writeRecord(content: RecordContent, operations: readonly LogOperation[]): Promise<void> {
    const isWhole = content.piece?.isLast !== false
    const after = isWhole ? operations.reduce(checkpointAfter, this.#checkpoint) : this.#checkpoint
    const isInstall = content.piece === undefined && operations.some((one) => one.install)
    const firstGeneration = (): number => this.#firstNeeded({ after, isInstall })
    let sealed = this.#sealRecord(content, firstGeneration())
    const { nextSector } = present(this.#current, 'the current segment')
    if (nextSector + sectorsOf(sealed.length) > segmentSectors) {
      await this.#rotate()
      sealed = this.#sealRecord(content, firstGeneration())
    }
    await this.#append(sealed)
    this.#checkpoint = after
    const current = present(this.#current, 'the current segment')
    const highest = Math.max(current.lastIndex, ...operations.map((one) => lastIndexAfter(one, 0)))
    this.#current = { ...current, lastIndex: highest }
    if (isWhole) {
      this.#lastIndex = operations.reduce((last, one) => lastIndexAfter(one, last), this.#lastIndex)
    }
    await this.#free(firstGeneration())
  }

  #sealRecord(content: RecordContent, firstGeneration: number): Uint8Array {
    const [key] = this.#keys
    const { records } = present(this.#current, 'the current segment')
    const record: LogRecord =
      records === 0 ? { ...content, checkpoint: this.#checkpoint, firstGeneration } : content
    const noted = firstGeneration > this.#oldest() ? { ...record, firstGeneration } : record
    const sealed = seal(key.key, encodeRecord(noted))
    if (sealed.length > recordBytesMax) {
      const why = `a record of the log has ${sealed.length} bytes, ${recordBytesMax} are allowed`
      throw new CodedError('too-large', why)
    }
    return sealed
  }

  /** Writes a record behind the last one; on the disk when it resolves. */
  async #append(sealed: Uint8Array): Promise<void> {
    const current = present(this.#current, 'the current segment')
    const { file, nextSector, generation } = current
    const record = current.records + 1
    const bytes = formatRecord({ generation, record, firstSector: nextSector, sealed })
    const sectors = bytes.length / sectorBytes
    try {
      if (this.#dirtySectors > 0) {
        // Pieces of a record that failed must not be taken for pieces of the one that replaces it.
        blank(file, { from: nextSector, to: nextSector + this.#dirtySectors })
        await file.sync()
        this.#dirtySectors = 0
      }
      this.#dirtySectors = sectors
      file.writeNow(nextSector * sectorBytes, bytes)
    } catch (error) {
      if (isNoSpace(error)) throw this.#noSpace(String(error))
      throw error
    }
    await file.sync()
    this.#dirtySectors = 0
    this.#counts.syncs++
    this.#counts.records++
    this.#current = { ...current, records: record, nextSector: nextSector + sectors }
  }

  /** Goes on in the next segment. Throws disk-full, and then nothing has changed. */
  async #rotate(): Promise<void> {
    this.#wantSpare()
    await this.#preparing
    const [path] = this.#spares
    if (path === undefined) throw this.#noSpace('there is no room for the next segment')
    const [key] = this.#keys
    const before = this.#current
    const generation = (before?.generation ?? 0) + 1
    const file = await this.#options.disk.open(path, 'write')
    try {
      file.writeNow(
        0,
        formatHead(generation, { recordsBefore: before?.records ?? 0, keyId: key.id }),
      )
      // Before any record: a segment with records has a head that says so, whatever happens.
      await file.sync()
    } catch (error) {
      await file.close()
      throw isNoSpace(error) ? this.#noSpace(String(error)) : error
    }
    this.#counts.syncs++
    this.#spares.shift()
    if (before !== undefined) {
      await before.file.close()
      const { file: _, nextSector: __, ...older } = before
      this.#older = [...this.#older, older]
    }
    this.#dirtySectors = 0
    const fresh = { path, generation, records: 0, lastIndex: 0, keyId: key.id }
    this.#current = { ...fresh, file, nextSector: 1 }
    this.#wantSpare()
  }

  /** The oldest generation now in use. */
  #oldest(): number {
    return (this.#older[0] ?? present(this.#current, 'the current segment')).generation
  }

  /** The oldest generation that is needed after an operation. */
  #firstNeeded({ after, isInstall }: { after: Checkpoint; isInstall: boolean }): number {
    const needed = this.#older.find((segment) => segment.lastIndex > after.compactedTo)
    const current = present(this.#current, 'the current segment').generation
    return isInstall ? current : (needed?.generation ?? current)
  }

  async #free(firstGeneration: number): Promise<void> {
    const freed = this.#older.filter((segment) => segment.generation < firstGeneration)
    if (freed.length === 0) return
    this.#older = this.#older.slice(freed.length)
    this.#spares.push(...freed.map((segment) => segment.path))
    this.#setFull(false)
    await this.#trimSpares()
  }

  async #trimSpares(): Promise<void> {
    // A name that comes back after a crash does no harm: it is a spare again.
    for (const path of this.#spares.splice(sparesMax)) await this.#options.disk.remove(path)
  }

  /** Sees to it that the next segment is ready before it is needed. */
  #wantSpare(): void {
    if (this.#spares.length > 0 || this.#isClosed) return
    this.#preparing ??= this.#prepareSpare().finally(() => {
      this.#preparing = undefined
    })
  }

  /** Makes a segment full of zeros, so that writing to it later never changes its size or extents. */
  async #prepareSpare(): Promise<void> {
    const { disk, folder, log } = this.#options
    const taken = new Set([...this.#older, ...this.#currentList()].map((one) => one.path))
    for (const spare of this.#spares) taken.add(spare)
    let number = 1
    while (taken.has(segmentPath(folder, number))) number++
    const path = segmentPath(folder, number)
    try {
      const file = await disk.open(path, 'create')
      try {
        const zeros = new Uint8Array(zeroBytes)
        for (let at = 0; at < segmentBytes; at += zeroBytes) await file.write(at, zeros)
        await file.sync()
      } finally {
        await file.close()
      }
      await disk.syncFolder(folder)
    } catch (error) {
      log('warn', 'wal.no-space', { path, error: String(error) })
      await disk.remove(path).catch(() => undefined)
      // A log that cannot begin at all has nobody yet who waits for space.
      if (this.#current === undefined) {
        throw isNoSpace(error) ? this.#noSpace(String(error)) : ioError(path, error)
      }
      this.#setFull(true)
      return
    }
    this.#spares.push(path)
    this.#setFull(false)
  }

  #currentList(): readonly LiveSegment[] {
    return this.#current === undefined ? [] : [this.#current]
  }

  #setFull(isFull: boolean): void {
    if (!isFull && this.#isHeld) {
      this.#isHeld = false
      this.#start()
    }
    if (this.#isFull === isFull) return
    this.#isFull = isFull
    this.#options.log(isFull ? 'error' : 'info', isFull ? 'wal.full' : 'wal.freed', {
      folder: this.#options.folder,
    })
    this.#options.onSpace(isFull)
  }

  #noSpace(why: string): CodedError {
    const { folder } = this.#options
    const text = `${folder}: the log cannot be written: ${why}. Make room on its file system`
    return new CodedError('disk-full', text, { detail: { folder } })
  }

  #fail(error: unknown): void {
    const path = this.#current?.path ?? this.#options.folder
    const failure = error instanceof CodedError ? error : ioError(path, error)
    this.#failure = failure
    for (const item of this.#queue.splice(0)) item.reject(failure)
    this.#options.log('error', 'wal.failed', { error: failure.message })
    this.#options.onFatal(failure)
  }
}

type RecordContent = Pick<LogRecord, 'operations' | 'piece'>

function* piecesOf(bytes: Uint8Array): Generator<Piece> {
  const count = Math.ceil(bytes.length / pieceBytes)
  for (let number = 0; number < count; number++) {
    const part = bytes.subarray(number * pieceBytes, (number + 1) * pieceBytes)
    yield { number, isLast: number === count - 1, bytes: part }
  }
}

function checkpointAfter(before: Checkpoint, operation: LogOperation): Checkpoint {
  const { install, compactTo } = operation
  const compactedTo = install?.index ?? before.compactedTo
  return {
    hardState: hardStateAfter(before.hardState, operation),
    installed: install ?? before.installed,
    compactedTo: Math.max(compactedTo, compactTo ?? 0),
  }
}

function isEmpty({ hardState, entries, install, compactTo }: LogOperation): boolean {
  return (hardState ?? entries ?? install ?? compactTo) === undefined
}

function lastIndexAfter(operation: LogOperation, before: number): number {
  const { entries, install } = operation
  return entries?.[entries.length - 1]?.index ?? install?.index ?? before
}

function blank(file: DiskFile, { from, to }: { from: number; to: number }): void {
  file.writeNow(from * sectorBytes, new Uint8Array((to - from) * sectorBytes))
}

function segmentPath(folder: string, number: number): string {
  return `${folder}/${String(number).padStart(5, '0')}${segmentSuffix}`
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/'
}

function ioError(path: string, error: unknown): CodedError {
  const text =
    `${path}: ${String(error)}: nobody knows what is on the disk now, so this process must end. ` +
    'Check the disk (dmesg, smartctl), then start again: the log is read afresh and checked'
  return new CodedError('damaged-data', text, { detail: { path }, cause: error })
}
