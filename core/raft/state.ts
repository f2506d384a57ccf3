// The state of one member, and what every role may do with it: send, promise, append, commit,
// change role. A step changes the state and gathers its update in `out`; `flush` turns what must
// be written into one storage operation and ties to it all that may only leave once it is durable.

import { assert, present } from '../base/assert.ts'
import type { Note, NoteFields } from '../base/note.ts'
import { below } from '../base/random.ts'
import { type Log, lastIndex, append as push, slice, termAt, truncate } from './log.ts'
import { isVoter, memberOf } from './membership.ts'
import type { Progress } from './progress.ts'
import { cutRequests, noteRequest, type Requests, trimRequests } from './requests.ts'
import type {
  Accepted,
  Entry,
  Epoch,
  Fate,
  HardState,
  Incarnation,
  Incarnations,
  MemberId,
  Membership,
  Message,
  Outgoing,
  Promised,
  Promises,
  RaftConfig,
  RaftUpdate,
  Refusal,
  Role,
  RoleState,
  Snapshot,
  SnapshotPiece,
} from './types.ts'

/** A storage operation in flight, and what waits for it. */
export interface PendingOperation {
  readonly id: number
  readonly startedAt: number
  /** Durable up to here once it completes; lowered when a later operation cuts the log. */
  lastIndex: number
  /** The term in which this operation makes our own vote durable. */
  readonly selfVoteTerm: number | undefined
  readonly withheld: readonly Outgoing[]
  /** Members whose new incarnation this operation writes down. */
  readonly introduced: readonly MemberId[]
}

/** Only a leader has this. */
export interface LeaderState {
  readonly progress: Map<MemberId, Progress>
  /** Index of the no-op of this term: nothing is known to be committed before it is. */
  readonly firstIndex: number
  round: number
  /** What heartbeats say that members have promised, and the round that first said so. */
  promises: Promises
  promisesRound: number
  heartbeatAt: number
  /** Reads and the round whose confirmation they need; `index` is undefined before the no-op's commit. */
  reads: { readonly context: number; index: number | undefined; readonly round: number }[]
  transfer: { readonly to: MemberId; readonly deadline: number; isSent: boolean } | undefined
  uncommittedBytes: number
}

/** A configuration in the log; the last one is in force. */
export interface PlacedMembership {
  readonly index: number
  readonly membership: Membership
}

/** What a step gathers. */
interface Out {
  send: Outgoing[]
  restore: Snapshot | undefined
  committed: Entry[]
  accepted: Accepted[]
  reads: { context: number; index: number }[]
  refused: Refusal[]
  fate: Fate | undefined
  notes: Note[]
  /** To be written at the end of the step. */
  isHardStateDirty: boolean
  unsavedFrom: number | undefined
  chunk: SnapshotPiece | undefined
  install: Snapshot | undefined
  compactTo: number | undefined
  selfVoteTerm: number | undefined
  withheld: Outgoing[]
  introduced: MemberId[]
}

export interface RaftState {
  readonly config: RaftConfig
  readonly id: MemberId
  isStarted: boolean
  /** The operation that makes this start durable. */
  startOperation: number | undefined
  /** The commit index that the disk knew. */
  readonly restoredCommit: number
  /** The stored snapshot must take the place of the stored log. */
  readonly isLogStale: boolean
  term: number
  votedFor: MemberId | undefined
  readonly epoch: Epoch
  incarnation: Incarnation
  starts: readonly Incarnation[]
  seen: Incarnations
  promises: Promises
  readonly log: Log
  commit: number
  snapshot: Snapshot | undefined
  memberships: PlacedMembership[]
  requests: Requests
  operationNext: number
  pending: PendingOperation[]
  durableIndex: number
  isDiskFull: boolean
  deferred: Map<MemberId, Message[]>
  staging: { readonly snapshot: Snapshot; offset: number } | undefined
  role: Role
  leaderId: MemberId | undefined
  /** Up to here our log is known to be that of the present term's leader. */
  matched: number
  now: number
  electionAt: number
  leaderHeardAt: number
  /** The configured time-out, or more: adapted to the link by the leader. */
  electionTicks: number
  /** Campaigns in a row that led to nothing; each makes the next wait longer. */
  campaignsLost: number
  votes: Map<MemberId, boolean>
  leader: LeaderState | undefined
  told: RoleState
  isSupersededTold: boolean
  out: Out
}

