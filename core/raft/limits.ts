// Every bound of raft in one table. The simulator draws small ones, to walk into each of them.

import { assert } from '../base/assert.ts'

export interface RaftLimits {
  /** Entries and bytes of one append message; a single larger entry still travels alone. */
  readonly messageEntriesMax: number
  readonly messageBytesMax: number
  /** Appends on their way to one follower without an answer. */
  readonly inflightMessagesMax: number
  readonly inflightBytesMax: number
  /** One proposal; and all that are appended and not yet committed. */
  readonly entryBytesMax: number
  readonly uncommittedBytesMax: number
  /** Reads waiting for their confirmation. */
  readonly readsMax: number
  /** One piece of a snapshot. One is on its way at a time for each follower. */
  readonly chunkBytesMax: number
  /** Entries kept behind a snapshot, so that a follower that is a little late needs none. */
  readonly entriesKept: number
  /** Request ids remembered behind the commit index. */
  readonly requestsKept: number
  readonly membersMax: number
  readonly removedKept: number
  /** A learner this many entries behind may be promoted. */
  readonly promoteEntriesBehindMax: number
  /** Messages of a member whose new incarnation is still being written down. */
  readonly deferredMax: number
  /** Earlier starts that a member can name when it introduces itself. */
  readonly startsKept: number
  /** The election time-out grows to at most this many times the configured one. */
  readonly electionStretchMax: number
}

/** What the product runs with. */
export const raftLimits: RaftLimits = {
  messageEntriesMax: 1024,
  messageBytesMax: 1024 * 1024,
  inflightMessagesMax: 64,
  inflightBytesMax: 8 * 1024 * 1024,
  entryBytesMax: 4 * 1024 * 1024,
  uncommittedBytesMax: 32 * 1024 * 1024,
  readsMax: 10_000,
  chunkBytesMax: 512 * 1024,
  entriesKept: 2_000,
  requestsKept: 1_024,
  membersMax: 32,
  removedKept: 256,
  promoteEntriesBehindMax: 200,
  deferredMax: 64,
  startsKept: 64,
  electionStretchMax: 10,
}

/** Bounds that depend on each other. A broken one is a bug of the caller. */
export function assertLimits(limits: RaftLimits): void {
  for (const [name, value] of Object.entries(limits)) {
    assert(Number.isSafeInteger(value) && value >= 0, `limit ${name} is a whole number: ${value}`)
  }
  assert(limits.messageEntriesMax >= 1, 'an append carries at least 1 entry')
  assert(limits.inflightMessagesMax >= 1, 'at least 1 append is on its way')
  assert(limits.chunkBytesMax >= 1, 'a chunk has at least 1 byte')
  assert(limits.membersMax >= 1, 'a cluster has at least 1 member')
  assert(limits.uncommittedBytesMax >= limits.entryBytesMax, 'one largest entry can be uncommitted')
}
