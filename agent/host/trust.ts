// Trust: whom this node takes for a member, and for what. It holds the newest table of members that
// it has seen, from its own log or from a manager's word, and tells when that changes.

import { hasCode } from '../../core/base/error.ts'
import type { NodeId } from '../../core/base/id.ts'
import { limits } from '../../core/base/limits.ts'
import {
  isNewerTable,
  type MemberRow,
  type MemberTable,
  roleInTable,
} from '../../core/dispatch/table.ts'
import type { Cluster } from '../../core/object/cluster.ts'
import type { Succession } from '../../net/secure/certificate.ts'
import { isEqual } from '../../net/secure/crypto.ts'
import type { TrustPolicy } from '../../net/secure/handshake.ts'
import {
  applyTableChange,
  chainOf,
  decodeTable,
  type TableChange,
} from '../../net/secure/signed-table.ts'

export interface Trust extends TrustPolicy {
  readonly table: () => MemberTable | undefined
  /** The same with the cluster's signature, for others and for the disk. */
  readonly signedTable: () => Uint8Array | undefined
  readonly member: (nodeId: NodeId) => MemberRow | undefined
  readonly managers: () => readonly MemberRow[]
  /** How the cluster came to its newest key, as the last table has told it. */
  readonly chain: () => readonly Succession[]
  /** What a manager's own log says of the cluster's keys. */
  readonly adopt: (cluster: Pick<Cluster, 'key' | 'formerKeys'>) => void
  /**
   * Takes a signed table if it is newer; `isOwn` for the one of this node's disk, which an old key
   * may have signed. Throws permission-denied if another cluster has signed it.
   * True if it was.
   */
  readonly take: (signed: Uint8Array, options?: { readonly isOwn?: boolean }) => boolean
  /** Makes the newer table of the one it has; false if that cannot be, and the whole is needed. */
  readonly takeChange: (change: TableChange) => boolean
  /** Calls the listener after each change; returns how to stop. */
  readonly watch: (listener: () => void) => () => void
}

/**
 * Trust in the cluster of these public keys, the newest first; nobody is known yet. Keys that come
 * later are followed if the one before has signed them.
 */
export function createTrust(
  clusterKeys: readonly Uint8Array[],
  successions: readonly Succession[],
): Trust {
  let keys = clusterKeys
  let chain = successions
  const listeners = new Set<() => void>()
  let rows: ReadonlyMap<NodeId, MemberRow> = new Map()
  let current: { readonly table: MemberTable; readonly signed: Uint8Array } | undefined
  const accept = (table: MemberTable, signed: Uint8Array): void => {
    current = { table, signed }
    rows = new Map(table.rows.map((row) => [row.id, row]))
    for (const listener of listeners) listener()
  }
  return {
    clusterKeys: () => keys,
    chain: () => chain,
    adopt: (cluster) => {
      const former = (cluster.formerKeys ?? []).map(({ publicKey }) => publicKey)
      keys = [cluster.key.publicKey, ...former.toReversed()]
      chain = chainOf(cluster)
    },
    // Who knows nobody yet has a token's or a manager's word for the cluster, and a certificate
    // says the rest.
    roleOf: (certificate) =>
      current === undefined ? 'newcomer' : roleInTable(current.table, certificate),
    table: () => current?.table,
    signedTable: () => current?.signed,
    member: (nodeId) => rows.get(nodeId),
    managers: () => [...rows.values()].filter((row) => row.role === 'manager'),
    take: (signed, { isOwn = false } = {}) => {
      const { table, clusterKey, ...found } = decodeTable(signed, keys, { isOld: isOwn })
      if (current !== undefined && !isNewerTable(table, current.table)) return false
      const isNewKey = !keys.some((key) => isEqual(key, clusterKey))
      if (isNewKey) keys = [clusterKey, ...keys].slice(0, limits.formerKeysMax + 1)
      if (isNewKey || found.chain.length > 0) chain = found.chain
      accept(table, signed)
      return true
    },
    takeChange: (change) => {
      // A change leads from one table to the next of the same epoch; into another one leads the whole.
      if (current === undefined || change.epoch !== current.table.epoch) return false
      if (change.index <= current.table.index) return true
      if (change.from > current.table.index) return false
      try {
        const { table, signed } = applyTableChange(current.table, change, {
          clusterKeys: keys,
          chain,
        })
        accept(table, signed)
        return true
      } catch (error) {
        if (!hasCode(error, 'permission-denied')) throw error
        return false
      }
    },
    watch: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
