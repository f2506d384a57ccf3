// Trust: whom this node takes for a member, and for what. It holds the newest table of members that
// it has seen, from its own log or from a manager's word, and tells when that changes.

import { hasCode } from '../../core/base/error.ts'
import type { NodeId } from '../../core/base/id.ts'
import {
  isNewerTable,
  type MemberRow,
  type MemberTable,
  roleInTable,
} from '../../core/dispatch/table.ts'
import type { TrustPolicy } from '../../net/secure/handshake.ts'
import { applyTableChange, decodeTable, type TableChange } from '../../net/secure/signed-table.ts'

export interface Trust extends TrustPolicy {
  readonly table: () => MemberTable | undefined
  /** The same with the cluster's signature, for others and for the disk. */
  readonly signedTable: () => Uint8Array | undefined
  readonly member: (nodeId: NodeId) => MemberRow | undefined
  readonly managers: () => readonly MemberRow[]
  /**
   * Takes a signed table if it is newer. Throws permission-denied if another cluster has signed it.
   * True if it was.
   */
  readonly take: (signed: Uint8Array) => boolean
  /** Makes the newer table of the one it has; false if that cannot be, and the whole is needed. */
  readonly takeChange: (change: TableChange) => boolean
  /** Calls the listener after each change; returns how to stop. */
  readonly watch: (listener: () => void) => () => void
}

/** Trust in the cluster of these public keys, the newest first; nobody is known yet. */
export function createTrust(clusterKeys: () => readonly Uint8Array[]): Trust {
  const listeners = new Set<() => void>()
  let rows: ReadonlyMap<NodeId, MemberRow> = new Map()
  let current: { readonly table: MemberTable; readonly signed: Uint8Array } | undefined
  const adopt = (table: MemberTable, signed: Uint8Array): void => {
    current = { table, signed }
    rows = new Map(table.rows.map((row) => [row.id, row]))
    for (const listener of listeners) listener()
  }
  return {
    clusterKeys,
    // Who knows nobody yet has a token's or a manager's word for the cluster, and a certificate
    // says the rest.
    roleOf: (certificate) =>
      current === undefined ? 'newcomer' : roleInTable(current.table, certificate),
    table: () => current?.table,
    signedTable: () => current?.signed,
    member: (nodeId) => rows.get(nodeId),
    managers: () => [...rows.values()].filter((row) => row.role === 'manager'),
    take: (signed) => {
      const table = decodeTable(signed, clusterKeys())
      if (current !== undefined && !isNewerTable(table, current.table)) return false
      adopt(table, signed)
      return true
    },
    takeChange: (change) => {
      if (current === undefined) return false
      if (change.index <= current.table.index) return true
      if (change.from > current.table.index) return false
      try {
        const { table, signed } = applyTableChange(current.table, change, clusterKeys())
        adopt(table, signed)
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
