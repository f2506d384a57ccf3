// Services from the first command to the last container, in virtual time.

import t from 'tap'
import { asId, type ServiceId } from '../../../core/base/id.ts'
import type { Service, ServiceSpec } from '../../../core/object/service.ts'
import { slotName } from '../../../core/object/task.ts'
import { SmallCluster } from './small-cluster.ts'

type SpecChange = Partial<Omit<ServiceSpec, 'task'>> & { task?: Partial<ServiceSpec['task']> }

function spec(name: string, image: string, replicas: number, more: SpecChange = {}): ServiceSpec {
  return {
    name,
    labels: {},
    mode: { type: 'replicated', replicas },
    ...more,
    task: { container: { image }, networks: [], forceUpdate: 0, ...more.task },
  }
}

function create(cluster: SmallCluster, wanted: ServiceSpec): ServiceId {
  return asId<ServiceId>(cluster.submit({ type: 'service.create', spec: wanted }).id)
}

function service(cluster: SmallCluster, id: ServiceId): Service {
  const found = cluster.view.get('service', id)
  if (found === undefined) throw new Error('no service')
  return found
}

function update(cluster: SmallCluster, id: ServiceId, wanted: ServiceSpec): void {
  const { version } = service(cluster, id)
  cluster.submit({ type: 'service.update', id, version, spec: wanted, rollback: false })
}

/** "web.1 good running/running" for each task, newest first in a slot. */
function lines(cluster: SmallCluster, id: ServiceId): string[] {
  return [...cluster.view.tasksOfService(id)]
    .sort((a, b) => a.slot - b.slot || b.createdAtMs - a.createdAtMs)
    .map((task) => {
      const error = task.status.error === undefined ? '' : ` ${task.status.error}`
      return `${slotName(task)} ${task.spec.container.image} ${task.desiredState}/${task.status.state}${error}`
    })
}

t.test(
  'three replicas run, and cost one entry for the command and one for the tasks',
  async (t) => {
    const cluster = new SmallCluster()
    cluster.advance(1_000)
    const before = cluster.entryCount
    const id = create(cluster, spec('web', 'good', 3))
    t.equal(cluster.entryCount - before, 2)
    cluster.advance(1_000)
    t.same(lines(cluster, id), [
      'web.1 good running/running',
      'web.2 good running/running',
      'web.3 good running/running',
    ])
  },
)

t.test('a name that is taken is refused in the words of Swarm', async (t) => {
  const cluster = new SmallCluster()
  create(cluster, spec('web', 'good', 1))
  t.throws(() => create(cluster, spec('web', 'good', 1)), {
    message: 'name conflicts with an existing object: service web already exists',
  })
})

t.test('scaling up keeps what runs, scaling down drops the highest slots', async (t) => {
  const cluster = new SmallCluster()
  const id = create(cluster, spec('web', 'good', 2))
  cluster.advance(1_000)
  update(cluster, id, spec('web', 'good', 4))
  cluster.advance(1_000)
  t.equal(cluster.worker('n1').startCount, 4)
  update(cluster, id, spec('web', 'good', 1))
  cluster.advance(2_000)
  t.same(lines(cluster, id), ['web.1 good running/running'])
  t.equal(cluster.worker('n1').startCount, 4)
  t.equal(cluster.worker('n1').containers.size, 1)
  t.equal(service(cluster, id).updateStatus, undefined)
})

t.test('a first crash is mended at once', async (t) => {
  const cluster = new SmallCluster()
  const id = create(cluster, spec('web', 'good', 1))
  cluster.advance(60_000)
  cluster.kill('web.1', 137)
  cluster.advance(500)
  t.same(lines(cluster, id), [
    'web.1 good running/running',
    'web.1 good shutdown/failed task: non-zero exit (137)',
  ])
})

t.test('a crash loop is restarted later and later, and says so', async (t) => {
  const cluster = new SmallCluster()
  const id = create(cluster, spec('web', 'crash:100', 1))
  cluster.advance(3_000)
  t.equal(cluster.worker('n1').startCount, 2, 'the first time at once')
  t.match(
    lines(cluster, id)[0],
    /^web.1 crash:100 ready\/ready failed 2 times in a row: restarts after 5s/,
  )
  cluster.advance(4_000)
  t.equal(cluster.worker('n1').startCount, 3, 'then after the delay')
  cluster.advance(8_000)
  t.equal(cluster.worker('n1').startCount, 3)
  cluster.advance(4_000)
  t.equal(cluster.worker('n1').startCount, 4, 'then after twice the delay')
  cluster.advance(600_000)
  t.ok(cluster.worker('n1').startCount < 20)
  t.equal(lines(cluster, id).length, 5, 'the history has its limit')
})

