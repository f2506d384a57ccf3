// One published TCP port: it accepts, finds a backend that answers, and carries bytes both ways.
//
//   client --accept--> [held, not read] --connect--> backend A refused
//                            |          --connect--> backend B ok --> relay
//                            +--- no backend for 2 s ---> reset
//
// Until a backend has answered not one byte is read from the client, so an attempt that fails
// costs nothing and the next backend gets the same connection. The relay keeps what TCP says: a
// half-close goes through as one, a reset as a reset, and who does not read is not written to.

import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Log } from '../../core/base/note.ts'
import { type Backend, BackendPool, type Flow, noteFailure, noteSuccess } from './backend.ts'
import type { BalanceClock, IngressLimits, PortState, PublishedPort } from './ingress.ts'

/** How often a connection without a backend tries those that failed it once more. */
const retryMs = 250
/** How often a port that another program holds is tried again. */
const listenRetryMs = 1_000
const backlog = 4_096
const keepAliveMs = 60_000
/** How long the other side may take to answer our end of a connection with its own. */
const endMs = 1_000

export interface PortOptions {
  readonly port: number
  readonly log: Log
  readonly clock: BalanceClock
  readonly limits: IngressLimits
}

export class TcpPort implements PublishedPort {
  readonly pool = new BackendPool()
  readonly #options: PortOptions
  readonly #closing = new AbortController()
  readonly #clients = new Set<Socket>()
  /** Wakes the connections that wait for a backend. */
  #changed = new AbortController()
  #server: Server | undefined
  #state: PortState = { state: 'starting' }
  #refused = 0
  #held = 0

  constructor(options: PortOptions) {
    this.#options = options
    this.#open().catch((error) => this.#fail(error))
  }

  state(): PortState {
    return {
      ...this.#state,
      connections: this.#clients.size,
      held: this.#held,
      refused: this.#refused,
    }
  }

  /** To be called after a change of the pool. */
  wake(): void {
    const before = this.#changed
    this.#changed = new AbortController()
    before.abort()
  }

  /** Stops listening at once. What is relayed goes on; what still waits for a backend is reset. */
  close(): void {
    this.#closing.abort()
    this.#server?.close()
    this.#server = undefined
    this.wake()
  }

  // listening

  async #open(): Promise<void> {
    const { clock, port, log } = this.#options
    const signal = this.#closing.signal
    while (!signal.aborted) {
      try {
        this.#server = await this.#listen(signal)
        this.#state = { state: 'listening' }
        return
      } catch (error) {
        const reason = explainListen(port, 'tcp', error)
        if (this.#state.reason !== reason) log('warn', 'ingress.listen-failed', { port, reason })
        this.#state = { state: 'failed', reason }
      }
      await clock.sleep(listenRetryMs, signal).catch(() => undefined)
    }
  }

  async #listen(signal: AbortSignal): Promise<Server> {
    const { port } = this.#options
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true })
    server.on('connection', (client) => this.#accept(client))
    await listenOn(server, { port, host: '::', backlog }).catch(async (error) => {
      if (!isWithoutIpv6(error)) throw error
      await listenOn(server, { port, host: '0.0.0.0', backlog })
    })
    server.on('error', (error) => this.#fail(error))
    if (signal.aborted) server.close()
    return server
  }

  #fail(error: unknown): void {
    const reason = explainListen(this.#options.port, 'tcp', error)
    this.#state = { state: 'failed', reason }
    this.#options.log('error', 'ingress.failed', { port: this.#options.port, reason })
  }

  // one client

  #accept(client: Socket): void {
    // A reset is heard by the relay; here it must only not end the process.
    client.on('error', () => undefined)
    if (this.#clients.size >= this.#options.limits.connectionsPerPortMax) {
      this.#refused += 1
      client.resetAndDestroy()
      return
    }
    this.#clients.add(client)
    client.once('close', () => this.#clients.delete(client))
    this.#serve(client).catch((error) => {
      this.#options.log('error', 'ingress.connection-failed', { reason: String(error) })
      client.resetAndDestroy()
    })
  }

  async #serve(client: Socket): Promise<void> {
    const found = await this.#findBackend(client)
    if (found === undefined) {
      this.#refused += 1
      client.resetAndDestroy()
      return
    }
    const { backend, upstream } = found
    const flow = relay({ client, upstream, backend, clock: this.#options.clock })
    backend.flows.add(flow)
    backend.connecting -= 1
    const forget = (): void => {
      backend.flows.delete(flow)
      this.pool.sweep()
    }
    // `close` comes after both directions have ended, or with the reset that ended both.
    if (upstream.closed) forget()
    else upstream.once('close', forget)
  }

  /** A connected backend, counted as connecting; undefined when none answered in time. */
  async #findBackend(client: Socket): Promise<{ backend: Backend; upstream: Socket } | undefined> {
    const { clock, limits } = this.#options
    const giveUpAtMs = clock.nowMs() + limits.holdMs
    const tried = new Set<Backend>()
    while (!client.destroyed) {
      const backend = this.pool.pick(clock.nowMs(), tried)
      if (backend !== undefined) {
        tried.add(backend)
        const upstream = await this.#connect(backend)
        if (upstream !== undefined) return { backend, upstream }
        continue
      }
      const leftMs = giveUpAtMs - clock.nowMs()
      if (leftMs <= 0 || this.#closing.signal.aborted) return undefined
      // None at all: only a change helps. All failed: they may be about to listen.
      await this.#hold(tried.size === 0 ? leftMs : Math.min(leftMs, retryMs))
      tried.clear()
    }
    return undefined
  }

  async #hold(ms: number): Promise<void> {
    this.#held += 1
    await this.#options.clock.sleep(ms, this.#changed.signal).catch(() => undefined)
    this.#held -= 1
  }

  /** The connected socket; undefined when it was refused or took too long. */
  async #connect(backend: Backend): Promise<Socket | undefined> {
    const { clock, limits } = this.#options
    backend.connecting += 1
    const upstream = connect({
      host: backend.address,
      port: backend.port,
      allowHalfOpen: true,
      noDelay: true,
    })
    const isConnected = await connected(upstream, clock, limits.connectTimeoutMs)
    if (isConnected) {
      noteSuccess(backend)
      return upstream
    }
    backend.connecting -= 1
    noteFailure(backend, clock.nowMs())
    this.pool.sweep()
    upstream.destroy()
    return undefined
  }
}

