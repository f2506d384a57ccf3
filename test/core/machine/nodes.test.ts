// Nodes that join, are drained, fall silent and come back, and what becomes of their tasks.

import t from 'tap'
import { asId, type NodeId, type ServiceId } from '../../../core/base/id.ts'
import type { ServiceMode, ServiceSpec } from '../../../core/object/service.ts'
import type { Task } from '../../../core/object/task.ts'
import { SmallCluster } from './small-cluster.ts'

function cluster(...workers: readonly string[]): SmallCluster {
  const made = new SmallCluster()
  for (const hostname of workers) made.startWorker(hostname)
  made.advance(100)
  return made
}

function create(
  made: SmallCluster,
  mode: ServiceMode,
  task: Partial<ServiceSpec['task']> = {},
): ServiceId {
  const spec: ServiceSpec = {
    name: 'web',
    labels: {},
    mode,
    task: { container: { image: 'good' }, networks: [], forceUpdate: 0, ...task },
  }
  return asId<ServiceId>(made.submit({ type: 'service.create', spec }).id)
}

function tasks(made: SmallCluster, id: ServiceId): Task[] {
  return [...made.view.tasksOfService(id)]
}

/** Node -> its running tasks. */
function running(made: SmallCluster, id: ServiceId): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const task of tasks(made, id)) {
    if (task.status.state !== 'running') continue
    counts[task.nodeId ?? ''] = (counts[task.nodeId ?? ''] ?? 0) + 1
  }
  return counts
}

function setAvailability(
  made: SmallCluster,
  hostname: string,
  availability: 'active' | 'pause' | 'drain',
): void {
  const id = asId<NodeId>(hostname)
  const node = made.view.get('node', id)
  if (node === undefined) throw new Error(`no node ${hostname}`)
  const spec = { ...node.spec, availability }
  made.submit({ type: 'node.update', id, version: node.version, spec })
}

const replicated = (replicas: number): ServiceMode => ({ type: 'replicated', replicas })

t.test('a global service has one task on each node, also on one that joins later', async (t) => {
  const made = cluster('n2')
  const id = create(made, { type: 'global' })
  made.advance(1_000)
  t.same(running(made, id), { n1: 1, n2: 1 })
  made.startWorker('n3')
  made.advance(1_000)
  t.same(running(made, id), { n1: 1, n2: 1, n3: 1 })
})

t.test('a global service leaves a drained node and comes back', async (t) => {
  const made = cluster('n2')
  const id = create(made, { type: 'global' })
  made.advance(1_000)
  setAvailability(made, 'n2', 'drain')
  made.advance(2_000)
  t.same(running(made, id), { n1: 1 })
  setAvailability(made, 'n2', 'active')
  made.advance(2_000)
  t.same(running(made, id), { n1: 1, n2: 1 })
})

t.test('a global service keeps to its constraints', async (t) => {
  const made = cluster('n2')
  const id = create(made, { type: 'global' }, { placement: { constraints: ['node.hostname==n2'] } })
  made.advance(1_000)
  t.same(running(made, id), { n2: 1 })
})

t.test('a paused node keeps its tasks and gets no new ones', async (t) => {
  const made = cluster('n2')
  const id = create(made, replicated(2))
  made.advance(1_000)
  setAvailability(made, 'n2', 'pause')
  made.advance(1_000)
  t.same(running(made, id), { n1: 1, n2: 1 })
  const service = made.view.get('service', id)
  if (service === undefined) throw new Error('no service')
  const spec = { ...service.spec, mode: replicated(6) }
  made.submit({ type: 'service.update', id, version: service.version, spec, rollback: false })
  made.advance(1_000)
  t.same(running(made, id), { n1: 5, n2: 1 })
})

t.test('the tasks of a node that falls silent are replaced after the grace', async (t) => {
  const made = cluster('n2', 'n3', 'n4')
  const id = create(made, replicated(4))
  made.advance(1_000)
  t.same(running(made, id), { n1: 1, n2: 1, n3: 1, n4: 1 })
  made.cut('n2')
  made.advance(2_500)
  t.equal(made.view.get('node', 'n2')?.status.state, 'ready', 'not before the grace is over')
  made.advance(2_000)
  t.equal(made.view.get('node', 'n2')?.status.state, 'down')
  const counts = running(made, id)
  t.equal(counts['n2'], undefined)
  t.equal(
    Object.values(counts).reduce((a, b) => a + b),
    4,
  )
})

