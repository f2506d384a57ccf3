// A simulated disk: what is durable, and what is still on its way.
//
// Operations complete in order, as many as wait with one sync. A crash keeps a random prefix of
// those on their way: each whole or not at all, as a log that cuts its torn tail has it.

import type {
  Entry,
  HardState,
  Restored,
  Snapshot,
  StorageOperation,
} from '../../core/raft/types.ts'

/** A snapshot with its bytes (text here). */
export interface SnapshotFile {
  readonly snapshot: Snapshot
  readonly text: string
}

/** What survives. Entries stand behind `baseIndex` without a gap. */
export interface Image {
  readonly hardState: HardState
  readonly commit: number
  readonly file: SnapshotFile | undefined
  readonly baseIndex: number
  readonly entries: readonly Entry[]
}

export interface Disk {
  image: Image
  queue: StorageOperation[]
  /** How many of the queue the sync at work covers. */
  syncing: number
  /** Complete snapshots of the queue, until they are installed. */
  staged: Map<string, string>
  isFull: boolean
  stalledUntilMs: number
  slowFactor: number
  /** An earlier image, as a backup would hold it. */
  backup: Image | undefined
  /** What was durable before a fault destroyed it: what was acknowledged then was true then. */
  ghost: Image | undefined
}

export function makeDisk(restored: Restored): Disk {
  const { hardState, entries } = restored
  return {
    image: { hardState, commit: hardState.commit, file: undefined, baseIndex: 0, entries },
    queue: [],
    syncing: 0,
    staged: new Map(),
    isFull: false,
    stalledUntilMs: 0,
    slowFactor: 1,
    backup: undefined,
    ghost: undefined,
  }
}

/** The image after one more operation. */
export function applyOperation(disk: Disk, image: Image, operation: StorageOperation): Image {
  let { hardState, file, baseIndex } = image
  let entries = image.entries
  if (operation.install !== undefined) {
    const snapshot = operation.install
    const text = disk.staged.get(snapshot.id) ?? file?.text ?? ''
    // A snapshot that the host took meanwhile may be newer than one that was on its way in.
    if (file === undefined || file.snapshot.index <= snapshot.index) file = { snapshot, text }
    baseIndex = snapshot.index
    entries = []
  }
  if (operation.hardState !== undefined) hardState = operation.hardState
  const first = operation.entries?.[0]
  if (operation.entries !== undefined && first !== undefined) {
    const kept = first.index - baseIndex - 1
    if (kept < 0 || kept > entries.length) throw new Error(`a gap before entry ${first.index}`)
    if (kept === entries.length && isOwned(entries)) {
      // Append in place: nobody else holds this array.
      for (const entry of operation.entries) (entries as Entry[]).push(entry)
    } else {
      entries = own([...entries.slice(0, kept), ...operation.entries])
    }
  }
  const { compactTo } = operation
  if (compactTo !== undefined && compactTo > baseIndex) {
    entries = own(entries.slice(compactTo - baseIndex))
    baseIndex = compactTo
  }
  return { hardState, commit: Math.max(image.commit, operation.commit), file, baseIndex, entries }
}

const owned = new WeakSet<readonly Entry[]>()
function own(entries: Entry[]): readonly Entry[] {
  owned.add(entries)
  return entries
}
function isOwned(entries: readonly Entry[]): boolean {
  return owned.has(entries)
}

/** A copy that later appends do not touch. */
export function copyImage(image: Image): Image {
  return { ...image, entries: [...image.entries] }
}

/** What a restart finds. */
export function restore(image: Image): Restored {
  const { hardState, file, entries, baseIndex, commit } = image
  const restored = { ...hardState, commit: Math.max(hardState.commit, commit) }
  const snapshot = file?.snapshot
  if (snapshot !== undefined && baseIndex > snapshot.index) throw new Error('a gap behind snapshot')
  return { hardState: restored, snapshot, entries: [...entries] }
}

/** True if the entry is durable here, as such or in a snapshot. */
export function holds(image: Image | undefined, index: number, term: number): boolean {
  if (image === undefined) return false
  if (image.file !== undefined && image.file.snapshot.index >= index) return true
  if (index <= image.baseIndex) return true
  return image.entries[index - image.baseIndex - 1]?.term === term
}
