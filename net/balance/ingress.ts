// Ingress: the published ports of this node, and the tasks behind them.
//
// The table says which port leads to which tasks; it is replaced whole, and what did not change is
// not touched. A port that is gone stops listening at once, but its connections go on. A task that
// is to stop is drained first: it gets no new connections, and the old ones are waited for, so
// that a rolling update loses no request.

import { unreachable } from '../../core/base/assert.ts'
import type { TaskId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import type { PortProtocol } from '../../core/object/service.ts'
import { type Backend, type BackendAddress, BackendPool, isUnused } from './backend.ts'
import { UdpPort } from './datagrams.ts'
import { TcpPort } from './proxy.ts'

/** Time as ingress needs it; the host gives the real one. */
export interface BalanceClock {
  readonly nowMs: () => number
  /** Ends after the time, or when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
}

export interface IngressRow {
  readonly port: number
  readonly protocol: PortProtocol
  readonly serviceName: string
  readonly backends: readonly BackendAddress[]
}

export interface Ingress {
  /** Replaces the table. Ports that cannot be listened on are retried; `status` says why. */
  readonly setTable: (rows: readonly IngressRow[]) => void
  /**
   * Takes a task out of the table at once and for good. Resolves when its connections have ended,
   * or have been silent for 2 s and were then closed; at `deadlineMs` (since 1970) at the latest:
   * TCP connections that are busy even then stay open, to end with the task.
   */
  readonly drain: (taskId: TaskId, deadlineMs: number) => Promise<void>
  readonly status: () => readonly IngressStatus[]
  /** Stops listening and resets whatever is open. */
  readonly close: () => Promise<void>
}

export interface PortState {
  readonly state: 'starting' | 'listening' | 'failed'
  /** Why it failed, and what to do. */
  readonly reason?: string
  /** Clients now, with those that wait for a backend. */
  readonly connections?: number
  readonly held?: number
  /** Clients that were sent away: too many, or no backend in time. */
  readonly refused?: number
}

export interface IngressStatus extends PortState {
  readonly port: number
  readonly protocol: PortProtocol
  readonly serviceName: string
  readonly backends: readonly BackendStatus[]
}

export interface BackendStatus extends BackendAddress {
  readonly connections: number
  readonly connectionsTotal: number
  /** From clients to the task. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** Connections that it refused or did not answer. */
  readonly failures: number
  /** True for one that gets no new connections. */
  readonly isLeaving: boolean
}

/** What a protocol does for its port. */
export interface PublishedPort {
  readonly pool: BackendPool
  readonly state: () => PortState
  readonly wake: (isDraining: (backend: Backend) => boolean) => void
  readonly close: () => void
  readonly expire?: (nowMs: number) => void
}

export interface IngressLimits {
  readonly connectionsPerPortMax: number
  readonly connectTimeoutMs: number
  /** How long a connection waits for a backend to appear. */
  readonly holdMs: number
  readonly tcpIdleMs: number
  readonly udpIdleMs: number
  /** For a client that sent one datagram only. */
  readonly udpOneShotIdleMs: number
  readonly udpFlowsPerPortMax: number
  /** Silence after an answer, after which a connection of a draining task is closed. */
  readonly drainIdleMs: number
}

export const defaultLimits: IngressLimits = {
  connectionsPerPortMax: 10_000,
  connectTimeoutMs: 3_000,
  holdMs: 2_000,
  tcpIdleMs: 3_600_000,
  udpIdleMs: 60_000,
  udpOneShotIdleMs: 10_000,
  udpFlowsPerPortMax: 4_096,
  drainIdleMs: 2_000,
}

const sweepMs = 5_000
const drainLookMs = 100

interface Entry {
  readonly row: IngressRow
  readonly port: PublishedPort
}

/** An ingress with an empty table. `limits` replaces single figures of `defaultLimits`. */
export function createIngress(options: {
  readonly log: Log
  readonly clock: BalanceClock
  readonly limits?: Partial<IngressLimits>
}): Ingress {
  return new NodeIngress(options.log, options.clock, { ...defaultLimits, ...options.limits }).port()
}

class NodeIngress {
  readonly #log: Log
  readonly #clock: BalanceClock
  readonly #limits: IngressLimits
  readonly #entries = new Map<string, Entry>()
  /** Ports that left the table, as long as connections are open through them. */
  readonly #leaving = new Set<PublishedPort>()
  /** Tasks that were drained and may still be named by tables on their way. */
  readonly #drained = new Set<TaskId>()
  readonly #closing = new AbortController()
  #sweeping: Promise<void> | undefined

  constructor(log: Log, clock: BalanceClock, limits: IngressLimits) {
    this.#log = log
    this.#clock = clock
    this.#limits = limits
  }

  port(): Ingress {
    return {
      setTable: (rows) => this.#setTable(rows),
      drain: (taskId, deadlineMs) => this.#drain(taskId, deadlineMs),
      status: () => [...this.#entries.values()].map(describe),
      close: () => this.#close(),
    }
  }

  #setTable(rows: readonly IngressRow[]): void {
    const named = new Set(rows.flatMap((row) => row.backends.map((backend) => backend.taskId)))
    for (const taskId of this.#drained) if (!named.has(taskId)) this.#forget(taskId)
    const wanted = new Map(rows.map((row) => [`${row.protocol} ${row.port}`, row]))
    for (const [key, entry] of this.#entries) {
      if (!wanted.has(key)) this.#removeEntry(key, entry)
    }
    for (const [key, row] of wanted) {
      const port = this.#entries.get(key)?.port ?? this.#openPort(row)
      this.#entries.set(key, { row, port })
      this.#applyBackends({ row, port })
    }
    this.#sweeping ??= this.#sweep(this.#closing.signal)
  }

  #openPort(row: IngressRow): PublishedPort {
    const options = {
      port: row.port,
      log: this.#log,
      clock: this.#clock,
      limits: this.#limits,
    }
    switch (row.protocol) {
      case 'tcp':
        return new TcpPort(options)
      case 'udp':
        return new UdpPort(options)
      case 'sctp':
        return refusedPort(row)
      default:
        return unreachable(row.protocol)
    }
  }

  #removeEntry(key: string, { port }: Entry): void {
    this.#entries.delete(key)
    port.pool.set([])
    port.close()
    this.#leaving.add(port)
  }

  #applyBackends({ row, port }: Entry): void {
    port.pool.set(row.backends.filter((backend) => !this.#drained.has(backend.taskId)))
    port.wake((backend) => this.#drained.has(backend.taskId))
  }

  /** A drained task that no table names any more needs no memory, once nothing is open to it. */
  #forget(taskId: TaskId): void {
    if (this.#backendsOf(taskId).length === 0) this.#drained.delete(taskId)
  }

  async #drain(taskId: TaskId, deadlineMs: number): Promise<void> {
    this.#drained.add(taskId)
    for (const entry of this.#entries.values()) this.#applyBackends(entry)
    const signal = this.#closing.signal
    for (;;) {
      const open = this.#backendsOf(taskId).filter((backend) => !isUnused(backend))
      if (open.length === 0 || signal.aborted) return
      const nowMs = this.#clock.nowMs()
      const isLate = nowMs >= deadlineMs
      for (const flow of open.flatMap((backend) => [...backend.flows])) {
        const isIdle = nowMs - flow.activeAtMs() >= this.#limits.drainIdleMs
        if (isIdle && !flow.isAwaited()) flow.end()
      }
      if (isLate) return this.#endDatagrams(taskId)
      const leftMs = Math.min(drainLookMs, deadlineMs - nowMs)
      await this.#clock.sleep(leftMs, signal).catch(() => undefined)
    }
  }

  /** Datagrams know no end: without this a client would go on talking to a task that is gone. */
  #endDatagrams(taskId: TaskId): void {
    for (const { port, row } of this.#entries.values()) {
      if (row.protocol !== 'udp') continue
      const backends = port.pool.all().filter((backend) => backend.taskId === taskId)
      for (const flow of backends.flatMap((backend) => [...backend.flows])) flow.destroy()
    }
  }

  #ports(): readonly PublishedPort[] {
    return [...[...this.#entries.values()].map((entry) => entry.port), ...this.#leaving]
  }

  #backendsOf(taskId: TaskId): readonly Backend[] {
    return this.#ports().flatMap((port) =>
      port.pool.all().filter((backend) => backend.taskId === taskId),
    )
  }

  /** Ends what has been silent for too long. One look every few seconds, for all of them. */
  async #sweep(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(sweepMs, signal).catch(() => undefined)
      const nowMs = this.#clock.nowMs()
      for (const port of this.#ports()) {
        if (port.expire !== undefined) port.expire(nowMs)
        else this.#endIdle(port.pool, nowMs)
      }
      for (const port of this.#leaving) {
        if (port.pool.all().every(isUnused)) this.#leaving.delete(port)
      }
    }
  }

  #endIdle(pool: BackendPool, nowMs: number): void {
    for (const flow of pool.all().flatMap((backend) => [...backend.flows])) {
      if (nowMs - flow.activeAtMs() >= this.#limits.tcpIdleMs) flow.destroy()
    }
  }

  async #close(): Promise<void> {
    this.#closing.abort()
    for (const port of this.#ports()) {
      port.close()
      for (const backend of port.pool.all()) for (const flow of [...backend.flows]) flow.destroy()
    }
    this.#entries.clear()
    await this.#sweeping
  }
}

/** Stands in the table for a protocol that no userspace socket of ours speaks. */
function refusedPort({ port, protocol }: IngressRow): PublishedPort {
  const reason = `port ${port}/${protocol}: ingress carries tcp and udp; publish it with mode=host`
  return {
    pool: new BackendPool(),
    state: () => ({ state: 'failed', reason }),
    wake: () => undefined,
    close: () => undefined,
  }
}

function describe({ row, port }: Entry): IngressStatus {
  return {
    port: row.port,
    protocol: row.protocol,
    serviceName: row.serviceName,
    ...port.state(),
    backends: port.pool.all().map((backend) => ({
      taskId: backend.taskId,
      address: backend.address,
      port: backend.port,
      connections: backend.flows.size,
      connectionsTotal: backend.flowCount,
      bytesIn: backend.bytesIn,
      bytesOut: backend.bytesOut,
      failures: backend.failures,
      isLeaving: !backend.isChosen,
    })),
  }
}
