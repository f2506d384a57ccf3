// One member of a Raft cluster: `createRaft(config, restored)`, then `step(event)` for ever.
//
// Here stand the beginning, the rules that hold for every message whatever the role, and the table
// of who handles what. The algorithm is that of Ongaro's thesis ("Consensus: Bridging Theory and
// Practice", 2014); README.md lists the states, messages, invariants and differences.

import { assert, unreachable } from '../base/assert.ts'
import { CodedError } from '../base/error.ts'
import {
  countOwnVote,
  electionTimedOut,
  onPreVote,
  onPreVoteReply,
  onTimeoutNow,
  onVote,
  onVoteReply,
} from './election.ts'
import { followLeader, onAppend, onCommit, onHeartbeat } from './follower.ts'
import { admit, introduce } from './identity.ts'
import {
  maybeCommit,
  onAppendRefusal,
  onAppendReply,
  onHeartbeatReply,
  pushReads,
  tickLeader,
} from './leader.ts'
import { assertLimits } from './limits.ts'
import { entryAt, type Log, lastIndex, makeLog, termAt } from './log.ts'
import { hasQuorum } from './membership.ts'
import { becomeProbe } from './progress.ts'
import { propose, proposeMembership, refuseEverything } from './proposals.ts'
import { requestRead } from './reads.ts'
import { replicate } from './replication.ts'
import { makeRequests, noteRequest } from './requests.ts'
import {
  onSnapshotChunk,
  onSnapshotChunkReply,
  onSnapshotTaken,
  snapshotHead,
  snapshotsInUse,
} from './snapshots.ts'
import {
  becomeFollower,
  commitTo,
  emptyOut,
  flush,
  mayCampaign,
  membershipAt,
  membershipOf,
  note,
  type PendingOperation,
  type RaftState,
  resetElectionTimer,
} from './state.ts'
import { startTransfer } from './transfer.ts'
import type {
  FollowerStatus,
  MemberId,
  Message,
  Raft,
  RaftConfig,
  RaftEvent,
  RaftUpdate,
  Restored,
} from './types.ts'

/** A member as it was restored. Its first event is `started`. */
export function createRaft(config: RaftConfig, restored: Restored): Raft {
  const state = makeState(config, restored)
  return {
    step: (event, elapsedTicks = 0) => step(state, event, elapsedTicks),
    id: config.id,
    get role() {
      return state.role
    },
    get term() {
      return state.term
    },
    get leaderId() {
      return state.leaderId
    },
    get epoch() {
      return state.epoch
    },
    get incarnation() {
      return state.incarnation
    },
    get firstIndex() {
      return state.log.baseIndex + 1
    },
    get lastIndex() {
      return lastIndex(state.log)
    },
    get commit() {
      return state.commit
    },
    get membership() {
      return membershipOf(state)
    },
    get committedMembership() {
      return membershipAt(state, state.commit).membership
    },
    get snapshot() {
      return state.snapshot
    },
    get snapshotsInUse() {
      return snapshotsInUse(state)
    },
    get followers() {
      return followersOf(state)
    },
    electionTicksMin: state.config.electionTicks,
    get votedFor() {
      return state.votedFor
    },
    get seen() {
      return state.seen
    },
    termAt: (index) => termAt(state.log, index),
    entryAt: (index) => entryAt(state.log, index),
    snapshotHead: (index) => snapshotHead(state, index),
  }
}

function makeState(config: RaftConfig, restored: Restored): RaftState {
  assertLimits(config.limits)
  assert(config.heartbeatTicks >= 1, 'a heartbeat takes at least 1 tick')
  assert(config.electionTicks > config.heartbeatTicks, 'an election takes longer than a heartbeat')
  const { hardState, snapshot } = restored
  // A snapshot may be ahead of the durable state in this too.
  const term = Math.max(hardState.term, snapshot?.term ?? 0)
  const state: RaftState = {
    config,
    id: config.id,
    isStarted: false,
    startOperation: undefined,
    restoredCommit: hardState.commit,
    isLogStale: isLogStale(restored),
    term,
    votedFor: term > hardState.term ? undefined : hardState.votedFor,
    epoch: hardState.epoch,
    incarnation: hardState.incarnation,
    starts: hardState.starts,
    seen: hardState.seen,
    promises: hardState.promises,
    log: restoreLog(restored),
    commit: snapshot?.index ?? 0,
    snapshot,
    memberships: [],
    requests: makeRequests(snapshot?.requests ?? []),
    operationNext: 1,
    pending: [],
    durableIndex: 0,
    isDiskFull: false,
    deferred: new Map(),
    staging: undefined,
    role: 'follower',
    leaderId: undefined,
    matched: 0,
    now: 0,
    electionAt: 0,
    leaderHeardAt: 0,
    electionTicks: config.electionTicks,
    campaignsLost: 0,
    votes: new Map(),
    leader: undefined,
    told: { role: 'follower', term, leaderId: undefined },
    isSupersededTold: false,
    out: emptyOut(),
  }
  readLog(state, restored)
  return state
}