export function emptyOut(): Out {
  return {
    send: [],
    restore: undefined,
    committed: [],
    accepted: [],
    reads: [],
    refused: [],
    fate: undefined,
    notes: [],
    isHardStateDirty: false,
    unsavedFrom: undefined,
    chunk: undefined,
    install: undefined,
    compactTo: undefined,
    selfVoteTerm: undefined,
    withheld: [],
    introduced: [],
  }
}

/** The configuration in force: the newest in the log, committed or not (thesis 4.1). */
export function membershipOf(state: RaftState): Membership {
  return state.memberships.at(-1)?.membership ?? emptyMembership
}

const emptyMembership: Membership = { members: [], removed: [] }

/** The newest configuration at or before an index. */
export function membershipAt(state: RaftState, index: number): PlacedMembership {
  const placed = state.memberships.findLast((each) => each.index <= index)
  return placed ?? { index: 0, membership: emptyMembership }
}

export function note(state: RaftState, event: string, fields: NoteFields = {}): void {
  state.out.notes.push({ level: 'info', event, fields: { term: state.term, ...fields } })
}

type Body<M> = M extends Message ? Omit<M, 'term' | 'epoch' | 'incarnation'> : never
export type MessageBody = Body<Message>

function address(state: RaftState, body: MessageBody): Message {
  const { term, incarnation } = state
  return { ...body, term, epoch: state.epoch.id, incarnation } as Message
}

/** Posts a message that promises nothing. It leaves with this step's update. */
export function send(state: RaftState, to: MemberId, body: MessageBody): void {
  state.out.send.push({ to, message: address(state, body) })
}

/** Posts a promise. It leaves once everything that this step and earlier ones wrote is durable. */
export function promise(state: RaftState, to: MemberId, body: MessageBody): void {
  state.out.withheld.push({ to, message: address(state, body) })
}

/** False while the disk is full, or has not answered for a whole election time-out. */
export function isDiskWell(state: RaftState, ticksMax = state.config.electionTicks): boolean {
  if (state.isDiskFull) return false
  const oldest = state.pending[0]
  return oldest === undefined || state.now - oldest.startedAt < ticksMax
}

/** Appends to our own log, and takes note of what the entry says beside its data. */
export function appendEntry(state: RaftState, entry: Entry): void {
  push(state.log, entry)
  state.out.unsavedFrom ??= entry.index
  if (entry.type === 'config') {
    state.memberships.push({ index: entry.index, membership: entry.data })
    note(state, 'raft.membership-appended', { index: entry.index })
  }
  if (entry.type === 'noop') mergeSeen(state, entry.data)
  if (entry.request !== undefined) {
    noteRequest(state.requests, { request: entry.request, index: entry.index, term: entry.term })
  }
}

/** Cuts our log from `from` on, with the configurations and requests that stood there. */
export function truncateLog(state: RaftState, from: number): void {
  assert(from > state.commit, `entry ${from} is committed (${state.commit}) and cannot be cut`)
  note(state, 'raft.truncated', { from, last: lastIndex(state.log) })
  truncate(state.log, from)
  while ((state.memberships.at(-1)?.index ?? 0) >= from) {
    const undone = state.memberships.pop()
    note(state, 'raft.membership-rolled-back', { index: undone?.index })
  }
  cutRequests(state.requests, from)
  forgetDurable(state, from)
  if (state.out.unsavedFrom !== undefined) {
    state.out.unsavedFrom = Math.min(state.out.unsavedFrom, from)
  }
}

