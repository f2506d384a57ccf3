// The handshake's meaning: who says what in Noise's three messages, and what each side checks
// before it says more. Like a visit: the host shows its papers first; the visitor looks at them
// before it shows its own, or, as a newcomer, before it says the word that it was given.
//
//   initiator                                    responder
//     | -- 1: nothing -------------------------> |
//     | <- 2: cluster key, certificate --------- |
//     |    is it my cluster? is this a member?   |
//     | -- 3: certificate, or the token's secret>|
//     |                                          |  is it a member? is the secret right?
//     | <- first record: accepted, or why not -- |
//
// A pure machine; sockets and deadlines are left to secure-stream.ts.

import { CodedError, type ErrorCode, errorCodes } from '../../core/base/error.ts'
import type { ClusterId, NodeId } from '../../core/base/id.ts'
import { limits as coreLimits } from '../../core/base/limits.ts'
import { encodeText } from '../../core/base/text.ts'
import {
  type Fields,
  readBytes,
  readFields,
  readList,
  readOptional,
  readText,
  readWord,
} from '../wire/check.ts'
import { decode, encode } from '../wire/codec.ts'
import {
  type Certificate,
  type CertificateRole,
  certificateBytesMax,
  decodeCertificate,
  followSuccessions,
  readSuccession,
  type Succession,
} from './certificate.ts'
import { isEqual, type KeyPair, keyBytes } from './crypto.ts'
import { checkFingerprint, type JoinToken } from './join-token.ts'
import { createNoise, type Noise, type NoiseResult } from './noise.ts'

/** Which of the two connections of a pair of nodes. */
export type Lane = 'control' | 'bulk'

/**
 * What a node is to the reader's table of members: a manager, a worker, or a newcomer, whose
 * certificate is newer than the table (who may open overlay and relay only).
 */
export type PeerRole = 'manager' | 'worker' | 'newcomer'

/** Who a node is, and what proves it. */
export interface Identity {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  /** X25519, long-lived. */
  readonly keys: KeyPair
  /** Encoded and signed. */
  readonly certificate: Uint8Array
  /** The newest public key of the cluster that this node knows. */
  readonly clusterKey: Uint8Array
  /** How the cluster came to that key from the ones before. */
  readonly successions: readonly Succession[]
  /** Another one at each start of the agent, so that a restart is told from a copy. */
  readonly incarnation: string
}

/** What a side has learned of the other. */
export type PeerProof =
  | {
      readonly type: 'member'
      readonly certificate: Certificate
      readonly role: PeerRole
      readonly incarnation: string
      readonly lane: Lane
      /** The newest cluster key, which the other's chain has led to. */
      readonly clusterKey: Uint8Array
      readonly successions: readonly Succession[]
    }
  | {
      readonly type: 'guest'
      /** The newcomer's key, for its certificate. */
      readonly key: Uint8Array
      /** Which of the two tokens it had. */
      readonly role: CertificateRole
    }

/** What a member asks of others. */
export interface TrustPolicy {
  /** What this member is to the table; undefined: it is not, or no longer, in it. */
  readonly roleOf: (certificate: Certificate) => PeerRole | undefined
  /** Keys of the cluster that certificates may be signed with; the newest first. */
  readonly clusterKeys: () => readonly Uint8Array[]
}

export type InitiatorOptions =
  | {
      readonly type: 'member'
      readonly identity: Identity
      readonly trust: TrustPolicy
      readonly lane: Lane
      /** Who should answer there; undefined: any manager. */
      readonly nodeId?: NodeId | undefined
    }
  | { readonly type: 'guest'; readonly keys: KeyPair; readonly token: JoinToken }

export interface ResponderOptions {
  readonly identity: Identity
  readonly trust: TrustPolicy
  /** The role that the secret of a token gives. Throws CodedError for a wrong one. */
  readonly admitGuest: (secret: string) => CertificateRole
}

/** Longest message of each turn, before anything is kept of it. */
export const handshakeBytesMax: readonly [number, number, number] = [96, 4096, 4096]
/** Longest verdict. */
export const verdictBytesMax = 2048
/** Changes of the cluster key that are told: each was a deed of an administrator. */
export const successionsMax = coreLimits.formerKeysMax

