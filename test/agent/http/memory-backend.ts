// A cluster in memory: the real store, commands and controllers, and a worker that only says it
// runs what it is given. What the routes are tested against; nothing is kept, nothing is started.

import {
  type Backend,
  type InitRequest,
  type LocalState,
  swarmTexts,
  type TaskLogEntry,
} from '../../../agent/http/backend.ts'
import { CodedError } from '../../../core/base/error.ts'
import { asId, type ClusterId, makeId, type NodeId, type TaskId } from '../../../core/base/id.ts'
import { numberedRandom } from '../../../core/base/random.ts'
import type { Command, CommandAnswer } from '../../../core/command/command.ts'
import { runCommand } from '../../../core/command/run.ts'
import { runControllers } from '../../../core/control/pipeline.ts'
import { isEnded, type TaskState } from '../../../core/object/task.ts'
import type { Applied } from '../../../core/store/change.ts'
import { Store } from '../../../core/store/store.ts'
import type { View } from '../../../core/store/view.ts'
import { makeSigningKeys } from '../../../net/secure/crypto.ts'
import { issuerOf, trustRootOf } from '../../../net/secure/trust-root.ts'

export interface MemoryBackend extends Backend {
  /** What tasks have logged. */
  readonly written: TaskLogEntry[]
  /** True: each task that starts logs a line, `started`. */
  isTalkative: boolean
  /** Set to make reads and writes fail, as without a leader. */
  failure: CodedError | undefined
}

