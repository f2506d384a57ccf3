// The table of members: a key says who somebody is, a certificate alone does not.

import t from 'tap'
import type { ClusterId } from '../../../core/base/id.ts'
import { type MemberTable, roleInTable } from '../../../core/dispatch/table.ts'
import { memberIdOf, nodeOfMember } from '../../../core/object/node.ts'
import { nodeIdOf } from '../../support/cluster-keys.ts'

const clusterId = 'c'.repeat(25) as ClusterId
const key = (first: number): Uint8Array => new Uint8Array(32).fill(first)
const table: MemberTable = {
  clusterId,
  index: 100,
  rows: [
    { id: nodeIdOf(1), role: 'manager', keys: { worker: key(1), manager: key(11) }, generation: 1 },
    { id: nodeIdOf(2), role: 'worker', keys: { worker: key(2) }, generation: 1 },
    // Demoted, and its row was not cleaned: the role decides.
    { id: nodeIdOf(3), role: 'worker', keys: { worker: key(3), manager: key(13) }, generation: 2 },
  ],
}

const rows = [
  { what: 'a manager by its manager key', number: 1, first: 11, is: 'manager' },
  { what: 'the same, locked, by its worker key', number: 1, first: 1, is: 'worker' },
  { what: 'a worker', number: 2, first: 2, is: 'worker' },
  { what: 'one who was demoted, by its old key', number: 3, first: 13, is: undefined },
  { what: 'a known id with a key of its own', number: 2, first: 9, is: undefined },
  { what: 'one who was removed', number: 7, first: 7, is: undefined },
  { what: 'one newer than the table', number: 8, first: 8, index: 101, is: 'newcomer' },
  { what: 'a new key, newer than the table', number: 2, first: 9, index: 101, is: 'newcomer' },
  { what: 'one of another cluster', number: 1, first: 11, cluster: 'd', is: undefined },
] as const

for (const row of rows) {
  t.test(row.what, async (t) => {
    const claim = {
      clusterId: 'cluster' in row ? ('d'.repeat(25) as ClusterId) : clusterId,
      nodeId: nodeIdOf(row.number),
      key: key(row.first),
      tableIndex: 'index' in row ? row.index : 50,
    }
    t.equal(roleInTable(table, claim), row.is)
  })
}

t.test('a member of raft leads back to its node', async (t) => {
  for (const generation of [1, 2, 17]) {
    t.equal(nodeOfMember(memberIdOf({ id: nodeIdOf(4), generation })), nodeIdOf(4))
  }
  t.not(memberIdOf({ id: nodeIdOf(4), generation: 2 }), nodeIdOf(4))
})
