// Worker machine: keeps the containers of this node as the managers want them. It is told of
// assignments and of what containers do, and answers with executor operations to run, reports to
// send and the table of ports to serve. It never asks the time and never waits.

import { unreachable } from '../base/assert.ts'
import type { TaskId } from '../base/id.ts'
import type { Note } from '../base/note.ts'
import { decideRestart } from '../control/restart.ts'
import { fileReferences } from '../dispatch/files.ts'
import type { Assignments, FileContent, FileId } from '../dispatch/protocol.ts'
import { isLeased } from '../object/lease.ts'
import type { PortProtocol } from '../object/service.ts'
import type { TaskReport } from '../object/task.ts'
import { isEnded, stateRank, type Task } from '../object/task.ts'
import {
  adopt,
  begin,
  type ContainerFacts,
  type Driver,
  type ExitFacts,
  end,
  exited,
  fence,
  type HealthFacts,
  healthChanged,
  isRunning,
  isServing,
  newDriver,
  nextStep,
  type OperationName,
  type OperationResult,
  reassign,
  renew,
  waitForFiles,
} from './task-driver.ts'

export type WorkerEvent =
  /** The first event of a start: what the disk remembers. */
  | ({ readonly type: 'restored'; readonly nowMs: number } & WorkerMemory)
  /** A manager is reached (again). */
  | { readonly type: 'sessionOpened'; readonly nowMs: number }
  /** No manager has been reached since then. */
  | { readonly type: 'sessionLost'; readonly nowMs: number }
  /** What may run only on a lease may run again. */
  | { readonly type: 'leaseRenewed'; readonly nowMs: number }
  /** ... and must stop, for it may be started elsewhere soon. Before the first lease it is so. */
  | { readonly type: 'leaseEnded'; readonly nowMs: number }
  | { readonly type: 'ticked'; readonly nowMs: number }
  | { readonly type: 'assigned'; readonly nowMs: number; readonly assignments: Assignments }
  /** The engine answers; these are its containers of ours. */
  | {
      readonly type: 'listed'
      readonly nowMs: number
      readonly containers: ReadonlyMap<TaskId, ContainerFacts>
    }
  | { readonly type: 'engineLost'; readonly nowMs: number; readonly reason: string }
  | {
      readonly type: 'operationEnded'
      readonly nowMs: number
      readonly taskId: TaskId
      readonly result: OperationResult
    }
  | {
      readonly type: 'exited'
      readonly nowMs: number
      readonly taskId: TaskId
      readonly exit: ExitFacts
    }
  | {
      readonly type: 'healthChanged'
      readonly nowMs: number
      readonly taskId: TaskId
      readonly health: HealthFacts
    }

export type WorkerEffect =
  | { readonly type: 'run'; readonly operation: OperationName; readonly task: Task }
  | { readonly type: 'removeStray'; readonly taskId: TaskId }
  | { readonly type: 'cancel'; readonly taskId: TaskId }
  /** The task has ended and will not run again: its secrets and configs are to go. */
  | { readonly type: 'release'; readonly taskId: TaskId }
  /** `isUrgent`: the manager waits for one of these; else they may wait for company. */
  | { readonly type: 'report'; readonly reports: readonly TaskReport[]; readonly isUrgent: boolean }
  | { readonly type: 'serve'; readonly rows: readonly IngressRow[] }
  /** The assignments have changed: keep these. */
  | ({ readonly type: 'store' } & WorkerMemory)
  | { readonly type: 'note'; readonly note: Note }

/** What a node must not forget. */
export interface WorkerMemory {
  readonly tasks: readonly Task[]
  /** Of the secrets and configs that they need, those that may be kept. */
  readonly files: readonly FileContent[]
}

/** A published port of this node and the tasks here that answer on it. */
export interface IngressRow {
  readonly port: number
  readonly protocol: PortProtocol
  readonly serviceName: string
  readonly backends: readonly {
    readonly taskId: TaskId
    readonly address: string
    readonly port: number
  }[]
}

/** A leader that fails is replaced sooner than this; until then what ends waits for it. */
const aloneAfterMs = 5_000

