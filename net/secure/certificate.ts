// A node's certificate: the cluster's word that this key belongs to this node. A letter of
// introduction: it opens the door to one who is not yet in the reader's table of members, and says
// nothing of whether the guest has since been shown out; that is the table's to say.
//
//   certificate  [ body, signature, 64 ]    MessagePack
//   body         { version, clusterId, nodeId, role, key, generation, tableIndex, issuedAtMs }
//   signed       "skep certificate\n" + body, with the cluster's Ed25519 key
//
// Nothing here expires: `issuedAtMs` is for people, and a node whose clock is years off is welcome.
// When the cluster changes its key, the old key signs the new one (a succession); a node that was
// away follows the chain from the key it knows.

import { CodedError } from '../../core/base/error.ts'
import { type ClusterId, isId, type NodeId } from '../../core/base/id.ts'
import { encodeText } from '../../core/base/text.ts'
import { readBytes, readCount, readFields, readText, readWord } from '../wire/check.ts'
import { decode, encode } from '../wire/codec.ts'
import { keyBytes, sign, signatureBytes, verify } from './crypto.ts'

export type CertificateRole = 'worker' | 'manager'

export interface Certificate {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly role: CertificateRole
  /** The node's X25519 public key, 32 bytes: its static key in every handshake. */
  readonly key: Uint8Array
  /** Counts the node's keys; a higher one replaces those before it. */
  readonly generation: number
  /** Index of the log at which it was given: newer than a reader's table, or not. */
  readonly tableIndex: number
  /** Milliseconds since 1970, by the signer's clock. Shown to people, never compared. */
  readonly issuedAtMs: number
}

/** An encoded certificate is never longer. */
export const certificateBytesMax = 1024
const limits = { bytesMax: certificateBytesMax, depthMax: 2, itemsMax: 64 }
const purpose = encodeText('skep certificate\n')
const successionPurpose = encodeText('skep cluster key succession\n')
const formatVersion = 1

/** The certificate as bytes, signed with the cluster's private key. */
export function encodeCertificate(certificate: Certificate, clusterKey: Uint8Array): Uint8Array {
  const body = encode({ version: formatVersion, ...certificate })
  return encode([body, sign(clusterKey, concat(purpose, body))])
}

/**
 * Reads a certificate that one of these cluster keys has signed. Throws bad-request for bytes that
 * are none, permission-denied for a signature of another cluster.
 */
export function decodeCertificate(
  bytes: Uint8Array,
  clusterKeys: readonly Uint8Array[],
): Certificate {
  const parts = decode(bytes, limits)
  if (!Array.isArray(parts)) throw new CodedError('bad-request', 'a certificate must be a list')
  const [body, signature] = parts.map((part, index) =>
    readBytes({ part }, 'part', index === 1 ? signatureBytes : { max: certificateBytesMax }),
  )
  if (body === undefined || signature === undefined) {
    throw new CodedError('bad-request', 'a certificate must have a body and a signature')
  }
  const message = concat(purpose, body)
  if (!clusterKeys.some((key) => verify(key, { message, signature }))) {
    throw new CodedError('permission-denied', 'the certificate is signed by another cluster')
  }
  return readBody(decode(body, limits))
}

function readBody(value: unknown): Certificate {
  const fields = readFields(value, 'certificate')
  readCount(fields, 'version', { min: formatVersion, max: formatVersion })
  return {
    clusterId: readId(fields['clusterId'], 'clusterId') as ClusterId,
    nodeId: readId(fields['nodeId'], 'nodeId') as NodeId,
    role: readWord(fields, 'role', ['worker', 'manager']),
    key: readBytes(fields, 'key', keyBytes),
    generation: readCount(fields, 'generation'),
    tableIndex: readCount(fields, 'tableIndex'),
    issuedAtMs: readCount(fields, 'issuedAtMs'),
  }
}

function readId(value: unknown, name: string): string {
  const id = readText({ [name]: value }, name, 25)
  if (!isId(id)) throw new CodedError('bad-request', `field ${name} is no id`)
  return id
}

/** The old cluster key's word for the key that follows it. */
export interface Succession {
  readonly nextKey: Uint8Array
  /** Of the key before, over the next one. */
  readonly signature: Uint8Array
}

/** Reads a link of a chain. Throws bad-request. */
export function readSuccession(value: unknown): Succession {
  const link = readFields(value, 'succession')
  const nextKey = readBytes(link, 'nextKey', keyBytes)
  return { nextKey, signature: readBytes(link, 'signature', signatureBytes) }
}

/** Signs the next cluster key with the one in use. */
export function signSuccession(clusterKey: Uint8Array, nextKey: Uint8Array): Succession {
  return { nextKey, signature: sign(clusterKey, concat(successionPurpose, nextKey)) }
}

/**
 * The newest key that the chain leads to from a known key; the known key itself if no link of the
 * chain was signed by it. Links before the known key are passed over.
 */
export function followSuccessions(known: Uint8Array, chain: readonly Succession[]): Uint8Array {
  let key = known
  for (const { nextKey, signature } of chain) {
    if (verify(key, { message: concat(successionPurpose, nextKey), signature })) key = nextKey
  }
  return key
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const all = new Uint8Array(first.length + second.length)
  all.set(first)
  all.set(second, first.length)
  return all
}
