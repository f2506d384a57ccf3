// Signed tables: what was signed comes back, and nothing else is taken for one.

import t from 'tap'
import type { ClusterId } from '../../../core/base/id.ts'
import type { MemberTable } from '../../../core/dispatch/table.ts'
import { makeSigningKeys, sign } from '../../../net/secure/crypto.ts'
import {
  applyTableChange,
  decodeTable,
  encodeTable,
  readTableChange,
  tableChange,
} from '../../../net/secure/signed-table.ts'
import { decode, encode } from '../../../net/wire/codec.ts'
import { nodeIdOf } from '../../support/cluster-keys.ts'

const cluster = makeSigningKeys()
const table: MemberTable = {
  clusterId: 'c'.repeat(25) as ClusterId,
  index: 77,
  rows: [
    {
      id: nodeIdOf(1),
      role: 'manager',
      keys: { worker: new Uint8Array(32), manager: new Uint8Array(32).fill(1) },
      generation: 2,
      managerAddress: '10.0.0.1:2377',
    },
    { id: nodeIdOf(2), role: 'worker', keys: { worker: new Uint8Array(32) }, generation: 1 },
  ],
}
const signed = encodeTable(table, cluster.privateKey)

t.test('what was signed comes back', async (t) => {
  t.same(decodeTable(signed, [cluster.publicKey]).table, table)
  const known = [makeSigningKeys().publicKey, cluster.publicKey]
  t.same(decodeTable(signed, known, { isOld: true }).table, table)
  t.throws(() => decodeTable(signed, known), { code: 'permission-denied' })
  const recovered = { ...table, epoch: 2 }
  t.same(
    decodeTable(encodeTable(recovered, cluster.privateKey), [cluster.publicKey]).table,
    recovered,
  )
})

t.test('any other byte is refused', async (t) => {
  for (let at = 0; at < signed.length; at += 7) {
    const changed = signed.slice()
    changed[at] = (changed[at] ?? 0) ^ 1
    t.throws(() => decodeTable(changed, [cluster.publicKey]), { name: 'CodedError' })
  }
  t.throws(() => decodeTable(signed, [makeSigningKeys().publicKey]), { code: 'permission-denied' })
})

t.test('what is signed but no table is refused, and named', async (t) => {
  const forge = (change: object): Uint8Array => {
    const body = encode({ version: 1, ...table, ...change })
    const message = Buffer.concat([Buffer.from('skep members\n'), body])
    return encode([body, sign(cluster.privateKey, message)])
  }
  const rows = [
    [{ index: -1 }, /index/],
    [{ clusterId: 'x' }, /clusterId/],
    [{ rows: 7 }, /rows/],
    [{ rows: [{ ...table.rows[1], role: 'king' }] }, /role/],
    [{ rows: [{ ...table.rows[1], keys: { worker: new Uint8Array(31) } }] }, /worker/],
  ] as const
  for (const [change, message] of rows) {
    t.throws(() => decodeTable(forge(change), [cluster.publicKey]), {
      code: 'bad-request',
      message,
    })
  }
  const [body] = decode(signed) as [Uint8Array]
  t.throws(() => decodeTable(encode([body]), [cluster.publicKey]), { code: 'bad-request' })
})

t.test('a change makes the newer table of the older, byte for byte', async (t) => {
  const [first, second] = table.rows
  if (first === undefined || second === undefined) throw new Error('two rows are needed')
  const key = new Uint8Array(32).fill(9)
  const newer: MemberTable = {
    ...table,
    index: table.index + 5,
    rows: [
      { ...second, generation: second.generation + 1 },
      { ...first, id: nodeIdOf(77), keys: { worker: key } },
    ],
  }
  const bytes = encodeTable(newer, cluster.privateKey)
  const change = tableChange(table, { table: newer, signed: bytes })
  t.same([change.put.length, change.removed], [2, [first.id]])
  const keys = { clusterKeys: [cluster.publicKey], chain: [] }
  const made = applyTableChange(table, readTableChange(decode(encode(change))), keys)
  t.same(made.signed, bytes)
  t.throws(
    () =>
      applyTableChange(
        { ...table, rows: [...table.rows, { ...first, id: nodeIdOf(78) }] },
        change,
        keys,
      ),
    {
      code: 'permission-denied',
    },
  )
})
