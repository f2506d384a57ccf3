// Linearizable reads without the log (ReadIndex, thesis 6.4).
//
// A read waits for three things: an entry of our own term is committed (else our commit index may
// be behind the truth), a majority answers a heartbeat that was sent after the read came (else we
// may have been deposed), and the host has applied everything up to the index (the host's part).
//
// Reads that come while a round is out share the next one: one broadcast for all that wait.

import { present } from '../base/assert.ts'
import { hasQuorum } from './membership.ts'
import { membershipOf, type RaftState, refuse } from './state.ts'

/** The host wants to read. Answered by `reads` or `refused` with the same context. */
export function requestRead(state: RaftState, context: number): void {
  const { leader } = state
  if (leader === undefined) {
    const text = `${state.id} is not the leader: ask ${state.leaderId ?? 'again, when there is one'}`
    refuse(state, { what: 'read', reason: 'not-leader', text, context })
    return
  }
  const { readsMax } = state.config.limits
  if (leader.reads.length >= readsMax) {
    const text = `${leader.reads.length} reads wait, at most ${readsMax}: ask again later`
    refuse(state, { what: 'read', reason: 'too-many-reads', text, context })
    return
  }
  const index = state.commit >= leader.firstIndex ? state.commit : undefined
  leader.reads.push({ context, index, round: leader.round + 1 })
}

/** The first entry of our term was committed: reads that waited for it get their index. */
export function openReads(state: RaftState): void {
  const leader = present(state.leader, 'the leader state')
  if (state.commit < leader.firstIndex) return
  for (const read of leader.reads) read.index ??= state.commit
  confirmReads(state)
}

/** Hands out the reads whose round a majority has answered. */
export function confirmReads(state: RaftState): void {
  const leader = present(state.leader, 'the leader state')
  const membership = membershipOf(state)
  while (leader.reads.length > 0) {
    const read = leader.reads[0]
    if (read === undefined || read.index === undefined) return
    const { round, index, context } = read
    const isConfirmed = hasQuorum(membership, (id) =>
      id === state.id ? leader.round >= round : (leader.progress.get(id)?.roundAcked ?? 0) >= round,
    )
    if (!isConfirmed) return
    leader.reads.shift()
    state.out.reads.push({ context, index })
  }
}

/** The round that the newest read needs and no earlier broadcast will do for; 0 if none waits. */
export function roundOfNewestRead(state: RaftState): number {
  const leader = present(state.leader, 'the leader state')
  const oldest = leader.reads[0]
  if (oldest === undefined) return 0
  // A round is out that the oldest waits for: the rest goes with the next one.
  return oldest.round > leader.round ? oldest.round : 0
}
