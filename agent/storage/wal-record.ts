// What one record of the log holds, and what a log means when its records are applied in order.
//
//   record = checkpoint (first record of a segment only)
//          + operations, each encoded by itself, or one piece of an operation too large for a record
//          + the oldest segment that is still needed
//
// Applying is like reading a diary aloud: later pages overrule earlier ones. It is used on opening,
// and in step with writing, so that each new segment can begin with the sum of all before it.

import { CodedError } from '../../core/base/error.ts'
import type { Entry, HardState, Snapshot, StorageOperation } from '../../core/raft/types.ts'
import { type DecodeLimits, decode, encode } from '../../net/wire/codec.ts'

/** The part of a raft operation that the log keeps; chunks are the snapshot store's. */
export type LogOperation = Pick<
  StorageOperation,
  'hardState' | 'entries' | 'install' | 'compactTo'
> & {
  /** Raises the hard state's commit index, and is no reason to write. */
  readonly commit?: number
}

/** Everything but entries, as of the beginning of a segment. */
export interface Checkpoint {
  readonly hardState: HardState | undefined
  /** The last snapshot that took the place of the log. */
  readonly installed: Snapshot | undefined
  /** Entries up to here are not needed. */
  readonly compactedTo: number
}

/** A piece of an encoded operation. It counts when the last one is there. */
export interface Piece {
  readonly number: number
  readonly isLast: boolean
  readonly bytes: Uint8Array
}

export interface LogRecord {
  readonly checkpoint?: Checkpoint
  readonly operations?: readonly Uint8Array[]
  readonly piece?: Piece
  /** Segments of lower generations are free. */
  readonly firstGeneration?: number
}

// Our own sealed bytes: bounds only against a bug, so wide ones.
const ownLimits: DecodeLimits = {
  bytesMax: 256 * 1024 * 1024,
  depthMax: 64,
  itemsMax: 64_000_000,
}

/** The bytes of an operation. */
export function encodeOperation(operation: LogOperation): Uint8Array {
  const { hardState, entries, install, compactTo, commit } = operation
  return encode({ hardState, entries, install, compactTo, commit })
}

/** The bytes of a record, to be sealed. */
export function encodeRecord(record: LogRecord): Uint8Array {
  return encode(record)
}

/** The record of opened bytes. Throws damaged-data if they are none, naming the place. */
export function decodeRecord(bytes: Uint8Array, place: Place): LogRecord {
  const record = fieldsOf(decodeAt(bytes, place), place)
  const { checkpoint, operations, piece, firstGeneration } = record
  return {
    ...(checkpoint === undefined ? {} : { checkpoint: checkCheckpoint(checkpoint, place) }),
    ...(operations === undefined ? {} : { operations: checkList(operations, checkBytes, place) }),
    ...(piece === undefined ? {} : { piece: checkPiece(piece, place) }),
    ...(firstGeneration === undefined
      ? {}
      : { firstGeneration: checkNumber(firstGeneration, place) }),
  }
}

/** The operation of its bytes. Throws damaged-data, naming the place. */
export function decodeOperation(bytes: Uint8Array, place: Place): LogOperation {
  const fields = fieldsOf(decodeAt(bytes, place), place)
  const { hardState, entries, install, compactTo, commit } = fields
  return {
    ...(hardState === undefined ? {} : { hardState: checkHardState(hardState, place) }),
    ...(entries === undefined ? {} : { entries: checkList(entries, checkEntry, place) }),
    ...(install === undefined ? {} : { install: checkSnapshot(install, place) }),
    ...(compactTo === undefined ? {} : { compactTo: checkNumber(compactTo, place) }),
    ...(commit === undefined ? {} : { commit: checkNumber(commit, place) }),
  }
}

/** The hard state after an operation. */
export function hardStateAfter(
  before: HardState | undefined,
  { hardState = before, commit = 0 }: LogOperation,
): HardState | undefined {
  if (hardState === undefined || commit <= hardState.commit) return hardState
  return { ...hardState, commit }
}

/** Where bytes come from, for messages. */
export interface Place {
  readonly path: string
  readonly offset: number
}

/** An error for bytes that are not what was written. */
export function damaged(place: Place, why: string): CodedError {
  return new CodedError(
    'damaged-data',
    `${place.path}: offset ${place.offset}: ${why}. Nothing was changed. If other managers are ` +
      'healthy: remove this one there (agent node rm --force), clear its raft folder, and join ' +
      'again; if this was the only one: agent restore a backup, or agent recover from what is left',
    { detail: { path: place.path, offset: place.offset } },
  )
}

function decodeAt(bytes: Uint8Array, place: Place): unknown {
  try {
    return decode(bytes, ownLimits)
  } catch (error) {
    throw damaged(place, `the record was sealed by us and cannot be read: ${String(error)}`)
  }
}

function fieldsOf(value: unknown, place: Place): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>
  }
  throw damaged(place, 'a field of the record has the wrong type')
}

function checkNumber(value: unknown, place: Place): number {
  if (typeof value === 'number') return value
  throw damaged(place, 'a field of the record is no number')
}

function checkBytes(value: unknown, place: Place): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw damaged(place, 'a field of the record is no byte string')
}

function checkList<T>(
  value: unknown,
  check: (item: unknown, place: Place) => T,
  place: Place,
): readonly T[] {
  if (!Array.isArray(value)) throw damaged(place, 'a field of the record is no list')
  return value.map((item: unknown) => check(item, place))
}

