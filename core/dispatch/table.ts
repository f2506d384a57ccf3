// Table of members: who belongs to the cluster, in which role, and by which keys it is known. It is
// read from the store; signed and numbered it goes to every node, which trusts nobody else.
//
//   store (managers)  --tableOf-->  table  --signed-->  nodes: whom to dial, whom to let in

import { equal } from '../base/equal.ts'
import type { ClusterId, NodeId } from '../base/id.ts'
import type { NodeKeys, NodeRole } from '../object/node.ts'
import type { View } from '../store/view.ts'

export interface MemberRow {
  readonly id: NodeId
  readonly role: NodeRole
  readonly keys: NodeKeys
  readonly generation: number
  /** host:port where a manager is reached; absent on workers. */
  readonly managerAddress?: string
}

export interface MemberTable {
  readonly clusterId: ClusterId
  /** Counter of the epoch; absent: 1. */
  readonly epoch?: number
  /** Index of the log that it was read at: within an epoch a higher one is newer. */
  readonly index: number
  readonly rows: readonly MemberRow[]
}

/** What a certificate says of its holder, as far as a table can judge it. */
export interface Claim {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly key: Uint8Array
  /** Index of the log at which it was given. */
  readonly tableIndex: number
}

/** The table as of this view; undefined while there is no cluster. */
export function tableOf(view: View, index: number): MemberTable | undefined {
  const cluster = view.cluster()
  if (cluster === undefined) return undefined
  const rows = view.all('node').map(({ id, spec, keys, generation, memberId, managerAddress }) => ({
    // One that is to be a worker is a manager until Raft has let it go.
    ...{ id, role: memberId === undefined ? spec.role : 'manager', keys, generation },
    ...(managerAddress === undefined ? {} : { managerAddress }),
  }))
  const { epoch } = cluster
  const common = { clusterId: cluster.id, index, rows }
  return epoch === undefined ? common : { ...common, epoch: epoch.counter }
}

/** True if the table tells newer things than the other one. */
export function isNewerTable(table: MemberTable, other: MemberTable): boolean {
  const [epoch, otherEpoch] = [table.epoch ?? 1, other.epoch ?? 1]
  return epoch === otherEpoch ? table.index > other.index : epoch > otherEpoch
}

/**
 * What the holder of a certificate is to the table. The key says it, not the certificate: a manager
 * that was demoted has its worker's key only. Undefined: it is not, or no longer, a member.
 */
export function roleInTable(
  table: MemberTable,
  claim: Claim,
): 'manager' | 'worker' | 'newcomer' | undefined {
  if (claim.clusterId !== table.clusterId) return undefined
  const row = table.rows.find((each) => each.id === claim.nodeId)
  if (row !== undefined) {
    const isManager = row.role === 'manager' && equal(row.keys.manager, claim.key)
    if (isManager) return 'manager'
    if (equal(row.keys.worker, claim.key)) return 'worker'
  }
  return claim.tableIndex > table.index ? 'newcomer' : undefined
}
