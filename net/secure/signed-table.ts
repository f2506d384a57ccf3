// The table of members as bytes, with the cluster's signature: what a node keeps on its disk, and
// by which it knows whom to trust when no manager is there to ask.
//
//   signed table  [ body, signature, 64 ]     MessagePack
//   signed        "skep members\n" + body, with the cluster's Ed25519 key

import { CodedError } from '../../core/base/error.ts'
import { type ClusterId, isId, type NodeId } from '../../core/base/id.ts'
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
import { keyBytes, sign, signatureBytes, verify } from './crypto.ts'

const purpose = encodeText('skep members\n')
const formatVersion = 1
const bytesMax = 8 * 1024 * 1024
/** A table has at most so many members; each is some 150 bytes. */
export const membersMax = 20_000
const limits = { bytesMax, depthMax: 6, itemsMax: membersMax * 16 }

/** The table, signed with the cluster's private key. */
export function encodeTable(table: MemberTable, clusterKey: Uint8Array): Uint8Array {
  const body = encode({ version: formatVersion, ...table })
  return encode([body, sign(clusterKey, signedPart(body))])
}

/**
 * Reads a table that one of these cluster keys has signed. Throws bad-request for bytes that are
 * none, permission-denied for a signature of another cluster.
 */
export function decodeTable(bytes: Uint8Array, clusterKeys: readonly Uint8Array[]): MemberTable {
  const parts = decode(bytes, limits)
  const [body, signature] = Array.isArray(parts) ? parts : []
  const fields = { body, signature }
  const signed = readBytes(fields, 'body', { max: bytesMax })
  const proof = readBytes(fields, 'signature', signatureBytes)
  const message = signedPart(signed)
  if (!clusterKeys.some((key) => verify(key, { message, signature: proof }))) {
    throw new CodedError('permission-denied', 'the table of members is signed by another cluster')
  }
  const table = readFields(decode(signed, limits), 'table')
  readCount(table, 'version', { min: formatVersion, max: formatVersion })
  const epoch = readOptional(table, 'epoch', () => readCount(table, 'epoch'))
  return {
    clusterId: idOf(table, 'clusterId') as ClusterId,
    ...(epoch === undefined ? {} : { epoch }),
    index: readCount(table, 'index'),
    rows: readList(table, 'rows', { max: membersMax, item: readRow }),
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