function checkPiece(value: unknown, place: Place): Piece {
  const { number, isLast, bytes } = fieldsOf(value, place)
  return {
    number: checkNumber(number, place),
    isLast: isLast === true,
    bytes: checkBytes(bytes, place),
  }
}

function checkCheckpoint(value: unknown, place: Place): Checkpoint {
  const { hardState, installed, compactedTo } = fieldsOf(value, place)
  return {
    hardState: hardState === undefined ? undefined : checkHardState(hardState, place),
    installed: installed === undefined ? undefined : checkSnapshot(installed, place),
    compactedTo: checkNumber(compactedTo, place),
  }
}

// The seal vouches that raft made these, so a look at the outline is enough. An absent value comes
// back as an absent key; the two that raft always writes are put back in their places.

function checkHardState(value: unknown, place: Place): HardState {
  const fields = fieldsOf(value, place)
  for (const name of ['term', 'commit']) checkNumber(fields[name], place)
  for (const name of ['epoch', 'incarnation', 'seen', 'promises']) fieldsOf(fields[name], place)
  const state = fields as unknown as HardState
  return { ...state, votedFor: state.votedFor, epoch: wholeEpoch(state.epoch) }
}

function checkEntry(value: unknown, place: Place): Entry {
  const fields = fieldsOf(value, place)
  for (const name of ['index', 'term', 'sizeBytes']) checkNumber(fields[name], place)
  if (typeof fields['type'] === 'string') return fields as unknown as Entry
  throw damaged(place, 'an entry has no type')
}

/** The snapshot's head of decoded bytes. Throws damaged-data. */
export function checkSnapshot(value: unknown, place: Place): Snapshot {
  const fields = fieldsOf(value, place)
  for (const name of ['index', 'term', 'sizeBytes']) checkNumber(fields[name], place)
  for (const name of ['membership', 'epoch', 'seen']) fieldsOf(fields[name], place)
  if (typeof fields['id'] !== 'string') throw damaged(place, 'a snapshot has no id')
  const snapshot = fields as unknown as Snapshot
  return { ...snapshot, epoch: wholeEpoch(snapshot.epoch) }
}

function wholeEpoch(epoch: HardState['epoch']): HardState['epoch'] {
  return { ...epoch, parent: epoch.parent }
}

/** What a log adds up to. `entries` have no gaps; the first follows `compactedTo`, or is older. */
export interface LogState extends Checkpoint {
  readonly entries: readonly Entry[]
}

export const emptyLog: LogState = {
  hardState: undefined,
  installed: undefined,
  compactedTo: 0,
  entries: [],
}

/** A log being read: mutable, because a log has many entries and one reader. */
export interface LogReader {
  readonly apply: (record: LogRecord, place: Place) => void
  /** Throws damaged-data at `place` if entries are missing between the snapshot and the first. */
  readonly finish: (place: Place) => LogState
  /** The index of the last entry now held. */
  readonly lastIndex: () => number
}

/** A reader with nothing read. */
export function createLogReader(): LogReader {
  let { hardState, installed, compactedTo }: Checkpoint = emptyLog
  let entries: Entry[] = []
  let pieces: Uint8Array[] = []
  const append = (added: readonly Entry[], place: Place): void => {
    const [first] = added
    if (first === undefined) return
    const start = entries[0]?.index ?? first.index
    const kept = first.index - start
    if (kept > entries.length) {
      const last = start + entries.length - 1
      throw damaged(place, `entry ${first.index} follows entry ${last}`)
    }
    // Before the first entry held: the segments before are gone, and this replaces all we have.
    entries.length = Math.max(0, kept)
    for (const entry of added) entries.push(entry)
  }
  const applyOperation = (operation: LogOperation, place: Place): void => {
    if (operation.install !== undefined) {
      installed = operation.install
      compactedTo = operation.install.index
      entries = []
    }
    hardState = hardStateAfter(hardState, operation)
    append(operation.entries ?? [], place)
    if (operation.compactTo !== undefined && operation.compactTo > compactedTo) {
      compactedTo = operation.compactTo
      const start = entries[0]?.index ?? 0
      if (compactedTo >= start) entries.splice(0, compactedTo - start + 1)
    }
  }
  const apply = (record: LogRecord, place: Place): void => {
    const { checkpoint, piece } = record
    // A checkpoint repeats what the segments before say, if they are there.
    if (checkpoint !== undefined) {
      hardState = checkpoint.hardState
      installed = checkpoint.installed
      compactedTo = checkpoint.compactedTo
    }
    if (piece !== undefined) {
      // An operation whose last piece never came was never acknowledged: the next one starts afresh.
      if (piece.number === 0) pieces = []
      else if (piece.number !== pieces.length && pieces.length > 0) {
        throw damaged(place, `piece ${piece.number} of an operation follows ${pieces.length - 1}`)
      }
      const hasStart = piece.number === 0 || pieces.length > 0
      if (hasStart) pieces.push(piece.bytes)
      if (hasStart && piece.isLast) {
        applyOperation(decodeOperation(Buffer.concat(pieces), place), place)
        pieces = []
      }
    } else pieces = []
    for (const bytes of record.operations ?? [])
      applyOperation(decodeOperation(bytes, place), place)
  }
  const finish = (place: Place): LogState => {
    const first = entries[0]?.index
    if (first !== undefined && first > compactedTo + 1) {
      throw damaged(place, `entries ${compactedTo + 1} to ${first - 1} are missing`)
    }
    return { hardState, installed, compactedTo, entries }
  }
  return {
    apply,
    finish,
    lastIndex: () => entries[entries.length - 1]?.index ?? compactedTo,
  }
}