const limits = { bytesMax: 4096, depthMax: 4, itemsMax: 256 }
const prologue = encodeText('skep channel 1')
const nothing = new Uint8Array(0)

/** The initiator's side. Each call takes a whole message and throws CodedError to give up. */
export interface Initiator {
  readonly first: () => Uint8Array
  readonly third: (second: Uint8Array) => { readonly message: Uint8Array } & Outcome
}

/** The responder's side. */
export interface Responder {
  readonly second: (first: Uint8Array) => Uint8Array
  /**
   * Keys come out even for one that is refused, so that it can be told why; only for bytes that
   * nobody can have meant this throws bad-request.
   */
  readonly finish: (third: Uint8Array) => Outcome | Refusal
}

export interface Outcome {
  readonly noise: NoiseResult
  readonly peer: PeerProof
}

export interface Refusal {
  readonly noise: NoiseResult
  readonly refusal: CodedError
}

export function createInitiator(options: InitiatorOptions): Initiator {
  const staticKeys = options.type === 'member' ? options.identity.keys : options.keys
  const noise = createNoise({ side: 'initiator', staticKeys, prologue })
  return {
    first: () => noise.write(nothing),
    third: (second) => {
      const host = readIntroduction(noise.read(second))
      const peer = options.type === 'member' ? checkHost(host, options) : readHost(host, options)
      if (!isEqual(peer.certificate.key, noise.peersKey() ?? nothing)) throw strangersPaper()
      const lane = options.type === 'member' ? options.lane : 'control'
      const message = noise.write(thirdPayload(options))
      return {
        message,
        noise: noise.finish(),
        peer: { type: 'member', ...peer, incarnation: host.incarnation, lane },
      }
    },
  }
}

export function createResponder(options: ResponderOptions): Responder {
  const { identity } = options
  const noise = createNoise({ side: 'responder', staticKeys: identity.keys, prologue })
  return {
    second: (first) => {
      noise.read(first)
      return noise.write(encode(introductionOf(identity)))
    },
    finish: (third) => {
      const payload = noise.read(third)
      const result = noise.finish()
      try {
        return { noise: result, peer: checkVisitor(payload, noise, options) }
      } catch (error) {
        if (!(error instanceof CodedError)) throw error
        return { noise: result, refusal: error }
      }
    },
  }
}

/** What a member says of itself. */
interface Introduction {
  readonly certificate: Uint8Array
  readonly clusterKey: Uint8Array
  readonly successions: readonly Succession[]
  readonly incarnation: string
}

function introductionOf(identity: Identity): Introduction {
  const { certificate, clusterKey, successions, incarnation } = identity
  return { certificate, clusterKey, successions: successions.slice(-successionsMax), incarnation }
}

function thirdPayload(options: InitiatorOptions): Uint8Array {
  return options.type === 'member'
    ? encode({ type: 'member', lane: options.lane, ...introductionOf(options.identity) })
    : encode({ type: 'guest', secret: options.token.secret })
}

function readIntroduction(payload: Uint8Array): Introduction {
  return introductionFrom(readFields(decode(payload, limits), 'introduction'))
}

function introductionFrom(fields: Fields): Introduction {
  return {
    certificate: readBytes(fields, 'certificate', { max: certificateBytesMax }),
    clusterKey: readBytes(fields, 'clusterKey', keyBytes),
    successions: readList(fields, 'successions', { max: successionsMax, item: readSuccession }),
    incarnation: readText(fields, 'incarnation', 64),
  }
}

interface CheckedPeer {
  readonly certificate: Certificate
  readonly role: PeerRole
  readonly clusterKey: Uint8Array
  readonly successions: readonly Succession[]
}

/** The host's papers, as a member sees them. */
function checkHost(
  host: Introduction,
  options: InitiatorOptions & { readonly type: 'member' },
): CheckedPeer {
  const peer = checkMember(host, { ...options, refusal: 'permission-denied' })
  const { nodeId, role } = peer.certificate
  if (options.nodeId !== undefined && nodeId !== options.nodeId) {
    throw new CodedError('unavailable', `node ${nodeId} answers there, not ${options.nodeId}`)
  }
  if (options.nodeId === undefined && peer.role !== 'manager') {
    throw new CodedError('unavailable', `node ${nodeId} answers there, a ${role}, not a manager`)
  }
  return peer
}

