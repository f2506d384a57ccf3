// The leader's work: appends and heartbeats out, answers in, the commit rule, check-quorum.
//
// What a leader knows of a follower stands in progress.ts and followers.ts; how it is sent what it
// lacks in replication.ts; what the host asks for in proposals.ts, transfer.ts and reads.ts.

import { assert, present } from '../base/assert.ts'
import {
  hasQuorumOfOthers,
  heardFollower,
  isRecentlyHeard,
  leaderOf,
  syncProgress,
} from './followers.ts'
import { lastAtMost, lastIndex } from './log.ts'
import { hasQuorum, isVoter, quorumValue } from './membership.ts'
import { acknowledge, becomeProbe, becomeReplicate, noteRoundTrip } from './progress.ts'
import { confirmReads, openReads, roundOfNewestRead } from './reads.ts'
import { sendAppend, sendAppends } from './replication.ts'
import { tickSnapshot } from './snapshots.ts'
import {
  appendEntry,
  becomeFollower,
  commitTo,
  distrust,
  isDiskWell,
  membershipAt,
  membershipOf,
  note,
  type RaftState,
  send,
  stop,
  termOf,
} from './state.ts'
import { startTransfer, tickTransfer } from './transfer.ts'
import type { AppendRefusal, AppendReply, HeartbeatReply, MemberId, Promised } from './types.ts'

export function becomeLeader(state: RaftState): void {
  assert(state.role === 'candidate', 'only a candidate becomes leader')
  state.role = 'leader'
  state.leaderId = state.id
  state.campaignsLost = 0
  const firstIndex = lastIndex(state.log) + 1
  state.leader = {
    progress: new Map(),
    firstIndex,
    round: 0,
    promises: {},
    promisesRound: 0,
    heartbeatAt: state.now + state.config.heartbeatTicks,
    reads: [],
    transfer: undefined,
    uncommittedBytes: 0,
  }
  for (let at = state.commit + 1; at < firstIndex; at++) {
    state.leader.uncommittedBytes += state.log.entries[at - state.log.baseIndex - 1]?.sizeBytes ?? 0
  }
  syncProgress(state)
  note(state, 'raft.elected', { firstIndex })
  appendNoop(state)
  broadcastHeartbeat(state)
}

/** Appends a no-op that also tells everyone which incarnations were seen. */
export function appendNoop(state: RaftState): void {
  const data = { ...state.seen, [state.id]: state.incarnation }
  const sizeBytes = 16 + 48 * Object.keys(data).length
  const index = lastIndex(state.log) + 1
  appendEntry(state, { type: 'noop', index, term: state.term, sizeBytes, data })
  leaderOf(state).uncommittedBytes += sizeBytes
}

/** Time passes for a leader: is there still a quorum, is the disk well, is a heartbeat due? */
export function tickLeader(state: RaftState): void {
  const leader = leaderOf(state)
  if (state.now < leader.heartbeatAt) return
  leader.heartbeatAt = state.now + state.config.heartbeatTicks
  if (!hasQuorum(membershipOf(state), (id) => isRecentlyHeard(state, id))) {
    note(state, 'raft.quorum-lost')
    becomeFollower(state, state.term, undefined)
    return
  }
  tickTransfer(state)
  const isStalled = !isDiskWell(state, 2 * state.config.electionTicks)
  if (isStalled && leader.transfer === undefined && hasQuorumOfOthers(state)) {
    note(state, 'raft.disk-stalled')
    startTransfer(state, undefined)
  }
  adaptElectionTicks(state)
  for (const progress of leader.progress.values()) tickSnapshot(state, progress)
  broadcastHeartbeat(state)
}

/** Ten round trips of the slowest voter that answers: below that, time-outs would be noise. */
function adaptElectionTicks(state: RaftState): void {
  let slowest = 0
  for (const progress of leaderOf(state).progress.values()) {
    if (!isVoter(membershipOf(state), progress.id) || !isRecentlyHeard(state, progress.id)) continue
    slowest = Math.max(slowest, progress.roundTripTicks ?? 0)
  }
  const { electionTicks, limits } = state.config
  const stretched = Math.min(Math.ceil(10 * slowest), electionTicks * limits.electionStretchMax)
  // Down again only slowly: a new leader has measured little, and its predecessor knew better.
  state.electionTicks = Math.max(electionTicks, stretched, Math.floor(0.95 * state.electionTicks))
}

/** One round: every answer to it says that the sender still took us for the leader. */
export function broadcastHeartbeat(state: RaftState): void {
  const leader = leaderOf(state)
  leader.round++
  gatherPromises(state)
  for (const progress of leader.progress.values()) {
    progress.roundSent = leader.round
    progress.matchAtRound = progress.match
    send(state, progress.id, {
      type: 'heartbeat',
      commit: Math.min(progress.match, state.commit),
      round: leader.round,
      sentAtTicks: state.now,
      electionTicks: state.electionTicks,
      // Who has answered a round that said it needs to hear it no more.
      promises: progress.roundAcked >= leader.promisesRound ? {} : leader.promises,
    })
  }
  confirmReads(state)
}

