// One connection to one peer: a multiplexer, and behind it the tables of who may say what. A kind
// that is not in its table is not understood; one that is there says which roles may use it.

import { CodedError } from '../../core/base/error.ts'
import type { NodeId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import type { Certificate, CertificateRole } from '../secure/certificate.ts'
import type { Lane, PeerProof, PeerRole } from '../secure/handshake.ts'
import type { SecureStream } from '../secure/secure-stream.ts'
import type { Agreement, Hello } from '../wire/messages.ts'
import { Mux, type MuxTimers } from '../wire/mux.ts'
import type { MuxStream } from '../wire/mux-stream.ts'

/** A member, as its handshake has proved it and as the table of members has it now. */
export interface Peer {
  readonly nodeId: NodeId
  readonly role: PeerRole
  readonly certificate: Certificate
  /** Another at each start of its agent. */
  readonly incarnation: string
  /** Its address as our socket sees it. */
  readonly host: string
  /** Protocol version and features that both know. */
  readonly agreement: Agreement
}

/** One who has only a token. */
export interface Guest {
  /** Its X25519 key, which it has proved to hold. */
  readonly key: Uint8Array
  /** What its token is for. */
  readonly role: CertificateRole
  readonly host: string
}

export interface MessageRow {
  readonly from: readonly PeerRole[]
  /** A CodedError is logged, and the message dropped. */
  readonly handle: (peer: Peer, body: unknown) => void
}
export interface RequestRow {
  readonly from: readonly PeerRole[]
  readonly handle: (peer: Peer, body: unknown, signal: AbortSignal) => Promise<unknown>
}
export interface StreamRow {
  readonly from: readonly PeerRole[]
  /** The stream is reset with the error if this rejects. */
  readonly handle: (peer: Peer, stream: MuxStream) => Promise<void>
}

/** Kind -> who may, and what is done. */
export interface PeerHandlers {
  readonly messages: Readonly<Record<string, MessageRow>>
  readonly requests: Readonly<Record<string, RequestRow>>
  readonly streams: Readonly<Record<string, StreamRow>>
  /** Requests of newcomers that have a token. */
  readonly guests: Readonly<
    Record<string, (guest: Guest, body: unknown, signal: AbortSignal) => Promise<unknown>>
  >
}

export interface ConnectionOptions {
  readonly stream: SecureStream
  readonly proof: PeerProof
  readonly host: string
  readonly isDialer: boolean
  readonly hello: Hello
  readonly timers: MuxTimers
  readonly handlers: PeerHandlers
  readonly log: Log
  readonly onFault: (error: unknown) => void
  /** Both have said hello; nothing else of the peer's was heard yet. */
  readonly onOpen: () => void
  readonly onLeave: () => void
  readonly onClose: (error: CodedError | undefined) => void
}

/** A connection, and what its keeper notes on it. */
export interface Connection {
  readonly mux: Mux
  readonly proof: PeerProof
  readonly host: string
  readonly lane: Lane
  readonly isDialer: boolean
  /** The member; undefined for guests and until its hello has come. */
  readonly peer: () => Peer | undefined
  /** After a change of the table. */
  readonly setRole: (role: PeerRole) => void
}

/** Wires a multiplexer to an open stream. Nothing is heard until the caller starts it. */
export function createConnection(options: ConnectionOptions): Connection {
  const { proof, host, handlers, log, stream } = options
  let role: PeerRole | undefined = proof.type === 'member' ? proof.role : undefined
  const unknownKinds = new Set<string>()

  const peer = (): Peer | undefined => {
    const { agreement } = mux
    if (proof.type !== 'member' || role === undefined || agreement === undefined) return undefined
    const { certificate, incarnation } = proof
    return { nodeId: certificate.nodeId, role, certificate, incarnation, host, agreement }
  }
  /** The member, if it may say this; throws what it is told otherwise. */
  const admitted = (
    row: { readonly from: readonly PeerRole[] } | undefined,
    kind: string,
  ): Peer => {
    const member = peer()
    if (row === undefined || member === undefined) {
      throw new CodedError('unimplemented', `this agent does not know ${kind}; upgrade it`)
    }
    if (row.from.includes(member.role)) return member
    throw new CodedError(
      'permission-denied',
      `${kind} is for ${row.from.join(' or ')}; node ${member.nodeId} is a ${member.role}`,
    )
  }
  const refuse = (event: string, kind: string, error: CodedError): void => {
    if (unknownKinds.has(kind) || unknownKinds.size > 64) return
    unknownKinds.add(kind)
    log('warn', event, { node: nodeIdOf(proof), kind, code: error.code, reason: error.message })
  }
  const onMessage = (kind: string, body: unknown): void => {
    try {
      const row = own(handlers.messages, kind)
      const member = admitted(row, kind)
      row?.handle(member, body)
    } catch (error) {
      if (!(error instanceof CodedError)) options.onFault(error)
      else refuse('peer.message-refused', kind, error)
    }
  }
  const onRequest = async (kind: string, body: unknown, signal: AbortSignal): Promise<unknown> => {
    if (proof.type === 'guest') {
      const handle = own(handlers.guests, kind)
      if (handle !== undefined)
        return handle({ key: proof.key, role: proof.role, host }, body, signal)
    }
    const row = own(handlers.requests, kind)
    const member = admitted(row, kind)
    return row?.handle(member, body, signal)
  }
  const onStream = (muxStream: MuxStream): void => {
    const run = async (): Promise<void> => {
      const row = own(handlers.streams, muxStream.kind)
      const member = admitted(row, muxStream.kind)
      await row?.handle(member, muxStream)
    }
    run().catch((error: unknown) => {
      const isCoded = error instanceof CodedError
      if (!isCoded) options.onFault(error)
      muxStream.reset(isCoded ? error : new CodedError('internal', `${muxStream.kind}: a bug`))
    })
  }
  const mux = new Mux({
    link: stream,
    isDialer: options.isDialer,
    hello: options.hello,
    timers: options.timers,
    handlers: {
      ...{ onMessage, onRequest, onStream, onOpen: options.onOpen },
      onLeave: options.onLeave,
      onClose: options.onClose,
      onFault: options.onFault,
    },
  })
  const setRole = (next: PeerRole): void => {
    role = next
  }
  const lane = proof.type === 'member' ? proof.lane : 'control'
  return { mux, proof, host, lane, isDialer: options.isDialer, peer, setRole }
}

/** "node ID", or what stands for it in logs. */
export function nodeIdOf(proof: PeerProof): string {
  return proof.type === 'member' ? proof.certificate.nodeId : 'guest'
}

/** A row that is really of the table, whatever the peer calls it. */
function own<T>(table: Readonly<Record<string, T>>, kind: string): T | undefined {
  return Object.hasOwn(table, kind) ? table[kind] : undefined
}
