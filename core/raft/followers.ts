// A leader's followers: who they are, and who of them is heard of. The lowest part of leading: all
// that sends, counts or hands over stands on it.

import { present } from '../base/assert.ts'
import { lastIndex } from './log.ts'
import { hasQuorum } from './membership.ts'
import { makeProgress, type Progress } from './progress.ts'
import { type LeaderState, membershipOf, type RaftState } from './state.ts'
import type { MemberId } from './types.ts'

export function leaderOf(state: RaftState): LeaderState {
  return present(state.leader, 'the leader state')
}

/** Makes the followers we keep progress of those of the configuration in force. */
export function syncProgress(state: RaftState): void {
  const { progress } = leaderOf(state)
  const { members } = membershipOf(state)
  for (const { id } of members) {
    if (id === state.id || progress.has(id)) continue
    progress.set(id, makeProgress(id, lastIndex(state.log) + 1, state.now))
  }
  for (const id of [...progress.keys()]) {
    if (!members.some((member) => member.id === id)) progress.delete(id)
  }
}

export function isRecentlyHeard(state: RaftState, id: MemberId): boolean {
  if (id === state.id) return true
  const progress = state.leader?.progress.get(id)
  return progress !== undefined && state.now - progress.heardAt < state.electionTicks
}

/** Recently heard indeed, not only given the grace of a new leader: it can be counted on. */
export function isAnswering(state: RaftState, id: MemberId): boolean {
  if (!isRecentlyHeard(state, id)) return false
  return id === state.id || state.leader?.progress.get(id)?.hasAnswered === true
}

/** True if the other voters that answer would do without us. */
export function hasQuorumOfOthers(state: RaftState): boolean {
  const isThere = (id: MemberId): boolean => id !== state.id && isAnswering(state, id)
  return hasQuorum(membershipOf(state), isThere)
}

/** The sender of an answer, if we lead, it is of our term, and its sender is a follower of ours. */
export function heardFollower(
  state: RaftState,
  from: MemberId,
  term: number,
): Progress | undefined {
  if (state.leader === undefined || term !== state.term) return undefined
  const progress = state.leader.progress.get(from)
  if (progress === undefined) return undefined
  progress.heardAt = state.now
  progress.hasAnswered = true
  return progress
}
