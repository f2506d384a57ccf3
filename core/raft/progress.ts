// A follower in its leader's eyes.
//
//   probe     --answer--> replicate      one append at a time until the logs are known to meet
//   replicate --refusal, loss--> probe   appends are sent ahead, within a window
//   any       --its entries are compacted--> snapshot --installed, or it can be appended to--> ...
//
// Two rules: `match` never moves back, and `next` never moves to `match` or below it.

import { assert } from '../base/assert.ts'
import type { MemberId, Snapshot } from './types.ts'

export interface Transfer {
  readonly snapshot: Snapshot
  offset: number
  sentAt: number
}

export interface Progress {
  readonly id: MemberId
  state: 'probe' | 'replicate' | 'snapshot'
  /** The follower's log is durable and equal to ours up to here. */
  match: number
  /** The next entry to send. */
  next: number
  /** In probe: one append is on its way; wait for its answer, or for a heartbeat's. */
  isPaused: boolean
  /** In replicate: last index and size of each append on its way, oldest first. */
  inflight: { readonly index: number; readonly sizeBytes: number }[]
  inflightBytes: number
  transfer: Transfer | undefined
  /** When it was last heard, in the leader's ticks. */
  heardAt: number
  /** It has answered this leader at all; until then `heardAt` is only the grace of a new one. */
  hasAnswered: boolean
  /** The newest heartbeat round that it answered, and the newest that was sent. */
  roundAcked: number
  roundSent: number
  /** `match` when that round was sent: an answer to it that shows less log betrays a lost disk. */
  matchAtRound: number
  /** `match` at the last heartbeat answer: no movement since means that an append was lost. */
  matchAtReply: number
  /** Smoothed round trip; undefined before the first answer. */
  roundTripTicks: number | undefined
}

export function makeProgress(id: MemberId, next: number, now: number): Progress {
  return {
    id,
    state: 'probe',
    match: 0,
    next,
    isPaused: false,
    inflight: [],
    inflightBytes: 0,
    transfer: undefined,
    heardAt: now,
    hasAnswered: false,
    roundAcked: 0,
    roundSent: 0,
    matchAtRound: 0,
    matchAtReply: 0,
    roundTripTicks: undefined,
  }
}

function clearInflight(progress: Progress): void {
  progress.inflight = []
  progress.inflightBytes = 0
}

export function becomeProbe(progress: Progress, next: number): void {
  progress.state = 'probe'
  progress.next = Math.max(next, progress.match + 1)
  progress.isPaused = false
  progress.transfer = undefined
  clearInflight(progress)
}

export function becomeReplicate(progress: Progress): void {
  progress.state = 'replicate'
  progress.next = progress.match + 1
  progress.isPaused = false
  progress.transfer = undefined
  clearInflight(progress)
}

export function becomeSnapshot(progress: Progress, snapshot: Snapshot, now: number): void {
  progress.state = 'snapshot'
  progress.transfer = { snapshot, offset: 0, sentAt: now }
  clearInflight(progress)
}

/** Notes an append of entries up to `index` as on its way, and moves on without waiting. */
export function sentAhead(progress: Progress, index: number, sizeBytes: number): void {
  assert(progress.state === 'replicate', 'only a replicating follower is sent to ahead')
  assert(index >= progress.next, `entries up to ${index} are new to ${progress.id}`)
  progress.next = index + 1
  progress.inflight.push({ index, sizeBytes })
  progress.inflightBytes += sizeBytes
}

/** Moves `match` up to an acknowledged index; false if that is old news. */
export function acknowledge(progress: Progress, match: number): boolean {
  while (progress.inflight.length > 0) {
    const oldest = progress.inflight[0]
    if (oldest === undefined || oldest.index > match) break
    progress.inflightBytes -= oldest.sizeBytes
    progress.inflight.shift()
  }
  if (match <= progress.match) return false
  progress.match = match
  progress.next = Math.max(progress.next, match + 1)
  return true
}

/** A new sample of the round trip, smoothed by an eighth; a single late letter does not rule. */
export function noteRoundTrip(progress: Progress, sampleTicks: number): void {
  if (progress.roundTripTicks === undefined) progress.roundTripTicks = sampleTicks
  progress.roundTripTicks += (sampleTicks - progress.roundTripTicks) / 8
}