/** What an operation in flight wrote from `from` on is about to be overwritten: it counts no more. */
export function forgetDurable(state: RaftState, from: number): void {
  state.durableIndex = Math.min(state.durableIndex, from - 1)
  for (const operation of state.pending) {
    operation.lastIndex = Math.min(operation.lastIndex, from - 1)
  }
}

/** Moves the commit index up and hands out what it passes. */
export function commitTo(state: RaftState, index: number): void {
  assert(
    index <= lastIndex(state.log),
    `entry ${index} exists, the last is ${lastIndex(state.log)}`,
  )
  if (index <= state.commit) return
  const entries = slice(state.log, state.commit + 1, index)
  state.commit = index
  for (const entry of entries) {
    state.out.committed.push(entry)
    if (state.leader !== undefined) state.leader.uncommittedBytes -= entry.sizeBytes
    if (entry.type === 'config') {
      note(state, 'raft.membership-committed', { index: entry.index })
      // A leader has last duties first (leader.ts).
      const isRemoved = entry.data.removed.includes(state.id)
      if (isRemoved && state.leader === undefined) stop(state, { type: 'removed' })
    }
  }
  const { requestsKept } = state.config.limits
  trimRequests(state.requests, state.commit, requestsKept)
}

/** Merges what others have seen. Facts only grow: a higher counter wins, two nonces of one are lost. */
export function mergeSeen(state: RaftState, others: Incarnations): void {
  for (const [id, incarnation] of Object.entries(others)) {
    const known = state.seen[id]
    if (known !== undefined && known.counter > incarnation.counter) continue
    if (known !== undefined && isSameStart(known, incarnation)) continue
    if (id === state.id) {
      // Somebody heard a later start of ours than this one: our disk is an old one, or a copy.
      const isOld = incarnation.counter >= state.incarnation.counter
      if (isOld && !isSameStart(incarnation, state.incarnation)) stop(state, { type: 'outdated' })
      continue
    }
    const isTwin = known !== undefined && known.counter === incarnation.counter
    if (isTwin || isBroken(state.promises[id], incarnation)) distrust(state, id)
    else noteSeen(state, id, incarnation)
  }
}

export function isSameStart(a: Incarnation, b: Incarnation): boolean {
  return a.counter === b.counter && a.nonce === b.nonce
}

/** True if a start found less on its disk than had been promised before it. */
export function isBroken(promised: Promised | undefined, start: Incarnation): boolean {
  if (promised === undefined || promised.counter >= start.counter) return false
  const { foundTerm, foundIndex } = start
  return foundTerm < promised.term || (foundTerm === promised.term && foundIndex < promised.index)
}

/** Merges what members are known to have promised: the furthest counts. */
export function mergePromises(state: RaftState, others: Promises): void {
  for (const [id, promised] of Object.entries(others)) {
    const start = id === state.id ? state.incarnation : state.seen[id]
    // Of a start that we do not know we cannot tell which came after it.
    if (start === undefined || start.counter < promised.counter) continue
    const before = state.promises[id]
    if (before !== undefined && !isFurther(promised, before)) continue
    state.promises = { ...state.promises, [id]: promised }
    if (!isBroken(promised, start)) continue
    if (id === state.id) stop(state, { type: 'outdated' })
    else distrust(state, id)
  }
}

function isFurther(a: Promised, b: Promised): boolean {
  return a.term > b.term || (a.term === b.term && a.index > b.index)
}

/** This member has promised us something in our term: its log up to `index`, or its vote. */
export function notePromise(state: RaftState, id: MemberId, index: number): void {
  const counter = state.seen[id]?.counter
  if (counter !== undefined) mergePromises(state, { [id]: { counter, term: state.term, index } })
}

