// Peers: all that this node says to other nodes, and hears from them, by their ids. Addresses are
// hints, connections come and go; who sends a message names a node and a kind, as on an envelope.
//
//   to each peer   control  requests, one-way messages     dialed when something is to be said
//                  bulk     streams                        dialed when a stream is opened
//
//   not connected --say something--> dialing --> connected --cut, silence, removed--> not connected
//                                      |  ^
//                                 fails|  |after a pause that grows to 5 s, if something waits
//                                      v  |
//                                     pause (requests fail at once, one-way messages wait)
//
// When two nodes dial each other at once, both keep the connection of the one with the smaller id;
// the other one ends in good order. A peer that has started again takes the place of its earlier
// self; and if that one comes back, two run with one state folder, and it is turned away.
//
// Worth of messages, sessions and joins are left to their handlers.

import { assert, present } from '../../core/base/assert.ts'
import { CodedError } from '../../core/base/error.ts'
import type { NodeId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import type { Certificate, CertificateRole, Succession } from '../secure/certificate.ts'
import type { KeyPair } from '../secure/crypto.ts'
import type { Identity, InitiatorOptions, Lane, TrustPolicy } from '../secure/handshake.ts'
import type { JoinToken } from '../secure/join-token.ts'
import { dialSecure, type SecureStream } from '../secure/secure-stream.ts'
import { echoFeature } from '../wire/echo.ts'
import { type Hello, protocolVersions } from '../wire/messages.ts'
import { guestLimits, muxLimits } from '../wire/mux.ts'
import type { MuxStream } from '../wire/mux-stream.ts'
import { createOutbox, type Outbox, type SendOptions } from '../wire/outbox.ts'
import type { AdmissionClock, AdmissionLimits } from './admission.ts'
import { type Connection, createConnection, type Peer, type PeerHandlers } from './connection.ts'
import { type Listener, openListener } from './listener.ts'
import { type Address, dial, formatAddress } from './tcp.ts'

export interface PeersClock extends AdmissionClock {
  readonly randomBytes: (count: number) => Uint8Array
}

export interface PeersOptions {
  /** Asked for each handshake, so that a new key or certificate is used from then on. */
  readonly identity: () => Identity
  readonly trust: TrustPolicy
  /** The role that a token's secret gives. Throws CodedError, in Swarm's words, for a wrong one. */
  readonly admitGuest: (secret: string, host: string) => CertificateRole
  readonly handlers: PeerHandlers
  readonly agentVersion: string
  /** What this agent knows beyond its protocol version. */
  readonly features?: readonly string[]
  readonly clock: PeersClock
  readonly log: Log
  /** A first control connection to the peer stands. Also after each of its restarts. */
  readonly onPeerUp?: (peer: Peer) => void
  /** The last control connection is gone. A hint, no verdict. */
  readonly onPeerDown?: (nodeId: NodeId, error: CodedError | undefined) => void
  /** A bug in a handler. */
  readonly onFault: (error: unknown) => void
  readonly admissionLimits?: AdmissionLimits
}

/** What a call to an address has brought. */
export interface CallReply {
  readonly value: unknown
  /** Who answered. */
  readonly certificate: Certificate
  readonly clusterKey: Uint8Array
  readonly successions: readonly Succession[]
  /** Our own address, as the socket has it: others will see it so, unless it is translated. */
  readonly localHost: string
}

export interface CallOptions {
  /** Several are tried, each a little after the one before; the first that answers is asked. */
  readonly addresses: readonly Address[]
  /** A newcomer's. */
  readonly keys: KeyPair
  readonly token: JoinToken
  readonly kind: string
  readonly body: unknown
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

export interface RequestOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
  /** `bulk` for a reply that is large and has time. */
  readonly lane?: Lane
}

export interface Peers {
  /** Listens for others. Rejects with unavailable if the address cannot be had. */
  readonly listen: (address: Address) => Promise<Address>
  /** Where a node may be found; replaces what was known. None: it is only reached if it dials. */
  readonly setAddresses: (nodeId: NodeId, addresses: readonly Address[]) => void
  /**
   * One-way, and perhaps lost. While there is no connection, up to 1,024 messages (12 MiB) wait;
   * then the oldest is dropped. `replaces` drops an unsent message with the same word. With neither
   * a connection nor an address, it is dropped at once.
   */
  readonly send: (nodeId: NodeId, kind: string, body: unknown, options?: SendOptions) => void
  /**
   * Asks, dialing if needed. Rejects with the handler's CodedError; with unavailable if the node
   * cannot be reached or the connection ends (done or not, nobody knows); with timeout.
   */
  readonly request: (
    nodeId: NodeId,
    kind: string,
    body: unknown,
    options: RequestOptions,
  ) => Promise<unknown>
  /** Opens a stream on the bulk connection, dialing if needed. */
  readonly openStream: (
    nodeId: NodeId,
    kind: string,
    header: unknown,
    options?: { readonly signal?: AbortSignal },
  ) => Promise<MuxStream>
  /** Dials an address where some manager should answer, and keeps the connection under its id. */
  readonly connectTo: (address: Address, options?: { signal?: AbortSignal }) => Promise<Peer>
  /**
   * Finds out whether anybody takes connections there. Rejects with unavailable or timeout, the
   * address and the reason in the text.
   */
  readonly probe: (address: Address, timeoutMs: number) => Promise<void>
  /** A newcomer's one request, with its token. */
  readonly call: (options: CallOptions) => Promise<CallReply>
  /** The peer if a control connection stands. */
  readonly peer: (nodeId: NodeId) => Peer | undefined
  readonly list: () => readonly Peer[]
  /** After a change of the table: closes connections of those who are out, changes roles. */
  readonly recheck: () => void
  /** Ends the connections to one node, e.g. because it left. */
  readonly disconnect: (nodeId: NodeId, error?: CodedError) => void
  readonly counts: () => Readonly<Record<string, number>>
  /** Says good-bye to all and stops listening. */
  readonly close: () => Promise<void>
}

const backoffMsMin = 100
const backoffMsMax = 5_000
/** Two dials that cross do so within this time. */
const crossingMs = 10_000
const checkMs = 2_000
/** A line that ends within this time counts as a failed dial. */
const shortLivedMs = 5_000
/** Checks without a record until a ping, and until the connection is given up: 4 s and 12 s. */
const silentChecksToPing = 2
const silentChecksMax = 6
/** Checks without a stream until a bulk connection is closed: a minute. */
const idleChecksMax = 30
/** Earlier selves of a peer that are remembered. */
const retiredMax = 8
const guestsMax = 64
const guestMs = 60_000
/** Between the tries of several addresses. */
const staggerMs = 300
const helloTimeoutMs = 5_000
const closeGraceMs = 2_000

/** A connection with what the check notes on it. */
interface Line {
  readonly connection: Connection
  readonly openedAtMs: number
  records: number
  silentChecks: number
  idleChecks: number
}

interface PeerState {
  readonly nodeId: NodeId
  addresses: readonly Address[]
  readonly outbox: Outbox
  readonly lines: Map<Lane, Line>
  readonly dials: Map<Lane, Promise<Line>>
  failures: number
  lastError: CodedError | undefined
  retryAtMs: number
  cancelRetry: (() => void) | undefined
  incarnation: string | undefined
  readonly retired: Set<string>
  isUp: boolean
}

/** The table of peers. Nothing listens or dials until it is asked to. */
export function createPeers(options: PeersOptions): Peers {
  const { clock, log, handlers, trust } = options
  const states = new Map<NodeId, PeerState>()
  const lines = new Set<Line>()
  const guests = new Set<Line>()
  const closing = new AbortController()
  let listener: Listener | undefined
  let cancelCheck: (() => void) | undefined
  let unaddressed = 0

  const hello = (isGuest: boolean): Hello => ({
    versionMin: protocolVersions.min,
    versionMax: protocolVersions.max,
    agentVersion: options.agentVersion,
    features: [echoFeature, ...(options.features ?? [])],
    ...(isGuest ? guestLimits : muxLimits),
  })
  const stateOf = (nodeId: NodeId): PeerState => {
    const known = states.get(nodeId)
    if (known !== undefined) return known
    const state: PeerState = {
      nodeId,
      addresses: [],
      outbox: createOutbox(),
      lines: new Map(),
      dials: new Map(),
      failures: 0,
      lastError: undefined,
      retryAtMs: 0,
      cancelRetry: undefined,
      incarnation: undefined,
      retired: new Set(),
      isUp: false,
    }
    state.outbox.wake = () => wantControl(state)
    states.set(nodeId, state)
    return state
  }

  /** Lets a stream speak; resolves with the line when both have said hello. */
  const start = (
    stream: SecureStream,
    from: {
      readonly host: string
      readonly isDialer: boolean
      readonly handlers: PeerHandlers
      /** It becomes the line to its peer as soon as it is open. */
      readonly isKept: boolean
    },
  ): { readonly line: Line; readonly opened: Promise<Line> } => {
    const { peer: proof } = stream
    const connection = createConnection({
      ...{ stream, proof, host: from.host, isDialer: from.isDialer, handlers: from.handlers, log },
      hello: hello(proof.type === 'guest'),
      timers: clock,
      onFault: options.onFault,
      onOpen: () => {
        if (from.isKept) enlist(line)
      },
      onLeave: () => left(line),
      onClose: (error) => closed(line, error),
    })
    const openedAtMs = clock.steadyMs()
    const line: Line = { connection, openedAtMs, records: 0, silentChecks: 0, idleChecks: 0 }
    lines.add(line)
    scheduleCheck()
    const late = new CodedError('timeout', 'the peer has shaken hands and says nothing')
    const cancel = clock.after(helloTimeoutMs, () => connection.mux.destroy(late))
    const opened = connection.mux.opened().then(() => line)
    connection.mux.start()
    opened.then(cancel, cancel)
    return { line, opened }
  }

  const accepted = (stream: SecureStream, host: string): void => {
    const { peer: proof } = stream
    if (closing.signal.aborted) return stream.destroy()
    if (proof.type === 'guest') {
      if (guests.size >= guestsMax) return stream.destroy()
      const { line } = start(stream, { host, isDialer: false, handlers, isKept: false })
      guests.add(line)
      clock.after(guestMs, () => line.connection.mux.destroy())
      return
    }
    const twin = twinError(stateOf(proof.certificate.nodeId), proof.incarnation)
    const { line, opened } = start(stream, { host, isDialer: false, handlers, isKept: true })
    opened.catch(() => {})
    if (twin === undefined) return
    log('error', 'peer.twin', { node: proof.certificate.nodeId, host, reason: twin.message })
    line.connection.mux.destroy(twin)
  }

  /** Makes the line the one to its peer in its lane, or lets it end. */
  const enlist = (line: Line): void => {
    const { proof, lane, mux } = line.connection
    if (proof.type !== 'member' || !lines.has(line)) return
    const state = stateOf(proof.certificate.nodeId)
    const twin = twinError(state, proof.incarnation)
    if (twin !== undefined) return mux.destroy(twin)
    const old = state.lines.get(lane)
    const isRestarted = state.incarnation !== undefined && state.incarnation !== proof.incarnation
    if (isRestarted) forgetEarlierSelf(state)
    else if (old !== undefined && !isNewerBetter(old, line, options.identity().nodeId)) {
      void mux.close(closeGraceMs)
      return
    }
    state.incarnation = proof.incarnation
    state.lastError = undefined
    state.lines.set(lane, line)
    if (lane === 'control') {
      old?.connection.mux.uncarry()
      mux.carry(state.outbox)
    }
    if (old !== undefined && lines.has(old)) void old.connection.mux.close(closeGraceMs)
    const peer = line.connection.peer()
    if (lane !== 'control' || state.isUp || peer === undefined) return
    state.isUp = true
    log('info', 'peer.up', { node: state.nodeId, host: peer.host, role: peer.role })
    options.onPeerUp?.(peer)
  }

  const isNewerBetter = (old: Line, line: Line, ourId: NodeId): boolean => {
    if (!old.connection.mux.isUsable) return true
    if (old.connection.isDialer === line.connection.isDialer) return true
    // Who has a line does not dial: a dial much later says that the other has lost the old one.
    if (line.openedAtMs - old.openedAtMs > crossingMs) return true
    const { proof } = line.connection
    const theirId = proof.type === 'member' ? proof.certificate.nodeId : ourId
    return line.connection.isDialer === ourId < theirId
  }

  const forgetEarlierSelf = (state: PeerState): void => {
    if (state.incarnation !== undefined) state.retired.add(state.incarnation)
    for (const first of state.retired) {
      if (state.retired.size > retiredMax) state.retired.delete(first)
    }
    const restarted = new CodedError('unavailable', `node ${state.nodeId} has started again`)
    for (const line of [...state.lines.values()]) line.connection.mux.destroy(restarted)
    state.incarnation = undefined
  }

  const left = (line: Line): void => {
    // Of no use for anything new; the next word dials afresh.
    const state = holderOf(line)
    if (state === undefined) return
    line.connection.mux.uncarry()
    state.outbox.wake = () => wantControl(state)
  }

  const closed = (line: Line, error: CodedError | undefined): void => {
    lines.delete(line)
    guests.delete(line)
    const state = holderOf(line)
    if (state === undefined) return
    const { lane } = line.connection
    state.lines.delete(lane)
    // One that ends as soon as it stands is no better than none: the next try waits its turn.
    if (error !== undefined && clock.steadyMs() - line.openedAtMs < shortLivedMs) fail(state, error)
    else state.failures = 0
    if (lane !== 'control') return
    line.connection.mux.uncarry()
    state.outbox.wake = () => wantControl(state)
    if (state.isUp) {
      state.isUp = false
      log('info', 'peer.down', { node: state.nodeId, reason: error?.message ?? 'good-bye' })
      options.onPeerDown?.(state.nodeId, error)
    }
    if (hasWaiting(state)) wantControl(state)
  }

  const holderOf = (line: Line): PeerState | undefined => {
    const { proof, lane } = line.connection
    if (proof.type !== 'member') return undefined
    const state = states.get(proof.certificate.nodeId)
    return state?.lines.get(lane) === line ? state : undefined
  }

  /** Something waits for the peer: dial now, or when the pause is over. */
  const wantControl = (state: PeerState): void => {
    if (closing.signal.aborted || state.cancelRetry !== undefined) return
    if (state.lines.get('control')?.connection.mux.isUsable === true) return
    if (state.addresses.length === 0 || state.dials.has('control')) return
    const waitMs = state.retryAtMs - clock.steadyMs()
    if (waitMs <= 0) {
      lineTo(state, 'control').catch(() => {
        if (hasWaiting(state)) wantControl(state)
      })
      return
    }
    state.cancelRetry = clock.after(waitMs, () => {
      state.cancelRetry = undefined
      if (hasWaiting(state)) wantControl(state)
    })
  }

  /** The line to a peer; dials if there is none. Rejects at once while the pause lasts. */
  const lineTo = (state: PeerState, lane: Lane): Promise<Line> => {
    const line = state.lines.get(lane)
    if (line?.connection.mux.isUsable === true) return Promise.resolve(line)
    const underWay = state.dials.get(lane)
    if (underWay !== undefined) return underWay
    if (closing.signal.aborted) return Promise.reject(stopped())
    if (state.addresses.length === 0) {
      const text = `node ${state.nodeId} is not connected and its address is not known`
      return Promise.reject(new CodedError('unavailable', text))
    }
    if (state.lastError !== undefined && clock.steadyMs() < state.retryAtMs) {
      return Promise.reject(state.lastError)
    }
    const dialed = dialPeer(state, lane).finally(() => state.dials.delete(lane))
    state.dials.set(lane, dialed)
    return dialed
  }

  const dialPeer = async (state: PeerState, lane: Lane): Promise<Line> => {
    const { nodeId } = state
    try {
      const line = await firstOf(state.addresses, closing.signal, {
        attempt: (address, signal) => dialMember(address, { lane, nodeId, signal }),
        dispose: (late) => void late.connection.mux.close(closeGraceMs),
      })
      // If the two dials crossed, the other line may be the one to use.
      const chosen = state.lines.get(lane) ?? line
      if (chosen.connection.mux.loss !== undefined) throw chosen.connection.mux.loss
      return chosen
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      const told = fail(state, error)
      // The first failure is news; those that follow say the same.
      log(state.failures === 1 ? 'info' : 'debug', 'peer.unreachable', {
        ...{ node: nodeId, lane, reason: error.message, failures: state.failures },
      })
      throw told
    }
  }

  /** A dial has failed, or what it brought: the pause grows. Returns what requests are told. */
  const fail = (state: PeerState, error: CodedError): CodedError => {
    state.failures++
    const growing = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(state.failures - 1, 10))
    const jitter = 0.5 + ((clock.randomBytes(1)[0] ?? 0) / 256) * 0.5
    state.retryAtMs = clock.steadyMs() + growing * jitter
    const text = `node ${state.nodeId}: ${error.message}`
    state.lastError = new CodedError('unavailable', text, { cause: error })
    return state.lastError
  }

  const dialMember = async (
    address: Address,
    want: { readonly lane: Lane; readonly nodeId?: NodeId; readonly signal: AbortSignal },
  ): Promise<Line> => {
    const { lane, nodeId, signal } = want
    const identity = options.identity()
    const initiator = { type: 'member' as const, identity, trust, lane, nodeId }
    const { stream } = await dialStream(address, initiator, signal)
    const from = { host: address.host, isDialer: true, handlers, isKept: true }
    const { opened } = start(stream, from)
    return opened
  }

  const dialStream = async (
    address: Address,
    initiator: InitiatorOptions,
    signal: AbortSignal,
  ): Promise<{ readonly stream: SecureStream; readonly localHost: string }> => {
    const socket = await dial(address, { timers: clock, signal })
    try {
      const stream = await dialSecure(socket, initiator, { timers: clock, signal })
      return { stream, localHost: socket.localAddress ?? '' }
    } catch (error) {
      if (!(error instanceof CodedError) || !['timeout', 'unavailable'].includes(error.code)) {
        throw error
      }
      const text = `${formatAddress(address)}: ${error.message}`
      throw new CodedError(error.code, text, { cause: error })
    }
  }

  /** Tries the addresses, each a little after the one before; the first to succeed ends the rest. */
  const firstOf = async <T>(
    addresses: readonly Address[],
    outer: AbortSignal,
    how: {
      readonly attempt: (address: Address, signal: AbortSignal) => Promise<T>
      /** Ends what has come second. */
      readonly dispose: (late: T) => void
    },
  ): Promise<T> => {
    assert(addresses.length > 0, 'there is an address to try')
    let hasWon = false
    const done = new AbortController()
    const signal = AbortSignal.any([outer, done.signal])
    const errors: CodedError[] = []
    try {
      return await Promise.any(
        addresses.map(async (address, index) => {
          if (index > 0) await pause(index * staggerMs, signal)
          try {
            const value = await how.attempt(address, signal)
            if (!hasWon) {
              hasWon = true
              return value
            }
            how.dispose(value)
            throw stopped()
          } catch (error) {
            if (error instanceof CodedError) errors.push(error)
            throw error
          }
        }),
      )
    } catch (error) {
      const bug = error instanceof AggregateError ? error.errors.find(isNoCoded) : error
      if (bug !== undefined) throw bug
      // What a node said tells more than that another was silent.
      const told = errors.find(({ code }) => code !== 'unavailable' && code !== 'timeout')
      throw told ?? errors[0] ?? stopped()
    } finally {
      done.abort()
    }
  }

  const pause = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const cancel = clock.after(ms, resolve)
      const abort = (): void => {
        cancel()
        reject(stopped())
      }
      if (signal.aborted) abort()
      else signal.addEventListener('abort', abort, { once: true })
    })

  const call = async (call: CallOptions): Promise<CallReply> => {
    const { keys, token, timeoutMs } = call
    const late = new AbortController()
    const cancel = clock.after(timeoutMs, () => late.abort())
    const outer = AbortSignal.any([closing.signal, late.signal, ...signals(call.signal)])
    const startedAtMs = clock.steadyMs()
    try {
      const { stream, localHost } = await firstOf(call.addresses, outer, {
        attempt: (address, signal) => dialStream(address, { type: 'guest', keys, token }, signal),
        dispose: (late) => late.stream.destroy(),
      })
      const { peer: proof } = stream
      assert(proof.type === 'member', 'a responder is a member')
      const empty = { messages: {}, requests: {}, streams: {}, guests: {} }
      const from = { host: '', isDialer: true, handlers: empty, isKept: false }
      const { opened } = start(stream, from)
      const { connection } = await opened
      const leftMs = Math.max(1, timeoutMs - (clock.steadyMs() - startedAtMs))
      const value = await connection.mux
        .request(call.kind, call.body, { timeoutMs: leftMs, signal: outer })
        .catch((error: unknown) => {
          // Done or not, nobody knows: whoever asks again must be recognized.
          const isLost = connection.mux.loss !== undefined && error instanceof CodedError
          if (!isLost) throw error
          throw new CodedError(error.code, error.message, { detail: { isLost }, cause: error })
        })
        .finally(() => void connection.mux.close(closeGraceMs))
      const { certificate, clusterKey, successions } = proof
      return { value, certificate, clusterKey, successions, localHost }
    } catch (error) {
      if (!late.signal.aborted || !(error instanceof CodedError)) throw error
      const places = call.addresses.map(formatAddress).join(', ')
      throw new CodedError('timeout', `no answer from ${places} within ${timeoutMs / 1_000} s`)
    } finally {
      cancel()
    }
  }

  // The check: one timer for all lines.

  const scheduleCheck = (): void => {
    if (cancelCheck !== undefined || lines.size === 0 || closing.signal.aborted) return
    const dueAtMs = clock.steadyMs() + checkMs
    cancelCheck = clock.after(checkMs, () => {
      cancelCheck = undefined
      // If we ourselves were stopped, what the others have sent still lies in our sockets.
      const wasStopped = clock.steadyMs() - dueAtMs > checkMs
      for (const line of [...lines]) check(line, wasStopped)
      scheduleCheck()
    })
  }

  const check = (line: Line, wasStopped: boolean): void => {
    const { mux, lane } = line.connection
    const records = mux.recordsReceived()
    line.silentChecks = records !== line.records || wasStopped ? 0 : line.silentChecks + 1
    line.records = records
    line.idleChecks = mux.openCount() > 0 ? 0 : line.idleChecks + 1
    if (line.silentChecks >= silentChecksMax) {
      const seconds = (silentChecksMax * checkMs) / 1_000
      mux.destroy(new CodedError('timeout', `no sign of life for ${seconds} s`))
    } else if (line.silentChecks >= silentChecksToPing) mux.ping().catch(() => {})
    if (lane === 'bulk' && line.idleChecks >= idleChecksMax && line.connection.isDialer) {
      void mux.close(closeGraceMs)
    }
  }

  const recheck = (): void => {
    for (const line of [...lines]) {
      const { proof, mux, setRole } = line.connection
      if (proof.type !== 'member') continue
      const role = trust.roleOf(proof.certificate)
      if (role !== undefined) {
        setRole(role)
        continue
      }
      const text = `node ${proof.certificate.nodeId} is no longer a member with that key`
      mux.destroy(new CodedError('not-a-member', text))
    }
  }

  return {
    listen: async (address) => {
      assert(listener === undefined, 'peers listen once')
      const { identity, admitGuest, admissionLimits } = options
      listener = await openListener({
        ...{ address, identity, trust, admitGuest, clock, log, onStream: accepted },
        ...(admissionLimits === undefined ? {} : { limits: admissionLimits }),
      })
      return listener.address
    },
    setAddresses: (nodeId, addresses) => {
      const state = stateOf(nodeId)
      const isSame =
        state.addresses.map(formatAddress).join() === addresses.map(formatAddress).join()
      if (isSame) return
      state.addresses = addresses
      // A new address deserves a try at once.
      state.retryAtMs = 0
      state.cancelRetry?.()
      state.cancelRetry = undefined
      if (hasWaiting(state)) wantControl(state)
    },
    send: (nodeId, kind, body, sendOptions) => {
      const state = states.get(nodeId)
      const canLeave =
        state !== undefined && (state.lines.has('control') || state.addresses.length > 0)
      if (canLeave) state.outbox.push(kind, body, sendOptions)
      else unaddressed++
    },
    request: async (nodeId, kind, body, { timeoutMs, signal, lane }) => {
      const startedAtMs = clock.steadyMs()
      const dialed = lineTo(stateOf(nodeId), lane ?? 'control')
      const line = await within(clock, dialed, { timeoutMs, signal, what: `${kind} to ${nodeId}` })
      const leftMs = Math.max(1, timeoutMs - (clock.steadyMs() - startedAtMs))
      return line.connection.mux.request(kind, body, { timeoutMs: leftMs, signal })
    },
    openStream: async (nodeId, kind, header, streamOptions = {}) => {
      const what = { timeoutMs: helloTimeoutMs * 2, signal: streamOptions.signal, what: kind }
      const line = await within(clock, lineTo(stateOf(nodeId), 'bulk'), what)
      return line.connection.mux.openStream(kind, header)
    },
    connectTo: async (address, connectOptions = {}) => {
      const signal = AbortSignal.any([closing.signal, ...signals(connectOptions.signal)])
      const { connection } = await dialMember(address, { lane: 'control', signal })
      if (connection.mux.loss !== undefined) throw connection.mux.loss
      const peer = present(connection.peer(), 'the peer of an open connection')
      const state = stateOf(peer.nodeId)
      if (state.addresses.length === 0) state.addresses = [address]
      return peer
    },
    probe: async (address, timeoutMs) => {
      const late = new AbortController()
      const cancel = clock.after(timeoutMs, () => late.abort())
      try {
        const signal = AbortSignal.any([closing.signal, late.signal])
        const socket = await dial(address, { timers: clock, signal })
        socket.destroy()
      } catch (error) {
        if (!late.signal.aborted || !(error instanceof CodedError)) throw error
        const text = `${formatAddress(address)} does not answer within ${timeoutMs / 1_000} s`
        throw new CodedError('timeout', text)
      } finally {
        cancel()
      }
    },
    call,
    peer: (nodeId) => states.get(nodeId)?.lines.get('control')?.connection.peer(),
    list: () =>
      [...states.values()].flatMap((state) => state.lines.get('control')?.connection.peer() ?? []),
    recheck,
    disconnect: (nodeId, error) => {
      const state = states.get(nodeId)
      if (state === undefined) return
      for (const line of [...state.lines.values()]) {
        if (error === undefined) void line.connection.mux.close(closeGraceMs)
        else line.connection.mux.destroy(error)
      }
      state.cancelRetry?.()
      state.addresses = []
      states.delete(nodeId)
    },
    counts: () => {
      const outboxes = [...states.values()].map((state) => state.outbox.counts())
      return {
        connections: lines.size,
        guests: guests.size,
        ...(listener?.counts() ?? {}),
        messagesDropped: outboxes.reduce((sum, each) => sum + each.dropped, unaddressed),
        messagesReplaced: outboxes.reduce((sum, each) => sum + each.replaced, 0),
      }
    },
    close: async () => {
      closing.abort()
      cancelCheck?.()
      for (const state of states.values()) state.cancelRetry?.()
      await Promise.all([...lines].map((line) => line.connection.mux.close(closeGraceMs)))
      await listener?.close()
    },
  }
}