/** The stored log, from entry 1 on, or from the snapshot on, or from an entry before that. */
function restoreLog(restored: Restored): Log {
  const { hardState, snapshot, entries } = restored
  const first = entries[0]
  const last = entries.at(-1)?.index ?? 0
  if (Math.max(last, snapshot?.index ?? 0) < hardState.commit) {
    const text =
      `the log ends at entry ${last}, but entry ${hardState.commit} was committed: the disk has ` +
      'lost entries. Remove this member and join it anew'
    throw new CodedError('damaged-data', text, { detail: { last, commit: hardState.commit } })
  }
  if (snapshot !== undefined && isLogStale(restored)) return makeLog(snapshot, [])
  if (first === undefined || first.index === 1) return makeLog(zero, entries)
  assert(snapshot !== undefined, `entry 1 is there, or a snapshot, before entry ${first.index}`)
  if (first.index > snapshot.index) return makeLog(snapshot, entries)
  // The term before the first entry is unknown, so that entry itself becomes the base.
  return makeLog(first, entries.slice(1))
}

/**
 * True if the stored log ends before the stored snapshot, or has another entry where it stands. A
 * snapshot may be ahead of the log that was durable: others had made its entries durable.
 */
function isLogStale({ snapshot, entries }: Restored): boolean {
  if (snapshot === undefined) return false
  const first = entries[0]
  if (first === undefined) return true
  if (first.index > snapshot.index) return false
  return entries[snapshot.index - first.index]?.term !== snapshot.term
}

const zero = { index: 0, term: 0 }

/** Finds in the restored log what stands there beside data. */
function readLog(state: RaftState, restored: Restored): void {
  const { snapshot } = restored
  if (snapshot !== undefined) {
    const { membershipIndex: index, membership } = snapshot
    state.memberships.push({ index, membership })
  }
  // Of the log that is kept, not of the one that was stored: a stale one may hold anything.
  for (const entry of state.log.entries) {
    assert(entry.term <= state.term, `entry ${entry.index} is of no later term than the state`)
    if (snapshot !== undefined && entry.index <= snapshot.index) continue
    if (entry.type === 'config') {
      state.memberships.push({ index: entry.index, membership: entry.data })
    }
    const { request, index, term } = entry
    if (request !== undefined) noteRequest(state.requests, { request, index, term })
  }
  state.durableIndex = lastIndex(state.log)
}

function step(state: RaftState, event: RaftEvent, elapsedTicks: number): RaftUpdate {
  state.now += elapsedTicks
  state.out = emptyOut()
  if (event.type === 'started') start(state)
  else if (!state.isStarted || state.role === 'stopped') idle(state, event)
  else handle(state, event)
  if (state.leader !== undefined) {
    pushReads(state)
    replicate(state)
  }
  return flush(state)
}

/** Raises the incarnation; until that is durable nothing is sent and nothing is read. */
function start(state: RaftState): void {
  assert(state.startOperation === undefined, 'a member starts once')
  const { incarnation, config, starts } = state
  if (incarnation.counter > 0) {
    state.starts = [incarnation, ...starts].slice(0, config.limits.startsKept)
  }
  state.incarnation = {
    counter: incarnation.counter + 1,
    nonce: config.random.uint32(),
    foundTerm: state.term,
    foundIndex: lastIndex(state.log),
  }
  state.out.isHardStateDirty = true
  state.startOperation = state.operationNext
  // The stored log must not keep what raft does not: its next entry would leave a gap.
  if (state.isLogStale) state.out.install = state.snapshot
  // What was known to be committed can be shown again before any leader is heard.
  commitTo(state, Math.max(state.commit, state.restoredCommit))
  note(state, 'raft.started', { incarnation: state.incarnation.counter })
}

/** Before the start and after the end only the own host is listened to, and requests are refused. */
function idle(state: RaftState, event: RaftEvent): void {
  if (event.type === 'persisted') persisted(state, event.operation)
  else if (event.type === 'ticked') state.now += event.ticks
  else if (event.type === 'diskFull') state.isDiskFull = true
  else if (event.type === 'diskFreed') state.isDiskFull = false
  else if (event.type === 'snapshotTaken') onSnapshotTaken(state, event.snapshot)
  else if (event.type === 'proposed') refuseEverything(state, 'proposal')
  else if (event.type === 'readRequested') refuseEverything(state, 'read', event.context)
  else if (event.type === 'membershipProposed') refuseEverything(state, 'membership')
  else if (event.type === 'transferRequested') refuseEverything(state, 'transfer')
}

