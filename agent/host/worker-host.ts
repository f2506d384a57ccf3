// Worker host: the hands of the worker machine. It runs executor operations, tells the machine how
// they ended and what containers do, keeps the ports served, and carries reports to the session.

import { hasCode } from '../../core/base/error.ts'
import type { TaskId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import { nsPerMs } from '../../core/base/time.ts'
import type { Assignments } from '../../core/dispatch/protocol.ts'
import type { OperationName, OperationResult } from '../../core/machine/task-driver.ts'
import type {
  IngressRow,
  WorkerEffect,
  WorkerEvent,
  WorkerMachine,
  WorkerMemory,
} from '../../core/machine/worker.ts'
import { isLeased, stopGraceMsOf } from '../../core/object/lease.ts'
import type { Task, TaskReport } from '../../core/object/task.ts'
import type { Clock } from '../base/clock.ts'
import type { Executor, ExecutorEvent } from '../executor/executor.ts'

/** What the worker needs of the ingress proxy. */
export interface IngressPort {
  readonly setTable: (rows: readonly IngressRow[]) => void
  readonly drain: (taskId: TaskId, deadlineMs: number) => Promise<void>
}

export interface WorkerHostOptions {
  readonly machine: WorkerMachine
  readonly executor: Executor
  readonly ingress: IngressPort
  readonly clock: Clock
  readonly log: Log
  /** Carries reports to the manager; may drop them when there is no session. */
  readonly report: (reports: readonly TaskReport[]) => void
  /** Keeps the assignments for a start without a manager. */
  readonly store: (memory: WorkerMemory) => void
  /** How long ago the lease of this node ended; 0 while it is good. */
  readonly leaseOverMs: () => number
  /** The engine answers, for the first time or again: it may be another version now. */
  readonly onEngine: () => void
  readonly onEngineLost: (reason: string) => void
  readonly onFatal: (error: unknown) => void
}

/** How long reports that nobody waits for may wait for company. */
const reportDelayMs = 250
/** Of the stop grace, what is kept for the container's own stopping after connections have ended. */
const stopShare = 0.3
const retryMsMin = 500
const retryMsMax = 15_000

export class WorkerHost {
  readonly #options: WorkerHostOptions
  readonly #running = new Map<TaskId, AbortController>()
  readonly #closing = new AbortController()
  readonly #reports = new Map<TaskId, TaskReport>()
  #cancelReport: (() => void) | undefined
  #isRelisting = false
  #cancelTimer: (() => void) | undefined

  constructor(options: WorkerHostOptions) {
    this.#options = options
  }

  /** Watches the executor until closed. */
  start(): void {
    this.#watch().catch((error: unknown) => {
      if (!this.#closing.signal.aborted) this.#options.onFatal(error)
    })
  }

  /** What the disk remembers; comes before `start`. */
  restore(memory: WorkerMemory): void {
    this.#dispatch({ type: 'restored', nowMs: this.#nowMs(), ...memory })
  }

  /** A manager is reached, or none has been for so long. */
  setReached(isReached: boolean, silentMs: number): void {
    if (isReached) this.#dispatch({ type: 'sessionOpened', nowMs: this.#nowMs() })
    else this.#dispatch({ type: 'sessionLost', nowMs: this.#nowMs() - silentMs })
  }

  /** What runs on the node's lease may run, or must stop. */
  setLease(isGood: boolean): void {
    this.#dispatch({ type: isGood ? 'leaseRenewed' : 'leaseEnded', nowMs: this.#nowMs() })
  }

  assign(assignments: Assignments): void {
    this.#dispatch({ type: 'assigned', nowMs: this.#nowMs(), assignments })
  }

  /** What there is to say of all tasks: a session opens with it. */
  reports(): readonly TaskReport[] {
    return this.#options.machine.reports()
  }

  /** Gives up what runs; containers are left as they are. */
  close(): void {
    this.#closing.abort()
    this.#cancelReport?.()
    this.#cancelTimer?.()
    for (const controller of this.#running.values()) controller.abort()
  }

  #nowMs(): number {
    return this.#options.clock.nowMs()
  }

  #dispatch(event: WorkerEvent): void {
    if (this.#closing.signal.aborted) return
    try {
      for (const effect of this.#options.machine.step(event)) this.#carryOut(effect)
    } catch (error) {
      this.#options.onFatal(error)
    }
    this.#setTimer()
  }

  /** One timer, to the time that the machine has named. */
  #setTimer(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    const { machine, clock } = this.#options
    if (machine.wakeAtMs === undefined) return
    const waitMs = Math.max(1, machine.wakeAtMs - clock.nowMs())
    this.#cancelTimer = clock.after(waitMs, () =>
      this.#dispatch({ type: 'ticked', nowMs: this.#nowMs() }),
    )
  }

  #carryOut(effect: WorkerEffect): void {
    switch (effect.type) {
      case 'run':
        void this.#run(effect.operation, effect.task)
        return
      case 'removeStray':
        void this.#removeStray(effect.taskId)
        return
      case 'cancel':
        this.#running.get(effect.taskId)?.abort()
        return
      case 'release':
        void this.#release(effect.taskId)
        return
      case 'report':
        this.#queue(effect.reports, effect.isUrgent)
        return
      case 'serve':
        this.#options.ingress.setTable(effect.rows)
        return
      case 'store':
        this.#options.store({ tasks: effect.tasks, files: effect.files })
        return
      case 'note':
        this.#options.log(effect.note.level, effect.note.event, effect.note.fields)
        return
      default:
        effect satisfies never
    }
  }

  async #watch(): Promise<void> {
    for await (const event of this.#options.executor.watch(this.#closing.signal)) {
      await this.#take(event)
    }
  }

  async #take(event: ExecutorEvent): Promise<void> {
    const nowMs = this.#nowMs()
    switch (event.type) {
      case 'connected':
        this.#options.onEngine()
        await this.#list()
        return
      case 'lost':
        this.#dispatch({ type: 'engineLost', nowMs, reason: event.reason })
        this.#options.onEngineLost(event.reason)
        return
      case 'exited':
        this.#dispatch({ type: 'exited', nowMs, taskId: event.taskId, exit: event.exit })
        return
      case 'health':
        this.#dispatch({ type: 'healthChanged', nowMs, taskId: event.taskId, health: event.health })
        return
      default:
        event satisfies never
    }
  }

  async #list(): Promise<void> {
    try {
      const found = await this.#options.executor.list(this.#closing.signal)
      const containers = new Map(found.map((container) => [container.taskId, container]))
      this.#dispatch({ type: 'listed', nowMs: this.#nowMs(), containers })
    } catch (error) {
      this.#options.log('warn', 'engine.list-failed', { error: String(error) })
      void this.#relist()
    }
  }

  /** The engine did not answer a call though its events have not ended: ask again after a while. */
  async #relist(): Promise<void> {
    if (this.#isRelisting) return
    this.#isRelisting = true
    const { aborted } = await this.#wait(retryMsMin * 2, this.#closing.signal)
    this.#isRelisting = false
    if (!aborted) await this.#list()
  }

  /** Waits; does not mind being interrupted. */
  async #wait(ms: number, signal: AbortSignal): Promise<AbortSignal> {
    await this.#options.clock.sleep(ms, signal).catch(() => undefined)
    return signal
  }

  async #run(operation: OperationName, task: Task): Promise<void> {
    const controller = new AbortController()
    this.#running.set(task.id, controller)
    const signal = AbortSignal.any([controller.signal, this.#closing.signal])
    const result = await this.#attempt(operation, task, signal)
    this.#running.delete(task.id)
    if (this.#closing.signal.aborted) return
    if (result.type === 'failed') {
      const { message } = result
      this.#options.log('info', 'task.operation-failed', { task: task.id, operation, message })
    }
    this.#dispatch({ type: 'operationEnded', nowMs: this.#nowMs(), taskId: task.id, result })
    if (result.type === 'failed' && result.isEngineLost) void this.#relist()
  }

  async #attempt(
    operation: OperationName,
    task: Task,
    signal: AbortSignal,
  ): Promise<OperationResult> {
    const { log } = this.#options
    for (let waitMs = retryMsMin; ; waitMs = Math.min(waitMs * 2, retryMsMax)) {
      try {
        return await this.#perform(operation, task, signal)
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        const isEngineLost = hasCode(error, 'unavailable')
        const mustSucceed = operation === 'stop' || operation === 'remove'
        if (!mustSucceed || isEngineLost || signal.aborted) {
          return { type: 'failed', message, isEngineLost }
        }
        log('warn', 'task.retry', { task: task.id, operation, message, waitMs })
        await this.#wait(waitMs, signal)
      }
    }
  }

  async #perform(
    operation: OperationName,
    task: Task,
    signal: AbortSignal,
  ): Promise<OperationResult> {
    const { executor } = this.#options
    switch (operation) {
      case 'prepare':
        return { type: 'prepared', ...(await executor.prepare(task, signal)) }
      case 'start':
        return { type: 'started', started: await executor.start(task, signal) }
      case 'stop':
        await this.#stop(task, signal)
        return { type: 'stopped' }
      case 'remove':
        await executor.remove(task.id, signal)
        return { type: 'removed' }
      default:
        return operation satisfies never
    }
  }

  /** Lets connections finish, then stops the container, both within the stop grace. */
  async #stop(task: Task, signal: AbortSignal): Promise<void> {
    const { clock, executor, ingress } = this.#options
    // When the lease is over the time to stop runs already, whether or not we were awake.
    const lateMs = isLeased(task) ? this.#options.leaseOverMs() : 0
    const graceMs = Math.max(0, stopGraceMsOf(task) - lateMs)
    const beganMs = clock.steadyMs()
    await ingress.drain(task.id, clock.nowMs() + graceMs * (1 - stopShare))
    const leftMs = Math.max(graceMs * stopShare, graceMs - (clock.steadyMs() - beganMs))
    await executor.stop(task, Math.round(leftMs) * nsPerMs, signal)
  }

  async #removeStray(taskId: TaskId): Promise<void> {
    this.#options.log('info', 'task.stray-removed', { task: taskId })
    try {
      await this.#options.executor.remove(taskId, this.#closing.signal)
    } catch (error) {
      this.#options.log('warn', 'task.stray-kept', { task: taskId, error: String(error) })
    }
  }

  async #release(taskId: TaskId): Promise<void> {
    try {
      await this.#options.executor.release(taskId)
    } catch (error) {
      this.#options.log('warn', 'task.files-kept', { task: taskId, error: String(error) })
    }
  }

  #queue(reports: readonly TaskReport[], isUrgent: boolean): void {
    for (const report of reports) this.#reports.set(report.id, report)
    if (isUrgent) {
      this.#flush()
      return
    }
    this.#cancelReport ??= this.#options.clock.after(reportDelayMs, () => this.#flush())
  }

  #flush(): void {
    this.#cancelReport?.()
    this.#cancelReport = undefined
    const reports = [...this.#reports.values()]
    this.#reports.clear()
    if (reports.length > 0) this.#options.report(reports)
  }
}
