// Which secrets and configs a node is told of: the differences, added up, are always what its tasks
// need, and nothing else.

import fc from 'fast-check'
import t from 'tap'
import {
  asId,
  type NodeId,
  type SecretId,
  type ServiceId,
  type TaskId,
} from '../../../core/base/id.ts'
import { assignmentChanges, completeAssignments } from '../../../core/dispatch/assignments.ts'
import type { Assignments, FileId } from '../../../core/dispatch/protocol.ts'
import type { Task, TaskState } from '../../../core/object/task.ts'
import type { Change } from '../../../core/store/change.ts'
import { Store } from '../../../core/store/store.ts'

const meta = { version: 0, createdAtMs: 0, updatedAtMs: 0 }
const nodes = ['n1', 'n2'].map((id) => asId<NodeId>(id))

function secret(name: string): Change {
  const spec = { name, labels: {}, data: new TextEncoder().encode(`bytes of ${name}`) }
  return { type: 'put', object: { ...meta, kind: 'secret', id: asId<SecretId>(name), spec } }
}

interface Plan {
  readonly id: string
  readonly node?: string
  readonly state: TaskState
  readonly secrets: readonly string[]
}

function task({ id, node, state, secrets }: Plan): Task {
  return {
    ...meta,
    kind: 'task',
    id: asId<TaskId>(id),
    serviceId: asId<ServiceId>('s'),
    serviceName: 's',
    serviceLabels: {},
    slot: 1,
    ...(node === undefined ? {} : { nodeId: asId<NodeId>(node) }),
    spec: {
      container: {
        image: 'i',
        secrets: secrets.map((name) => ({
          secretId: asId<SecretId>(name),
          secretName: name,
          file: { name, uid: '0', gid: '0', mode: 0o444 },
        })),
      },
      networks: [],
      forceUpdate: 0,
    },
    specVersion: 0,
    ports: [],
    networks: [],
    status: { state, atMs: 0, message: '' },
    desiredState: 'running',
  }
}

const put = (plan: Plan): Change => ({ type: 'put', object: task(plan) })

/** A store, and for each node what its differences come to. */
class Cluster {
  readonly store = new Store()
  readonly has = new Map(nodes.map((id) => [id, new Map<FileId, Uint8Array>()]))
  #index = 0

  constructor(changes: readonly Change[]) {
    this.commit(changes)
  }

  /** What was told for these entries, which are applied at once. */
  commit(...entries: readonly (readonly Change[])[]): ReadonlyMap<NodeId, Assignments> {
    const applied = entries.flatMap((changes) => {
      this.#index += 1
      this.store.propose(this.#index, changes)
      return this.store.apply(this.#index, changes)
    })
    const told = assignmentChanges(this.store.committed, applied, () => true)
    for (const [node, { files, removedFiles }] of told) {
      const has = this.has.get(node)
      for (const { id, data } of files) {
        if (has?.has(id) === true) throw new Error(`${node} is told of ${id} twice`)
        has?.set(id, data)
      }
      for (const id of removedFiles) {
        if (has?.delete(id) !== true) throw new Error(`${node} is to forget ${id} and has it not`)
      }
    }
    return told
  }

  names(node: string): string[] {
    return [...(this.has.get(asId<NodeId>(node))?.keys() ?? [])].sort()
  }
}

t.test('a node gets the secrets of its tasks with them, once, and no others', async (t) => {
  const cluster = new Cluster(['a', 'b', 'c'].map(secret))
  cluster.commit([put({ id: 't1', state: 'pending', secrets: ['a'] })])
  t.same([cluster.names('n1'), cluster.names('n2')], [[], []], 'a task without a node needs none')
  const told = cluster.commit([
    put({ id: 't1', node: 'n1', state: 'assigned', secrets: ['a', 'b'] }),
  ])
  const first = told.get(asId<NodeId>('n1'))
  t.same(
    first?.tasks.map(({ id }) => id),
    ['t1'],
  )
  t.same(
    first?.files.map(({ id, data }) => `${id}: ${new TextDecoder().decode(data)}`),
    ['a: bytes of a', 'b: bytes of b'],
  )
  cluster.commit([put({ id: 't2', node: 'n1', state: 'assigned', secrets: ['b', 'c'] })])
  t.same([cluster.names('n1'), cluster.names('n2')], [['a', 'b', 'c'], []])
})

t.test('they go with the last task that needs them', async (t) => {
  const cluster = new Cluster(['a', 'b'].map(secret))
  const plan = { node: 'n1', state: 'running', secrets: ['a'] } as const
  cluster.commit([put({ ...plan, id: 't1' }), put({ ...plan, id: 't2', secrets: ['a', 'b'] })])
  t.equal(cluster.commit([put({ ...plan, id: 't1', state: 'failed' })]).size, 0, 'no news')
  t.same(cluster.names('n1'), ['a', 'b'])
  cluster.commit([put({ ...plan, id: 't2', state: 'shutdown', secrets: ['a', 'b'] })])
  t.same(cluster.names('n1'), [], 'an ended task needs none, though it is remembered')
  t.equal(completeAssignments(cluster.store.committed, asId<NodeId>('n1')).files.length, 0)
})

t.test('a task that is replaced in one go keeps what both need', async (t) => {
  const cluster = new Cluster(['a'].map(secret))
  const plan = { node: 'n1', secrets: ['a'] } as const
  cluster.commit([put({ ...plan, id: 't1', state: 'running' })])
  const told = cluster.commit(
    [put({ ...plan, id: 't1', state: 'failed' })],
    [put({ ...plan, id: 't2', state: 'assigned' })],
  )
  t.same(told.get(asId<NodeId>('n1'))?.files, [])
  t.same(told.get(asId<NodeId>('n1'))?.removedFiles, [])
})

t.test('new labels of a secret are no news to a node', async (t) => {
  const cluster = new Cluster(['a'].map(secret))
  cluster.commit([put({ id: 't1', node: 'n1', state: 'running', secrets: ['a'] })])
  t.equal(cluster.commit([secret('a')]).size, 0)
})

const change = fc.oneof(
  fc
    .record({
      id: fc.constantFrom('t1', 't2', 't3', 't4'),
      node: fc.constantFrom('n1', 'n2'),
      state: fc.constantFrom<TaskState[]>('pending', 'assigned', 'running', 'failed'),
      secrets: fc.subarray(['a', 'b', 'c']),
    })
    .map(put),
  fc
    .constantFrom('t1', 't2', 't3', 't4')
    .map((id): Change => ({ type: 'remove', kind: 'task', id })),
)

t.test('whatever happens, the differences come to what a new session would be told', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.array(change, { maxLength: 3 }), { maxLength: 3 })),
      (steps) => {
        const cluster = new Cluster(['a', 'b', 'c'].map(secret))
        for (const entries of steps) {
          cluster.commit(...entries)
          for (const node of nodes) {
            const { files } = completeAssignments(cluster.store.committed, node)
            const whole = files.map(({ id }) => String(id)).sort()
            if (whole.join() !== cluster.names(node).join()) return false
          }
        }
        return true
      },
    ),
    { seed: 11, numRuns: 300 },
  )
})