async function connected(socket: Socket, clock: BalanceClock, timeoutMs: number): Promise<boolean> {
  const settled = new AbortController()
  const outcome = new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true))
    socket.on('error', () => resolve(false))
    clock.sleep(timeoutMs, settled.signal).then(
      () => resolve(false),
      () => undefined,
    )
  })
  const isConnected = await outcome
  settled.abort()
  return isConnected
}

interface RelayOptions {
  readonly client: Socket
  readonly upstream: Socket
  readonly backend: Backend
  readonly clock: BalanceClock
}

/** Carries bytes between two sockets until both have ended. */
function relay({ client, upstream, backend, clock }: RelayOptions): Flow {
  let activeAtMs = clock.nowMs()
  let isAwaited = false
  const carry = (from: Socket, to: Socket, count: (bytes: number) => void): void => {
    from.on('data', (chunk: Buffer) => {
      activeAtMs = clock.nowMs()
      count(chunk.length)
      if (!to.write(chunk)) from.pause()
    })
    to.on('drain', () => {
      activeAtMs = clock.nowMs()
      from.resume()
    })
    from.on('end', () => to.end())
    // A side that broke breaks the other: to its peer it must not look like a good end.
    from.on('error', () => to.resetAndDestroy())
    from.on('close', () => {
      if (!from.readableEnded) to.destroy()
    })
  }
  carry(client, upstream, (bytes) => {
    isAwaited = true
    backend.bytesIn += bytes
  })
  carry(upstream, client, (bytes) => {
    isAwaited = false
    backend.bytesOut += bytes
  })
  client.setKeepAlive(true, keepAliveMs)
  upstream.setKeepAlive(true, keepAliveMs)
  client.resume()
  const both = (act: (socket: Socket) => void): void => {
    act(client)
    act(upstream)
  }
  if (client.destroyed) upstream.resetAndDestroy()
  let endedAtMs: number | undefined
  return {
    activeAtMs: () => activeAtMs,
    isAwaited: () => isAwaited,
    end: () => {
      const nowMs = clock.nowMs()
      if (endedAtMs === undefined) both((socket) => socket.end())
      // Pools of clients often do not look at a connection before they use it again.
      else if (nowMs - endedAtMs >= endMs) both((socket) => socket.destroy())
      endedAtMs ??= nowMs
    },
    destroy: () => both((socket) => socket.resetAndDestroy()),
  }
}

async function listenOn(
  server: Server,
  where: { readonly port: number; readonly host: string; readonly backlog: number },
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const failed = (error: Error): void => reject(error)
    server.once('error', failed)
    server.listen(where, () => {
      server.off('error', failed)
      resolve()
    })
  })
}

/** True if the host has no IPv6 to listen on. */
export function isWithoutIpv6(error: unknown): boolean {
  return ['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL', 'EPROTONOSUPPORT'].includes(codeOf(error))
}

/** Why a port cannot be listened on, and what to do. */
export function explainListen(port: number, protocol: 'tcp' | 'udp', error: unknown): string {
  const name = `port ${port}/${protocol}`
  const code = codeOf(error)
  if (code === 'EADDRINUSE') {
    const option = protocol === 'tcp' ? '-ltnp' : '-lunp'
    return `${name} is taken by another program on this node (ss ${option} 'sport = :${port}' names it): stop it, or publish another port; tried again every second`
  }
  if (code === 'EACCES') return `${name} needs root or CAP_NET_BIND_SERVICE: run the agent as root`
  return `${name} cannot be listened on: ${error instanceof Error ? error.message : String(error)}`
}

function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : ''
}
