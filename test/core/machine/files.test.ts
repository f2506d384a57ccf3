// Secrets on their way from a manager to the tasks of a node, in virtual time.

import t from 'tap'
import { asId, type SecretId, type ServiceId } from '../../../core/base/id.ts'
import type { Assignments } from '../../../core/dispatch/protocol.ts'
import { WorkerMachine } from '../../../core/machine/worker.ts'
import type { ServiceSpec } from '../../../core/object/service.ts'
import { SmallCluster } from './small-cluster.ts'

const data = new TextEncoder().encode('bytes')

function webSpec(id: SecretId, replicas: number): ServiceSpec {
  const file = { name: 'pw', uid: '0', gid: '0', mode: 0o444 }
  const secrets = [{ secretId: id, secretName: 'pw', file }]
  return {
    name: 'web',
    labels: {},
    mode: { type: 'replicated', replicas },
    task: { container: { image: 'good', secrets }, networks: [], forceUpdate: 0 },
  }
}

/** A cluster of two nodes with a secret and a service that wants it. */
function start(replicas: number): { cluster: SmallCluster; id: SecretId; web: ServiceId } {
  const cluster = new SmallCluster()
  cluster.startWorker('n2')
  cluster.advance(1_000)
  const spec = { name: 'pw', labels: {}, data }
  const id = asId<SecretId>(cluster.submit({ type: 'secret.create', spec }).id)
  const made = cluster.submit({ type: 'service.create', spec: webSpec(id, replicas) })
  cluster.advance(1_000)
  return { cluster, id, web: asId<ServiceId>(made.id) }
}

/** The nodes that hold the secret. */
function holders({ cluster, id }: { cluster: SmallCluster; id: SecretId }): string[] {
  return ['n1', 'n2'].filter((name) => cluster.worker(name).machine.file(id) !== undefined)
}

t.test('only the node that runs the task holds the secret, and only while it runs', async (t) => {
  const place = start(1)
  const { cluster, web } = place
  const [task] = cluster.view.tasksOfService(web)
  t.equal(task?.status.state, 'running')
  t.same(holders(place), [task?.nodeId])
  cluster.submit({ type: 'service.remove', id: web })
  cluster.advance(2_000)
  t.same(holders(place), [])
})

t.test('two tasks on two nodes: each node holds it', async (t) => {
  const place = start(2)
  t.same(holders(place), ['n1', 'n2'])
})

t.test('an agent that starts anew is told again', async (t) => {
  const place = start(2)
  place.cluster.startWorker('n1')
  place.cluster.advance(1_000)
  t.same(holders(place), ['n1', 'n2'])
})

t.test('a task waits for its secrets, says so, and goes on when they have come', async (t) => {
  const { cluster, id, web } = start(1)
  const [found] = cluster.view.tasksOfService(web)
  if (found === undefined) throw new Error('no task')
  const task = { ...found, status: { state: 'assigned', atMs: 0, message: '' } } as const
  const machine = new WorkerMachine()
  const nothing = { isComplete: false, tasks: [], removed: [], files: [], removedFiles: [] }
  const assign = (assignments: Partial<Assignments>) =>
    machine
      .step({ type: 'assigned', nowMs: 1, assignments: { ...nothing, ...assignments } })
      .filter(({ type }) => type !== 'store' && type !== 'note')
  machine.step({ type: 'listed', nowMs: 0, containers: new Map() })
  const before = assign({ isComplete: true, tasks: [task] })
  t.same(
    before.map((effect) => effect.type),
    ['report'],
  )
  t.match(machine.reports(), [{ status: { state: 'assigned', error: 'waiting for secret pw' } }])
  t.same(assign({}), [], 'and says it once')
  const after = assign({ files: [{ id, data, isOffline: true }] })
  t.match(after, [{ type: 'run', operation: 'prepare' }, { type: 'report' }])
  t.equal(machine.reports()[0]?.status.error, undefined)
})

t.test('a task that ends without ever having run gives its files back', async (t) => {
  const { cluster, id, web } = start(1)
  const [found] = cluster.view.tasksOfService(web)
  if (found === undefined) throw new Error('no task')
  const task = { ...found, status: { state: 'assigned', atMs: 0, message: '' } } as const
  const machine = new WorkerMachine()
  machine.step({ type: 'listed', nowMs: 0, containers: new Map() })
  const files = [{ id, data, isOffline: true }]
  const assignments = { isComplete: true, tasks: [task], removed: [], files, removedFiles: [] }
  machine.step({ type: 'assigned', nowMs: 1, assignments })
  const result = { type: 'failed', message: 'No such image', isEngineLost: false } as const
  const ended = machine.step({ type: 'operationEnded', nowMs: 2, taskId: task.id, result })
  t.match(
    ended.filter(({ type }) => type === 'release'),
    [{ taskId: task.id }],
  )
  const later = machine.step({ type: 'engineLost', nowMs: 3, reason: 'x' })
  t.same(
    later.filter(({ type }) => type === 'release'),
    [],
    'once',
  )
})

/** What a node stores of its assignments, and what becomes of it in a start while cut off. */
function restart(place: ReturnType<typeof start>): { files: number; states: string[] } {
  const { cluster, id, web } = place
  const [task] = cluster.view.tasksOfService(web)
  if (task?.nodeId === undefined) throw new Error('no task')
  const before = cluster.worker(task.nodeId).memory
  const machine = new WorkerMachine()
  machine.step({ type: 'restored', nowMs: 0, ...before })
  machine.step({ type: 'listed', nowMs: 1, containers: new Map() })
  for (const effect of machine.step({ type: 'ticked', nowMs: 30_000 })) {
    if (effect.type !== 'run' || effect.operation !== 'remove') continue
    const result = { type: 'removed' } as const
    machine.step({ type: 'operationEnded', nowMs: 30_001, taskId: task.id, result })
  }
  t.equal(machine.file(id) !== undefined, before.files.length > 0)
  const states = machine.reports().map(({ status }) => `${status.state} ${status.error ?? ''}`)
  return { files: before.files.length, states }
}

t.test('a node that starts while cut off has its secrets, unless that is forbidden', async (t) => {
  const place = start(1)
  const { cluster, id } = place
  t.same(restart(place), { files: 1, states: ['preparing '] })

  const secret = cluster.view.get('secret', id)
  if (secret === undefined) throw new Error('no secret')
  const { version, spec } = secret
  const labels = { 'skep.offline': 'false' }
  cluster.submit({ type: 'secret.update', id, version, spec: { ...spec, labels } })
  cluster.advance(100)
  t.same(holders(place).length, 1, 'it is there in memory')
  t.same(restart(place), { files: 0, states: ['assigned waiting for secret pw'] })
})

t.test('the cluster forbids copies of all secrets, and takes it back', async (t) => {
  const place = start(1)
  const { cluster } = place
  for (const [allowed, files] of [
    ['false', 0],
    ['true', 1],
  ] as const) {
    const { id, version, spec } = cluster.view.cluster() ?? {}
    if (id === undefined || version === undefined || spec === undefined) throw new Error('none')
    const labels = { 'skep.offline-secrets': allowed }
    cluster.submit({
      ...{ type: 'cluster.update', version, spec: { ...spec, labels }, rotate: {} },
      ...{ freshUnlockKey: new Uint8Array(32), isUnlockKeyRotated: false },
    })
    cluster.advance(100)
    t.equal(restart(place).files, files)
  }
})
