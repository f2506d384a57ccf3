// Updates: new tasks take the place of old ones while requests go on, and none is lost; what fails
// stops, goes on, or goes back, as was asked.

import t, { type Test } from 'tap'
import { waitFor } from '../support/wait.ts'
import { imageOf, openOneNode, shell, web1, web2 } from './one-node.ts'
import { startTraffic, type Traffic } from './traffic.ts'

const node = await openOneNode(t)
const url = `http://${node.host.address}:8080/`
const quick = ['--update-monitor', '500ms', '--rollback-monitor', '500ms']

/** Runs the change while two clients ask 120 times a second each; nothing may be lost. */
async function underTraffic(t: Test, change: () => Promise<unknown>): Promise<readonly Traffic[]> {
  const kinds = ['fresh', 'kept'] as const
  const start = (kind: 'fresh' | 'kept'): ReturnType<typeof startTraffic> =>
    startTraffic(node.client, { url, ratePerSecond: 120, kind })
  const clients = await Promise.all(kinds.map(start))
  await change()
  const seen = await Promise.all(clients.map((client) => client.stop()))
  for (const [index, traffic] of seen.entries()) {
    const { sent, seconds, lost, answered } = traffic
    t.same(lost, [], `no request over ${kinds[index]} connections is lost`)
    t.equal(answered, sent)
    t.comment(`${sent} requests in ${seconds} s`)
  }
  return seen
}

async function awaitUpdate(name: string, state: string, timeoutMs = 60_000): Promise<string> {
  return waitFor(
    { what: `${state} of ${name}`, timeoutMs, describe: () => node.explain(name) },
    async () => {
      const { UpdateStatus: status } = await node.service(name)
      return status?.State === state ? status.Message : undefined
    },
  )
}

t.test('an update under requests loses none', async (t) => {
  await node.create('web', '--replicas', '4', '-p', '8080:8080', ...quick, web1)
  await node.awaitRunning('web', { count: 4 })

  for (const { order, image, version } of [
    { order: 'stop-first', image: web2, version: '2.0' },
    { order: 'start-first', image: web1, version: '1.0' },
  ]) {
    await t.test(`with ${order}`, async (t) => {
      const seen = await underTraffic(t, async () => {
        const flags = ['--update-order', order, '--update-parallelism', '2', '--detach']
        await node.must('service', 'update', '--image', image, ...flags, 'web')
        t.equal(await awaitUpdate('web', 'completed'), 'update completed')
        await node.awaitRunning('web', { count: 4, image })
      })
      for (const traffic of seen) t.ok((traffic.versions[version] ?? 0) > 0, `${version} was seen`)
    })
  }

  await t.test('of nothing but --force', async (t) => {
    const before = (await node.running('web')).map((task) => task.ID)
    await underTraffic(t, async () => {
      await node.must('service', 'update', '--force', '--detach', 'web')
      await waitFor({ what: 'four new tasks', timeoutMs: 60_000 }, async () => {
        const now = await node.running('web')
        return now.length === 4 && now.every((task) => !before.includes(task.ID))
      })
    })
  })

  await t.test('nor does scaling from 10 to 3', async (t) => {
    await node.must('service', 'scale', '--detach', 'web=10')
    await node.awaitRunning('web', { count: 10 })
    await underTraffic(t, async () => {
      await node.must('service', 'scale', '--detach', 'web=3')
      await node.awaitRunning('web', { count: 3 })
      await waitFor({ what: 'end of seven containers', timeoutMs: 60_000 }, async () => {
        const text = await node.engineMust('ps', '--format', '{{.Names}}')
        return text.split('\n').length === 3
      })
    })
  })
  await node.remove('web')
})

