// The table of members as a manager makes it from its log, when what it says has changed.

import { equal } from '../core/base/equal.ts'
import { isNewerTable, tableOf } from '../core/dispatch/table.ts'
import type { ManagerMachine } from '../core/machine/manager.ts'
import { chainOf, encodeTable } from '../net/secure/signed-table.ts'
import type { Trust } from './host/trust.ts'

/** Signs the table and gives it to our own trust, which tells everybody. */
export function publishTable(machine: ManagerMachine, trust: Trust): void {
  const cluster = machine.view.cluster()
  const table = tableOf(machine.view, machine.appliedIndex)
  if (cluster === undefined || table === undefined) return
  const known = trust.table()
  const [newest] = trust.clusterKeys()
  const isSigned = newest !== undefined && equal(newest, cluster.key.publicKey)
  if (known !== undefined) {
    const isSame = known.epoch === table.epoch && equal(known.rows, table.rows)
    if ((isSame && isSigned) || !isNewerTable(table, known)) return
  }
  trust.adopt(cluster)
  trust.take(encodeTable(table, cluster.key.privateKey, chainOf(cluster)))
}