/** The host's papers, as a newcomer sees them: its token knows the cluster by the key's digest. */
function readHost(
  host: Introduction,
  options: InitiatorOptions & { readonly type: 'guest' },
): CheckedPeer {
  const { clusterKey, successions } = host
  checkFingerprint(options.token, clusterKey)
  const certificate = decodeCertificate(host.certificate, [clusterKey])
  if (certificate.role !== 'manager') {
    throw new CodedError(
      'not-a-manager',
      `node ${certificate.nodeId} answers there, a worker; join at the address of a manager`,
    )
  }
  return { certificate, role: 'manager', clusterKey, successions }
}

function checkVisitor(payload: Uint8Array, noise: Noise, options: ResponderOptions): PeerProof {
  const fields = readFields(decode(payload, limits), 'introduction')
  const key = noise.peersKey() ?? nothing
  if (readWord(fields, 'type', ['member', 'guest']) === 'guest') {
    return { type: 'guest', key, role: options.admitGuest(readText(fields, 'secret', 64)) }
  }
  const lane = readWord(fields, 'lane', ['control', 'bulk'])
  const visitor = introductionFrom(fields)
  const peer = checkMember(visitor, { ...options, refusal: 'not-a-member' })
  if (!isEqual(peer.certificate.key, key)) throw strangersPaper()
  return { type: 'member', ...peer, incarnation: visitor.incarnation, lane }
}

/**
 * Signature, cluster, table; in this order, so that the reason given is the right one. A visitor that
 * is told `not-a-member` has to ask itself what it still is; what a visitor thinks of its host is
 * its own affair.
 */
function checkMember(
  said: Introduction,
  options: {
    readonly identity: Identity
    readonly trust: TrustPolicy
    readonly refusal: 'not-a-member' | 'permission-denied'
  },
): CheckedPeer {
  const { identity, trust } = options
  const known = trust.clusterKeys()
  const newest = followSuccessions(known[0] ?? identity.clusterKey, said.successions)
  const certificate = decodeCertificate(said.certificate, [newest, ...known])
  if (certificate.clusterId !== identity.clusterId) {
    throw new CodedError(
      'permission-denied',
      `node ${certificate.nodeId} belongs to cluster ${certificate.clusterId}, ` +
        `not to ${identity.clusterId}`,
    )
  }
  const role = trust.roleOf(certificate)
  if (role === undefined) {
    throw new CodedError(
      options.refusal,
      `node ${certificate.nodeId} is not a member of this cluster with that key; ` +
        'if it was removed, let it leave and join again',
    )
  }
  return { certificate, role, clusterKey: newest, successions: said.successions }
}

function strangersPaper(): CodedError {
  return new CodedError('permission-denied', "the certificate is not for the peer's key")
}

/** The responder's first record. */
export function encodeVerdict(refusal: CodedError | undefined): Uint8Array {
  if (refusal === undefined) return encode({ isAccepted: true })
  const message = refusal.message.slice(0, verdictBytesMax / 4)
  return encode({ isAccepted: false, code: refusal.code, message: message.toWellFormed() })
}

/** Returns if accepted. Throws the refusal, as the other side has worded it. */
export function checkVerdict(record: Uint8Array): void {
  const fields = readFields(decode(record, { ...limits, bytesMax: verdictBytesMax }), 'verdict')
  if (fields['isAccepted'] === true) return
  throw new CodedError(
    asErrorCode(readText(fields, 'code', 64)),
    readOptional(fields, 'message', () => readText(fields, 'message', verdictBytesMax)) ?? '',
  )
}

/** A code that came over the wire; one that only a newer agent knows becomes unavailable. */
export function asErrorCode(text: string): ErrorCode {
  return Object.hasOwn(errorCodes, text) ? (text as ErrorCode) : 'unavailable'
}
