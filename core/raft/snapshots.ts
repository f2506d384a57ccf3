// Snapshots: taken by the host, sent in pieces, installed.
//
//   leader                                     follower
//     |-- chunk {id, head, offset 0} ------------> |  what it has suffices? acknowledge that
//     |<- reply {id, nextOffset} ----------------- |  the piece is staged, durably
//     |-- chunk {id, offset: nextOffset} --------> |  ...
//     |<- appendReply {match: index} ------------- |  complete, installed, durable
//
// The receiver says where to go on, so a lost piece, a restart or a new leader resumes. Pieces are
// told apart by the snapshot's id (a digest of its bytes) and accepted only at the very offset
// that is expected, so that two snapshots are never mixed.

import { assert, present } from '../base/assert.ts'
import { heardFollower, leaderOf } from './followers.ts'
import { compact, lastIndex, reset, termAt } from './log.ts'
import { becomeProbe, becomeSnapshot, type Progress } from './progress.ts'
import { makeRequests, requestsUpTo } from './requests.ts'
import {
  commitTo,
  forgetDurable,
  membershipAt,
  mergeSeen,
  note,
  promise,
  type RaftState,
  send,
  termOf,
} from './state.ts'
import type {
  MemberId,
  Snapshot,
  SnapshotChunk,
  SnapshotChunkReply,
  SnapshotHead,
} from './types.ts'

/** What stands in a snapshot at `index`: committed, applied, and still in the log. */
export function snapshotHead(state: RaftState, index: number): SnapshotHead {
  assert(index <= state.commit, `entry ${index} is committed (${state.commit})`)
  const placed = membershipAt(state, index)
  return {
    index,
    term: termOf(state, index),
    membership: placed.membership,
    membershipIndex: placed.index,
    epoch: state.epoch,
    seen: state.seen,
    requests: requestsUpTo(state.requests, index),
  }
}

/** The host has a durable snapshot: the entries that it covers may go, but for the newest few. */
export function onSnapshotTaken(state: RaftState, snapshot: Snapshot): void {
  assert(snapshot.index <= state.commit, `snapshot ${snapshot.index} is of committed entries`)
  assert(snapshot.sizeBytes >= 1, 'a snapshot has at least 1 byte')
  if (state.snapshot !== undefined && snapshot.index <= state.snapshot.index) return
  state.snapshot = snapshot
  note(state, 'raft.snapshot-taken', { index: snapshot.index })
  let to = Math.max(snapshot.index - state.config.limits.entriesKept, state.log.baseIndex)
  for (const progress of state.leader?.progress.values() ?? []) {
    // Who is being sent a snapshot will next need the entries behind it.
    if (progress.transfer !== undefined) to = Math.min(to, progress.transfer.snapshot.index)
  }
  if (to <= state.log.baseIndex) return
  compact(state.log, to)
  const base = membershipAt(state, to)
  state.memberships = [base, ...state.memberships.filter((placed) => placed.index > to)]
  state.out.compactTo = to
}

/** The entries that a follower needs are gone: begin to send the newest snapshot. */
export function sendSnapshot(state: RaftState, progress: Progress): void {
  const snapshot = present(state.snapshot, `the snapshot that covers entry ${progress.next}`)
  becomeSnapshot(progress, snapshot, state.now)
  note(state, 'raft.snapshot-sending', { to: progress.id, index: snapshot.index })
  sendChunk(state, progress)
}

function sendChunk(state: RaftState, progress: Progress): void {
  const transfer = present(progress.transfer, 'a snapshot on its way')
  const { snapshot, offset } = transfer
  const sizeBytes = Math.min(snapshot.sizeBytes - offset, state.config.limits.chunkBytesMax)
  assert(sizeBytes >= 1, `piece at ${offset} of ${snapshot.sizeBytes} bytes is not empty`)
  transfer.sentAt = state.now
  send(state, progress.id, {
    type: 'snapshotChunk',
    snapshotId: snapshot.id,
    snapshot: offset === 0 ? snapshot : undefined,
    offset,
    sizeBytes,
    data: undefined,
  })
}

