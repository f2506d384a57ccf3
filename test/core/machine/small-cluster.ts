// Small cluster: a manager machine with the real Raft of one voter, worker machines, and containers
// that are made of nothing but virtual time. Storage is durable at once unless told otherwise, and
// every operation of an executor takes what its image says.
//
// An image's name says how its containers behave: "good", "broken" (cannot be pulled), "crash:500"
// (ends with 1 after 500 ms), "done:500" (ends with 0), "sick" (its health check fails after 1 s),
// "slow:2000" (2 s to be pulled).

import { CodedError } from '../../../core/base/error.ts'
import { asId, type ClusterId, makeId, type NodeId, type TaskId } from '../../../core/base/id.ts'
import { numberedRandom } from '../../../core/base/random.ts'
import type { Command, CommandAnswer } from '../../../core/command/command.ts'
import {
  type ManagerEffect,
  type ManagerEvent,
  ManagerMachine,
} from '../../../core/machine/manager.ts'
import type { OperationResult } from '../../../core/machine/task-driver.ts'
import {
  type IngressRow,
  type WorkerEffect,
  type WorkerEvent,
  WorkerMachine,
  type WorkerMemory,
} from '../../../core/machine/worker.ts'
import { defaultClusterSpec, defaultStopGraceNs } from '../../../core/object/defaults.ts'
import type { PortConfig } from '../../../core/object/service.ts'
import type { Task } from '../../../core/object/task.ts'
import { bootstrapState } from '../../../core/raft/birth.ts'
import { raftLimits } from '../../../core/raft/limits.ts'
import { createRaft } from '../../../core/raft/raft.ts'
import type { View } from '../../../core/store/view.ts'

interface Due {
  readonly atMs: number
  readonly run: () => void
}

interface Container {
  readonly task: Task
  state: 'created' | 'running' | 'ended'
  exitCode: number
}

interface Worker {
  readonly id: NodeId
  readonly hostname: string
  readonly machine: WorkerMachine
  readonly containers: Map<TaskId, Container>
  rows: readonly IngressRow[]
  /** What it would find on its disk. */
  memory: WorkerMemory
  startCount: number
  /** What the node runs goes on; nothing of it is heard, nothing reaches it. */
  isCut: boolean
  cuts: number
  readonly incarnation: string
  /** Its clock is so far ahead of the managers'. */
  readonly aheadMs: number
  timerAtMs: number | undefined
}

export class SmallCluster {
  nowMs = 1_000_000
  readonly #queue: { atMs: number; readonly run: () => void }[] = []
  readonly #random = numberedRandom(7)
  readonly #workers = new Map<NodeId, Worker>()
  readonly #answers = new Map<number, CommandAnswer | CodedError>()
  #manager: ManagerMachine
  #requestId = 0
  #incarnation = 0
  /** Number of the newest timer; older ones are void. */
  #timer = 0
  entryCount = 0