function hasWaiting(state: PeerState): boolean {
  return state.outbox.hasMessage(true) || state.outbox.hasMessage(false)
}

/** Why this incarnation is turned away: a newer start of the same node is here. */
function twinError(state: PeerState, incarnation: string): CodedError | undefined {
  if (!state.retired.has(incarnation) || state.lines.size === 0) return undefined
  return new CodedError(
    'permission-denied',
    `node ${state.nodeId} runs twice: a later start with the same key is connected; ` +
      'if its state folder was copied, remove one of the two and let it join afresh',
    { detail: { isExpelled: true } },
  )
}

/** The promise's value, unless the time is up or the signal comes first. */
function within<T>(
  clock: PeersClock,
  promise: Promise<T>,
  options: {
    readonly timeoutMs: number
    readonly signal: AbortSignal | undefined
    readonly what: string
  },
): Promise<T> {
  const { timeoutMs, signal, what } = options
  return new Promise((resolve, reject) => {
    const late = new CodedError('timeout', `${what}: not connected within ${timeoutMs / 1_000} s`)
    const cancel = clock.after(timeoutMs, () => reject(late))
    const abort = (): void => reject(new CodedError('unavailable', `${what} was given up`))
    if (signal?.aborted === true) abort()
    signal?.addEventListener('abort', abort, { once: true })
    const done = (): void => {
      cancel()
      signal?.removeEventListener('abort', abort)
    }
    promise.then(resolve, reject).finally(done)
  })
}

function signals(signal: AbortSignal | undefined): readonly AbortSignal[] {
  return signal === undefined ? [] : [signal]
}

function isNoCoded(error: unknown): boolean {
  return !(error instanceof CodedError)
}

function stopped(): CodedError {
  return new CodedError('unavailable', 'the dial was given up')
}