function handle(state: RaftState, event: RaftEvent): void {
  switch (event.type) {
    case 'started':
      return
    case 'ticked':
      state.now += event.ticks
      if (state.leader !== undefined) tickLeader(state)
      else if (state.now >= state.electionAt) electionTimedOut(state)
      return
    case 'received':
      if (admit(state, event.from, event.message)) receive(state, event.from, event.message)
      return
    case 'persisted':
      persisted(state, event.operation)
      return
    case 'proposed':
      propose(state, event.entries)
      return
    case 'readRequested':
      requestRead(state, event.context)
      return
    case 'membershipProposed':
      proposeMembership(state, event.change)
      return
    case 'transferRequested':
      startTransfer(state, event.to)
      return
    case 'snapshotTaken':
      onSnapshotTaken(state, event.snapshot)
      return
    case 'unreachable':
      unreachableMember(state, event.member)
      return
    case 'diskFull':
      becomeDiskFull(state)
      return
    case 'diskFreed':
      state.isDiskFull = false
      return
    default:
      unreachable(event)
  }
}

function receive(state: RaftState, from: MemberId, message: Message): void {
  switch (message.type) {
    case 'preVote':
      onPreVote(state, from, message)
      return
    case 'preVoteReply':
      onPreVoteReply(state, from, message)
      return
    case 'vote':
      onVote(state, from, message)
      return
    case 'voteReply':
      onVoteReply(state, from, message)
      return
    case 'timeoutNow':
      onTimeoutNow(state, from, message)
      return
    case 'append':
      if (followLeader(state, from, message)) onAppend(state, from, message)
      return
    case 'commit':
      if (followLeader(state, from, message)) onCommit(state, message)
      return
    case 'heartbeat':
      if (followLeader(state, from, message)) onHeartbeat(state, from, message)
      return
    case 'snapshotChunk':
      if (followLeader(state, from, message)) onSnapshotChunk(state, from, message)
      return
    case 'appendReply':
      if (isCurrent(state, message)) onAppendReply(state, from, message)
      return
    case 'appendRefusal':
      if (isCurrent(state, message)) onAppendRefusal(state, from, message)
      return
    case 'heartbeatReply':
      if (isCurrent(state, message)) onHeartbeatReply(state, from, message)
      return
    case 'snapshotChunkReply':
      if (isCurrent(state, message)) onSnapshotChunkReply(state, from, message)
      return
    case 'termNotice':
      isCurrent(state, message)
      return
    case 'introduction':
    case 'refused':
      return
    default:
      unreachable(message)
  }
}

/** False for an answer of another term; a higher one ends ours (thesis 3.3). */
function isCurrent(state: RaftState, message: Message): boolean {
  if (message.term > state.term) becomeFollower(state, message.term, undefined)
  return message.term === state.term
}

/** Everything up to an operation is durable: what waited for it may leave, and counts. */
function persisted(state: RaftState, operation: number): void {
  while (state.pending.length > 0) {
    const oldest = state.pending[0]
    if (oldest === undefined || oldest.id > operation) return
    state.pending.shift()
    complete(state, oldest)
  }
}

function complete(state: RaftState, operation: PendingOperation): void {
  if (operation.id === state.startOperation) becomeStarted(state)
  state.durableIndex = Math.max(state.durableIndex, operation.lastIndex)
  for (const outgoing of operation.withheld) {
    // A promise of a term that is over is of no use to anyone.
    if (outgoing.message.term === state.term) state.out.send.push(outgoing)
  }
  if (state.role === 'stopped') return
  if (operation.selfVoteTerm !== undefined) countOwnVote(state, operation.selfVoteTerm)
  if (state.leader !== undefined) maybeCommit(state)
  for (const from of operation.introduced) {
    const messages = state.deferred.get(from) ?? []
    state.deferred.delete(from)
    for (const message of messages) {
      if (isStillSeen(state, from, message)) receive(state, from, message)
    }
  }
}

/** Nobody higher was seen, and we were not stopped, while the message waited. */
function isStillSeen(state: RaftState, from: MemberId, message: Message): boolean {
  if (state.role === 'stopped') return false
  return state.seen[from]?.counter === message.incarnation.counter
}

function becomeStarted(state: RaftState): void {
  state.isStarted = true
  resetElectionTimer(state)
  for (const { id } of membershipOf(state).members) if (id !== state.id) introduce(state, id)
  // The only voter has nobody to wait for.
  const isAlone = hasQuorum(membershipOf(state), (id) => id === state.id)
  if (isAlone && mayCampaign(state)) state.electionAt = state.now
}

function unreachableMember(state: RaftState, member: MemberId): void {
  const progress = state.leader?.progress.get(member)
  if (progress?.state === 'replicate') becomeProbe(progress, progress.match + 1)
}

/** A leader that cannot write hands over; with nobody to take over it goes on serving reads. */
function becomeDiskFull(state: RaftState): void {
  state.isDiskFull = true
  note(state, 'raft.disk-full')
  if (state.leader !== undefined && state.leader.transfer === undefined) {
    startTransfer(state, undefined)
  }
}

function followersOf(state: RaftState): readonly FollowerStatus[] {
  return [...(state.leader?.progress.values() ?? [])].map((progress) => ({
    id: progress.id,
    state: progress.state,
    match: progress.match,
    next: progress.next,
    heardTicksAgo: state.now - progress.heardAt,
  }))
}