  constructor() {
    const members = [{ id: 'n1', address: '10.0.0.1:2377', isVoter: true }]
    const epoch = { counter: 1, id: 'e', parent: undefined }
    this.#manager = new ManagerMachine({
      raft: createRaft(
        {
          id: 'n1',
          heartbeatTicks: 1,
          electionTicks: 10,
          limits: raftLimits,
          random: this.#random,
        },
        bootstrapState({ membership: { members, removed: [] }, epoch }),
      ),
      random: this.#random,
    })
    this.#step({ type: 'started', nowMs: this.nowMs })
    this.advance(2_000)
    this.submit({
      type: 'cluster.init',
      clusterId: makeId<ClusterId>(this.#random),
      spec: defaultClusterSpec,
      key: { publicKey: new Uint8Array(32), privateKey: new Uint8Array(32) },
      joinSecrets: { worker: 'w', manager: 'm' },
      node: {
        id: asId<NodeId>('n1'),
        keys: { worker: new Uint8Array(32), manager: new Uint8Array(32) },
        address: '10.0.0.1',
        managerAddress: '10.0.0.1:2377',
        availability: 'active',
      },
      defaultAddressPool: ['10.0.0.0/8'],
      subnetSize: 24,
      dataPathPort: 2377,
    })
    this.startWorker('n1')
  }

  get view(): View {
    return this.#manager.view
  }

  worker(hostname: string): Worker {
    const found = [...this.#workers.values()].find((worker) => worker.hostname === hostname)
    if (found === undefined) throw new Error(`no worker ${hostname}`)
    return found
  }

  /** Runs a command and everything that follows at the same moment. Throws what it throws. */
  submit(command: Command): CommandAnswer {
    const requestId = ++this.#requestId
    this.#step({ type: 'submitted', nowMs: this.nowMs, requestId, command })
    this.#runUntil(this.nowMs)
    const answer = this.#answers.get(requestId)
    if (answer instanceof CodedError) throw answer
    if (answer === undefined) throw new Error('the command was not answered')
    return answer
  }

  /** A worker starts, with the containers that an earlier one on that node left. */
  startWorker(hostname: string, options: { readonly aheadMs?: number } = {}): void {
    const id = asId<NodeId>(hostname)
    const before = this.#workers.get(id)
    const worker: Worker = {
      id,
      hostname,
      machine: new WorkerMachine(),
      containers: before?.containers ?? new Map(),
      rows: [],
      memory: { tasks: [], files: [] },
      startCount: before?.startCount ?? 0,
      isCut: false,
      cuts: 0,
      incarnation: `${++this.#incarnation}`,
      aheadMs: options.aheadMs ?? before?.aheadMs ?? 0,
      timerAtMs: undefined,
    }
    this.#workers.set(id, worker)
    if (this.view.get('node', id) === undefined) {
      const keys = { worker: new Uint8Array(32) }
      const node = {
        id,
        role: 'worker',
        keys,
        address: '10.0.0.2',
        availability: 'active',
      } as const
      this.submit({ type: 'node.join', ...node })
    }
    this.#openSession(worker)
    this.#list(worker)
    this.#work(worker, { type: 'sessionOpened', nowMs: this.nowMs })
    this.#work(worker, { type: 'leaseRenewed', nowMs: this.nowMs })
    if (hostname !== 'n1') this.#beat(worker)
  }

  /** The node is cut off. */
  cut(hostname: string): void {
    const worker = this.worker(hostname)
    worker.isCut = true
    const cut = ++worker.cuts
    this.#work(worker, { type: 'sessionLost', nowMs: this.nowMs })
    // Its last heartbeat may have been answered just now.
    this.#at(this.nowMs + 3_000, () => {
      if (worker.isCut && worker.cuts === cut) {
        this.#work(worker, { type: 'leaseEnded', nowMs: this.nowMs })
      }
    })
  }

  /** It removes its containers and says good-bye. */
  leave(hostname: string): void {
    const worker = this.worker(hostname)
    worker.isCut = true
    worker.containers.clear()
    this.#step({ type: 'sessionClosed', nowMs: this.nowMs, nodeId: worker.id, isLeaving: true })
  }

  /** It is back: the same agent opens a new session. */
  mend(hostname: string): void {
    const worker = this.worker(hostname)
    worker.isCut = false
    this.#openSession(worker)
    this.#work(worker, { type: 'sessionOpened', nowMs: this.nowMs })
    this.#work(worker, { type: 'leaseRenewed', nowMs: this.nowMs })
    this.#runUntil(this.nowMs)
  }

  #beat(worker: Worker): void {
    if (this.#workers.get(worker.id) !== worker) return
    if (!worker.isCut) this.#step({ type: 'heard', nowMs: this.nowMs, nodeId: worker.id })
    this.#at(this.nowMs + 1_000, () => this.#beat(worker))
  }

  #openSession(worker: Worker): void {
    const { id, hostname, incarnation, aheadMs } = worker
    this.#step({
      type: 'sessionOpened',
      nowMs: this.nowMs,
      nodeId: id,
      incarnation,
      isLocal: hostname === 'n1',
      address: '10.0.0.1',
      reports: worker.machine.reports(),
      sentAtMs: this.nowMs + aheadMs,
      description: {
        hostname,
        platform: { architecture: 'x86_64', os: 'linux' },
        resources: { nanoCpus: 4e9, memoryBytes: 8 * 2 ** 30, generic: [] },
        engine: { version: '1', labels: {}, plugins: [] },
        runtime: 'docker',
        agentVersion: '1',
      },
    })
  }

  advance(ms: number): void {
    this.#runUntil(this.nowMs + ms)
  }

  /** The container of the newest task of a slot ends by itself. */
  kill(slot: string, exitCode: number): void {
    for (const worker of this.#workers.values()) {
      for (const container of worker.containers.values()) {
        const name = `${container.task.serviceName}.${container.task.slot}`
        if (name === slot && container.state === 'running') this.#exit(worker, container, exitCode)
      }
    }
    this.#runUntil(this.nowMs)
  }

  #list(worker: Worker): void {
    const containers = new Map(
      [...worker.containers].map(([id, { task, state, exitCode }]) => [
        id,
        {
          state,
          health: 'none' as const,
          ...(state === 'created' ? {} : { started: startedFacts(task) }),
          ...(state === 'ended' ? { exit: { exitCode, isOomKilled: false } } : {}),
        },
      ]),
    )
    this.#work(worker, { type: 'listed', nowMs: this.nowMs, containers })
  }

  #exit(worker: Worker, container: Container, exitCode: number): void {
    container.state = 'ended'
    container.exitCode = exitCode
    const exit = { exitCode, isOomKilled: false }
    this.#work(worker, { type: 'exited', nowMs: this.nowMs, taskId: container.task.id, exit })
  }

  #step(event: ManagerEvent): void {
    for (const effect of this.#manager.step(event)) this.#carryOut(effect)
    const { wakeAtMs, wakeTicks } = this.#manager
    const ticksAtMs = wakeTicks === undefined ? Infinity : this.nowMs + wakeTicks * 100
    const atMs = Math.min(wakeAtMs ?? Infinity, ticksAtMs)
    if (atMs === Infinity) return
    const timer = ++this.#timer
    this.#at(atMs, () => {
      if (timer !== this.#timer) return
      const ticks = atMs === ticksAtMs ? (wakeTicks ?? 0) : 0
      this.#step({ type: 'ticked', nowMs: this.nowMs, ticks })
    })
  }

  #carryOut(effect: ManagerEffect): void {
    switch (effect.type) {
      case 'save': {
        this.entryCount += effect.operation.entries?.length ?? 0
        const operation = effect.operation.id
        this.#at(this.nowMs, () => this.#step({ type: 'persisted', nowMs: this.nowMs, operation }))
        return
      }
      case 'answer':
        this.#answers.set(effect.requestId, effect.answer)
        return
      case 'refuse':
        this.#answers.set(effect.requestId, effect.error)
        return
      case 'assign': {
        const worker = this.#workers.get(effect.nodeId)
        const { assignments } = effect
        if (worker !== undefined && !worker.isCut) {
          this.#at(this.nowMs, () =>
            this.#work(worker, { type: 'assigned', nowMs: this.nowMs, assignments }),
          )
        }
        return
      }
      default:
        return
    }
  }

  #work(worker: Worker, event: WorkerEvent): void {
    if (this.#workers.get(worker.id) !== worker) return
    const told = { ...event, nowMs: event.nowMs + worker.aheadMs }
    for (const effect of worker.machine.step(told)) this.#carryOutWork(worker, effect)
    const { wakeAtMs: itsWakeAtMs } = worker.machine
    const wakeAtMs = itsWakeAtMs === undefined ? undefined : itsWakeAtMs - worker.aheadMs
    if (wakeAtMs === undefined || wakeAtMs === worker.timerAtMs) return
    worker.timerAtMs = wakeAtMs
    this.#at(wakeAtMs, () => {
      if (worker.timerAtMs !== wakeAtMs) return
      worker.timerAtMs = undefined
      this.#work(worker, { type: 'ticked', nowMs: this.nowMs })
    })
  }

  #carryOutWork(worker: Worker, effect: WorkerEffect): void {
    switch (effect.type) {
      case 'report': {
        const { reports } = effect
        if (worker.isCut) return
        this.#at(this.nowMs + (effect.isUrgent ? 0 : 250), () =>
          this.#step({
            ...{ type: 'reported', nowMs: this.nowMs, nodeId: worker.id, reports },
            sentAtMs: this.nowMs + worker.aheadMs,
          }),
        )
        return
      }
      case 'store':
        worker.memory = { tasks: effect.tasks, files: effect.files }
        return
      case 'serve':
        worker.rows = effect.rows
        return
      case 'removeStray':
        worker.containers.delete(effect.taskId)
        return
      case 'run':
        this.#perform(worker, effect.operation, effect.task)
        return
      default:
        return
    }
  }

  #perform(worker: Worker, operation: string, task: Task): void {
    const [behaviour = 'good', number = '0'] = task.spec.container.image.split(':')
    const end = (ms: number, result: () => OperationResult): void =>
      this.#at(this.nowMs + ms, () =>
        this.#work(worker, {
          type: 'operationEnded',
          nowMs: this.nowMs,
          taskId: task.id,
          result: result(),
        }),
      )
    switch (operation) {
      case 'prepare':
        end(behaviour === 'slow' ? Number(number) : 100, () => {
          if (behaviour === 'broken') {
            const message = `No such image: ${task.spec.container.image}`
            return { type: 'failed', message, isEngineLost: false }
          }
          worker.containers.set(task.id, { task, state: 'created', exitCode: 0 })
          return { type: 'prepared', containerId: task.id }
        })
        return
      case 'start':
        end(200, () => this.#started(worker, task, behaviour, Number(number)))
        return
      case 'stop':
        end(300, () => {
          const container = worker.containers.get(task.id)
          if (container?.state === 'running') container.state = 'ended'
          return { type: 'stopped' }
        })
        return
      default:
        end(50, () => {
          worker.containers.delete(task.id)
          return { type: 'removed' }
        })
    }
  }

  #started(worker: Worker, task: Task, behaviour: string, ms: number): OperationResult {
    const container = worker.containers.get(task.id)
    if (container === undefined) {
      return { type: 'failed', message: 'No such container', isEngineLost: false }
    }
    container.state = 'running'
    worker.startCount++
    const later = (run: () => void): void => this.#at(this.nowMs + ms, run)
    if (behaviour === 'crash' || behaviour === 'done') {
      later(() => {
        if (container.state === 'running')
          this.#exit(worker, container, behaviour === 'done' ? 0 : 1)
      })
    }
    if (behaviour === 'sick') {
      this.#at(this.nowMs + 1_000, () =>
        this.#work(worker, {
          type: 'healthChanged',
          nowMs: this.nowMs,
          taskId: task.id,
          health: 'unhealthy',
        }),
      )
    }
    return {
      type: 'started',
      started: { ...startedFacts(task), hasHealthCheck: behaviour === 'sick' },
    }
  }

  #at(atMs: number, run: () => void): void {
    this.#queue.push({ atMs: Math.max(atMs, this.nowMs), run })
  }

  #runUntil(untilMs: number): void {
    for (let count = 0; count < 100_000; count++) {
      const next = this.#queue.reduce<Due | undefined>(
        (best, each) => (best === undefined || each.atMs < best.atMs ? each : best),
        undefined,
      )
      if (next === undefined || next.atMs > untilMs) {
        this.nowMs = untilMs
        return
      }
      this.#queue.splice(this.#queue.indexOf(next), 1)
      this.nowMs = next.atMs
      next.run()
    }
    throw new Error('the small cluster does not come to rest')
  }
}

function startedFacts(task: Task): {
  container: { id: string; pid: number; exitCode: number }
  ports: PortConfig[]
  addresses: string[]
  hasHealthCheck: boolean
} {
  return {
    container: { id: task.id, pid: 1, exitCode: 0 },
    ports: [],
    addresses: [`172.17.0.${task.slot + 1}`],
    hasHealthCheck: false,
  }
}

/** The default stop grace, for tests that count on it. */
export const graceMs = defaultStopGraceNs / 1e6
