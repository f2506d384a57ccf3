// The table of members as bytes, with the cluster's signature: what a node keeps on its disk, and
// by which it knows whom to trust when no manager is there to ask.
//
//   signed table  [ body, signature, chain ]  MessagePack; rows in order of their ids
//   chain         how the cluster came to the key that has signed, from those before it
//   signed        "skep members\n" + body, with the cluster's Ed25519 key
//   change        what differs from an older table, and the signature of the whole newer one: who
//                 has the older one makes the newer from it, byte for byte

import { equal } from '../../core/base/equal.ts'
import { CodedError } from '../../core/base/error.ts'
import { type ClusterId, isId, type NodeId } from '../../core/base/id.ts'
import { limits as coreLimits } from '../../core/base/limits.ts'
import { encodeText } from '../../core/base/text.ts'
import type { MemberRow, MemberTable } from '../../core/dispatch/table.ts'
import {
  readBytes,
  readCount,
  readFields,
  readList,
  readOptional,
  readText,
  readWord,
} from '../wire/check.ts'
import { decode, encode } from '../wire/codec.ts'
import { followSuccessions, readSuccession, type Succession } from './certificate.ts'
import { keyBytes, sign, signatureBytes, verify } from './crypto.ts'

const purpose = encodeText('skep members\n')
const formatVersion = 1
const bytesMax = 8 * 1024 * 1024
/** A table has at most so many members; each is some 150 bytes. */
export const membersMax = 20_000
const limits = { bytesMax, depthMax: 6, itemsMax: membersMax * 16 }

/** How the cluster came to its key from those before it, the oldest first. */
export function chainOf({
  key,
  formerKeys = [],
}: {
  readonly key: { readonly publicKey: Uint8Array }
  readonly formerKeys?: readonly {
    readonly publicKey: Uint8Array
    readonly signature: Uint8Array
  }[]
}): readonly Succession[] {
  return formerKeys.map(({ signature }, index) => ({
    nextKey: formerKeys[index + 1]?.publicKey ?? key.publicKey,
    signature,
  }))
}

export interface SignedTable {
  readonly table: MemberTable
  /** The newest key that the table's chain leads to from the first of the known ones. */
  readonly clusterKey: Uint8Array
  readonly chain: readonly Succession[]
}

/** What makes a newer table of an older one. */
export interface TableChange {
  /** Of both; absent: 1. */
  readonly epoch?: number
  /** Index of the older one. */
  readonly from: number
  readonly index: number
  readonly put: readonly MemberRow[]
  readonly removed: readonly NodeId[]
  /** Of the newer one as a whole. */
  readonly signature: Uint8Array
}

/** The table, signed with the cluster's private key; the chain leads to that key. */
export function encodeTable(
  table: MemberTable,
  clusterKey: Uint8Array,
  chain: readonly Succession[] = [],
): Uint8Array {
  const body = bodyOf(table)
  return encode([body, sign(clusterKey, signedPart(body)), chain.slice(-coreLimits.formerKeysMax)])
}

/** The same bytes for the same table, whoever makes them. */
function bodyOf({ clusterId, epoch, index, rows }: MemberTable): Uint8Array {
  const inOrder = [...rows].sort((a, b) => (a.id < b.id ? -1 : 1))
  const plain = inOrder.map(({ id, role, keys: { worker, manager }, generation, ...row }) => ({
    ...{ id, role, keys: { worker, ...(manager === undefined ? {} : { manager }) }, generation },
    ...(row.managerAddress === undefined ? {} : { managerAddress: row.managerAddress }),
  }))
  const common = { version: formatVersion, clusterId, index, rows: plain }
  return encode(epoch === undefined ? common : { ...common, epoch })
}

/** What the newer table, as signed, has that the older one has not. */
export function tableChange(
  older: MemberTable,
  newer: { readonly table: MemberTable; readonly signed: Uint8Array },
): TableChange {
  const had = new Map(older.rows.map((row) => [row.id, row]))
  const has = new Set(newer.table.rows.map(({ id }) => id))
  const { epoch } = newer.table
  return {
    from: older.index,
    ...(epoch === undefined ? {} : { epoch }),
    index: newer.table.index,
    put: newer.table.rows.filter((row) => !equal(had.get(row.id), row)),
    removed: [...had.keys()].filter((id) => !has.has(id)),
    signature: partsOf(newer.signed).signature,
  }
}

/**
 * The newer table and its signed bytes. Throws permission-denied if that is not what the cluster has
 * signed: it was made for another older one, or one of another epoch.
 */
