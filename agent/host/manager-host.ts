// Manager host: the hands of the manager machine. It starts a step's storage, sends at once what
// does not depend on it, and tells the machine when a write is on the disk; it answers requests,
// and wakes the machine when its time has come.

import { CodedError } from '../../core/base/error.ts'
import type { NodeId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import type { Command, CommandAnswer } from '../../core/command/command.ts'
import type { Assignments } from '../../core/dispatch/protocol.ts'
import type { ManagerEffect, ManagerEvent, ManagerMachine } from '../../core/machine/manager.ts'
import type { ClusterObject } from '../../core/object/object.ts'
import type {
  Fate,
  Outgoing,
  Snapshot,
  SnapshotHead,
  StorageOperation,
} from '../../core/raft/types.ts'
import type { Applied } from '../../core/store/change.ts'
import type { View } from '../../core/store/view.ts'
import type { Clock } from '../base/clock.ts'

/** Length of raft's tick, if nobody says another. */
export const tickMs = 100

/** What the host needs of the disk. */
export interface ManagerStorage {
  /** Resolves when the operation is durable; operations complete in order. */
  readonly save: (operation: StorageOperation) => Promise<void>
  readonly takeSnapshot: (
    head: SnapshotHead,
    objects: readonly ClusterObject[],
  ) => Promise<Snapshot>
  /** The objects of a durable snapshot. */
  readonly readSnapshot: (snapshotId: string) => AsyncIterable<unknown>
}

export interface ManagerHostOptions {
  readonly machine: ManagerMachine
  readonly storage: ManagerStorage
  readonly clock: Clock
  readonly log: Log
  readonly send: (outgoing: Outgoing) => void
  readonly assign: (nodeId: NodeId, assignments: Assignments) => void
  readonly endSession: (nodeId: NodeId) => void
  /** Another leader, none, or this one is ready to lead. */
  readonly onLeader: () => void
  /** This member has no place in the cluster any more. */
  readonly onFate: (fate: Fate) => void
  /** The process must end. */
  readonly onFatal: (error: unknown) => void
  /** Length of raft's tick, the same for all managers. */
  readonly tickMs?: number
}

interface Request {
  readonly resolve: (answer: CommandAnswer) => void
  readonly reject: (error: Error) => void
}

/** How long a request may wait for a quorum. */
const requestMsMax = 10_000

export class ManagerHost {
  readonly #options: ManagerHostOptions
  readonly #requests = new Map<number, Request>()
  readonly #watchers = new Set<(applied: readonly Applied[]) => void>()
  readonly #pendingEvents: ManagerEvent[] = []
  readonly #indexWaiters = new Set<{ readonly index: number; readonly settle: () => void }>()
  #lastRequestId = 0
  #lastSave: Promise<void> = Promise.resolve()
  /** The last operation that is durable and was not told of yet. */
  #persisted: number | undefined
  /** The snapshot that the machine waits for. */
  #readingId: string | undefined
  #isStepping = false
  #isClosed = false
  #wasReady = false
  readonly #tickMs: number
  #leaderId: string | undefined
  #tickedAtMs: number
  #cancelTimer: (() => void) | undefined

  constructor(options: ManagerHostOptions) {
    this.#options = options
    this.#tickMs = options.tickMs ?? tickMs
    this.#tickedAtMs = options.clock.steadyMs()
  }

  get view(): View {
    return this.#options.machine.view
  }

  start(): void {
    this.dispatch({ type: 'started', nowMs: this.#options.clock.nowMs() })
  }

  /** Hands an event to the machine and carries out what it says. */
  dispatch(event: ManagerEvent): void {
    if (this.#isClosed) return
    this.#pendingEvents.push(event)
    if (this.#isStepping) return
    this.#isStepping = true
    try {
      for (let next = this.#pendingEvents.shift(); next; next = this.#pendingEvents.shift()) {
        // A tick brings its own count; with any other event goes what passed since.
        const ticks = next.type === 'ticked' ? 0 : this.#countTicks()
        for (const effect of this.#options.machine.step(next, ticks)) this.#carryOut(effect)
      }
    } catch (error) {
      this.#options.onFatal(error)
    } finally {
      this.#isStepping = false
    }
    this.#announce()
    this.#setTimer()
  }

  /** Resolves when committed. Throws CodedError; after `timeout` the outcome is not known. */
  submit(command: Command): Promise<CommandAnswer> {
    return this.#request(`${command.type}`, (requestId, nowMs) => ({
      type: 'submitted',
      nowMs,
      requestId,
      command,
    }))
  }

  /** How far the log is as of this call; the view here holds all of it. Only a leader can tell. */
  async readIndex(): Promise<number> {
    await this.#request('read', (requestId, nowMs) => ({ type: 'readRequested', nowMs, requestId }))
    return this.#options.machine.appliedIndex
  }

  /** The committed view, up to date as of this call. */
  async read(): Promise<View> {
    await this.readIndex()
    return this.view
  }

  /** Resolves when the view holds everything up to this index. Throws timeout. */
  async applied(index: number): Promise<void> {
    const { machine, clock } = this.#options
    if (machine.appliedIndex >= index) return
    await new Promise<void>((resolve, reject) => {
      const waiter = {
        index,
        settle: () => {
          cancel()
          this.#indexWaiters.delete(waiter)
          resolve()
        },
      }
      const cancel = clock.after(requestMsMax, () => {
        this.#indexWaiters.delete(waiter)
        const text = `this manager is behind the leader: entry ${index} has not come within ${requestMsMax / 1000} s`
        reject(new CodedError('timeout', text))
      })
      this.#indexWaiters.add(waiter)
    })
  }

  get appliedIndex(): number {
    return this.#options.machine.appliedIndex
  }

  /** Calls back with each batch that was applied; returns how to stop. */
  watch(listener: (applied: readonly Applied[]) => void): () => void {
    this.#watchers.add(listener)
    return () => this.#watchers.delete(listener)
  }

  close(): void {
    this.#isClosed = true
    this.#cancelTimer?.()
    for (const request of this.#requests.values()) {
      request.reject(new CodedError('unavailable', 'the agent is stopping'))
    }
    this.#requests.clear()
  }

  #request(
    what: string,
    event: (requestId: number, nowMs: number) => ManagerEvent,
  ): Promise<CommandAnswer> {
    const requestId = ++this.#lastRequestId
    const { clock } = this.#options
    return new Promise((resolve, reject) => {
      const cancel = clock.after(requestMsMax, () => {
        this.#requests.delete(requestId)
        const text = `rpc error: code = DeadlineExceeded desc = context deadline exceeded (${what}: no quorum of managers within ${requestMsMax / 1000} s)`
        reject(new CodedError('timeout', text))
      })
      this.#requests.set(requestId, {
        resolve: (answer) => {
          cancel()
          resolve(answer)
        },
        reject: (error) => {
          cancel()
          reject(error)
        },
      })
      this.dispatch(event(requestId, clock.nowMs()))
    })
  }

  #carryOut(effect: ManagerEffect): void {
    const { log } = this.#options
    switch (effect.type) {
      case 'save':
        this.#save(effect.operation)
        return
      case 'send':
        this.#options.send(effect.outgoing)
        return
      case 'answer':
        this.#settle(effect.requestId)?.resolve(effect.answer)
        return
      case 'readReady':
        this.#settle(effect.requestId)?.resolve({ id: '', warnings: [] })
        return
      case 'refuse':
        this.#settle(effect.requestId)?.reject(effect.error)
        return
      case 'assign':
        this.#options.assign(effect.nodeId, effect.assignments)
        return
      case 'endSession':
        this.#options.endSession(effect.nodeId)
        return
      case 'applied':
        for (const watcher of this.#watchers) watcher(effect.applied)
        return
      case 'takeSnapshot':
        this.#takeSnapshot(effect.head, effect.objects)
        return
      case 'readSnapshot':
        this.#readSnapshot(effect.snapshot)
        return
      case 'role': {
        const { role, term, leaderId } = effect.role
        log('info', 'raft.role', { role, term, leader: leaderId })
        return
      }
      case 'fate':
        this.#options.onFate(effect.fate)
        return
      case 'note':
        log(effect.note.level, effect.note.event, effect.note.fields)
        return
      default:
        effect satisfies never
    }
  }

  #settle(requestId: number): Request | undefined {
    const request = this.#requests.get(requestId)
    this.#requests.delete(requestId)
    return request
  }

  #save(operation: StorageOperation): void {
    const saved = this.#options.storage.save(operation)
    this.#lastSave = saved
    saved.then(
      () => this.#tellPersisted(operation.id),
      (error: unknown) => {
        if (this.#isClosed) return
        this.#options.onFatal(error)
      },
    )
  }

  /** Those that one sync has made durable are told of together, by the last of them. */
  #tellPersisted(operation: number): void {
    const isFirst = this.#persisted === undefined
    this.#persisted = operation
    if (!isFirst) return
    queueMicrotask(() => {
      const last = this.#persisted
      this.#persisted = undefined
      if (last === undefined) return
      this.dispatch({ type: 'persisted', nowMs: this.#options.clock.nowMs(), operation: last })
    })
  }

  #takeSnapshot(head: SnapshotHead, objects: readonly ClusterObject[]): void {
    const { storage, clock, log } = this.#options
    storage.takeSnapshot(head, objects).then(
      (snapshot) => {
        log('info', 'snapshot.saved', { index: head.index, bytes: snapshot.sizeBytes })
        this.dispatch({ type: 'snapshotSaved', nowMs: clock.nowMs(), snapshot })
      },
      (error: unknown) => {
        if (this.#isClosed) return
        log('error', 'snapshot.failed', { error: String(error) })
        this.dispatch({ type: 'snapshotFailed', nowMs: clock.nowMs() })
      },
    )
  }

  #readSnapshot({ id, index }: Snapshot): void {
    const { storage, clock, log } = this.#options
    this.#readingId = id
    const read = async (): Promise<readonly ClusterObject[]> => {
      const objects: ClusterObject[] = []
      for await (const value of storage.readSnapshot(id)) objects.push(value as ClusterObject)
      return objects
    }
    this.#lastSave.then(read).then(
      (objects) => {
        log('info', 'snapshot.read', { index, objects: objects.length })
        this.dispatch({ type: 'snapshotRead', nowMs: clock.nowMs(), snapshotId: id, objects })
      },
      (error: unknown) => {
        // One that a newer one has displaced may be gone already.
        if (!this.#isClosed && this.#readingId === id) this.#options.onFatal(error)
      },
    )
  }

  /** Tells of what the events have changed: how far the store is, and who leads. */
  #announce(): void {
    const { isReady, raft, appliedIndex } = this.#options.machine
    for (const waiter of [...this.#indexWaiters]) {
      if (waiter.index <= appliedIndex) waiter.settle()
    }
    if (isReady === this.#wasReady && raft.leaderId === this.#leaderId) return
    this.#wasReady = isReady
    this.#leaderId = raft.leaderId
    this.#options.onLeader()
  }

  /** One timer, to the earliest time that anybody in the machine has named. */
  #setTimer(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    const { machine, clock } = this.#options
    const waits: number[] = []
    if (machine.wakeAtMs !== undefined) waits.push(machine.wakeAtMs - clock.nowMs())
    if (machine.wakeTicks !== undefined) {
      waits.push(machine.wakeTicks * this.#tickMs - (clock.steadyMs() - this.#tickedAtMs))
    } else this.#tickedAtMs = clock.steadyMs()
    if (waits.length === 0) return
    this.#cancelTimer = clock.after(Math.max(1, Math.min(...waits)), () => this.#tick())
  }

  #tick(): void {
    const ticks = this.#countTicks()
    this.dispatch({ type: 'ticked', nowMs: this.#options.clock.nowMs(), ticks })
  }

  /** Whole ticks that passed since it was last asked. */
  #countTicks(): number {
    const ticks = Math.floor((this.#options.clock.steadyMs() - this.#tickedAtMs) / this.#tickMs)
    this.#tickedAtMs += ticks * this.#tickMs
    return ticks
  }
}
