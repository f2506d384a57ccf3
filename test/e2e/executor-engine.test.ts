// The Docker executor when its engine goes away and comes back.

import t, { type Test } from 'tap'
import { systemClock } from '../../agent/base/clock.ts'
import { createDockerExecutor } from '../../agent/executor/docker-executor.ts'
import type { Executor, ExecutorEvent } from '../../agent/executor/executor.ts'
import type { Task } from '../../core/object/task.ts'
import { makeTask, testNode } from '../agent/executor/task.ts'
import { type Engine, startEngine } from '../support/engine.ts'
import { importImage, shellImage } from '../support/images.ts'
import { type Host, openLab } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'

t.setTimeout(150_000)

interface Setup {
  readonly host: Host
  readonly engine: Engine
  readonly executor: Executor
  readonly events: readonly ExecutorEvent[]
}

function soon(): AbortSignal {
  return AbortSignal.timeout(60_000)
}

async function setUp(t: Test, flags: readonly string[]): Promise<Setup> {
  const lab = await openLab({ hosts: 1 })
  t.teardown(() => lab.close())
  const host = lab.host(0)
  const engine = await startEngine(host, { flags })
  await importImage(engine, shellImage())
  const executor = createDockerExecutor({
    socket: engine.url,
    nodeId: testNode,
    log: () => undefined,
    clock: systemClock,
  })
  const events: ExecutorEvent[] = []
  const controller = new AbortController()
  const read = async (): Promise<void> => {
    for await (const event of executor.watch(controller.signal)) events.push(event)
  }
  read().catch((error) => t.fail(String(error)))
  t.teardown(async () => {
    controller.abort()
    await executor.close()
  })
  return { host, engine, executor, events }
}

async function run(executor: Executor): Promise<{ readonly task: Task; readonly pid: number }> {
  const args = ['sh', '-c', "trap 'exit 7' TERM; sleep 1000 & wait"]
  const task = makeTask({ image: 'skep/shell:1', args })
  await executor.prepare(task, soon())
  const { container } = await executor.start(task, soon())
  return { task, pid: container.pid }
}

async function seen(events: readonly ExecutorEvent[], ...types: readonly string[]): Promise<void> {
  const list = (): string => events.map((event) => event.type).join(' ')
  await waitFor({ what: types.join(' '), timeoutMs: 30_000, describe: list }, () =>
    list().startsWith(types.join(' ')),
  )
}

t.test('with live-restore containers outlive a crash of the engine', async (t) => {
  const { host, engine, executor, events } = await setUp(t, ['--live-restore'])
  const [kept, lost] = [await run(executor), await run(executor)]
  let isEnded = false
  const keptEnd = executor.wait(kept.task.id, soon()).finally(() => {
    isEnded = true
  })
  const lostEnd = executor.wait(lost.task.id, soon())
  const options = { stdout: true, stderr: true, follow: true }
  const following = executor.logs(kept.task.id, options, soon())[Symbol.asyncIterator]().next()
  following.catch(() => undefined)

  await engine.kill()
  await seen(events, 'connected', 'lost')
  t.match(events[1], { reason: new RegExp(`${engine.socket}|ended|closed|reset`) })
  await t.rejects(executor.list(soon()), { code: 'unavailable', message: /does not answer/ })
  await t.rejects(following, { code: 'unavailable' }, 'who follows the logs is told')
  await host.run(['kill', '-9', String(lost.pid)])

  await engine.start()
  await seen(events, 'connected', 'lost', 'connected')
  t.match(await lostEnd, { isOomKilled: false }, 'an exit that nobody saw is found')
  t.notOk(isEnded, 'the other is still waited for')
  const states = (await executor.list(soon())).map(({ taskId, state }) => ({ taskId, state }))
  t.equal(states.find((one) => one.taskId === kept.task.id)?.state, 'running')
  t.equal(states.find((one) => one.taskId === lost.task.id)?.state, 'ended')
  t.match(await executor.start(kept.task, soon()), { container: { pid: kept.pid } })

  await host.run(['kill', '-9', String(kept.pid)])
  t.match(await keptEnd, { exitCode: 137 })
})

t.test('without it they end with the engine, and the executor learns of it', async (t) => {
  const { engine, executor, events } = await setUp(t, [])
  const { task } = await run(executor)
  const ended = executor.wait(task.id, soon())
  await engine.kill()
  await seen(events, 'connected', 'lost')
  await engine.start()
  await seen(events, 'connected', 'lost', 'connected')
  t.match(await ended, { exitCode: 7 })
  t.match(await executor.list(soon()), [{ taskId: task.id, state: 'ended' }])
  await executor.remove(task.id, soon())
  t.strictSame(await executor.list(soon()), [])
})

t.test('an engine that is stopped in good order ends its containers', async (t) => {
  const { engine, executor, events } = await setUp(t, [])
  const { task } = await run(executor)
  const ended = executor.wait(task.id, soon())
  await engine.stop()
  t.match(await ended, { exitCode: 7 })
  await waitFor({ what: 'loss', timeoutMs: 30_000 }, () => events.at(-1)?.type === 'lost')
  await engine.start()
  await waitFor({ what: 'return', timeoutMs: 30_000 }, () => events.at(-1)?.type === 'connected')
  t.match(await executor.list(soon()), [{ taskId: task.id, state: 'ended' }])
})

t.test('an executor may be there before its engine', async (t) => {
  const lab = await openLab({ hosts: 1 })
  t.teardown(() => lab.close())
  const host = lab.host(0)
  const socket = `${host.folder}/docker.sock`
  const options = { socket, nodeId: testNode, log: () => undefined, clock: systemClock }
  const executor = createDockerExecutor(options)
  t.teardown(() => executor.close())
  const watching = executor.watch(soon())[Symbol.asyncIterator]()
  t.match(await watching.next(), { value: { type: 'lost', reason: /ENOENT.*start Docker/ } })
  await t.rejects(executor.describe(soon()), { code: 'unavailable' })
  await startEngine(host)
  t.match(await watching.next(), { value: { type: 'connected' } })
  t.match(await executor.describe(soon()), { hostname: 'n1' })
})