t.test('--update-delay keeps the steps apart', async (t) => {
  await node.create('slow', '--replicas', '3', ...quick, shell)
  await node.awaitRunning('slow', { count: 3 })
  const flags = ['--update-delay', '2s', '--env-add', 'A=b', '--detach']
  await node.must('service', 'update', ...flags, 'slow')
  await awaitUpdate('slow', 'completed')
  const starts = (await node.running('slow'))
    .map((task) => Date.parse(task.Status.Timestamp))
    .sort((a, b) => a - b)
  const gaps = starts.slice(1).map((at, index) => at - (starts[index] ?? 0))
  t.equal(gaps.length, 2)
  for (const gap of gaps) {
    t.ok(gap >= 2_000, `${gap} ms lie between two steps`)
  }
  await node.remove('slow')
})

t.test('a broken image stops no task that runs', async (t) => {
  await node.create('b', '--replicas', '3', ...quick, web1)
  const before = (await node.awaitRunning('b', { count: 3 })).map((task) => task.ID)
  const still = async (): Promise<readonly string[]> => {
    const running = await node.running('b')
    return running.filter((task) => imageOf(task) === web1).map((task) => task.ID)
  }
  const broken = ['--image', 'does/not:exist', '--detach']

  await t.test('pause: the update says which task failed, and waits', async (t) => {
    await node.must('service', 'update', ...broken, 'b')
    const message = await awaitUpdate('b', 'paused')
    const id = /^update paused due to failure or early termination of task (\w{25})$/.exec(message)
    t.not(id, null, message)
    const failed = (await node.tasks('b')).find((task) => task.ID === id?.[1])
    t.match(failed?.Status, { State: 'rejected', Err: 'No such image: does/not:exist' })
    t.same(await still(), before)
    await node.awaitPs('b', /Rejected .*"No such image: does\/not:exist"/)
  })

  await t.test('rollback: the former spec comes back by itself', async (t) => {
    await node.must('service', 'update', '--image', web1, '--detach', 'b')
    t.equal((await node.service('b')).UpdateStatus, undefined, 'nothing is to be done')
    t.same(await still(), before)
    const flags = ['--update-failure-action', 'rollback', ...broken]
    await node.must('service', 'update', ...flags, 'b')
    t.equal(await awaitUpdate('b', 'rollback_completed'), 'rollback completed')
    t.same(await still(), before)
    await node.awaitRunning('b', { count: 3, image: web1 })
    t.match(await node.must('service', 'inspect', '--pretty', 'b'), `Image:\t\t${web1}`)
  })

  await t.test('continue: it goes on to the end', async (t) => {
    const flags = ['--update-failure-action', 'continue', ...broken]
    await node.must('service', 'update', ...flags, 'b')
    await waitFor(
      { what: 'attempt in each slot', timeoutMs: 60_000, describe: () => node.explain('b') },
      async () => {
        const failed = (await node.tasks('b')).filter((task) => task.Status.State === 'rejected')
        const isOfThis = failed.filter((task) => imageOf(task) === 'does/not:exist')
        return new Set(isOfThis.map((task) => task.Slot)).size === 3
      },
    )
    t.notMatch((await node.service('b')).UpdateStatus, { State: 'paused' })
    t.same(await still(), before)
  })
  await node.remove('b')
})

t.test('a task that ends right after its start fails the update', async (t) => {
  await node.create('c', '--replicas', '2', '--update-monitor', '3s', shell)
  const before = (await node.awaitRunning('c', { count: 2 })).map((task) => task.ID)
  await node.must('service', 'update', '--detach', '--args', "sh -c 'exit 7'", 'c')
  t.match(await awaitUpdate('c', 'paused'), /^update paused due to failure or early termination/)
  await node.awaitPs('c', /Failed .*"task: non-zero exit \(7\)"/)
  const kept = (await node.running('c')).filter((task) => before.includes(task.ID))
  t.equal(kept.length, 1, 'the other task was not touched')

  await node.must('service', 'update', '--rollback', '--detach', 'c')
  t.equal(await awaitUpdate('c', 'rollback_completed'), 'rollback completed')
  await node.awaitRunning('c', { count: 2, image: shell })
  await node.remove('c')
})
