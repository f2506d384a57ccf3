// Backends of one published port, and the choice among them: least connections, ties by rotation.
//
// One that just failed to answer has no connections and would be chosen first each time; so it is
// left aside for a while, growing from 1 s to 10 s, unless there is no other.

import type { TaskId } from '../../core/base/id.ts'

/** Where a task answers: an address of its container and the target port. */
export interface BackendAddress {
  readonly taskId: TaskId
  readonly address: string
  readonly port: number
}

/** Something open to a backend: a TCP connection, or the datagrams of one client. */
export interface Flow {
  /** When bytes last went either way. */
  readonly activeAtMs: () => number
  /** The client spoke last, so that it may still wait for its answer, however long that takes. */
  readonly isAwaited: () => boolean
  /** Ends it in good order; called again until it has ended. */
  readonly end: () => void
  /** Ends it at once. */
  readonly destroy: () => void
}

/** A backend and what was counted of it. Mutable; it lives in its pool until nothing is open. */
export interface Backend extends BackendAddress {
  readonly key: string
  readonly flows: Set<Flow>
  /** Attempts to connect that are under way; they count as connections in the choice. */
  connecting: number
  /** True while it may get new connections. */
  isChosen: boolean
  flowCount: number
  bytesIn: number
  bytesOut: number
  failures: number
  failuresInRow: number
  asideUntilMs: number
}

const asideMsMin = 1_000
const asideMsMax = 10_000

export class BackendPool {
  readonly #backends = new Map<string, Backend>()
  #turn = 0

  /** Replaces those that may be chosen. The rest stay as long as something is open to them. */
  set(addresses: readonly BackendAddress[]): void {
    for (const backend of this.#backends.values()) backend.isChosen = false
    for (const address of addresses) {
      const key = `${address.taskId} ${address.address} ${address.port}`
      const backend = this.#backends.get(key) ?? makeBackend(key, address)
      backend.isChosen = true
      this.#backends.set(key, backend)
    }
    this.sweep()
  }

  /** Forgets those that are neither chosen nor in use. */
  sweep(): void {
    for (const backend of this.#backends.values()) {
      if (!backend.isChosen && isUnused(backend)) this.#backends.delete(backend.key)
    }
  }

  all(): readonly Backend[] {
    return [...this.#backends.values()]
  }

  /** The one for a new connection, none of `tried`; undefined if there is no other. */
  pick(nowMs: number, tried: ReadonlySet<Backend>): Backend | undefined {
    const candidates = this.all().filter((backend) => backend.isChosen && !tried.has(backend))
    const fit = candidates.filter((backend) => backend.asideUntilMs <= nowMs)
    const choice = leastLoaded(fit.length > 0 ? fit : candidates, this.#turn)
    if (choice !== undefined) this.#turn += 1
    return choice
  }
}

/** Books a connection that could not be made. */
export function noteFailure(backend: Backend, nowMs: number): void {
  const waitMs = Math.min(asideMsMin * 2 ** backend.failuresInRow, asideMsMax)
  backend.failures += 1
  backend.failuresInRow += 1
  backend.asideUntilMs = nowMs + waitMs
}

/** Books one that was made. */
export function noteSuccess(backend: Backend): void {
  backend.flowCount += 1
  backend.failuresInRow = 0
  backend.asideUntilMs = 0
}

/** True if nothing is open to it and nothing is about to be. */
export function isUnused(backend: Backend): boolean {
  return backend.flows.size === 0 && backend.connecting === 0
}

function leastLoaded(candidates: readonly Backend[], turn: number): Backend | undefined {
  const loadOf = (backend: Backend): number => backend.flows.size + backend.connecting
  const least = Math.min(...candidates.map(loadOf))
  const ties = candidates.filter((backend) => loadOf(backend) === least)
  return ties[turn % ties.length]
}

function makeBackend(key: string, { taskId, address, port }: BackendAddress): Backend {
  return {
    key,
    taskId,
    address,
    port,
    flows: new Set(),
    connecting: 0,
    isChosen: true,
    flowCount: 0,
    bytesIn: 0,
    bytesOut: 0,
    failures: 0,
    failuresInRow: 0,
    asideUntilMs: 0,
  }
}
