// The store against a simple model: a map of what is committed and a map of what is newest.

import fc from 'fast-check'
import t from 'tap'
import { asId, type NodeId, type ServiceId, type TaskId } from '../../../core/base/id.ts'
import type { ClusterObject } from '../../../core/object/object.ts'
import type { Service } from '../../../core/object/service.ts'
import type { Task } from '../../../core/object/task.ts'
import type { Change } from '../../../core/store/change.ts'
import { Store } from '../../../core/store/store.ts'

const meta = { version: 0, createdAtMs: 0, updatedAtMs: 0 }

function service(id: string, name: string): Service {
  return {
    ...meta,
    kind: 'service',
    id: asId<ServiceId>(id),
    spec: {
      name,
      labels: {},
      mode: { type: 'global' },
      task: { container: { image: 'i' }, networks: [], forceUpdate: 0 },
    },
    specVersion: 0,
    endpoint: { ports: [], virtualIps: [] },
  }
}

function task(id: string, serviceId: string, nodeId: string | undefined): Task {
  return {
    ...meta,
    kind: 'task',
    id: asId<TaskId>(id),
    serviceId: asId<ServiceId>(serviceId),
    serviceName: serviceId,
    serviceLabels: {},
    slot: 1,
    ...(nodeId === undefined ? {} : { nodeId: asId<NodeId>(nodeId) }),
    spec: { container: { image: 'i' }, networks: [], forceUpdate: 0 },
    specVersion: 0,
    ports: [],
    networks: [],
    status: { state: nodeId === undefined ? 'pending' : 'running', atMs: 0, message: '' },
    desiredState: 'running',
  }
}

const ids = ['a', 'b', 'c']
const changeOf = fc.oneof(
  fc
    .record({ id: fc.constantFrom(...ids), name: fc.constantFrom('x', 'y', 'z') })
    .map(({ id, name }): Change => ({ type: 'put', object: service(id, `${name}-${id}`) })),
  fc
    .record({
      id: fc.constantFrom('t1', 't2', 't3', 't4'),
      serviceId: fc.constantFrom(...ids),
      nodeId: fc.constantFrom('n1', 'n2', undefined),
    })
    .map(
      ({ id, serviceId, nodeId }): Change => ({ type: 'put', object: task(id, serviceId, nodeId) }),
    ),
  fc.constantFrom(...ids).map((id): Change => ({ type: 'remove', kind: 'service', id })),
  fc
    .constantFrom('t1', 't2', 't3', 't4')
    .map((id): Change => ({ type: 'remove', kind: 'task', id })),
)
const step = fc.oneof(
  fc
    .array(changeOf, { minLength: 1, maxLength: 4 })
    .map((changes) => ({ type: 'propose' as const, changes })),
  fc.constant({ type: 'commit' as const }),
  fc.constant({ type: 'drop' as const }),
)

type Model = Map<string, ClusterObject>

function lay(model: Model, changes: readonly Change[]): void {
  for (const change of changes) {
    if (change.type === 'put') model.set(`${change.object.kind}/${change.object.id}`, change.object)
    else model.delete(`${change.kind}/${change.id}`)
  }
}

/** One entry may put and remove the same id; a draft would not, so keep the last word of each. */
function lastWords(changes: readonly Change[]): readonly Change[] {
  const words = new Map<string, Change>()
  for (const change of changes) {
    const key =
      change.type === 'put'
        ? `${change.object.kind}/${change.object.id}`
        : `${change.kind}/${change.id}`
    words.set(key, change)
  }
  return [...words.values()]
}

function sameIds(objects: readonly { readonly id: string }[]): string[] {
  return objects.map((object) => object.id).sort()
}

t.test('committed and newest views are what was committed and what was proposed', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const store = new Store()
      let committed: Model = new Map()
      let flight: { index: number; changes: readonly Change[] }[] = []
      let index = 0
      for (const each of steps) {
        if (each.type === 'propose') {
          const changes = lastWords(each.changes)
          index++
          store.propose(index, changes)
          flight.push({ index, changes })
        } else if (each.type === 'commit') {
          const first = flight.shift()
          if (first === undefined) continue
          store.apply(first.index, first.changes)
          lay(committed, first.changes)
        } else {
          store.dropProposed()
          flight = []
        }
        const newest = new Map(committed)
        for (const entry of flight) lay(newest, entry.changes)
        for (const [view, model] of [
          [store.committed, committed],
          [store.newest, newest],
        ] as const) {
          const tasks = [...model.values()].filter((object) => object.kind === 'task')
          t.same(sameIds(view.all('task')), sameIds(tasks))
          for (const id of ids) {
            const wanted = tasks.filter((object) => object.serviceId === id)
            t.same(sameIds(view.tasksOfService(asId<ServiceId>(id))), sameIds(wanted))
            const there = model.get(`service/${id}`)
            t.equal(view.get('service', id), there)
            for (const name of ['x', 'y', 'z']) {
              const found = view.named('service', `${name}-${id}`)
              const isNamed = there?.kind === 'service' && there.spec.name === `${name}-${id}`
              t.equal(found, isNamed ? there : undefined)
            }
          }
          const pending = tasks.filter((object) => object.status.state === 'pending')
          t.same(sameIds(view.pendingTasks()), sameIds(pending))
          const onFirst = tasks.filter((object) => object.nodeId === 'n1')
          t.same(sameIds(view.tasksOfNode(asId<NodeId>('n1'))), sameIds(onFirst))
        }
      }
      committed = new Map()
    }),
    { numRuns: 60 },
  )
})

t.test('a dump restored is the same store, whatever the order of its making', async (t) => {
  const one = new Store()
  one.apply(1, [{ type: 'put', object: service('b', 'b') }])
  one.apply(2, [{ type: 'put', object: service('a', 'a') }])
  one.apply(3, [{ type: 'put', object: task('t', 'a', 'n1') }])
  const other = new Store()
  other.apply(1, [{ type: 'put', object: service('gone', 'gone') }])
  other.restore(3, one.dump())
  t.same(other.dump(), one.dump())
  t.equal(other.appliedIndex, 3)
  t.equal(other.committed.named('service', 'gone'), undefined)
  t.same(sameIds(other.committed.tasksOfNode(asId<NodeId>('n1'))), ['t'])
})

t.test('an entry that was applied is not applied again', async (t) => {
  const store = new Store()
  store.apply(5, [{ type: 'put', object: service('a', 'a') }])
  t.same(store.apply(5, [{ type: 'remove', kind: 'service', id: 'a' }]), [])
  t.ok(store.committed.get('service', 'a'))
})

t.test('a draft stamps versions and times, and shows what it has written', async (t) => {
  const store = new Store()
  const first = store.draft({ index: 7, nowMs: 1_000 })
  const made = first.put<Service>(service('a', 'a'))
  t.match(made, { version: 7, createdAtMs: 1_000, updatedAtMs: 1_000 })
  store.propose(7, first.changes())
  const second = store.draft({ index: 8, nowMs: 2_000 })
  t.match(second.put<Service>(made), { version: 8, createdAtMs: 1_000, updatedAtMs: 2_000 })
  second.remove('service', 'a')
  t.equal(second.get('service', 'a'), undefined)
  t.same(second.changes(), [{ type: 'remove', kind: 'service', id: 'a' }])
  t.ok(store.newest.get('service', 'a'), 'a draft that is not proposed changes nothing')
})
