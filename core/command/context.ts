// What running a command needs besides the draft: randomness for ids, and what Raft knows of the
// managers. Time and index are the draft's.

import type { NodeId } from '../base/id.ts'
import type { Random } from '../base/random.ts'

export interface CommandContext {
  readonly random: Random
  /** True if the cluster still has a quorum of reachable managers without this one. */
  readonly hasQuorumWithout: (id: NodeId) => boolean
}