t.test('a restart policy is kept', async (t) => {
  const rows = [
    { restart: { condition: 'none' }, image: 'crash:100', starts: 1 },
    { restart: { condition: 'on-failure' }, image: 'done:100', starts: 1 },
    {
      restart: { condition: 'on-failure', maxAttempts: 2, delayNs: 0 },
      image: 'crash:100',
      starts: 3,
    },
    { restart: { condition: 'any', maxAttempts: 1 }, image: 'done:100', starts: 2 },
  ] as const
  for (const { restart, image, starts } of rows) {
    const cluster = new SmallCluster()
    const id = create(cluster, spec('web', image, 1, { task: { restart } }))
    cluster.advance(100_000)
    t.equal(cluster.worker('n1').startCount, starts, JSON.stringify(restart))
    t.equal(lines(cluster, id).length, starts)
  }
})

t.test('an update goes on as many at a time as it may, with the delay between', async (t) => {
  const cluster = new SmallCluster()
  const config = { parallelism: 2, delayNs: 20e9 }
  const id = create(cluster, spec('web', 'good', 5))
  cluster.advance(10_000)
  update(cluster, id, spec('web', 'good:2', 5, { update: config }))
  cluster.advance(2_000)
  const running = (image: string): number =>
    lines(cluster, id).filter((line) => line.includes(` ${image} running/running`)).length
  t.same([running('good'), running('good:2')], [3, 2])
  t.match(service(cluster, id).updateStatus, { state: 'updating', message: 'update in progress' })
  cluster.advance(20_000)
  t.same([running('good'), running('good:2')], [1, 4])
  cluster.advance(21_000)
  t.same([running('good'), running('good:2')], [0, 5])
  t.equal(service(cluster, id).updateStatus?.state, 'updating')
  cluster.advance(25_000)
  t.match(service(cluster, id).updateStatus, { state: 'completed', message: 'update completed' })
})

t.test('a broken image stops the update before any task that works is stopped', async (t) => {
  const cluster = new SmallCluster()
  const id = create(cluster, spec('web', 'good', 4))
  cluster.advance(10_000)
  update(cluster, id, spec('web', 'broken', 4, { update: { parallelism: 2 } }))
  cluster.advance(60_000)
  const running = lines(cluster, id).filter((line) => line.includes(' good running/running'))
  t.equal(running.length, 4)
  t.equal(cluster.worker('n1').startCount, 4)
  t.match(service(cluster, id).updateStatus, {
    state: 'paused',
    message: /^update paused due to failure or early termination of task \w{25}$/,
  })
  t.ok(lines(cluster, id).some((line) => line.endsWith('shutdown/rejected No such image: broken')))
})

t.test('a broken update rolls back by itself, to the last spec that was healthy', async (t) => {
  const cluster = new SmallCluster()
  const id = create(cluster, spec('web', 'good', 3))
  cluster.advance(10_000)
  update(cluster, id, spec('web', 'broken', 3))
  cluster.advance(10_000)
  const rollBack = { parallelism: 1, failureAction: 'rollback' } as const
  update(cluster, id, spec('web', 'crash:100', 3, { update: rollBack }))
  cluster.advance(60_000)
  t.equal(service(cluster, id).spec.task.container.image, 'good', 'not to the broken one before')
  t.match(service(cluster, id).updateStatus, { state: 'rollback_completed' })
  const running = lines(cluster, id).filter((line) => line.includes(' good running/running'))
  t.equal(running.length, 3)
})

t.test('start-first starts the new task before it stops the old one', async (t) => {
  const cluster = new SmallCluster()
  const id = create(cluster, spec('web', 'good', 1))
  cluster.advance(10_000)
  update(
    cluster,
    id,
    spec('web', 'slow:3000', 1, { update: { parallelism: 1, order: 'start-first' } }),
  )
  cluster.advance(2_500)
  t.same(lines(cluster, id), ['web.1 slow:3000 running/preparing', 'web.1 good running/running'])
  cluster.advance(1_500)
  t.same(lines(cluster, id), ['web.1 slow:3000 running/running', 'web.1 good shutdown/shutdown'])
})

t.test('a rollback by hand goes to the previous spec, and there is none before it', async (t) => {
  const cluster = new SmallCluster()
  const id = create(cluster, spec('web', 'good', 2))
  cluster.advance(10_000)
  update(cluster, id, spec('web', 'good:2', 2))
  cluster.advance(30_000)
  const roll = (): void => {
    const { version } = service(cluster, id)
    cluster.submit({
      type: 'service.update',
      id,
      version,
      spec: spec('web', 'good', 2),
      rollback: true,
    })
  }
  roll()
  t.match(service(cluster, id).updateStatus, {
    state: 'rollback_started',
    message: 'manually requested rollback',
  })
  cluster.advance(30_000)
  t.equal(service(cluster, id).updateStatus?.state, 'rollback_completed')
  t.ok(lines(cluster, id).some((line) => line === 'web.2 good running/running'))
  t.throws(roll, { message: /does not have a previous spec/ })
})

