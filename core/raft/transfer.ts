// Transfer: a leader hands over to a follower that has everything (thesis 3.10).

import { isAnswering, leaderOf } from './followers.ts'
import { lastIndex } from './log.ts'
import { isVoter, memberOf, quorumOf, voterCount } from './membership.ts'
import { sendAppends } from './replication.ts'
import { membershipOf, note, type RaftState, refuse, send } from './state.ts'
import type { MemberId, RefusalReason } from './types.ts'

interface Why {
  readonly reason: RefusalReason
  readonly text: string
}

/** Starts to hand over, to the given member or the best one. */
export function startTransfer(state: RaftState, to: MemberId | undefined): void {
  const { leader } = state
  const refuseIt = (why: Why): void => refuse(state, { what: 'transfer', ...why })
  if (leader === undefined) {
    refuseIt({ reason: 'not-leader', text: `${state.id} is not the leader` })
    return
  }
  if (to !== undefined && !isVoter(membershipOf(state), to)) {
    const reason = memberOf(membershipOf(state), to) ? 'not-a-voter' : 'unknown-member'
    refuseIt({ reason, text: `${to} cannot lead: name a voter` })
    return
  }
  if (to === state.id) return
  const target = to ?? bestSuccessor(state)
  if (target === undefined || !isAnswering(state, target)) {
    const text = `of ${voterCount(membershipOf(state))} voters (majority ${quorumOf(membershipOf(state))}) none that answers can take over`
    refuseIt({ reason: 'nobody-to-take-over', text })
    return
  }
  leader.transfer = { to: target, deadline: state.now + 2 * state.electionTicks, isSent: false }
  note(state, 'raft.transfer-started', { to: target })
  tickTransfer(state)
}

function bestSuccessor(state: RaftState): MemberId | undefined {
  let best: { id: MemberId; match: number } | undefined
  for (const { id, match } of leaderOf(state).progress.values()) {
    if (!isVoter(membershipOf(state), id) || !isAnswering(state, id)) continue
    if (best === undefined || match > best.match) best = { id, match }
  }
  return best?.id
}

/** Tells the successor to campaign once it has everything; gives up in time. */
export function tickTransfer(state: RaftState): void {
  const leader = leaderOf(state)
  const { transfer } = leader
  if (transfer === undefined) return
  const progress = leader.progress.get(transfer.to)
  if (progress === undefined || state.now >= transfer.deadline) {
    leader.transfer = undefined
    note(state, 'raft.transfer-failed', { to: transfer.to })
    return
  }
  if (transfer.isSent) return
  if (progress.match < lastIndex(state.log)) {
    sendAppends(state, progress)
    return
  }
  transfer.isSent = true
  send(state, transfer.to, { type: 'timeoutNow' })
}
