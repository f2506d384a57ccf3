// One published UDP port. A client's address and port name its flow: all its datagrams go to the
// backend that got the first, until it is silent for a minute (or 10 s if it never spoke twice, as
// DNS clients do, who use a new port for each question). When there are too many flows, the one
// that was silent the longest makes room.
//
// Each flow has a socket of its own towards the backend, connected, so that answers are told apart
// by the kernel and a port that nobody listens on is heard of.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { type Backend, BackendPool, type Flow, noteFailure, noteSuccess } from './backend.ts'
import type { PortState, PublishedPort } from './ingress.ts'
import { explainListen, isWithoutIpv6, type PortOptions } from './proxy.ts'

const listenRetryMs = 1_000
/** Datagrams that wait for the connect of a flow; a few at the start of QUIC. */
const waitingMax = 16

interface DatagramFlow extends Flow {
  readonly backend: Backend
  /** Datagrams that came from the client. */
  readonly received: () => number
  readonly send: (data: Buffer) => void
}

export class UdpPort implements PublishedPort {
  readonly pool = new BackendPool()
  readonly #options: PortOptions
  readonly #closing = new AbortController()
  /** In the order of their last datagram from the client. */
  readonly #flows = new Map<string, DatagramFlow>()
  #socket: Socket | undefined
  #state: PortState = { state: 'starting' }
  #refused = 0

  constructor(options: PortOptions) {
    this.#options = options
    this.#open().catch((error) => this.#fail(error))
  }

  state(): PortState {
    return { ...this.#state, connections: this.#flows.size, held: 0, refused: this.#refused }
  }

  /**
   * After a change of the pool: datagrams know no end, so the flows of a task that left the table
   * without being drained move on to another with their next datagram.
   */
  wake(isDraining: (backend: Backend) => boolean): void {
    for (const flow of this.#flows.values()) {
      if (!flow.backend.isChosen && !isDraining(flow.backend)) flow.destroy()
    }
  }

  /** Ends the flows that have been silent for too long. */
  expire(nowMs: number): void {
    const { udpIdleMs, udpOneShotIdleMs } = this.#options.limits
    for (const flow of this.#flows.values()) {
      const idleMs = nowMs - flow.activeAtMs()
      if (idleMs >= (flow.received() > 1 ? udpIdleMs : udpOneShotIdleMs)) flow.destroy()
    }
  }

  close(): void {
    this.#closing.abort()
    for (const flow of this.#flows.values()) flow.destroy()
    this.#socket?.close()
    this.#socket = undefined
  }

  async #open(): Promise<void> {
    const { clock, port, log } = this.#options
    const signal = this.#closing.signal
    while (!signal.aborted) {
      try {
        const socket = await bindEither(port)
        if (signal.aborted) return void socket.close()
        this.#socket = socket
        socket.on('message', (data, from) => this.#receive(data, from))
        socket.on('error', (error) => this.#fail(error))
        this.#state = { state: 'listening' }
        return
      } catch (error) {
        const reason = explainListen(port, 'udp', error)
        if (this.#state.reason !== reason) log('warn', 'ingress.listen-failed', { port, reason })
        this.#state = { state: 'failed', reason }
      }
      await clock.sleep(listenRetryMs, signal).catch(() => undefined)
    }
  }

  #fail(error: unknown): void {
    const reason = explainListen(this.#options.port, 'udp', error)
    this.#state = { state: 'failed', reason }
    this.#options.log('error', 'ingress.failed', { port: this.#options.port, reason })
  }

  #receive(data: Buffer, from: RemoteInfo): void {
    const key = `${from.address} ${from.port}`
    const flow = this.#flows.get(key) ?? this.#begin(key, from)
    if (flow === undefined) {
      this.#refused += 1
      return
    }
    this.#flows.delete(key)
    this.#flows.set(key, flow)
    flow.send(data)
  }

  #begin(key: string, from: RemoteInfo): DatagramFlow | undefined {
    const { clock, limits } = this.#options
    const backend = this.pool.pick(clock.nowMs(), new Set())
    if (backend === undefined) return undefined
    const [oldest] = this.#flows.values()
    if (this.#flows.size >= limits.udpFlowsPerPortMax) oldest?.destroy()
    const flow = this.#makeFlow(key, from, backend)
    noteSuccess(backend)
    backend.flows.add(flow)
    this.#flows.set(key, flow)
    return flow
  }

  #makeFlow(key: string, from: RemoteInfo, backend: Backend): DatagramFlow {
    const { clock } = this.#options
    const upstream = createSocket(isIPv6(backend.address) ? 'udp6' : 'udp4')
    let waiting: Buffer[] | undefined = []
    let activeAtMs = clock.nowMs()
    let received = 0
    let isOpen = true
    const destroy = (): void => {
      if (!isOpen) return
      isOpen = false
      upstream.close()
      backend.flows.delete(flow)
      this.#flows.delete(key)
      this.pool.sweep()
    }
    upstream.on('error', () => {
      noteFailure(backend, clock.nowMs())
      destroy()
    })
    upstream.on('message', (data) => {
      activeAtMs = clock.nowMs()
      backend.bytesOut += data.length
      // A client that cannot be reached is no fault of the port.
      this.#socket?.send(data, from.port, from.address, () => undefined)
    })
    upstream.connect(backend.port, backend.address, () => {
      for (const data of waiting ?? []) if (isOpen) upstream.send(data)
      waiting = undefined
    })
    const send = (data: Buffer): void => {
      activeAtMs = clock.nowMs()
      received += 1
      backend.bytesIn += data.length
      if (waiting === undefined) upstream.send(data)
      else if (waiting.length < waitingMax) waiting.push(data)
    }
    const flow: DatagramFlow = {
      backend,
      activeAtMs: () => activeAtMs,
      isAwaited: () => false, // A datagram need not be answered.
      received: () => received,
      send,
      end: destroy,
      destroy,
    }
    return flow
  }
}

async function bindEither(port: number): Promise<Socket> {
  try {
    return await bind('udp6', port)
  } catch (error) {
    if (!isWithoutIpv6(error)) throw error
    return await bind('udp4', port)
  }
}

async function bind(type: 'udp4' | 'udp6', port: number): Promise<Socket> {
  const socket = createSocket({ type, ipv6Only: false })
  return await new Promise<Socket>((resolve, reject) => {
    const failed = (error: Error): void => {
      socket.close()
      reject(error)
    }
    socket.once('error', failed)
    socket.bind({ port, exclusive: true }, () => {
      socket.off('error', failed)
      resolve(socket)
    })
  })
}
