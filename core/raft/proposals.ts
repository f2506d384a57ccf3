// What a leader is asked to do by its host: append entries, change the membership, hand over.

import { present } from '../base/assert.ts'
import { isAnswering, leaderOf, syncProgress } from './followers.ts'
import { lastIndex } from './log.ts'
import { changeMembership, membershipSizeBytes } from './membership.ts'
import { findRequest } from './requests.ts'
import { appendEntry, membershipOf, type RaftState, refuse } from './state.ts'
import type { Accepted, MembershipChange, Proposal, Refusal, RefusalReason } from './types.ts'

interface Why {
  readonly reason: RefusalReason
  readonly text: string
}

/** Why nothing may be appended now, or undefined. */
function judgeAppend(state: RaftState): Why | undefined {
  if (state.leader === undefined) {
    const whom = state.leaderId ?? 'again, when there is one'
    return { reason: 'not-leader', text: `${state.id} is not the leader: ask ${whom}` }
  }
  if (state.leader.transfer !== undefined) {
    const { to } = state.leader.transfer
    return { reason: 'transferring', text: `leadership is being handed to ${to}: ask there` }
  }
  if (state.isDiskFull) {
    return { reason: 'disk-full', text: `the disk of ${state.id} is full: free space` }
  }
  return undefined
}

/** Appends all of the entries, or refuses all of them. */
export function propose(state: RaftState, proposals: readonly Proposal[]): void {
  const why = judgeAppend(state) ?? judgeSize(state, proposals)
  if (why !== undefined) {
    refuse(state, { what: 'proposal', ...why })
    return
  }
  for (const proposal of proposals) state.out.accepted.push(proposeOne(state, proposal))
}

function judgeSize(state: RaftState, proposals: readonly Proposal[]): Why | undefined {
  const { entryBytesMax, uncommittedBytesMax } = state.config.limits
  let sizeBytes = leaderOf(state).uncommittedBytes
  for (const proposal of proposals) {
    if (proposal.sizeBytes > entryBytesMax) {
      const text = `an entry of ${proposal.sizeBytes} bytes, at most ${entryBytesMax}: split it`
      return { reason: 'too-large', text }
    }
    sizeBytes += proposal.sizeBytes
  }
  if (sizeBytes <= uncommittedBytesMax) return undefined
  const text = `${sizeBytes} bytes would wait for a majority, at most ${uncommittedBytesMax}: ask again later`
  return { reason: 'too-many-uncommitted', text }
}

function proposeOne(state: RaftState, proposal: Proposal): Accepted {
  const { request, data, sizeBytes } = proposal
  const earlier = request === undefined ? undefined : findRequest(state.requests, request)
  if (earlier !== undefined) {
    return { index: earlier.index, term: earlier.term, isDuplicate: true }
  }
  const index = lastIndex(state.log) + 1
  const { term } = state
  const entry = { type: 'normal', index, term, sizeBytes, data } as const
  appendEntry(state, request === undefined ? entry : { ...entry, request })
  leaderOf(state).uncommittedBytes += sizeBytes
  return { index, term, isDuplicate: false }
}

/** Appends a changed configuration, which is in force from here on; one at a time. */
export function proposeMembership(state: RaftState, change: MembershipChange): void {
  const why = judgeAppend(state) ?? judgeChange(state)
  if (why !== undefined) {
    refuse(state, { what: 'membership', ...why })
    return
  }
  const { limits } = state.config
  const { progress } = leaderOf(state)
  const next = changeMembership(membershipOf(state), change, {
    isReachable: (id) => isAnswering(state, id),
    entriesBehind: (id) => {
      // A learner that has acknowledged nothing may have no log at all, and would never vote.
      const match = progress.get(id)?.match ?? 0
      return match === 0 ? Number.POSITIVE_INFINITY : lastIndex(state.log) - match
    },
    entriesBehindMax: limits.promoteEntriesBehindMax,
    membersMax: limits.membersMax,
    removedKept: limits.removedKept,
  })
  if ('reason' in next) {
    refuse(state, { what: 'membership', ...next })
    return
  }
  const index = lastIndex(state.log) + 1
  const sizeBytes = membershipSizeBytes(next)
  appendEntry(state, { type: 'config', index, term: state.term, sizeBytes, data: next })
  leaderOf(state).uncommittedBytes += sizeBytes
  state.out.accepted.push({ index, term: state.term, isDuplicate: false })
  syncProgress(state)
}

function judgeChange(state: RaftState): Why | undefined {
  const newest = present(state.memberships.at(-1), 'a configuration')
  if (newest.index > state.commit) {
    const text = `the change at entry ${newest.index} is not committed yet (${state.commit}): wait for it`
    return { reason: 'change-in-flight', text }
  }
  // Without this a deposed leader's change and ours could overlap (raft-dev, July 2015).
  if (state.commit < leaderOf(state).firstIndex) {
    const text = `nothing of term ${state.term} is committed yet: wait for it`
    return { reason: 'no-entry-of-own-term', text }
  }
  return undefined
}

/** What a refusal of anything says before the start and after the end. */
export function refuseEverything(state: RaftState, what: Refusal['what'], context?: number): void {
  const isStopped = state.role === 'stopped'
  const why = isStopped
    ? ({ reason: 'stopped', text: `${state.id} is no member any more` } as const)
    : ({ reason: 'not-started', text: `${state.id} is starting: ask again` } as const)
  refuse(state, context === undefined ? { what, ...why } : { what, ...why, context })
}
