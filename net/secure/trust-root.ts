// Trust root: the cluster's public key in the dress of an X.509 certificate. Nodes never look at it,
// they know each other by the table of members; but clients of the Docker API read TLSInfo, show
// the PEM that stands there, and compare it.
//
//   Certificate { TBSCertificate, Ed25519, signature }          DER (X.690), RFC 5280, RFC 8410
//   TBSCertificate { v3, serial, Ed25519, CN=swarm-ca, 1970 .. 9999, CN=swarm-ca, key,
//                    may sign certificates and lists, is a CA, key id }
//
// Equal keys give equal bytes, whichever manager makes them. Nothing in a cluster expires by the
// calendar, so the dates are the widest that the format knows.

import { encodeBase64 } from '../../core/base/base64.ts'
import { encodeText } from '../../core/base/text.ts'
import type { KeyPair } from './crypto.ts'
import { sha256, sign } from './crypto.ts'

export interface TrustRoot {
  /** The certificate as PEM, with a line end. */
  readonly certificate: string
  /** DER of the issuer's name and of its key. */
  readonly subject: Uint8Array
  readonly publicKey: Uint8Array
}

const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  version: 0xa0,
  extensions: 0xa3,
} as const

const objectIds = {
  /** 1.3.101.112 */
  ed25519: [0x2b, 0x65, 0x70],
  /** 2.5.4.3 */
  commonName: [0x55, 0x04, 0x03],
  /** 2.5.29.14, .15, .19 */
  subjectKeyId: [0x55, 0x1d, 0x0e],
  keyUsage: [0x55, 0x1d, 0x0f],
  basicConstraints: [0x55, 0x1d, 0x13],
} as const

const yes = [0xff]
const keyIdBytes = 20
const serialBytes = 16
const pemColumns = 64

const subject = der('sequence', [
  der('set', [
    der('sequence', [
      der('objectId', objectIds.commonName),
      der('printableString', encodeText('swarm-ca')),
    ]),
  ]),
])
const algorithm = der('sequence', [der('objectId', objectIds.ed25519)])

/** The name and the key of the issuer, which need no signature. */
export function issuerOf(publicKey: Uint8Array): Omit<TrustRoot, 'certificate'> {
  const key = der('sequence', [algorithm, der('bitString', [0, ...publicKey])])
  return { subject, publicKey: key }
}

/** The cluster's key as a certificate that it has signed itself. */
export function trustRootOf(key: KeyPair): TrustRoot {
  const issuer = issuerOf(key.publicKey)
  const digest = sha256(key.publicKey)
  const extension = (id: keyof typeof objectIds, isCritical: boolean, value: Uint8Array) =>
    der('sequence', [
      der('objectId', objectIds[id]),
      ...(isCritical ? [der('boolean', yes)] : []),
      der('octetString', value),
    ])
  const body = der('sequence', [
    der('version', [der('integer', [2])]),
    // A serial number is positive.
    der('integer', [0x01, ...digest.subarray(0, serialBytes)]),
    algorithm,
    subject,
    der('sequence', [
      der('utcTime', encodeText('700101000000Z')),
      der('generalizedTime', encodeText('99991231235959Z')),
    ]),
    subject,
    issuer.publicKey,
    der('extensions', [
      der('sequence', [
        extension('keyUsage', true, der('bitString', [1, 0x06])),
        extension('basicConstraints', true, der('sequence', [der('boolean', yes)])),
        extension('subjectKeyId', false, der('octetString', digest.subarray(0, keyIdBytes))),
      ]),
    ]),
  ])
  const signature = der('bitString', [0, ...sign(key.privateKey, body)])
  return { ...issuer, certificate: pem(der('sequence', [body, algorithm, signature])) }
}

/** One element: its tag, the length of what it holds, and that: bytes, or other elements. */
function der(
  tag: keyof typeof tags,
  content: Uint8Array | readonly number[] | readonly Uint8Array[],
): Uint8Array {
  const bytes =
    content instanceof Uint8Array
      ? [...content]
      : content.flatMap((part) => (typeof part === 'number' ? [part] : [...part]))
  return Uint8Array.of(tags[tag], ...derLength(bytes.length), ...bytes)
}

function derLength(length: number): readonly number[] {
  if (length < 0x80) return [length]
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
}

function pem(bytes: Uint8Array): string {
  const lines: string[] = []
  const text = encodeBase64(bytes)
  for (let at = 0; at < text.length; at += pemColumns) lines.push(text.slice(at, at + pemColumns))
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
