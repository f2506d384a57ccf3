// Choosing a backend: least connections, ties by rotation, those that failed last.

import t from 'tap'
import { asId, type TaskId } from '../../../core/base/id.ts'
import {
  type Backend,
  type BackendAddress,
  BackendPool,
  type Flow,
  noteFailure,
  noteSuccess,
} from '../../../net/balance/backend.ts'

const none: ReadonlySet<Backend> = new Set()
const flow: Flow = {
  activeAtMs: () => 0,
  isAwaited: () => false,
  end: () => undefined,
  destroy: () => undefined,
}

function address(name: string): BackendAddress {
  return { taskId: asId<TaskId>(name), address: '10.0.0.1', port: 80 }
}

function poolOf(...names: string[]): BackendPool {
  const pool = new BackendPool()
  pool.set(names.map(address))
  return pool
}

function pick(pool: BackendPool, nowMs = 0, tried = none): string | undefined {
  return pool.pick(nowMs, tried)?.taskId
}

t.test('equals take turns', async (t) => {
  const pool = poolOf('a', 'b', 'c')
  t.strictSame(
    [1, 2, 3, 4].map(() => pick(pool)),
    ['a', 'b', 'c', 'a'],
  )
})

t.test('the one with the fewest connections is chosen', async (t) => {
  const pool = poolOf('a', 'b')
  const [a, b] = pool.all()
  a?.flows.add({ ...flow })
  a?.flows.add({ ...flow })
  b?.flows.add({ ...flow })
  t.strictSame([pick(pool), pick(pool)], ['b', 'b'])
})

t.test('a connection that is being made counts as one', async (t) => {
  const pool = poolOf('a', 'b')
  for (const backend of pool.all()) backend.connecting = backend.taskId === 'a' ? 1 : 0
  t.strictSame([pick(pool), pick(pool)], ['b', 'b'])
})

t.test(
  'one that failed is left aside for a second, then longer, then is back at once',
  async (t) => {
    const pool = poolOf('a', 'b')
    const a = pool.all().find((backend) => backend.taskId === 'a') as Backend
    noteFailure(a, 0)
    t.strictSame([pick(pool, 999), pick(pool, 999)], ['b', 'b'])
    t.strictSame([pick(pool, 1_000), pick(pool, 1_000)].sort(), ['a', 'b'])
    noteFailure(a, 1_000)
    t.strictSame([pick(pool, 2_999), pick(pool, 2_999)], ['b', 'b'])
    noteSuccess(a)
    t.strictSame([pick(pool, 2_999), pick(pool, 2_999)].sort(), ['a', 'b'])
  },
)

t.test('if all failed, one of them is tried all the same', async (t) => {
  const pool = poolOf('a')
  for (const backend of pool.all()) noteFailure(backend, 0)
  t.equal(pick(pool, 1), 'a')
})

t.test('one that was tried is not picked again', async (t) => {
  const pool = poolOf('a', 'b')
  t.equal(pick(pool, 0, new Set(pool.all())), undefined)
})

t.test('one that left the table stays known as long as it is in use', async (t) => {
  const pool = poolOf('a', 'b')
  const a = pool.all().find((backend) => backend.taskId === 'a') as Backend
  const open = { ...flow }
  a.flows.add(open)
  pool.set([address('b')])
  t.strictSame([pick(pool), pick(pool)], ['b', 'b'])
  t.equal(pool.all().length, 2)
  a.flows.delete(open)
  pool.sweep()
  t.equal(pool.all().length, 1)
})