export function applyTableChange(
  older: MemberTable,
  change: TableChange,
  by: {
    readonly clusterKeys: readonly Uint8Array[]
    readonly chain: readonly Succession[]
  },
): { readonly table: MemberTable; readonly signed: Uint8Array } {
  const rows = new Map(older.rows.map((row) => [row.id, row]))
  for (const id of change.removed) rows.delete(id)
  for (const row of change.put) rows.set(row.id, row)
  const body = bodyOf({ ...older, index: change.index, rows: [...rows.values()] })
  const signed = encode([body, change.signature, by.chain])
  return { table: decodeTable(signed, by.clusterKeys).table, signed }
}

/** Reads a change. Throws bad-request. */
export function readTableChange(value: unknown): TableChange {
  const fields = readFields(value, 'table change')
  const epoch = readOptional(fields, 'epoch', () => readCount(fields, 'epoch'))
  return {
    from: readCount(fields, 'from'),
    ...(epoch === undefined ? {} : { epoch }),
    index: readCount(fields, 'index'),
    put: readList(fields, 'put', { max: membersMax, item: readRow }),
    removed: readList(fields, 'removed', {
      max: membersMax,
      item: (id) => idOf({ id }, 'id') as NodeId,
    }),
    signature: readBytes(fields, 'signature', signatureBytes),
  }
}

/**
 * Reads a table that the newest cluster key has signed, or one of the known ones if `isOld` ones
 * will do. Throws bad-request for bytes that are none, permission-denied for a signature of another
 * cluster.
 */
export function decodeTable(
  bytes: Uint8Array,
  known: readonly Uint8Array[],
  { isOld = false }: { readonly isOld?: boolean } = {},
): SignedTable {
  const { body: signed, signature: proof, chain } = partsOf(bytes)
  const [first] = known
  if (first === undefined) throw new CodedError('internal', 'a node knows a key of its cluster')
  const clusterKey = followSuccessions(first, chain)
  const clusterKeys = isOld ? [clusterKey, ...known] : [clusterKey]
  const message = signedPart(signed)
  if (!clusterKeys.some((key) => verify(key, { message, signature: proof }))) {
    throw new CodedError('permission-denied', 'the table of members is signed by another cluster')
  }
  const table = readFields(decode(signed, limits), 'table')
  readCount(table, 'version', { min: formatVersion, max: formatVersion })
  const epoch = readOptional(table, 'epoch', () => readCount(table, 'epoch'))
  return {
    table: {
      clusterId: idOf(table, 'clusterId') as ClusterId,
      ...(epoch === undefined ? {} : { epoch }),
      index: readCount(table, 'index'),
      rows: readList(table, 'rows', { max: membersMax, item: readRow }),
    },
    ...{ clusterKey, chain },
  }
}

function partsOf(bytes: Uint8Array): {
  readonly body: Uint8Array
  readonly signature: Uint8Array
  readonly chain: readonly Succession[]
} {
  const parts = decode(bytes, limits)
  const [body, signature, links = []] = Array.isArray(parts) ? parts : []
  const fields = { body, signature, links }
  return {
    body: readBytes(fields, 'body', { max: bytesMax }),
    signature: readBytes(fields, 'signature', signatureBytes),
    chain: readList(fields, 'links', { max: coreLimits.formerKeysMax, item: readSuccession }),
  }
}

function readRow(value: unknown): MemberRow {
  const fields = readFields(value, 'member')
  const keys = readFields(fields['keys'], 'keys')
  const manager = readOptional(keys, 'manager', () => readBytes(keys, 'manager', keyBytes))
  const managerAddress = readOptional(fields, 'managerAddress', () =>
    readText(fields, 'managerAddress', 300),
  )
  return {
    id: idOf(fields, 'id') as NodeId,
    role: readWord(fields, 'role', ['worker', 'manager']),
    keys: {
      worker: readBytes(keys, 'worker', keyBytes),
      ...(manager === undefined ? {} : { manager }),
    },
    generation: readCount(fields, 'generation'),
    ...(managerAddress === undefined ? {} : { managerAddress }),
  }
}

function idOf(fields: Readonly<Record<string, unknown>>, name: string): string {
  const id = readText(fields, name, 25)
  if (!isId(id)) throw new CodedError('bad-request', `field ${name} is no id`)
  return id
}

function signedPart(body: Uint8Array): Uint8Array {
  const all = new Uint8Array(purpose.length + body.length)
  all.set(purpose)
  all.set(body, purpose.length)
  return all
}