export function createMemoryBackend(): MemoryBackend {
  const random = numberedRandom(1)
  const listeners = new Set<(applied: readonly Applied[]) => void>()
  const written: TaskLogEntry[] = []
  let store = new Store()
  let nodeId: NodeId | undefined
  let index = 0

  const commit = (work: (draft: ReturnType<Store['draft']>) => CommandAnswer): CommandAnswer => {
    index += 1
    const draft = store.draft({ index, nowMs: Date.now() })
    const answer = work(draft)
    runControllers(draft, {
      services: draft.all('service').map((service) => service.id),
      random,
      wake: () => {},
    })
    const applied = store.apply(index, draft.changes())
    for (const listener of [...listeners]) listener(applied)
    return answer
  }
  const run = (command: Command): CommandAnswer =>
    commit((draft) => runCommand(draft, command, { random, hasQuorumWithout: () => true }))

  /** The worker: each task goes where it is wanted, in one step. */
  const work = (): void => {
    for (;;) {
      const moved = store.committed.all('task').flatMap((task) => {
        const state = nextState(task.status.state, task.desiredState)
        if (task.nodeId === undefined || state === undefined) return []
        const container = {
          id: task.id.padEnd(64, '0').replace(/[^0-9a-f]/g, 'a'),
          pid: 1,
          exitCode: 0,
        }
        const status = {
          state,
          atMs: Date.now(),
          message: state === 'running' ? 'started' : state,
          container,
        }
        return [{ id: task.id, status }]
      })
      for (const task of store.committed.all('task')) {
        if (!backend.isTalkative || moved.every(({ id }) => id !== task.id)) continue
        if (written.some(({ taskId }) => taskId === task.id)) continue
        const time = '2026-01-01T00:00:00.000000000Z'
        written.push(logged(task, { stream: 'stdout', time, text: 'started' }))
      }
      if (moved.length === 0 || nodeId === undefined) return
      run({ type: 'tasks.report', nodeId, reports: moved })
    }
  }

  const check = (): void => {
    if (backend.failure !== undefined) throw backend.failure
    if (nodeId === undefined) throw new CodedError('not-in-swarm', swarmTexts.notManager)
  }

  const init = (request: InitRequest): NodeId => {
    if (nodeId !== undefined) throw new CodedError('unavailable', swarmTexts.isPart)
    nodeId = makeId<NodeId>(random)
    run({
      type: 'cluster.init',
      clusterId: makeId<ClusterId>(random),
      spec: request.spec,
      key: { publicKey: new Uint8Array(32), privateKey: new Uint8Array(32) },
      joinSecrets: { worker: 'w'.repeat(25), manager: 'm'.repeat(25) },
      node: {
        id: nodeId,
        keys: { worker: new Uint8Array(32), manager: new Uint8Array(32) },
        managerAddress: '127.0.0.1:2377',
        address: '127.0.0.1',
        availability: request.availability,
      },
      defaultAddressPool: request.defaultAddressPool,
      subnetSize: request.subnetSize ?? 24,
      dataPathPort: request.dataPathPort ?? 4789,
    })
    run({
      type: 'node.describe',
      id: nodeId,
      address: '127.0.0.1',
      description: {
        hostname: 'n1',
        platform: { architecture: 'x86_64', os: 'linux' },
        resources: { nanoCpus: 2e9, memoryBytes: 4 * 2 ** 30, generic: [] },
        engine: { version: '20.10.24', labels: {}, plugins: [{ type: 'Log', name: 'json-file' }] },
        runtime: 'docker',
        agentVersion: '0.1.0',
      },
    })
    return nodeId
  }

  const backend: MemoryBackend = {
    written,
    isTalkative: false,
    failure: undefined,
    state: (): LocalState => ({
      state: nodeId === undefined ? 'inactive' : 'active',
      ...(nodeId === undefined ? {} : { nodeId }),
      nodeAddress: nodeId === undefined ? '' : '127.0.0.1',
      isManager: nodeId !== undefined,
      remoteManagers: nodeId === undefined ? [] : [{ nodeId, address: '127.0.0.1:2377' }],
      agentVersion: '0.1.0',
      runtime: 'docker',
    }),
    read: async (): Promise<View> => {
      check()
      return store.committed
    },
    submit: async (command) => {
      check()
      const answer = run(command)
      work()
      return answer
    },
    init: async (request) => init(request),
    join: async () => [],
    recover: async () => ({
      ...{ epoch: 2, index: 1, uncommitted: 0, forgotten: [], services: 0, nodes: 1 },
    }),
    leave: async () => {
      store = new Store()
      nodeId = undefined
    },
    unlock: async () => {
      throw new CodedError('conflict', 'swarm is not locked')
    },
    unlockKey: async () => '',
    joinTokens: async () => {
      check()
      const secrets = store.committed.cluster()?.joinSecrets
      const token = (secret: string): string => `SWMTKN-1-${'d'.repeat(50)}-${secret}`
      return { worker: token(secrets?.worker ?? ''), manager: token(secrets?.manager ?? '') }
    },
    managerStatus: (id) =>
      id === nodeId
        ? { isLeader: true, reachability: 'reachable', address: '127.0.0.1:2377' }
        : undefined,
    watch: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    logs: async function* (tasks, options) {
      const wanted = written.filter((entry) => tasks.includes(entry.taskId))
      yield* options.tail === undefined ? wanted : wanted.slice(wanted.length - options.tail)
    },
    makeJoinSecret: () => crypto.randomUUID().replaceAll('-', '').slice(0, 25),
    stale: () => ({ view: store.committed, ageMs: 0 }),
    trustRoot: ({ key }) => trustRootOf(key),
    issuerKey: (key) => issuerOf(key).publicKey,
    makeClusterKey: () => ({ key: makeSigningKeys() }),
    makeUnlockKey: () => crypto.getRandomValues(new Uint8Array(32)),
    nowMs: () => Date.now(),
  }
  return backend
}

function nextState(state: TaskState, desired: string): TaskState | undefined {
  if (isEnded(state)) return undefined
  if (desired === 'running') return state === 'running' ? undefined : 'running'
  if (desired === 'ready') return state === 'ready' ? undefined : 'ready'
  return 'shutdown'
}

/** A line that a task has logged. */
export function logged(
  task: { readonly id: TaskId; readonly nodeId?: NodeId },
  line: { readonly stream: 'stdout' | 'stderr'; readonly time: string; readonly text: string },
): TaskLogEntry {
  return {
    taskId: task.id,
    nodeId: task.nodeId ?? asId<NodeId>(''),
    stream: line.stream,
    time: line.time,
    data: Buffer.from(`${line.text}\n`),
  }
}
