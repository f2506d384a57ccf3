// What must hold after every event of a simulated cluster (Raft paper, figure 3), and more:
//
//   election safety        one leader a term
//   log matching           an index and a term name one entry, with one predecessor
//   leader completeness    a new leader has every committed entry
//   state machine safety   nobody hands out another entry at an index that is committed
//   no committed cut       nobody drops a committed entry that it had
//   durability             what a leader commits is durable on a majority, by our own count
//   exactly once           no request is committed at two places
//   read floor             a read sees everything that was acknowledged before it was asked for
//   snapshot head          a snapshot says which configuration was committed last as of its index
//
// Each costs the same however long the run is.

import type { Entry, Membership, Raft, SnapshotHead } from '../../core/raft/types.ts'

export class Violation extends Error {
  override readonly name = 'Violation'
}

interface Committed {
  readonly term: number
  /** The term of whoever was the first to know of it. */
  readonly inTerm: number
  readonly data: unknown
}

/** What the checkers remember. A new epoch starts with new ones. */
export interface Checkers {
  readonly leaders: Map<number, string>
  readonly entries: Map<number, { data: unknown; prevTerm: number }>
  readonly committed: Committed[]
  readonly requests: Map<string, number>
  readonly memberships: { readonly index: number; readonly membership: Membership }[]
  readonly states: (number | undefined)[]
  ackedIndex: number
}

export function makeCheckers(): Checkers {
  return {
    leaders: new Map(),
    entries: new Map(),
    committed: [{ term: 0, inTerm: 0, data: undefined }],
    requests: new Map(),
    memberships: [],
    states: [],
    ackedIndex: 0,
  }
}

export function fail(rule: string, text: string): never {
  throw new Violation(`${rule}: ${text}`)
}

export function checkLeader(checkers: Checkers, raft: Raft): void {
  const known = checkers.leaders.get(raft.term)
  if (known !== undefined && known !== raft.id) {
    fail('election safety', `${known} and ${raft.id} both lead term ${raft.term}`)
  }
  if (known === raft.id) return
  checkers.leaders.set(raft.term, raft.id)
  // What was committed in later terms is no business of a leader whose votes came late.
  let last = checkers.committed.length - 1
  while (last > 0 && (checkers.committed[last]?.inTerm ?? 0) >= raft.term) last--
  for (const index of [last, Math.min(last, Math.max(raft.firstIndex, last - 10))]) {
    const here = raft.termAt(index)
    const truth = checkers.committed[index]?.term
    if (truth !== undefined && index >= raft.firstIndex - 1 && here !== truth) {
      fail(
        'leader completeness',
        `${raft.id} leads term ${raft.term} with ${here} at ${index}, not ${truth}`,
      )
    }
  }
}

/** Entries that a member writes down. */
export function checkEntries(checkers: Checkers, raft: Raft, entries: readonly Entry[]): void {
  let prevTerm = raft.termAt((entries[0]?.index ?? 1) - 1) ?? -1
  for (const entry of entries) {
    const key = entry.index * 1_000_000 + entry.term
    const known = checkers.entries.get(key)
    if (known === undefined) checkers.entries.set(key, { data: entry.data, prevTerm })
    else if (known.data !== entry.data || known.prevTerm !== prevTerm) {
      fail('log matching', `${raft.id} has another entry (${entry.index}, ${entry.term})`)
    }
    prevTerm = entry.term
  }
}

/** Entries that a member is about to drop, from `from` on. */
export function checkCut(
  checkers: Checkers,
  member: string,
  cut: { readonly from: number; readonly termAt: (index: number) => number | undefined },
): void {
  const truth = checkers.committed[cut.from]
  if (truth !== undefined && cut.termAt(cut.from) === truth.term) {
    fail('no committed cut', `${member} drops the committed entry ${cut.from}`)
  }
}

/** Entries that a member hands out as committed. */
export function checkCommitted(checkers: Checkers, raft: Raft, entries: readonly Entry[]): void {
  const member = raft.id
  for (const entry of entries) {
    const known = checkers.committed[entry.index]
    if (known !== undefined) {
      if (known.term !== entry.term || known.data !== entry.data) {
        fail(
          'state machine safety',
          `${member} commits another entry ${entry.index}: term ${entry.term}, not ${known.term}`,
        )
      }
      continue
    }
    if (entry.index !== checkers.committed.length) {
      fail(
        'state machine safety',
        `${member} commits ${entry.index} before ${checkers.committed.length}`,
      )
    }
    checkers.committed.push({ term: entry.term, inTerm: raft.term, data: entry.data })
    if (entry.type === 'config') {
      checkers.memberships.push({ index: entry.index, membership: entry.data })
    }
    if (entry.request === undefined) continue
    const earlier = checkers.requests.get(entry.request)
    if (earlier !== undefined) {
      fail('exactly once', `request ${entry.request} is committed at ${earlier} and ${entry.index}`)
    }
    checkers.requests.set(entry.request, entry.index)
  }
}

/** What a member writes at the head of a snapshot. */
export function checkHead(checkers: Checkers, member: string, head: SnapshotHead): void {
  const truth = checkers.memberships.findLast(({ index }) => index <= head.index)
  if (truth === undefined || truth.membership === head.membership) return
  fail(
    'snapshot head',
    `${member} snapshots ${head.index} with the configuration of ${head.membershipIndex}, not of ${truth.index}`,
  )
}

/** The state machine of a member after entry `index`, as a hash. */
export function checkState(
  checkers: Checkers,
  member: string,
  state: { readonly index: number; readonly hash: number },
): void {
  const known = checkers.states[state.index]
  if (known === undefined) checkers.states[state.index] = state.hash
  else if (known !== state.hash) {
    fail('state machine safety', `${member} has another state at ${state.index}`)
  }
}
