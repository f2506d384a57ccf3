// What a follower does with its leader's messages: append, cut what conflicts, acknowledge.

import { assert } from '../base/assert.ts'
import { lastAtMost, lastIndex, termAt } from './log.ts'
import {
  appendEntry,
  becomeFollower,
  commitTo,
  mergePromises,
  promise,
  type RaftState,
  resetElectionTimer,
  send,
  truncateLog,
} from './state.ts'
import type { Append, Commit, Heartbeat, MemberId, Message } from './types.ts'

/** Takes the sender for the leader of its term; false if the term is over, which it is told. */
export function followLeader(state: RaftState, from: MemberId, message: Message): boolean {
  if (message.term < state.term) {
    send(state, from, { type: 'termNotice' })
    return false
  }
  assert(state.leader === undefined || message.term > state.term, 'one leader a term')
  if (state.role !== 'follower' || message.term > state.term || state.leaderId !== from) {
    becomeFollower(state, message.term, from)
  }
  state.campaignsLost = 0
  state.leaderHeardAt = state.now
  resetElectionTimer(state)
  return true
}

export function onHeartbeat(state: RaftState, from: MemberId, message: Heartbeat): void {
  const { electionTicks, limits } = state.config
  const longest = electionTicks * limits.electionStretchMax
  state.electionTicks = Math.min(longest, Math.max(electionTicks, message.electionTicks))
  resetElectionTimer(state)
  mergePromises(state, message.promises)
  if (state.role === 'stopped') return
  learnCommit(state, message.commit)
  send(state, from, {
    type: 'heartbeatReply',
    round: message.round,
    sentAtTicks: message.sentAtTicks,
    lastIndex: lastIndex(state.log),
  })
}

export function onCommit(state: RaftState, message: Commit): void {
  learnCommit(state, message.commit)
}

/**
 * The leader says this only of entries that we acknowledged to it in this term, but perhaps in an
 * earlier start: what this one has not matched yet may be another log, if the disk was put back.
 */
function learnCommit(state: RaftState, commit: number): void {
  commitTo(state, Math.min(commit, state.matched))
}

export function onAppend(state: RaftState, from: MemberId, message: Append): void {
  const { prevIndex, prevTerm, entries } = message
  // Entries cannot be written down on a full disk: no answer, and the leader tries again.
  if (state.isDiskFull && entries.length > 0) return
  const last = prevIndex + entries.length
  if (last <= state.commit) {
    // All of it is committed here, so it is the same, and so is everything up to our commit index.
    promise(state, from, { type: 'appendReply', match: state.commit })
    return
  }
  if (prevIndex > state.commit && termAt(state.log, prevIndex) !== prevTerm) {
    const hint = lastAtMost(state.log, Math.min(prevIndex, lastIndex(state.log)), prevTerm)
    send(state, from, {
      type: 'appendRefusal',
      prevIndex,
      hintIndex: hint.index,
      hintTerm: hint.term,
    })
    return
  }
  appendNew(state, message)
  state.matched = Math.max(state.matched, last)
  commitTo(state, Math.max(state.commit, Math.min(message.commit, last)))
  promise(state, from, { type: 'appendReply', match: last })
}

/** Appends what we lack. Only a real conflict cuts: a late, shorter append must not. */
function appendNew(state: RaftState, message: Append): void {
  for (const entry of message.entries) {
    if (entry.index <= state.commit) continue
    const here = termAt(state.log, entry.index)
    if (here === entry.term) continue
    if (here !== undefined) truncateLog(state, entry.index)
    appendEntry(state, entry)
  }
}
