// Healing: what dies comes back, what cannot come back says why, and an engine's own restart is
// survived.

import t from 'tap'
import { waitFor } from '../support/wait.ts'
import { openOneNode, shell, web1 } from './one-node.ts'

const node = await openOneNode(t)

t.test('a container that is killed is replaced', async (t) => {
  await node.create('five', '--replicas', '5', '--restart-delay', '100ms', web1)
  const before = await node.awaitRunning('five', { count: 5 })
  const [victim] = before
  // Pids are those of the host's own namespace, which the engine shares.
  const killed = await node.host.run(['kill', '-9', String(victim?.Status.ContainerStatus?.PID)])
  t.equal(killed.code, 0, killed.stderr)
  await waitFor({ what: 'end of its task', timeoutMs: 10_000 }, async () => {
    return (
      (await node.tasks('five')).find((task) => task.ID === victim?.ID)?.Status.State === 'failed'
    )
  })
  const after = await node.awaitRunning('five', { count: 5 })
  const kept = after.filter((task) => before.some((old) => old.ID === task.ID))
  t.equal(kept.length, 4, 'the others were not touched')
  await node.awaitPs(
    'five',
    new RegExp(`^${victim?.ID}.* Failed .*"task: non-zero exit \\(137\\)"`),
  )

  const gone = kept[0]
  await node.engineMust('rm', '-f', gone?.Status.ContainerStatus?.ContainerID ?? '')
  await waitFor({ what: 'replacement of a removed container', timeoutMs: 20_000 }, async () => {
    const running = await node.running('five')
    return running.length === 5 && running.every((task) => task.ID !== gone?.ID)
  })
  t.pass('a container that was removed is replaced too')
  await node.remove('five')
})

t.test('a task that keeps failing waits longer and longer, and says so', async (t) => {
  await node.create('crash', '--restart-delay', '200ms', shell, 'sh', '-c', 'exit 3')
  await node.awaitPs('crash', /Failed .*"task: non-zero exit \(3\)"/)
  const line = await node.awaitPs(
    'crash',
    /Ready .*"failed \d+ times in a row: restarts after \S+"/,
  )
  const said = /failed (\d+) times in a row: restarts after ([\d.]+)(ms|s)"/.exec(line)
  t.ok(Number(said?.[1]) >= 2, line.trim())
  const delayMs = Number(said?.[2]) * (said?.[3] === 's' ? 1_000 : 1)
  t.ok(delayMs >= 200, `${delayMs} ms, and 200 ms were asked for`)
  const next = new RegExp(`failed ${Number(said?.[1]) + 1} times in a row: restarts after`)
  const longer = await node.awaitPs('crash', next, 30_000)
  const [, value, unit] = /restarts after ([\d.]+)(ms|s)"/.exec(longer) ?? []
  t.ok(Number(value) * (unit === 's' ? 1_000 : 1) > delayMs, longer.trim())
  t.ok((await node.tasks('crash')).length <= 6, 'five old tasks are remembered, not more')
  await node.remove('crash')
})

t.test('--restart-condition and --restart-max-attempts are kept to', async (t) => {
  const once = ['--restart-condition', 'none']
  await node.create('none', ...once, shell, 'sh', '-c', 'exit 1')
  await node.create('ok', '--restart-condition', 'on-failure', shell, 'true')
  const twice = ['--restart-max-attempts', '2', '--restart-delay', '50ms']
  await node.create('twice', ...twice, shell, 'sh', '-c', 'exit 5')
  await node.awaitPs('none', /Shutdown +Failed .*"task: non-zero exit \(1\)"/)
  await node.awaitPs('ok', /Shutdown +Complete /)
  const ended = await waitFor({ what: 'three failed tasks', timeoutMs: 20_000 }, async () => {
    const tasks = await node.tasks('twice')
    const isOver = tasks.every((task) => task.Status.State === 'failed')
    return isOver && tasks.length === 3 ? tasks : undefined
  })
  t.equal(ended.length, 3, 'the first and two more')
  for (const name of ['none', 'ok']) t.equal((await node.tasks(name)).length, 1, name)
  await node.remove('none', 'ok', 'twice')
})