/** Keeps what a follower of ours acknowledged, for the time when we no longer lead. */
export function noteAcknowledged(state: RaftState, id: MemberId): void {
  const index = state.leader?.progress.get(id)?.match ?? 0
  if (index > 0) notePromise(state, id, index)
}

/** Its disk forgot what it promised, and so did its vote: it must join anew. */
export function distrust(state: RaftState, id: MemberId): void {
  note(state, 'raft.member-forgot', { member: id })
  noteSeen(state, id, lostIncarnation)
}

/** Stands for a member whose disk is known to have forgotten: no start of it is ever higher. */
const lostIncarnation: Incarnation = {
  counter: Number.MAX_SAFE_INTEGER,
  nonce: 0,
  foundTerm: Number.MAX_SAFE_INTEGER,
  foundIndex: 0,
}

function noteSeen(state: RaftState, id: MemberId, incarnation: Incarnation): void {
  const { removed } = membershipOf(state)
  const isKept = ([each]: readonly [string, unknown]): boolean => !removed.includes(each)
  state.seen = {
    ...Object.fromEntries(Object.entries(state.seen).filter(isKept)),
    [id]: incarnation,
  }
  state.promises = Object.fromEntries(Object.entries(state.promises).filter(isKept))
  state.out.isHardStateDirty = true
}

export function setTerm(state: RaftState, term: number): void {
  assert(term > state.term, `term ${term} is above ${state.term}`)
  state.term = term
  state.votedFor = undefined
  state.matched = 0
  state.out.isHardStateDirty = true
}

export function setVote(state: RaftState, votedFor: MemberId): void {
  assert(
    state.votedFor === undefined || state.votedFor === votedFor,
    `one vote in term ${state.term}: ${state.votedFor}, not ${votedFor}`,
  )
  if (state.votedFor === votedFor) return
  state.votedFor = votedFor
  state.out.isHardStateDirty = true
}

/** A new random time-out, of once to twice the election time. */
export function resetElectionTimer(state: RaftState, stretch = 1): void {
  const ticks = Math.ceil(state.electionTicks * stretch)
  state.electionAt = state.now + ticks + below(state.config.random, ticks)
}

/** Follows `leaderId`, or nobody yet, in `term`, which may be the present one. */
export function becomeFollower(
  state: RaftState,
  term: number,
  leaderId: MemberId | undefined,
): void {
  assert(term >= state.term, `term ${term} is not below ${state.term}`)
  assert(state.role !== 'stopped', 'a stopped member follows nobody')
  // First: what was acknowledged to us was acknowledged in the term that ends.
  if (state.leader !== undefined) leaveLeadership(state)
  if (term > state.term) setTerm(state, term)
  if (state.role !== 'follower') resetElectionTimer(state)
  state.role = 'follower'
  state.leaderId = leaderId
  state.votes = new Map()
}

/** Ends everything for good: the host shows why. */
export function stop(state: RaftState, fate: Fate): void {
  if (state.leader !== undefined) leaveLeadership(state)
  state.role = 'stopped'
  state.leaderId = undefined
  state.out.fate = fate
  note(state, 'raft.stopped', { fate: fate.type })
}

function leaveLeadership(state: RaftState): void {
  const leader = present(state.leader, 'the leader state')
  for (const id of leader.progress.keys()) noteAcknowledged(state, id)
  for (const { context } of leader.reads) {
    const text = 'leadership was lost: ask the new leader'
    refuse(state, { what: 'read', reason: 'leadership-lost', text, context })
  }
  state.leader = undefined
  note(state, 'raft.stepped-down')
}

/** Refuses what the present event asked for. The state is untouched: it may be asked again. */
export function refuse(state: RaftState, refusal: Omit<Refusal, 'leaderId'>): void {
  state.out.refused.push({ ...refusal, leaderId: state.leaderId })
}