t.test('a node that comes back stops the replaced copy and nothing else', async (t) => {
  const made = cluster('n2', 'n3', 'n4')
  const id = create(made, replicated(8))
  made.advance(1_000)
  made.cut('n2')
  made.advance(10_000)
  const before = made.worker('n3').startCount + made.worker('n4').startCount
  made.mend('n2')
  made.advance(3_000)
  t.equal(made.view.get('node', 'n2')?.status.state, 'ready')
  t.equal(
    Object.values(running(made, id)).reduce((a, b) => a + b),
    8,
  )
  t.equal(running(made, id)['n2'], undefined)
  t.equal(
    [...made.worker('n2').containers.values()].filter((each) => each.state === 'running').length,
    0,
  )
  t.equal(made.worker('n3').startCount + made.worker('n4').startCount, before)
})

t.test('a node that is back before its tasks found another place keeps them', async (t) => {
  const made = cluster('n2', 'n3', 'n4')
  const placement = { constraints: ['node.hostname==n2'] }
  const id = create(made, replicated(2), { placement })
  made.advance(1_000)
  made.cut('n2')
  made.advance(10_000)
  t.same(running(made, id), {})
  made.mend('n2')
  made.advance(2_000)
  t.same(running(made, id), { n2: 2 })
  t.equal(made.worker('n2').startCount, 2, 'none was started anew')
})

t.test('when many nodes fall silent together nothing is moved for a while', async (t) => {
  const made = cluster('n2', 'n3', 'n4')
  const id = create(made, replicated(4))
  made.advance(1_000)
  made.cut('n2')
  made.cut('n3')
  made.advance(6_000)
  t.equal(made.view.get('node', 'n2')?.status.state, 'unknown')
  t.equal(tasks(made, id).length, 4)
  made.mend('n2')
  made.mend('n3')
  made.advance(20_000)
  t.same(running(made, id), { n1: 1, n2: 1, n3: 1, n4: 1 })
  made.cut('n2')
  made.cut('n3')
  made.advance(25_000)
  t.equal(made.view.get('node', 'n3')?.status.state, 'down')
  t.same(running(made, id), { n1: 2, n4: 2 })
})

t.test('a node that was called down and was not is given a longer grace', async (t) => {
  const made = cluster('n2', 'n3', 'n4', 'n5')
  made.cut('n2')
  made.advance(4_000)
  t.equal(made.view.get('node', 'n2')?.status.state, 'down')
  made.mend('n2')
  made.advance(1_000)
  made.cut('n2')
  made.advance(5_000)
  t.equal(made.view.get('node', 'n2')?.status.state, 'ready')
  made.advance(2_500)
  t.equal(made.view.get('node', 'n2')?.status.state, 'down')
})

t.test('a node is removed only when it is down, or by force', async (t) => {
  const made = cluster('n2', 'n3', 'n4')
  const id = asId<NodeId>('n2')
  t.throws(() => made.submit({ type: 'node.remove', id, force: false }), {
    message: "node n2 is not down and can't be removed",
  })
  const service = create(made, replicated(4))
  made.advance(1_000)
  made.submit({ type: 'node.remove', id, force: true })
  made.advance(2_000)
  t.equal(made.view.get('node', 'n2'), undefined)
  t.equal(
    Object.values(running(made, service)).reduce((a, b) => a + b),
    4,
  )
})

t.test('the last manager is not demoted', async (t) => {
  const made = cluster('n2')
  const node = made.view.get('node', 'n1')
  if (node === undefined) throw new Error('no node')
  const { id, version, spec } = node
  t.throws(
    () => made.submit({ type: 'node.update', id, version, spec: { ...spec, role: 'worker' } }),
    { message: 'attempting to demote the last manager of the swarm' },
  )
})

t.test(
  'a node cut off restarts what crashes there, and nothing is moved when it is back',
  async (t) => {
    const made = cluster('n2', 'n3', 'n4')
    const placement = { constraints: ['node.hostname==n2'] }
    const id = create(made, replicated(2), { placement })
    made.advance(1_000)
    made.cut('n2')
    made.kill('web.1', 137)
    made.advance(3_000)
    t.equal(made.worker('n2').startCount, 2, 'for a while a manager may still say what to do')
    made.advance(4_000)
    t.equal(made.worker('n2').startCount, 3)
    made.mend('n2')
    made.advance(3_000)
    t.same(running(made, id), { n2: 2 })
    t.equal(made.worker('n2').startCount, 3)
    t.equal(tasks(made, id).length, 2, 'the same tasks, no new ones')
  },
)

