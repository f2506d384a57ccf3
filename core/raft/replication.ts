// Replication: sends followers what they lack, entries or a snapshot, as far as their windows allow.

import { assert } from '../base/assert.ts'
import { leaderOf } from './followers.ts'
import { batch, lastIndex, termAt } from './log.ts'
import { type Progress, sentAhead } from './progress.ts'
import { sendSnapshot } from './snapshots.ts'
import { type RaftState, send } from './state.ts'

/** Sends every follower what it lacks, as far as its window allows. */
export function replicate(state: RaftState): void {
  for (const progress of leaderOf(state).progress.values()) sendAppends(state, progress)
}

export function sendAppends(state: RaftState, progress: Progress): void {
  if (progress.state === 'snapshot') return
  if (progress.state === 'probe') {
    if (!progress.isPaused) progress.isPaused = sendAppend(state, progress, false)
    return
  }
  const { inflightMessagesMax, inflightBytesMax } = state.config.limits
  while (
    progress.next <= lastIndex(state.log) &&
    progress.inflight.length < inflightMessagesMax &&
    progress.inflightBytes < inflightBytesMax
  ) {
    if (!sendAppend(state, progress, false)) return
  }
}

/** Sends one append from `next` on; false if a snapshot must take its place. */
export function sendAppend(state: RaftState, progress: Progress, isEmpty: boolean): boolean {
  assert(progress.next > progress.match, `next of ${progress.id} is above its match`)
  const prevIndex = progress.next - 1
  const prevTerm = termAt(state.log, prevIndex)
  if (prevTerm === undefined) {
    sendSnapshot(state, progress)
    return false
  }
  const { messageEntriesMax, messageBytesMax } = state.config.limits
  const max = { entries: messageEntriesMax, sizeBytes: messageBytesMax }
  const entries = isEmpty ? [] : batch(state.log, progress.next, max)
  const { commit } = state
  send(state, progress.id, { type: 'append', prevIndex, prevTerm, commit, entries })
  if (progress.state === 'replicate' && entries.length > 0) {
    const sizeBytes = entries.reduce((sum, entry) => sum + entry.sizeBytes, 0)
    sentAhead(progress, prevIndex + entries.length, sizeBytes)
  }
  return true
}