t.test('out of memory and a bad health check are told apart', async (t) => {
  const eat = 'x=a; while :; do x=$x$x; done'
  const limits = ['--limit-memory', '16m', '--restart-condition', 'none']
  await node.create('hungry', ...limits, shell, 'sh', '-c', eat)
  const health = ['--health-interval', '200ms', '--health-retries', '2', '--health-timeout', '5s']
  await node.create('sick', '--restart-condition', 'none', ...health, '--health-cmd', 'false', web1)
  await node.create('well', ...health, '--health-cmd', 'test -e /tmp/ok || touch /tmp/ok', web1)
  await node.awaitPs('hungry', /Failed .*"task: non-zero exit \(137\): out of memory/)
  await node.awaitPs(
    'sick',
    /Failed .*"task: non-zero exit \(\d+\): dockerexec: unhealthy container"/,
  )
  await node.awaitRunning('well', { count: 1 })
  t.match(await node.must('ps', '--format', '{{.Names}} {{.Status}}'), /well.* \(healthy\)/)
  await node.remove('hungry', 'sick', 'well')
})

t.test('what cannot start says what is wrong', async (t) => {
  const other = node.host.start('other', ['busybox', 'httpd', '-f', '-p', '8083', '-h', '/tmp'])
  await waitFor({ what: 'other program on 8083', timeoutMs: 10_000 }, async () => {
    return (await node.host.run(['curl', '--silent', 'http://127.0.0.1:8083/'])).code === 0
  })
  await node.create('noimage', 'does/not:exist')
  await node.create('taken', '-p', 'mode=host,published=8083,target=8080', web1)
  await node.create('nocommand', shell, '/no/such/command')
  await node.create('nofolder', '--mount', 'type=bind,source=/no/such,target=/x', shell)
  await node.awaitPs('noimage', /Rejected .*"No such image: does\/not:exist"/)
  await node.awaitPs(
    'taken',
    /Failed .*"starting container failed: .*0\.0\.0\.0:8083: bind: address already in use"/,
  )
  await node.awaitPs(
    'nocommand',
    /Failed .*"starting container failed: .*\/no\/such\/command.*no such file or directory/,
  )
  await node.awaitPs(
    'nofolder',
    /Rejected .*"invalid mount config for type "bind": bind source path does not exist: \/no\/such"/,
  )
  await other.stop()
  await node.awaitRunning('taken', { count: 1, timeoutMs: 60_000 })
  t.pass('a port that became free is taken')
  await node.remove('noimage', 'taken', 'nocommand', 'nofolder')
})

t.test('an engine that crashes finds its tasks running again', async (t) => {
  await node.create('steady', '--replicas', '3', '-p', '8080:8080', '--restart-delay', '1s', web1)
  await node.awaitRunning('steady', { count: 3 })
  const url = `http://${node.host.address}:8080/`
  await waitFor({ what: 'page', timeoutMs: 10_000 }, () => node.client.fetch(url))

  await node.engine.kill()
  await waitFor({ what: 'word of it in the log', timeoutMs: 20_000 }, () =>
    /WARN .*engine/.test(node.agent.log()),
  )
  t.match(await node.must('service', 'ls'), 'steady', 'the API answers without an engine')
  await node.engine.start()
  await node.awaitRunning('steady', { count: 3, timeoutMs: 60_000 })
  await waitFor({ what: 'three containers, no more', timeoutMs: 30_000 }, async () => {
    const text = await node.engineMust('ps', '--format', '{{.Names}}')
    return text.split('\n').length === 3
  })
  await waitFor({ what: 'page', timeoutMs: 20_000 }, () => node.client.fetch(url))
  await node.must('service', 'scale', '--detach', 'steady=4')
  await node.awaitRunning('steady', { count: 4 })
  t.pass('and new tasks start')
})

t.test('an orderly restart of the engine ends its containers, and they are replaced', async (t) => {
  const before = (await node.running('steady')).map((task) => task.ID)
  await node.engine.stop()
  await node.engine.start()
  const after = await node.awaitRunning('steady', { count: 4, timeoutMs: 60_000 })
  await waitFor({ what: 'four containers, no more', timeoutMs: 30_000 }, async () => {
    const text = await node.engineMust('ps', '--format', '{{.Names}}')
    return text.split('\n').length === 4
  })
  t.equal(new Set([...before, ...after.map((task) => task.ID)]).size, 8, 'all of them are new')
  const url = `http://${node.host.address}:8080/`
  t.match(await waitFor({ what: 'page', timeoutMs: 20_000 }, () => node.client.fetch(url)), '1.0')
  await node.remove('steady')
})