export class WorkerMachine {
  readonly #drivers = new Map<TaskId, Driver>()
  /** The secrets and configs that tasks here need. */
  readonly #files = new Map<FileId, FileContent>()
  #isConnected = false
  /** Since when no manager was reached; undefined while one is. */
  #cutOffSinceMs: number | undefined
  /** Cut off for so long that this node looks after its tasks itself. */
  #isAlone = false
  /** All that is known came from the disk: a manager may say otherwise any moment. */
  #isRestored = false
  #restartAtMs: number | undefined
  #isLeaseOver = true
  /** False until a complete assignment has come: before that no container is a stray. */
  #isAssigned = false
  #found: ReadonlyMap<TaskId, ContainerFacts> = new Map()
  #served = ''

  /** What there is to say of all tasks: a session opens with it. */
  reports(): readonly TaskReport[] {
    return [...this.#drivers.values()].map(({ task, status }) => ({ id: task.id, status }))
  }

  /** The bytes of a secret or config that a task here needs; undefined for any other. */
  file(id: FileId): Uint8Array | undefined {
    return this.#files.get(id)?.data
  }

  step(event: WorkerEvent): readonly WorkerEffect[] {
    const effects: WorkerEffect[] = []
    const before = new Map(this.#drivers)
    this.#take(event, effects)
    if (this.#isLeaseOver) this.#fence()
    if (this.#isCutOff(event.nowMs)) this.#carryOnAlone(event.nowMs, effects)
    if (this.#isConnected) this.#advance(event.nowMs, effects)
    const reports = this.#changed(before)
    if (reports.length > 0) {
      effects.push({ type: 'report', reports, isUrgent: reports.some(isUrgent) })
    }
    this.#release(before, effects)
    this.#serve(effects)
    return effects
  }

  #take(event: WorkerEvent, effects: WorkerEffect[]): void {
    switch (event.type) {
      case 'restored':
        this.#restore(event, event.nowMs)
        return
      case 'sessionOpened':
        this.#cutOffSinceMs = undefined
        this.#isRestored = false
        return
      case 'sessionLost':
        this.#cutOffSinceMs ??= event.nowMs
        return
      case 'leaseEnded':
        this.#isLeaseOver = true
        return
      case 'leaseRenewed':
        this.#isLeaseOver = false
        this.#lowerFence()
        return
      case 'ticked':
        return
      case 'assigned':
        this.#assign(event.assignments, event.nowMs, effects)
        effects.push({ type: 'store', ...this.#stored() })
        return
      case 'listed':
        this.#isConnected = true
        this.#found = event.containers
        for (const driver of this.#drivers.values()) {
          this.#set(adopt(driver, event.containers.get(driver.task.id), event.nowMs))
        }
        this.#removeStrays(effects)
        return
      case 'engineLost':
        this.#isConnected = false
        effects.push({
          type: 'note',
          note: { level: 'warn', event: 'engine.lost', fields: { reason: event.reason } },
        })
        return
      case 'operationEnded':
        this.#update(event.taskId, (driver) => end(driver, event.result, event.nowMs))
        // The host lists anew when an engine did not answer; until then nothing is begun.
        if (event.result.type === 'failed' && event.result.isEngineLost) this.#isConnected = false
        if (event.result.type === 'removed') this.#removed(event.taskId, event.nowMs)
        return
      case 'exited':
        this.#update(event.taskId, (driver) => exited(driver, event.exit, event.nowMs))
        return
      case 'healthChanged':
        this.#update(event.taskId, (driver) => healthChanged(driver, event.health, event.nowMs))
        return
      default:
        unreachable(event)
    }
  }

  #assign(assignments: Assignments, nowMs: number, effects: WorkerEffect[]): void {
    this.#takeFiles(assignments)
    const named = new Set<TaskId>()
    for (const task of assignments.tasks) {
      named.add(task.id)
      const driver = this.#drivers.get(task.id)
      if (driver !== undefined) {
        this.#set(reassign(driver, task, nowMs))
        continue
      }
      const fresh = newDriver(task)
      this.#set(this.#isConnected ? adopt(fresh, this.#found.get(task.id), nowMs) : fresh)
    }
    const gone = assignments.isComplete
      ? [...this.#drivers.keys()].filter((id) => !named.has(id))
      : assignments.removed
    for (const id of gone) this.#update(id, (driver) => ({ ...driver, isUnassigned: true }))
    if (assignments.isComplete && !this.#isAssigned) {
      this.#isAssigned = true
      if (this.#isConnected) this.#removeStrays(effects)
    }
  }

  #removed(id: TaskId, nowMs: number): void {
    const driver = this.#drivers.get(id)
    if (driver?.isRenewed === true) this.#set(renew(driver, nowMs))
    else this.#drivers.delete(id)
  }

  // Without a manager

  /** When a step by itself is due; undefined: not by time. */
  get wakeAtMs(): number | undefined {
    const since = this.#cutOffSinceMs
    if (since === undefined || this.#drivers.size === 0) return undefined
    return this.#isAlone ? this.#restartAtMs : since + aloneAfterMs
  }

  /** What the disk remembers is what the last manager said, until one says otherwise. */
  #restore({ tasks, files }: WorkerMemory, nowMs: number): void {
    this.#cutOffSinceMs = nowMs
    this.#isRestored = true
    for (const task of tasks) this.#set(newDriver(task))
    for (const file of files) this.#files.set(file.id, file)
  }

  #stored(): WorkerMemory {
    const tasks = [...this.#drivers.values()]
      .filter((driver) => !driver.isUnassigned)
      .map(({ task, status }) => ({ ...task, status }))
    return { tasks, files: [...this.#files.values()].filter((file) => file.isOffline) }
  }

  #isCutOff(nowMs: number): boolean {
    const since = this.#cutOffSinceMs
    this.#isAlone = since !== undefined && nowMs - since >= aloneAfterMs
    return this.#isAlone
  }

  /** True while there is something here that runs on the node's lease. */
  get isLeasing(): boolean {
    return [...this.#drivers.values()].some(
      ({ task, status }) => isLeased(task) && !isEnded(status.state),
    )
  }

  /** Stops what runs on a lease, or may run: until the engine has said so, nobody knows. */
  #fence(): void {
    for (const driver of this.#drivers.values()) {
      const isFenced = driver.isFenced === true || isEnded(driver.status.state)
      if (isFenced || !isLeased(driver.task)) continue
      if (this.#isConnected && !isRunning(driver) && driver.operation !== 'start') continue
      this.#set(fence(driver))
    }
  }

  /** What is being stopped already will end: to let it go on is too late. */
  #lowerFence(): void {
    for (const driver of this.#drivers.values()) {
      if (driver.isFenced !== true || driver.operation === 'stop') continue
      if (!isEnded(driver.status.state)) this.#set({ ...driver, isFenced: false })
    }
  }

  /** Restarts by their own policy what ended. */
  #carryOnAlone(nowMs: number, effects: WorkerEffect[]): void {
    this.#restartAtMs = undefined
    for (const driver of this.#drivers.values()) {
      if (this.#isLeaseOver && isLeased(driver.task)) continue
      if (!hasEndedByItself(driver) || driver.operation !== undefined) continue
      const restarts = driver.restarts ?? driver.task.restarts
      const decision = decideRestart(
        { ...driver.task, status: driver.status, ...(restarts === undefined ? {} : { restarts }) },
        nowMs,
      )
      if (!decision.isAllowed) continue
      const dueMs = driver.status.atMs + decision.delayMs
      if (dueMs > nowMs) {
        this.#restartAtMs = Math.min(dueMs, this.#restartAtMs ?? Infinity)
        continue
      }
      this.#set({ ...driver, isRenewed: true, restarts: decision.restarts })
      const fields = { task: driver.task.id, count: decision.restarts.count }
      effects.push({ type: 'note', note: { level: 'info', event: 'task.restarted-alone', fields } })
    }
  }

  #takeFiles({ isComplete, files, removedFiles }: Assignments): void {
    if (isComplete) this.#files.clear()
    for (const id of removedFiles) this.#files.delete(id)
    for (const file of files) this.#files.set(file.id, file)
  }

  /** What the task refers to and has not come: "secret tls, config nginx.conf". */
  #missingFiles(task: Task): string {
    return fileReferences(task.spec)
      .filter(({ id }) => !this.#files.has(id))
      .map(({ name }) => name)
      .join(', ')
  }

  #waitForFiles(
    driver: Driver,
    { missing, effects }: { readonly missing: string; readonly effects: WorkerEffect[] },
  ): void {
    const waiting = waitForFiles(driver, missing)
    this.#set(waiting)
    if (missing === '' || waiting === driver) return
    const fields = { task: driver.task.id, for: missing }
    effects.push({ type: 'note', note: { level: 'warn', event: 'task.waiting', fields } })
  }

  /** Containers of ours that no manager wants: what a crash or a lost session left behind. */
  #removeStrays(effects: WorkerEffect[]): void {
    if (!this.#isAssigned) return
    for (const id of this.#found.keys()) {
      if (!this.#drivers.has(id)) effects.push({ type: 'removeStray', taskId: id })
    }
    this.#found = new Map()
  }

  #advance(nowMs: number, effects: WorkerEffect[]): void {
    for (const driver of this.#drivers.values()) {
      const step = nextStep(driver)
      switch (step.type) {
        case 'none':
          break
        case 'cancel':
          effects.push({ type: 'cancel', taskId: driver.task.id })
          break
        case 'run':
          if (step.operation === 'prepare' || step.operation === 'start') {
            if (this.#isRestored && !this.#isAlone) break
            if (this.#isLeaseOver && isLeased(driver.task)) break
            const missing = this.#missingFiles(driver.task)
            this.#waitForFiles(driver, { missing, effects })
            if (missing !== '') break
          }
          this.#update(driver.task.id, (ready) => begin(ready, step.operation, nowMs))
          effects.push({ type: 'run', operation: step.operation, task: driver.task })
          break
        default:
          unreachable(step)
      }
    }
  }

  /** Reports for tasks whose status is not what it was. */
  #changed(before: ReadonlyMap<TaskId, Driver>): TaskReport[] {
    return [...this.#drivers.values()]
      .filter((driver) => before.get(driver.task.id)?.status !== driver.status)
      .filter((driver) => driver.status !== driver.task.status)
      .map((driver) => ({ id: driver.task.id, status: driver.status }))
  }

  #release(before: ReadonlyMap<TaskId, Driver>, effects: WorkerEffect[]): void {
    for (const { task, status } of this.#drivers.values()) {
      if (!isEnded(status.state) || fileReferences(task.spec).length === 0) continue
      const was = before.get(task.id)?.status.state
      if (was === undefined || !isEnded(was)) effects.push({ type: 'release', taskId: task.id })
    }
  }

  #serve(effects: WorkerEffect[]): void {
    const rows = ingressRows([...this.#drivers.values()].filter(isServing))
    const key = JSON.stringify(rows)
    if (key === this.#served) return
    this.#served = key
    effects.push({ type: 'serve', rows })
  }

  #update(id: TaskId, change: (driver: Driver) => Driver): void {
    const driver = this.#drivers.get(id)
    if (driver !== undefined) this.#set(change(driver))
  }

  #set(driver: Driver): void {
    this.#drivers.set(driver.task.id, driver)
  }
}

/** True for a task that should live and whose container ended, or could not be made. */
function hasEndedByItself({ task, status, isRenewed, isUnassigned }: Driver): boolean {
  const { state } = status
  const isWanted = task.desiredState === 'running' || task.desiredState === 'ready'
  const isOver = state === 'failed' || state === 'complete' || state === 'rejected'
  return isWanted && isOver && isRenewed !== true && !isUnassigned
}

/** True for a state that a controller waits for. */
function isUrgent(report: TaskReport): boolean {
  const { state } = report.status
  return state === 'ready' || stateRank(state) >= stateRank('running') || isEnded(state)
}

/** The ingress ports of tasks that serve, each with its backends, in order of port. */
function ingressRows(serving: readonly Driver[]): readonly IngressRow[] {
  const rows = new Map<string, IngressRow>()
  for (const { task, started } of serving) {
    const address = started?.addresses[0]
    if (address === undefined) continue
    for (const port of task.ports) {
      const published = port.publishedPort ?? 0
      if (port.publishMode !== 'ingress' || published === 0) continue
      const key = `${port.protocol}/${published}`
      const row = rows.get(key) ?? {
        port: published,
        protocol: port.protocol,
        serviceName: task.serviceName,
        backends: [],
      }
      const backend = { taskId: task.id, address, port: port.targetPort }
      rows.set(key, { ...row, backends: [...row.backends, backend] })
    }
  }
  return [...rows.values()].sort((a, b) => a.port - b.port)
}