/** What is durable where, for everyone to remember: a disk that once shows less was put back. */
function gatherPromises(state: RaftState): void {
  const leader = leaderOf(state)
  const { counter } = state.incarnation
  const own = { counter, term: state.term, index: state.durableIndex }
  const promises: Record<MemberId, Promised> = { ...state.promises, [state.id]: own }
  for (const { id, match } of leader.progress.values()) {
    const start = state.seen[id]
    if (match === 0 || start === undefined) continue
    promises[id] = { counter: start.counter, term: state.term, index: match }
  }
  const isSame = Object.entries(promises).every(([id, { counter, term, index }]) => {
    const before = leader.promises[id]
    return before?.counter === counter && before.term === term && before.index === index
  })
  if (isSame) return
  leader.promises = promises
  leader.promisesRound = leader.round
}

export function onAppendReply(state: RaftState, from: MemberId, message: AppendReply): void {
  const progress = heardFollower(state, from, message.term)
  if (progress === undefined) return
  assert(message.match <= lastIndex(state.log), `${from} acknowledges no more than was sent`)
  const isNews = acknowledge(progress, message.match)
  // Also an old answer shows where probing may end, but only news can end a snapshot.
  if (progress.state === 'probe' && (isNews || progress.match === message.match)) {
    becomeReplicate(progress)
  }
  if (progress.state === 'snapshot' && isNews && progress.match >= state.log.baseIndex) {
    becomeReplicate(progress)
  }
  if (isNews) maybeCommit(state)
  // Committing may have ended our leadership.
  if (state.leader === undefined) return
  sendAppends(state, progress)
  tickTransfer(state)
}

export function onAppendRefusal(state: RaftState, from: MemberId, message: AppendRefusal): void {
  const progress = heardFollower(state, from, message.term)
  if (progress === undefined || progress.state === 'snapshot') return
  // An old refusal: what it says is missing was acknowledged since, or is not what we probe.
  if (message.prevIndex <= progress.match) return
  if (progress.state === 'replicate') {
    becomeProbe(progress, progress.match + 1)
  } else {
    if (progress.next - 1 !== message.prevIndex) return
    const meet = lastAtMost(state.log, message.hintIndex, message.hintTerm)
    // Below our log the true meeting point is unknown: next then asks for a snapshot.
    const next = Math.min(message.prevIndex, Math.min(meet.index, message.hintIndex) + 1)
    becomeProbe(progress, next)
  }
  sendAppends(state, progress)
}

export function onHeartbeatReply(state: RaftState, from: MemberId, message: HeartbeatReply): void {
  const progress = heardFollower(state, from, message.term)
  if (progress === undefined) return
  // It was put back without a restart, as a machine is that is resumed from an image of its memory.
  if (message.round === progress.roundSent && message.lastIndex < progress.matchAtRound) {
    distrust(state, from)
    appendNoop(state)
    return
  }
  progress.roundAcked = Math.max(progress.roundAcked, message.round)
  noteRoundTrip(progress, state.now - message.sentAtTicks)
  confirmReads(state)
  if (progress.state === 'probe') {
    progress.isPaused = false
    if (progress.match < lastIndex(state.log)) sendAppends(state, progress)
  } else if (progress.state === 'replicate' && progress.match < lastIndex(state.log)) {
    // Nothing was acknowledged for a whole round: an append may be lost. An empty one finds out.
    if (progress.match === progress.matchAtReply) sendAppend(state, progress, true)
    else sendAppends(state, progress)
  }
  progress.matchAtReply = progress.match
}

/** A majority has it, and it is of our own term: only then is it committed (thesis 3.6.2). */
export function maybeCommit(state: RaftState): void {
  const { progress } = leaderOf(state)
  const index = quorumValue(membershipOf(state), (id) =>
    id === state.id ? state.durableIndex : (progress.get(id)?.match ?? 0),
  )
  if (index <= state.commit || termOf(state, index) !== state.term) return
  const before = state.commit
  commitTo(state, index)
  openReads(state)
  tellCommit(state)
  if (membershipAt(state, index).index > before) tellRemoved(state)
  leaveIfRemoved(state)
}

/** Followers that have the entries learn at once that they are committed. */
function tellCommit(state: RaftState): void {
  for (const progress of leaderOf(state).progress.values()) {
    if (progress.state !== 'replicate' || progress.match === 0) continue
    send(state, progress.id, { type: 'commit', commit: Math.min(progress.match, state.commit) })
  }
}

/** Who was removed last is told so; if that letter is lost, it learns it when it next asks for votes. */
function tellRemoved(state: RaftState): void {
  const { removed } = membershipAt(state, state.commit).membership
  const id = removed.at(-1)
  const about = id === undefined ? undefined : state.seen[id]
  if (id === undefined || about === undefined) return
  send(state, id, { type: 'refused', reason: 'removed', about, epochHere: state.epoch })
}

/** A leader that is no voter of a committed configuration has done its last duty. */
function leaveIfRemoved(state: RaftState): void {
  const newest = present(state.memberships.at(-1), 'a configuration')
  if (newest.index > state.commit || isVoter(newest.membership, state.id)) return
  const followers = [...leaderOf(state).progress.values()]
  const voters = followers.filter(({ id }) => isVoter(newest.membership, id))
  const best = voters.sort((a, b) => b.match - a.match)[0]
  if (best !== undefined) send(state, best.id, { type: 'timeoutNow' })
  note(state, 'raft.leader-left')
  if (newest.membership.removed.includes(state.id)) stop(state, { type: 'removed' })
  else becomeFollower(state, state.term, undefined)
}

/** The newest read that waits needs a round that has not been sent: send it. */
export function pushReads(state: RaftState): void {
  if (roundOfNewestRead(state) > leaderOf(state).round) broadcastHeartbeat(state)
}