/** A piece without an answer for an election time-out is sent again; a silent follower is let go. */
export function tickSnapshot(state: RaftState, progress: Progress): void {
  const { transfer } = progress
  if (transfer === undefined || state.now - transfer.sentAt < state.electionTicks) return
  if (state.now - progress.heardAt > 10 * state.electionTicks) {
    // It is gone for long: entries need not be kept for it. A heartbeat's answer starts anew.
    becomeProbe(progress, progress.match + 1)
    progress.isPaused = true
    return
  }
  sendChunk(state, progress)
}

export function onSnapshotChunkReply(
  state: RaftState,
  from: MemberId,
  message: SnapshotChunkReply,
): void {
  const progress = heardFollower(state, from, message.term)
  const transfer = progress?.transfer
  if (progress === undefined || transfer === undefined) return
  const { snapshot } = transfer
  if (snapshot.id !== message.snapshotId || message.nextOffset >= snapshot.sizeBytes) return
  // Back to the start after a restart, or forward; all else is an old letter.
  if (message.nextOffset <= transfer.offset && message.nextOffset !== 0) return
  if (message.nextOffset === transfer.offset) return
  transfer.offset = message.nextOffset
  sendChunk(state, progress)
}

/** A piece of a snapshot from our leader. */
export function onSnapshotChunk(state: RaftState, from: MemberId, message: SnapshotChunk): void {
  const { snapshotId, offset, snapshot } = message
  if (snapshot !== undefined && state.staging?.snapshot.id !== snapshotId) {
    if (isCovered(state, snapshot)) {
      promise(state, from, { type: 'appendReply', match: Math.max(snapshot.index, state.commit) })
      return
    }
    assert(offset === 0, 'the head travels with offset 0')
    state.staging = { snapshot, offset: 0 }
  }
  const { staging } = state
  const expected = staging?.snapshot.id === snapshotId ? staging.offset : 0
  if (staging === undefined || staging.snapshot.id !== snapshotId || offset !== expected) {
    promise(state, from, { type: 'snapshotChunkReply', snapshotId, nextOffset: expected })
    return
  }
  const { sizeBytes, data } = message
  assert(offset + sizeBytes <= staging.snapshot.sizeBytes, 'a piece ends within its snapshot')
  state.out.chunk = { snapshotId, offset, sizeBytes, data }
  staging.offset += sizeBytes
  if (staging.offset < staging.snapshot.sizeBytes) {
    const nextOffset = staging.offset
    promise(state, from, { type: 'snapshotChunkReply', snapshotId, nextOffset })
    return
  }
  state.staging = undefined
  if (!isCovered(state, staging.snapshot)) install(state, staging.snapshot)
  const match = Math.max(staging.snapshot.index, state.commit)
  promise(state, from, { type: 'appendReply', match })
}

/** True if our log holds all that the snapshot stands for; it then only moves the commit index. */
function isCovered(state: RaftState, snapshot: Snapshot): boolean {
  if (snapshot.index <= state.commit) return true
  if (termAt(state.log, snapshot.index) !== snapshot.term) return false
  commitTo(state, snapshot.index)
  return true
}

/** Our log is behind, or differs: the snapshot takes the place of all of it. */
function install(state: RaftState, snapshot: Snapshot): void {
  assert(snapshot.index > state.commit, 'a snapshot never moves the commit index back')
  note(state, 'raft.snapshot-installed', { index: snapshot.index, last: lastIndex(state.log) })
  forgetDurable(state, state.commit + 1)
  reset(state.log, snapshot)
  state.out.unsavedFrom = undefined
  state.commit = snapshot.index
  state.matched = snapshot.index
  state.snapshot = snapshot
  state.memberships = [{ index: snapshot.membershipIndex, membership: snapshot.membership }]
  state.requests = makeRequests(snapshot.requests)
  mergeSeen(state, snapshot.seen)
  state.out.install = snapshot
  state.out.restore = snapshot
}

/** Snapshots whose files are still being sent. */
export function snapshotsInUse(state: RaftState): readonly string[] {
  if (state.leader === undefined) return []
  const ids = new Set<string>()
  for (const { transfer } of leaderOf(state).progress.values()) {
    if (transfer !== undefined) ids.add(transfer.snapshot.id)
  }
  return [...ids]
}