/**
 * True for a member that may campaign: a voter of the configuration in force, or, while that one
 * is not committed, of the one before it. Otherwise an entry that removes its leader could block
 * a cluster: whoever has the longest log must be able to lead.
 */
export function mayCampaign(state: RaftState): boolean {
  if (isVoter(membershipOf(state), state.id)) return true
  const newest = state.memberships.at(-1)
  if (newest === undefined || newest.index <= state.commit) return false
  return isVoter(membershipAt(state, newest.index - 1).membership, state.id)
}

export function isMember(state: RaftState, id: MemberId): boolean {
  return memberOf(membershipOf(state), id) !== undefined
}

export function hardStateOf(state: RaftState): HardState {
  const { term, votedFor, commit, epoch, incarnation, starts, seen, promises } = state
  return { term, votedFor, commit, epoch, incarnation, starts, seen, promises }
}

/** Ends a step: makes its storage operation, if any, and returns the update. */
export function flush(state: RaftState): RaftUpdate {
  const { out } = state
  const save = makeOperation(state)
  if (save === undefined) releaseOrAttach(state)
  const role = changedRole(state)
  return {
    save,
    send: out.send,
    restore: out.restore,
    committed: out.committed,
    accepted: out.accepted,
    reads: out.reads,
    refused: out.refused,
    role,
    fate: out.fate,
    notes: out.notes,
    wakeTicks: wakeTicks(state),
  }
}

function makeOperation(state: RaftState): RaftUpdate['save'] {
  const { out, log } = state
  const hasEntries = out.unsavedFrom !== undefined && out.unsavedFrom <= lastIndex(log)
  const hasMore = out.chunk !== undefined || out.install !== undefined
  if (!out.isHardStateDirty && !hasEntries && !hasMore && out.compactTo === undefined) {
    return undefined
  }
  const id = state.operationNext++
  const before = state.pending.at(-1)?.lastIndex ?? state.durableIndex
  const installed = out.install === undefined ? before : out.install.index
  state.pending.push({
    id,
    startedAt: state.now,
    lastIndex: hasEntries ? lastIndex(log) : installed,
    selfVoteTerm: out.selfVoteTerm,
    withheld: out.withheld,
    introduced: out.introduced,
  })
  return {
    id,
    commit: state.commit,
    ...(out.isHardStateDirty ? { hardState: hardStateOf(state) } : {}),
    ...(hasEntries && out.unsavedFrom !== undefined
      ? { entries: slice(log, out.unsavedFrom, lastIndex(log)) }
      : {}),
    ...(out.chunk === undefined ? {} : { chunk: out.chunk }),
    ...(out.install === undefined ? {} : { install: out.install }),
    ...(out.compactTo === undefined ? {} : { compactTo: out.compactTo }),
  }
}

/** Promises of a step that wrote nothing wait for the newest operation in flight, if there is one. */
function releaseOrAttach(state: RaftState): void {
  const { withheld } = state.out
  if (withheld.length === 0) return
  const newest = state.pending.at(-1)
  if (newest === undefined) state.out.send.push(...withheld)
  else {
    state.pending[state.pending.length - 1] = {
      ...newest,
      withheld: [...newest.withheld, ...withheld],
    }
  }
}

function changedRole(state: RaftState): RoleState | undefined {
  const { role, term, leaderId, told } = state
  if (told.role === role && told.term === term && told.leaderId === leaderId) return undefined
  state.told = { role, term, leaderId }
  return state.told
}

function wakeTicks(state: RaftState): number | undefined {
  if (!state.isStarted || state.role === 'stopped') return undefined
  if (state.leader !== undefined) return Math.max(1, state.leader.heartbeatAt - state.now)
  if (state.memberships.length === 0) return undefined
  return Math.max(1, state.electionAt - state.now)
}

/** The term of an entry that must be there. */
export function termOf(state: RaftState, index: number): number {
  return present(termAt(state.log, index), `the term of entry ${index}`)
}
