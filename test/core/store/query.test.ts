// Query: filters in both forms, and what a reference stands for.

import t from 'tap'
import { asId, type NodeId, type ServiceId, type TaskId } from '../../../core/base/id.ts'
import type { ClusterObject } from '../../../core/object/object.ts'
import type { Service } from '../../../core/object/service.ts'
import type { Task } from '../../../core/object/task.ts'
import {
  countTasks,
  findService,
  findTask,
  matchesLabels,
  parseFilters,
  servicesOf,
  tasksOf,
} from '../../../core/store/query.ts'
import { Store } from '../../../core/store/store.ts'
import type { View } from '../../../core/store/view.ts'

const times = { version: 1, createdAtMs: 0, updatedAtMs: 0 }

function service(id: string, name: string, more: Partial<Service> = {}): Service {
  return {
    kind: 'service',
    id: asId<ServiceId>(id),
    ...times,
    spec: {
      name,
      labels: { tier: name },
      task: { container: { image: 'web:1.0' }, networks: [], forceUpdate: 0 },
      mode: { type: 'replicated', replicas: 2 },
    },
    specVersion: 1,
    endpoint: { ports: [], virtualIps: [] },
    ...more,
  }
}

function task(id: string, of: Service, more: Partial<Task> = {}): Task {
  return {
    kind: 'task',
    id: asId<TaskId>(id),
    ...times,
    serviceId: of.id,
    serviceName: of.spec.name,
    serviceLabels: of.spec.labels,
    slot: 1,
    nodeId: asId<NodeId>('n1'),
    spec: of.spec.task,
    specVersion: of.specVersion,
    ports: [],
    networks: [],
    status: { state: 'running', atMs: 0, message: 'started' },
    desiredState: 'running',
    ...more,
  }
}

function viewOf(...objects: readonly ClusterObject[]): View {
  const store = new Store()
  store.apply(
    1,
    objects.map((object) => ({ type: 'put', object })),
  )
  return store.committed
}

t.test('filters are read in both forms', async (t) => {
  const rows = [
    { given: '{"name":["a","b"]}', want: { name: ['a', 'b'] } },
    { given: '{"name":{"a":true,"b":true}}', want: { name: ['a', 'b'] } },
    { given: '{}', want: {} },
    { given: '', want: {} },
    { given: 'null', want: {} },
  ]
  for (const { given, want } of rows) {
    const parsed = [...parseFilters(given)].map(([name, values]) => [name, [...values]])
    t.same(Object.fromEntries(parsed), want, given)
  }
  for (const given of ['{', '[]', '7', '{"a":"b"}', '{"a":[1]}', '{"a":{"b":1}}']) {
    t.throws(() => parseFilters(given), { code: 'bad-request', message: 'invalid filter' }, given)
  }
})

t.test('labels must all be there, with their values where one is asked', async (t) => {
  const labels = { zone: 'a', disk: 'ssd' }
  const rows = [
    { asked: ['zone'], want: true },
    { asked: ['zone=a', 'disk=ssd'], want: true },
    { asked: ['zone=a', 'disk=hdd'], want: false },
    { asked: ['gpu'], want: false },
    { asked: ['toString'], want: false },
  ]
  for (const { asked, want } of rows) {
    const filters = parseFilters(JSON.stringify({ label: asked }))
    t.equal(matchesLabels(filters, 'label', labels), want, asked.join())
  }
})

t.test('a reference is an id, else a name, else the start of one id only', async (t) => {
  const view = viewOf(service('aa1', 'web'), service('aa2', 'api'), service('b', 'aa1x'))
  t.equal(findService(view, 'aa1').spec.name, 'web')
  t.equal(findService(view, 'api').id, 'aa2')
  t.equal(findService(view, 'aa1x').id, 'b', 'a whole name goes before the start of an id')
  t.throws(() => findService(view, 'aa'), {
    code: 'bad-request',
    message: 'service aa is ambiguous (2 matches found)',
  })
  t.throws(() => findService(view, 'ap'), { code: 'not-found', message: 'service ap not found' })
})

t.test('a task is found by the name of its container', async (t) => {
  const web = service('s1', 'web')
  const view = viewOf(web, task('t1', web))
  t.equal(findTask(view, 'web.1.t1').id, 't1')
})

t.test('lists are filtered, and in the order of ids', async (t) => {
  const [web, api] = [service('s2', 'web'), service('s1', 'api')]
  const view = viewOf(web, api, task('t2', web), task('t1', web, { desiredState: 'shutdown' }))
  const ids = (filters: object) =>
    servicesOf(view, parseFilters(JSON.stringify(filters))).map(({ id }) => id)
  t.same(ids({}), ['s1', 's2'])
  t.same(ids({ name: ['w'], label: ['tier=web'] }), ['s2'])
  t.same(ids({ id: ['s1', 's2'], mode: ['global'] }), [])
  t.throws(() => ids({ node: ['x'] }), { message: "invalid filter 'node'" })

  const tasks = (filters: object) =>
    tasksOf(view, parseFilters(JSON.stringify(filters)), ({ id }) => id === 't1').map(
      ({ id }) => id,
    )
  t.same(tasks({ service: ['web'] }), ['t1', 't2'])
  t.same(tasks({ 'desired-state': ['RUNNING'] }), ['t2'])
  t.same(tasks({ '_up-to-date': ['true'] }), ['t1'])
  t.throws(() => tasks({ 'desired-state': ['asleep'] }), {
    message: "Invalid desired-state filter: 'asleep'",
  })
})

t.test('tasks are counted as REPLICAS shows them', async (t) => {
  const replicated = service('s1', 'web')
  const global = service('s2', 'all', {
    spec: { ...replicated.spec, name: 'all', mode: { type: 'global' } },
  })
  const job = service('s3', 'job', {
    spec: {
      ...replicated.spec,
      name: 'job',
      mode: { type: 'replicated-job', maxConcurrent: 2, totalCompletions: 5 },
    },
    job: { iteration: 7 },
  })
  const ended = { state: 'complete', atMs: 0, message: '' } as const
  const view = viewOf(
    replicated,
    global,
    job,
    task('t1', replicated),
    task('t2', replicated, { status: { state: 'failed', atMs: 0, message: '' } }),
    task('t3', global),
    task('t4', global, { desiredState: 'shutdown', status: ended }),
    task('t5', job, { jobIteration: 6, status: ended }),
    task('t6', job, { jobIteration: 7, status: ended }),
    task('t7', job, { jobIteration: 7 }),
  )
  t.same(countTasks(view, replicated), { running: 1, desired: 2, completed: 0 })
  t.same(countTasks(view, global), { running: 1, desired: 1, completed: 0 })
  t.same(countTasks(view, job), { running: 1, desired: 2, completed: 1 })
})
