// Elections (thesis 3.4, 4.2.3, 9.6): first ask whether one could win (pre-vote, no term is
// raised), then vote for oneself, durably, then ask.
//
// Three guards keep a member with a bad link from disturbing the others, and all three are needed:
// pre-vote (a cut-off member does not raise its term), stickiness (who hears a leader votes for
// nobody else), check-quorum (a leader that hears no quorum steps down; leader.ts).

import { becomeLeader } from './leader.ts'
import { isUpToDate, lastIndex, lastTerm } from './log.ts'
import { hasQuorum, isVoter } from './membership.ts'
import {
  becomeFollower,
  isDiskWell,
  mayCampaign,
  membershipOf,
  note,
  notePromise,
  promise,
  type RaftState,
  resetElectionTimer,
  send,
  setTerm,
  setVote,
} from './state.ts'
import type {
  Member,
  MemberId,
  PreVote,
  PreVoteReply,
  TimeoutNow,
  Vote,
  VoteReply,
} from './types.ts'

/** True while we hear a leader, or are one: then nobody else is voted for. */
export function hasLiveLeader(state: RaftState): boolean {
  if (state.leader !== undefined) return true
  return state.leaderId !== undefined && state.now - state.leaderHeardAt < state.electionTicks
}

/** The leader was not heard in time, or the last campaign led to nothing. */
export function electionTimedOut(state: RaftState): void {
  if (!mayCampaign(state)) {
    resetElectionTimer(state)
    // A learner that hears nothing may have been removed and missed the news. It cannot win; it
    // asks everyone it knows for the answer that a removed member gets.
    askPreVotes(state, () => true)
    return
  }
  if (!isDiskWell(state)) {
    resetElectionTimer(state)
    return
  }
  // A candidate whose own vote is still being written down has not even asked yet.
  if (state.role === 'candidate') {
    state.campaignsLost++
    note(state, 'raft.campaign-lost')
  }
  preCampaign(state)
}

function preCampaign(state: RaftState): void {
  state.role = 'preCandidate'
  state.leaderId = undefined
  state.votes = new Map([[state.id, true]])
  resetElectionTimer(state)
  note(state, 'raft.pre-campaign')
  askPreVotes(state, (member) => member.isVoter)
  if (isWon(state)) campaign(state, false)
}

function askPreVotes(state: RaftState, isAsked: (member: Member) => boolean): void {
  const ask = {
    type: 'preVote',
    nextTerm: state.term + 1,
    lastIndex: lastIndex(state.log),
    lastTerm: lastTerm(state.log),
  } as const
  for (const member of membershipOf(state).members) {
    if (isAsked(member) && member.id !== state.id) send(state, member.id, ask)
  }
}

/** Raises the term and votes for ourselves; the asking waits until that vote is durable. */
export function campaign(state: RaftState, isTransfer: boolean): void {
  setTerm(state, state.term + 1)
  setVote(state, state.id)
  state.role = 'candidate'
  state.leaderId = undefined
  state.votes = new Map()
  state.out.selfVoteTerm = state.term
  resetElectionTimer(
    state,
    Math.min(1.5 ** state.campaignsLost, state.config.limits.electionStretchMax),
  )
  note(state, 'raft.campaign', { isTransfer })
  const ask = {
    type: 'vote',
    lastIndex: lastIndex(state.log),
    lastTerm: lastTerm(state.log),
    isTransfer,
  } as const
  for (const member of membershipOf(state).members) {
    if (member.isVoter && member.id !== state.id) promise(state, member.id, ask)
  }
}

/** Our own vote of `term` is durable: now it counts. */
export function countOwnVote(state: RaftState, term: number): void {
  if (state.role !== 'candidate' || state.term !== term) return
  state.votes.set(state.id, true)
  if (isWon(state)) becomeLeader(state)
}

function isWon(state: RaftState): boolean {
  return hasQuorum(membershipOf(state), (id) => state.votes.get(id) === true)
}

function isLost(state: RaftState): boolean {
  return hasQuorum(membershipOf(state), (id) => state.votes.get(id) === false)
}

/** Would we vote for this member? Nothing is promised by saying so. */
export function onPreVote(state: RaftState, from: MemberId, message: PreVote): void {
  const isGranted =
    message.nextTerm > state.term &&
    !hasLiveLeader(state) &&
    isDiskWell(state) &&
    hasLog(state) &&
    isUpToDate(state.log, message)
  // A refusal carries our term: whoever asks from an older one learns it here.
  send(state, from, { type: 'preVoteReply', nextTerm: message.nextTerm, isGranted })
}

/** A member without any log has promised nothing yet that it could remember: it votes later. */
function hasLog(state: RaftState): boolean {
  return lastIndex(state.log) > 0
}

export function onPreVoteReply(state: RaftState, from: MemberId, message: PreVoteReply): void {
  if (message.term > state.term) {
    if (!message.isGranted) becomeFollower(state, message.term, undefined)
    return
  }
  if (state.role !== 'preCandidate' || message.nextTerm !== state.term + 1) return
  if (!isVoter(membershipOf(state), from)) return
  state.votes.set(from, message.isGranted)
  if (isWon(state)) campaign(state, false)
  else if (isLost(state)) becomeFollower(state, state.term, undefined)
}

export function onVote(state: RaftState, from: MemberId, message: Vote): void {
  if (message.term < state.term) {
    send(state, from, { type: 'voteReply', isGranted: false })
    return
  }
  if (!isDiskWell(state) || !hasLog(state)) return
  if (!message.isTransfer && message.term > state.term && hasLiveLeader(state)) return
  if (message.term > state.term) becomeFollower(state, message.term, undefined)
  const isFree =
    state.votedFor === from || (state.votedFor === undefined && state.leaderId === undefined)
  if (!isFree || !isUpToDate(state.log, message)) {
    send(state, from, { type: 'voteReply', isGranted: false })
    return
  }
  setVote(state, from)
  resetElectionTimer(state)
  promise(state, from, { type: 'voteReply', isGranted: true })
}

export function onVoteReply(state: RaftState, from: MemberId, message: VoteReply): void {
  if (message.term > state.term) {
    becomeFollower(state, message.term, undefined)
    return
  }
  if (message.term < state.term || state.role !== 'candidate') return
  if (!isVoter(membershipOf(state), from)) return
  state.votes.set(from, message.isGranted)
  if (message.isGranted) notePromise(state, from, 0)
  if (isWon(state)) becomeLeader(state)
  else if (isLost(state)) becomeFollower(state, state.term, undefined)
}

/** The leader hands over to us: campaign at once, without asking first. */
export function onTimeoutNow(state: RaftState, from: MemberId, message: TimeoutNow): void {
  if (message.term < state.term || state.leader !== undefined) return
  if (message.term > state.term) becomeFollower(state, message.term, undefined)
  if (!mayCampaign(state) || !isDiskWell(state)) return
  note(state, 'raft.transfer-received', { from })
  campaign(state, true)
}
