// What a log must come back as, and operations to try it with.

import type { LogOperation, LogState } from '../../../agent/storage/wal-record.ts'
import { below, type Random } from '../../../core/base/random.ts'
import type { Entry, HardState, Snapshot } from '../../../core/raft/types.ts'

const epoch = { counter: 1, id: 'e', parent: undefined }

export function hardState(term: number, commit = 0): HardState {
  const incarnation = { counter: 1, nonce: 7, foundTerm: 0, foundIndex: 0 }
  return { term, commit, votedFor: 'm1', epoch, incarnation, starts: [], seen: {}, promises: {} }
}

export function entriesOf(
  from: number,
  to: number,
  { term = 1, bytes = 100 }: { term?: number; bytes?: number } = {},
): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, at): Entry => {
    const data = new Uint8Array(bytes).fill((from + at + term) % 251)
    return { type: 'normal', index: from + at, term, sizeBytes: bytes, data }
  })
}

export function snapshotAt(index: number, term = 1): Snapshot {
  const membership = { members: [], removed: [] }
  const head = { index, term, membership, membershipIndex: 1, epoch, seen: {}, requests: [] }
  return { ...head, id: `s${index}`, sizeBytes: 1 }
}

/** A text that is equal for equal logs. */
export function digestOf(state: LogState): string {
  const entries = state.entries.map(({ index, term, data }) => {
    const bytes = data as Uint8Array
    const isWhole = bytes.every((byte) => byte === (index + term) % 251)
    return `${index}:${term}:${bytes.length}${isWhole ? '' : ' CORRUPT'}`
  })
  const { hardState: hard, installed, compactedTo } = state
  return JSON.stringify([hard?.term, hard?.commit, installed?.id, compactedTo, ...entries])
}

/** What the log is after one more operation: the slow and plain way. */
export function applied(state: LogState, operation: LogOperation): LogState {
  let { hardState: hard, installed, compactedTo, entries } = state
  if (operation.install !== undefined) {
    installed = operation.install
    compactedTo = installed.index
    entries = []
  }
  hard = operation.hardState ?? hard
  const { commit = 0 } = operation
  if (hard !== undefined && commit > hard.commit) hard = { ...hard, commit }
  const first = operation.entries?.[0]?.index
  if (first !== undefined) {
    entries = [...entries.filter((entry) => entry.index < first), ...(operation.entries ?? [])]
  }
  compactedTo = Math.max(compactedTo, operation.compactTo ?? 0)
  entries = entries.filter((entry) => entry.index > compactedTo)
  return { hardState: hard, installed, compactedTo, entries }
}

/** A next operation such as raft might ask for. */
export function randomOperation(state: LogState, random: Random): LogOperation {
  const last = state.entries[state.entries.length - 1]?.index ?? state.compactedTo
  const term = (state.hardState?.term ?? 1) + below(random, 2)
  const hard = { hardState: hardState(term, state.compactedTo) }
  const dice = below(random, 20)
  if (dice < 4) return hard
  if (dice === 4 && last > state.compactedTo) {
    return { compactTo: state.compactedTo + 1 + below(random, last - state.compactedTo) }
  }
  if (dice === 5) return { ...hard, install: snapshotAt(last + 1 + below(random, 5), term) }
  // Mostly behind the last entry, sometimes over a conflicting end.
  const back = dice < 9 ? below(random, last - state.compactedTo + 1) : 0
  const from = last - back + 1
  const bytes = [20, 300, 5_000, 120_000][below(random, 4)] ?? 0
  const isHuge = below(random, 25) === 0
  const added = isHuge
    ? entriesOf(from, from + 1, { term, bytes: 900_000 })
    : entriesOf(from, from + below(random, 6), { term, bytes })
  const commit = below(random, 3) === 0 ? { commit: from } : {}
  return { ...(below(random, 2) === 0 ? {} : hard), ...commit, entries: added }
}
