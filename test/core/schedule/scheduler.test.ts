// The scheduler: which node a task gets, and what is said when there is none.

import t from 'tap'
import { asId, type NodeId, type ServiceId, type TaskId } from '../../../core/base/id.ts'
import type { Node } from '../../../core/object/node.ts'
import type { TaskSpec } from '../../../core/object/service.ts'
import type { Task } from '../../../core/object/task.ts'
import { scheduleTasks } from '../../../core/schedule/scheduler.ts'
import { Store } from '../../../core/store/store.ts'

const gib = 2 ** 30

function node(id: string, more: Partial<Node> = {}, memoryBytes = 8 * gib): Node {
  return {
    kind: 'node',
    keys: { worker: new Uint8Array(32) },
    generation: 1,
    id: asId<NodeId>(id),
    version: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    spec: { labels: { zone: id }, role: 'worker', availability: 'active' },
    status: { state: 'ready' },
    description: {
      hostname: id,
      platform: { architecture: 'x86_64', os: 'linux' },
      resources: { nanoCpus: 2e9, memoryBytes, generic: [] },
      engine: { version: '1', labels: {}, plugins: [] },
      runtime: 'docker',
      agentVersion: '1',
    },
    ...more,
  }
}

function task(
  id: string,
  more: Partial<Omit<Task, 'spec'>> & { spec?: Partial<TaskSpec> } = {},
): Task {
  return {
    kind: 'task',
    id: asId<TaskId>(id),
    version: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    serviceId: asId<ServiceId>('s'),
    serviceName: 's',
    serviceLabels: {},
    slot: Number(id.replace(/\D/g, '')) || 1,
    specVersion: 1,
    ports: [],
    networks: [],
    status: { state: 'pending', atMs: 0, message: '' },
    desiredState: 'running',
    ...more,
    spec: { container: { image: 'i' }, networks: [], forceUpdate: 0, ...more.spec },
  }
}

/** Schedules and says where each task went: its node, or why none. */
function place(nodes: readonly Node[], tasks: readonly Task[]): Record<string, string> {
  const store = new Store()
  store.apply(
    1,
    [...nodes, ...tasks].map((object) => ({ type: 'put' as const, object })),
  )
  const draft = store.draft({ index: 2, nowMs: 5 })
  scheduleTasks(draft)
  return Object.fromEntries(
    draft.all('task').map((each) => [each.id, each.nodeId ?? each.status.error ?? '']),
  )
}

t.test('tasks are spread evenly, counting what is there', async (t) => {
  const nodes = [node('a'), node('b'), node('c')]
  const there = task('t9', {
    nodeId: asId<NodeId>('a'),
    status: { state: 'running', atMs: 0, message: '' },
  })
  const placed = Object.values(place(nodes, [there, task('t1'), task('t2'), task('t3')]))
  const counts = ['a', 'b', 'c'].map((id) => placed.filter((each) => each === id).length).sort()
  t.same(counts, [1, 1, 2])
})

t.test('each filter strikes out and explains', async (t) => {
  const rows: readonly {
    readonly name: string
    readonly node: Node
    readonly task: Parameters<typeof task>[1]
    readonly want: string
  }[] = [
    {
      name: 'a node that is down',
      node: node('a', { status: { state: 'down' } }),
      task: {},
      want: 'no suitable node (1 node not available for new tasks): a is down',
    },
    {
      name: 'a paused node',
      node: node('a', { spec: { labels: {}, role: 'worker', availability: 'pause' } }),
      task: {},
      want: 'no suitable node (1 node not available for new tasks): a is pause',
    },
    {
      name: 'too little memory',
      node: node('a'),
      task: { spec: { resources: { reservations: { memoryBytes: 9 * gib } } } },
      want: 'no suitable node (insufficient resources on 1 node): 9216 MiB asked, a has 8192 MiB and 2 CPUs unreserved',
    },
    {
      name: 'a constraint',
      node: node('a'),
      task: { spec: { placement: { constraints: ['node.labels.zone==b'] } } },
      want: 'no suitable node (scheduling constraints not satisfied on 1 node): no node meets node.labels.zone==b',
    },
    {
      name: 'another platform',
      node: node('a'),
      task: { spec: { placement: { platforms: [{ os: 'linux', architecture: 'arm64' }] } } },
      want: 'no suitable node (unsupported platform on 1 node): the image is made for linux/arm64',
    },
  ]
  for (const row of rows) {
    t.equal(place([row.node], [task('t1', row.task)])['t1'], row.want, row.name)
  }
})

t.test('a host-mode port serves one task a node', async (t) => {
  const ports = [
    { protocol: 'tcp', targetPort: 80, publishedPort: 8080, publishMode: 'host' },
  ] as const
  const placed = place(
    [node('a'), node('b')],
    [task('t1', { ports }), task('t2', { ports }), task('t3', { ports })],
  )
  t.same(Object.values(placed).sort(), [
    'a',
    'b',
    'no suitable node (host-mode port already in use on 2 nodes): a host-mode port serves one task a node',
  ])
})

t.test(
  'the next task of a slot may have the port and the memory of the one before it',
  async (t) => {
    const ports = [
      { protocol: 'tcp', targetPort: 80, publishedPort: 8080, publishMode: 'host' },
    ] as const
    const spec = { resources: { reservations: { memoryBytes: 6 * gib } } }
    const running = { state: 'running', atMs: 0, message: '' } as const
    const before = task('t1', { ports, spec, nodeId: asId<NodeId>('a'), status: running })
    const next = task('u1', { ports, spec, desiredState: 'ready' })
    t.equal(place([node('a')], [before, next])['u1'], 'a')
    const other = task('t2', { ports, spec, desiredState: 'ready' })
    t.match(place([node('a')], [before, other])['t2'], /^no suitable node/)
  },
)

t.test('max replicas per node is kept', async (t) => {
  const spec = { placement: { maxReplicas: 1 } }
  const placed = place([node('a')], [task('t1', { spec }), task('t2', { spec })])
  t.equal(placed['t1'], 'a')
  t.equal(placed['t2'], 'no suitable node (max replicas per node limit exceed): at most 1 a node')
})

t.test('what a placed task takes is gone for the next one', async (t) => {
  const spec = { resources: { reservations: { memoryBytes: 5 * gib } } }
  const placed = place([node('a')], [task('t1', { spec }), task('t2', { spec })])
  t.equal(placed['t1'], 'a')
  t.match(placed['t2'], /insufficient resources on 1 node\): 5120 MiB asked, a has 3072 MiB/)
})