t.test('a restart policy holds on a node cut off, too', async (t) => {
  const made = cluster('n2', 'n3', 'n4')
  const placement = { constraints: ['node.hostname==n2'] }
  create(made, replicated(1), { placement, restart: { condition: 'none' } })
  made.advance(1_000)
  made.cut('n2')
  made.kill('web.1', 1)
  made.advance(60_000)
  t.equal(made.worker('n2').startCount, 1)
})

t.test('a service that wants no copy on a node cut off has none there', async (t) => {
  const made = cluster('n2', 'n3', 'n4')
  const spec: ServiceSpec = {
    name: 'one',
    labels: { 'skep.on-disconnect': 'stop' },
    mode: replicated(4),
    task: { container: { image: 'good' }, networks: [], forceUpdate: 0 },
  }
  const id = asId<ServiceId>(made.submit({ type: 'service.create', spec }).id)
  made.advance(1_000)
  made.cut('n2')
  made.advance(7_000)
  const left = [...made.worker('n2').containers.values()].filter((each) => each.state === 'running')
  t.same(left, [])
  made.mend('n2')
  made.advance(5_000)
  t.equal(
    Object.values(running(made, id)).reduce((a, b) => a + b),
    4,
  )
})

t.test('a leased task never has two copies, however long its node is cut off', async (t) => {
  for (const cutMs of [1_000, 2_900, 3_100, 4_000, 6_000, 7_500, 20_000]) {
    const made = cluster('n2', 'n3', 'n4')
    const spec: ServiceSpec = {
      name: 'one',
      labels: { 'skep.on-disconnect': 'stop' },
      mode: replicated(4),
      task: {
        container: { image: 'good', stopGraceNs: 3e9 },
        networks: [],
        forceUpdate: 0,
      },
    }
    const id = asId<ServiceId>(made.submit({ type: 'service.create', spec }).id)
    made.advance(1_500)
    made.cut('n2')
    let most = 0
    for (let atMs = 0; atMs < 30_000; atMs += 100) {
      if (atMs === cutMs) made.mend('n2')
      made.advance(100)
      const slots = new Map<number, number>()
      for (const hostname of ['n1', 'n2', 'n3', 'n4']) {
        for (const { task, state } of made.worker(hostname).containers.values()) {
          if (state === 'running') slots.set(task.slot, (slots.get(task.slot) ?? 0) + 1)
        }
      }
      most = Math.max(most, ...slots.values())
    }
    t.equal(most, 1, `cut for ${cutMs} ms`)
    t.equal(
      Object.values(running(made, id)).reduce((a, b) => a + b),
      4,
      `all run again after ${cutMs} ms`,
    )
  }
})

t.test('a leased task is replaced when its node has had the time to stop it', async (t) => {
  const made = cluster('n2', 'n3', 'n4')
  const spec: ServiceSpec = {
    name: 'one',
    labels: { 'skep.on-disconnect': 'stop' },
    mode: replicated(4),
    task: { container: { image: 'good' }, networks: [], forceUpdate: 0 },
  }
  const id = asId<ServiceId>(made.submit({ type: 'service.create', spec }).id)
  made.advance(1_000)
  made.cut('n2')
  // Heard at most a second ago, 3 s of grace, 10 s to stop, 1 s of slack.
  made.advance(12_900)
  t.equal(tasks(made, id).length, 4, 'nothing is replaced yet')
  made.advance(2_500)
  t.same(
    Object.values(running(made, id)).reduce((a, b) => a + b),
    4,
  )
})

t.test('those that are lost together are given up in batches', async (t) => {
  const lost = ['n2', 'n3', 'n4', 'n5', 'n6', 'n7']
  const made = cluster(...lost, 'n8', 'n9', 'n10')
  for (const hostname of lost) made.cut(hostname)
  const downs: number[] = []
  for (let atMs = 0; atMs < 30_000; atMs += 500) {
    made.advance(500)
    downs.push(made.view.all('node').filter(({ status }) => status.state === 'down').length)
  }
  t.same([...new Set(downs)], [0, 2, 4, 6])
})

t.test('the tasks of a node that left in good order are started elsewhere at once', async (t) => {
  const made = cluster('n2', 'n3', 'n4')
  const id = create(made, replicated(4))
  made.advance(1_000)
  made.leave('n2')
  made.advance(1_000)
  t.equal(made.view.get('node', 'n2')?.status.state, 'down')
  t.equal(running(made, id)['n2'], undefined)
  t.equal(
    Object.values(running(made, id)).reduce((a, b) => a + b),
    4,
  )
})