t.test('a task that no node can take says why and what would help', async (t) => {
  const cluster = new SmallCluster()
  const reservations = { memoryBytes: 900 * 2 ** 30 }
  const id = create(cluster, spec('big', 'good', 1, { task: { resources: { reservations } } }))
  t.same(lines(cluster, id), [
    'big.1 good running/pending no suitable node (insufficient resources on 1 node): 921600 MiB asked, n1 has 8192 MiB and 4 CPUs unreserved',
  ])
  const other = create(
    cluster,
    spec('east', 'good', 1, { task: { placement: { constraints: ['node.labels.zone==east'] } } }),
  )
  t.match(
    lines(cluster, other)[0],
    /no suitable node \(scheduling constraints not satisfied on 1 node\)/,
  )
})

t.test('a service that is removed leaves no task and no container', async (t) => {
  const cluster = new SmallCluster()
  const id = create(cluster, spec('web', 'good', 3))
  cluster.advance(2_000)
  cluster.submit({ type: 'service.remove', id })
  t.equal(cluster.view.get('service', id), undefined)
  const again = create(cluster, spec('web', 'good', 1))
  cluster.advance(2_000)
  t.same(lines(cluster, id), [])
  t.same(lines(cluster, again), ['web.1 good running/running'])
  t.equal(cluster.worker('n1').containers.size, 1)
})

t.test('a drained node loses its tasks and gets them back', async (t) => {
  const cluster = new SmallCluster()
  const id = create(cluster, spec('web', 'good', 2))
  cluster.advance(2_000)
  const set = (availability: 'active' | 'drain'): void => {
    const node = cluster.view.all('node')[0]
    if (node === undefined) throw new Error('no node')
    const { version } = node
    cluster.submit({
      type: 'node.update',
      id: node.id,
      version,
      spec: { ...node.spec, availability },
    })
    cluster.advance(3_000)
  }
  set('drain')
  t.ok(lines(cluster, id).every((line) => !line.includes('running/running')))
  t.ok(
    lines(cluster, id).some((line) =>
      line.includes('no suitable node (1 node not available for new tasks)'),
    ),
  )
  set('active')
  t.equal(lines(cluster, id).filter((line) => line.includes('running/running')).length, 2)
})

t.test(
  'published ports: conflicts are refused, open ones chosen, and they follow the tasks',
  async (t) => {
    const cluster = new SmallCluster()
    const port = { protocol: 'tcp', targetPort: 80, publishMode: 'ingress' } as const
    const first = create(
      cluster,
      spec('a', 'good', 2, { endpoint: { ports: [{ ...port, publishedPort: 8080 }] } }),
    )
    cluster.advance(2_000)
    t.match(cluster.worker('n1').rows, [{ port: 8080, backends: [{ port: 80 }, { port: 80 }] }])
    t.throws(
      () =>
        create(
          cluster,
          spec('b', 'good', 1, { endpoint: { ports: [{ ...port, publishedPort: 8080 }] } }),
        ),
      { message: `port '8080' is already in use by service 'a' (${first}) as an ingress port` },
    )
    const open = create(cluster, spec('c', 'good', 1, { endpoint: { ports: [port] } }))
    t.equal(service(cluster, open).endpoint.ports[0]?.publishedPort, 30_000)
    cluster.advance(2_000)
    update(
      cluster,
      first,
      spec('a', 'good', 2, { endpoint: { ports: [{ ...port, publishedPort: 8081 }] } }),
    )
    cluster.advance(100)
    t.same(
      cluster.worker('n1').rows.map((row) => row.port),
      [8081, 30_000],
    )
    t.equal(cluster.worker('n1').startCount, 3, 'no task was restarted for an ingress port')
  },
)

t.test('a worker that starts anew adopts its containers and starts none twice', async (t) => {
  const cluster = new SmallCluster()
  const id = create(cluster, spec('web', 'good', 3))
  cluster.advance(250)
  cluster.startWorker('n1')
  cluster.advance(3_000)
  t.equal(lines(cluster, id).filter((line) => line.includes('running/running')).length, 3)
  t.equal(cluster.worker('n1').startCount, 3)
})

t.test('a sick task is stopped and replaced', async (t) => {
  const cluster = new SmallCluster()
  const id = create(cluster, spec('web', 'sick', 1))
  cluster.advance(2_000)
  t.ok(lines(cluster, id).some((line) => line.includes('unhealthy container')))
})
