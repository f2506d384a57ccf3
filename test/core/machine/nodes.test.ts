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
