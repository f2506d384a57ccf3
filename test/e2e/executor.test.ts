// The Docker executor on a real engine: a task's life, what goes wrong in it, logs, pulls.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../agent/base/clock.ts'
import { createDockerExecutor } from '../../agent/executor/docker-executor.ts'
import type {
  Executor,
  ExecutorEvent,
  LogEntry,
  LogOptions,
} from '../../agent/executor/executor.ts'
import { asId, type NodeId } from '../../core/base/id.ts'
import { nsPerSecond } from '../../core/base/time.ts'
import { type Task, taskName } from '../../core/object/task.ts'
import { makeTask, testNode } from '../agent/executor/task.ts'
import { mustDocker } from '../support/docker-cli.ts'
import { startEngine } from '../support/engine.ts'
import { importImage, shellImage, webImage } from '../support/images.ts'
import { openLab } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'

const shell = 'skep/shell:1'
const web = 'nigelpoulton/ddd-web:1.0'
/** bcrypt of "honey". */
const honey = '$2y$05$abcdefghijklmnopqrstuua72UqXIK32CtpAE.WxMIzK71a407mZm'

t.setTimeout(150_000)

const lab = await openLab({ hosts: 1 })
t.teardown(() => lab.close())
const host = lab.host(0)
const engine = await startEngine(host)
await importImage(engine, webImage('1.0'))
await importImage(engine, shellImage())
const cli = { host: engine.url }

function open(t: Test, nodeId: NodeId = testNode): Executor {
  const log = (): void => undefined
  const executor = createDockerExecutor({ socket: engine.url, nodeId, log, clock: systemClock })
  t.teardown(() => executor.close())
  return executor
}

function soon(seconds = 30): AbortSignal {
  return AbortSignal.timeout(seconds * 1000)
}

/** A shell script as a task. */
function script(text: string, given: Parameters<typeof makeTask>[1] = {}): Task {
  return makeTask({ image: shell, args: ['sh', '-c', text] }, given)
}

async function run(t: Test, executor: Executor, task: Task): ReturnType<Executor['start']> {
  t.teardown(() => executor.remove(task.id, soon()))
  await executor.prepare(task, soon())
  return await executor.start(task, soon())
}

/** Collects what `watch` tells, until the test ends. */
function watch(t: Test, executor: Executor): ExecutorEvent[] {
  const events: ExecutorEvent[] = []
  const controller = new AbortController()
  t.teardown(() => controller.abort())
  const read = async (): Promise<void> => {
    for await (const event of executor.watch(controller.signal)) events.push(event)
  }
  read().catch((error) => t.fail(String(error)))
  return events
}

async function logsOf(
  executor: Executor,
  task: Task,
  options: Partial<LogOptions> = {},
): Promise<readonly LogEntry[]> {
  const entries: LogEntry[] = []
  const all = { stdout: true, stderr: true, follow: false, ...options }
  for await (const entry of executor.logs(task.id, all, soon())) entries.push(entry)
  return entries
}

function textOf(entry: LogEntry): string {
  return new TextDecoder().decode(entry.data)
}

t.test('the node describes itself', async (t) => {
  const description = await open(t).describe(soon())
  t.match(description, {
    hostname: 'n1',
    platform: { architecture: 'x86_64', os: 'linux' },
    engine: { version: /^\d+\.\d+/ },
  })
  t.ok(description.resources.nanoCpus >= 1e9)
  t.ok(description.resources.memoryBytes > 1e8)
  const types = [...new Set(description.engine.plugins.map((plugin) => plugin.type))]
  t.strictSame(types, ['Log', 'Network', 'Volume'])
})

t.test('a task from its making to its removal', async (t) => {
  const executor = open(t)
  const events = watch(t, executor)
  const port = {
    protocol: 'tcp',
    targetPort: 8080,
    publishedPort: 9500,
    publishMode: 'host',
  } as const
  const task = makeTask({ image: web, env: ['A=b'] }, { ports: [port] })
  const { containerId } = await executor.prepare(task, soon())
  t.strictSame(await executor.prepare(task, soon()), { containerId }, 'twice is once')
  t.match(await executor.list(soon()), [{ taskId: task.id, containerId, state: 'created' }])

  const started = await executor.start(task, soon())
  t.match(started, {
    container: { id: containerId, exitCode: 0 },
    ports: [port],
    addresses: [/^172\./],
    hasHealthCheck: false,
  })
  t.equal(started.ports.length, 1, 'IPv4 and IPv6 are one')
  t.strictSame(await executor.start(task, soon()), started, 'twice is once')
  const page = await waitFor({ what: 'page', timeoutMs: 10_000 }, () =>
    host.fetch('http://127.0.0.1:9500/'),
  )
  t.match(page, 'ddd-web version 1.0')
  t.match(await executor.list(soon()), [{ state: 'running', health: 'none', started }])

  const name = taskName(task)
  const labels = await mustDocker(cli, 'inspect', '--format', '{{json .Config.Labels}}', name)
  t.match(JSON.parse(labels), {
    'com.docker.swarm.node.id': testNode,
    'com.docker.swarm.service.id': task.serviceId,
    'com.docker.swarm.service.name': 'web',
    'com.docker.swarm.task': '',
    'com.docker.swarm.task.id': task.id,
    'com.docker.swarm.task.name': name,
  })

  const ended = executor.wait(task.id, soon())
  await executor.stop(task, 10 * nsPerSecond, soon())
  t.strictSame(await ended, { exitCode: 0, isOomKilled: false })
  await executor.stop(task, 10 * nsPerSecond, soon())
  t.match(await executor.list(soon()), [{ state: 'ended', exit: { exitCode: 0 } }])
  await executor.remove(task.id, soon())
  await executor.remove(task.id, soon())
  await executor.stop(task, nsPerSecond, soon())
  t.strictSame(await executor.list(soon()), [])
  await t.rejects(executor.wait(task.id, soon()), { code: 'not-found' })
  await waitFor({ what: 'exit event', timeoutMs: 30_000 }, () => events.length >= 2)
  t.strictSame(events, [
    { type: 'connected' },
    { type: 'exited', taskId: task.id, exit: { exitCode: 0, isOomKilled: false } },
  ])
})

t.test('a task without an image is rejected in the words of Swarm', async (t) => {
  const executor = open(t)
  const task = makeTask({ image: 'does/not:exist' })
  await t.rejects(executor.prepare(task, soon()), {
    code: 'not-found',
    message: 'No such image: does/not:exist',
  })
  t.strictSame(await executor.list(soon()), [])
})

t.test('what the engine refuses leaves no container', async (t) => {
  const executor = open(t)
  const mounts = [{ type: 'bind', source: '/not/there', target: '/x' }] as const
  await t.rejects(executor.prepare(makeTask({ image: shell, mounts }), soon()), {
    code: 'invalid-argument',
    message: /bind source path does not exist: \/not\/there/,
  })
  const health = { test: ['CMD', 'true'], startIntervalNs: nsPerSecond }
  await t.rejects(executor.prepare(makeTask({ image: shell, health }), soon()), {
    code: 'not-supported',
  })
  t.strictSame(await executor.list(soon()), [])
})

t.test('a command that is not there fails to start, and says so', async (t) => {
  const executor = open(t)
  const task = makeTask({ image: shell, command: ['/no/such/program'] })
  await t.rejects(run(t, executor, task), {
    code: 'engine',
    message: /^starting container failed: .*\/no\/such\/program: no such file or directory/,
  })
})

t.test('a host port that is taken fails to start', async (t) => {
  const executor = open(t)
  const ports = [
    { protocol: 'tcp', targetPort: 8080, publishedPort: 9501, publishMode: 'host' },
  ] as const
  await run(t, executor, makeTask({ image: web }, { ports }))
  await t.rejects(run(t, executor, makeTask({ image: web }, { ports })), {
    code: 'engine',
    message: /^starting container failed: .*port is already allocated/,
  })
})

t.test('exit codes', async (t) => {
  const executor = open(t)
  for (const exitCode of [0, 1, 42, 255]) {
    const task = script(`exit ${exitCode}`)
    await run(t, executor, task)
    t.strictSame(await executor.wait(task.id, soon()), { exitCode, isOomKilled: false })
  }
})

t.test('a task that has ended is not started again', async (t) => {
  const executor = open(t)
  const task = script('echo once; exit 3')
  await run(t, executor, task)
  await executor.wait(task.id, soon())
  await executor.prepare(task, soon())
  t.match(await executor.start(task, soon()), { container: { pid: 0, exitCode: 3 } })
  t.strictSame((await logsOf(executor, task)).map(textOf), ['once\n'])
})

t.test('a task that eats more than its memory is named as killed for it', async (t) => {
  const executor = open(t)
  const events = watch(t, executor)
  const limits = { memoryBytes: 20 * 1024 * 1024 }
  const task = makeTask(
    { image: shell, args: ['tail', '/dev/zero'] },
    { with: { resources: { limits } } },
  )
  await run(t, executor, task)
  const exit = { exitCode: 137, isOomKilled: true }
  t.strictSame(await executor.wait(task.id, soon()), exit)
  await waitFor({ what: 'exit event', timeoutMs: 30_000 }, () => events.length >= 2)
  t.strictSame(events.slice(1), [{ type: 'exited', taskId: task.id, exit }])
})

t.test('what the spec says holds inside the container', async (t) => {
  const executor = open(t)
  const look = [
    'echo "$0 $1 | $A | $(pwd) | $(id -u):$(id -g) $(id -G) | $(hostname)"',
    'grep -c "10.9.9.9" /etc/hosts; grep nameserver /etc/resolv.conf',
    'touch /x 2>&1; touch /fast/x && df -k /fast | tail -n 1',
    'cat /proc/sys/net/core/somaxconn; ulimit -n; ls /data',
    'grep -E "^(CapBnd|NoNewPrivs|Seccomp):" /proc/self/status; cat /proc/1/comm',
  ]
  const task = makeTask(
    {
      image: shell,
      command: ['sh', '-c', look.join('; '), 'zero'],
      args: ['one'],
      env: ['A=b c'],
      dir: '/tmp',
      user: '1000:1001',
      groups: ['1002'],
      hostname: 'bee',
      readOnly: true,
      init: true,
      hosts: ['10.9.9.9 db db2'],
      dns: { nameservers: ['10.8.8.8'] },
      sysctls: { 'net.core.somaxconn': '777' },
      capabilityDrop: ['ALL'],
      capabilityAdd: ['CAP_CHOWN'],
      ulimits: [{ name: 'nofile', soft: 99, hard: 99 }],
      oomScoreAdj: 5,
      privileges: { noNewPrivileges: true, seccomp: { mode: 'unconfined' } },
      mounts: [
        { type: 'tmpfs', target: '/fast', tmpfs: { sizeBytes: 1 << 20, mode: 0o1777 } },
        {
          type: 'volume',
          source: 'honey',
          target: '/data',
          readOnly: true,
          volume: { labels: { a: 'b' }, driver: { name: 'local', options: {} } },
        },
      ],
    },
    {
      with: {
        resources: {
          limits: { nanoCpus: 5e8, memoryBytes: 64 << 20, pids: 50 },
          reservations: { memoryBytes: 32 << 20 },
        },
        logDriver: { name: 'json-file', options: { 'max-size': '1m' } },
      },
    },
  )
  await run(t, executor, task)
  await executor.wait(task.id, soon())
  const lines = (await logsOf(executor, task)).map(textOf).join('').split('\n')
  const wanted = [
    /^zero one \| b c \| \/tmp \| 1000:1001 1001 1002 \| bee$/,
    /^2$/,
    /^nameserver 10.8.8.8$/,
    /Read-only file system/,
    /^tmpfs +1024 /,
    /^777$/,
    /^99$/,
    /^NoNewPrivs:\s+1/,
    /^Seccomp:\s+0/,
    /^CapBnd:\s+0000000000000001/,
    /init/,
  ]
  for (const line of wanted)
    t.ok(
      lines.some((one) => one.match(line)),
      `${line}`,
    )
  const volume = await mustDocker(cli, 'volume', 'inspect', '--format', '{{.Labels}}', 'honey')
  t.equal(volume, 'map[a:b]')
  const format = '{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.HostConfig.MemoryReservation}}'
  const limits = await mustDocker(cli, 'inspect', '--format', format, taskName(task))
  t.equal(limits, '500000000 67108864 33554432')
})

t.test('a process killed from outside is an exit like any other', async (t) => {
  const executor = open(t)
  const task = script('sleep 1000')
  const { container } = await run(t, executor, task)
  const ended = executor.wait(task.id, soon())
  await host.run(['kill', '-9', String(container.pid)])
  t.strictSame(await ended, { exitCode: 137, isOomKilled: false })
})

t.test('health is told as it changes', async (t) => {
  const executor = open(t)
  const events = watch(t, executor)
  const health = {
    test: ['CMD-SHELL', 'test -e /ok'],
    intervalNs: 0.2 * nsPerSecond,
    timeoutNs: 5 * nsPerSecond,
    retries: 2,
  }
  const args = ['sh', '-c', 'touch /ok; trap "rm /ok" USR1; while :; do sleep 0.1; done']
  const task = makeTask({ image: shell, args, health })
  const started = await run(t, executor, task)
  t.ok(started.hasHealthCheck)
  const seen = (): string[] =>
    events.flatMap((event) => (event.type === 'health' ? [event.health] : []))
  await waitFor({ what: 'healthy', timeoutMs: 20_000 }, () => seen().length === 1)
  t.match(await executor.list(soon()), [{ health: 'healthy' }])
  await mustDocker(cli, 'kill', '--signal', 'USR1', taskName(task))
  await waitFor({ what: 'unhealthy', timeoutMs: 20_000 }, () => seen().length === 2)
  t.strictSame(seen(), ['healthy', 'unhealthy'])
})

t.test('a stop takes the grace of who ignores it, and no longer', async (t) => {
  const executor = open(t)
  const task = makeTask({ image: shell, command: ['sleep', '1000'] })
  await run(t, executor, task)
  const startMs = Date.now()
  await executor.stop(task, 1 * nsPerSecond, soon())
  const tookMs = Date.now() - startMs
  t.ok(tookMs >= 1_000, `${tookMs} ms`)
  t.match(await executor.wait(task.id, soon()), { exitCode: 137 })
})

t.test('the stop signal of the task is sent', async (t) => {
  const executor = open(t)
  const args = ['sh', '-c', 'trap "exit 9" USR2; while :; do sleep 0.05; done']
  const task = makeTask({ image: shell, args, stopSignal: 'SIGUSR2' })
  await run(t, executor, task)
  await executor.stop(task, 10 * nsPerSecond, soon())
  t.match(await executor.wait(task.id, soon()), { exitCode: 9 })
})

t.test('another agent of the same node takes over what is there', async (t) => {
  const first = open(t)
  const task = script('sleep 1000')
  await first.prepare(task, soon())
  const { container } = await first.start(task, soon())
  await first.close()
  const second = open(t)
  t.match(await second.list(soon()), [{ taskId: task.id, state: 'running' }])
  t.strictSame(await second.prepare(task, soon()), { containerId: container.id })
  t.match(await second.start(task, soon()), { container: { pid: container.pid } })
  await second.remove(task.id, soon())
  t.strictSame(await second.list(soon()), [])
})

t.test('containers of others are not touched', async (t) => {
  const mine = open(t)
  const other = open(t, asId<NodeId>('node0000000000000000000b2'))
  const task = script('sleep 1000')
  await run(t, other, task)
  const events = watch(t, mine)
  t.strictSame(await mine.list(soon()), [])
  await mine.remove(task.id, soon())
  await mine.stop(task, 0, soon())
  await t.rejects(mine.wait(task.id, soon()), { code: 'not-found' })
  await t.rejects(mine.prepare(task, soon()), { code: 'conflict' })
  t.match(await other.list(soon()), [{ taskId: task.id, state: 'running' }])

  const named = script('true')
  await mustDocker(cli, 'run', '--detach', '--name', taskName(named), shell)
  t.teardown(() => mustDocker(cli, 'rm', '--force', taskName(named)))
  await t.rejects(mine.prepare(named, soon()), { code: 'conflict', message: /docker rm -f web/ })
  await other.remove(task.id, soon())
  t.strictSame(events, [{ type: 'connected' }], 'and nothing is heard of them')
})

t.test('giving up a prepare leaves no container', async (t) => {
  const executor = open(t)
  for (const delayMs of [0, 5, 10, 15, 20, 25, 30, 35, 40, 50, 60, 80]) {
    const task = script('true')
    const controller = new AbortController()
    const prepared = executor.prepare(task, controller.signal).then(
      () => 'prepared',
      () => 'given up',
    )
    await systemClock.sleep(delayMs)
    controller.abort(new Error('given up'))
    if ((await prepared) === 'prepared') await executor.remove(task.id, soon())
    t.strictSame(await executor.list(soon()), [])
  }
})

t.test('logs: both streams, times, tail, since', async (t) => {
  const executor = open(t)
  // Each pair waits until the one before is in the log: a busy engine mixes what it finds together.
  const wait = 'while [ ! -e /go$n ]; do sleep 0.05; done'
  const task = script(`for n in 1 2 3; do echo out $n; echo err $n >&2; ${wait}; done`)
  await run(t, executor, task)
  for (const pair of [1, 2, 3]) {
    await waitFor({ what: `pair ${pair} in the log`, timeoutMs: 30_000 }, async () => {
      return (await logsOf(executor, task)).length === 2 * pair
    })
    await mustDocker(cli, 'exec', taskName(task), 'touch', `/go${pair}`)
  }
  await executor.wait(task.id, soon())
  const all = await logsOf(executor, task)
  const stdout = all.filter((entry) => entry.stream === 'stdout')
  t.strictSame(stdout.map(textOf), ['out 1\n', 'out 2\n', 'out 3\n'])
  t.equal(all.length, 6)
  for (const entry of all) t.match(entry.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/)
  const errors = await logsOf(executor, task, { stdout: false })
  t.strictSame(errors.map(textOf), ['err 1\n', 'err 2\n', 'err 3\n'])
  const tail = await logsOf(executor, task, { tail: 2 })
  t.strictSame(tail.map(textOf).sort(), ['err 3\n', 'out 3\n'])
  const last = stdout.at(-1)?.time ?? ''
  const since = await logsOf(executor, task, { sinceMs: Date.parse(last), stderr: false })
  t.strictSame(since.map(textOf), ['out 3\n'])
  const until = await logsOf(executor, task, { untilMs: Date.parse(last), stderr: false })
  t.strictSame(until.map(textOf), ['out 1\n', 'out 2\n'])
})

t.test('logs of a terminal, and details', async (t) => {
  const executor = open(t)
  const args = ['sh', '-c', 'echo one; echo two']
  const task = makeTask(
    { image: shell, args, tty: true, labels: { zone: 'east' } },
    { with: { logDriver: { name: 'json-file', options: { labels: 'zone' } } } },
  )
  await run(t, executor, task)
  await executor.wait(task.id, soon())
  const entries = await logsOf(executor, task)
  t.strictSame(entries.map(textOf), ['one\r\n', 'two\r\n'])
  t.strictSame(entries[0]?.details, { zone: 'east' })
})

t.test('logs can be followed, and left', async (t) => {
  const executor = open(t)
  const task = script('n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done')
  await run(t, executor, task)
  const controller = new AbortController()
  const options = { stdout: true, stderr: true, follow: true, tail: 0 }
  const seen: number[] = []
  for await (const entry of executor.logs(task.id, options, controller.signal)) {
    seen.push(Number(textOf(entry)))
    if (seen.length === 3) controller.abort()
  }
  const [first = 0] = seen
  t.strictSame(seen, [first, first + 1, first + 2])

  const rest = logsOf(executor, task, { follow: true })
  await executor.stop(task, 0, soon())
  t.ok((await rest).length > 3, 'a follower ends with its task')
})

t.test('twenty tasks at once', async (t) => {
  const executor = open(t)
  const tasks = Array.from({ length: 20 }, () => script("trap 'exit 0' TERM; sleep 1000 & wait"))
  const startMs = Date.now()
  const started = await Promise.all(tasks.map((task) => run(t, executor, task)))
  t.comment(`20 prepared and started in ${Date.now() - startMs} ms`)
  t.equal(new Set(started.map((one) => one.addresses[0])).size, 20)
  t.equal((await executor.list(soon())).length, 20)
  const ends = tasks.map((task) => executor.wait(task.id, soon(60)))
  await Promise.all(tasks.map((task) => executor.stop(task, 10 * nsPerSecond, soon(60))))
  for (const end of await Promise.all(ends)) t.equal(end.exitCode, 0)
  await Promise.all(tasks.map((task) => executor.remove(task.id, soon(60))))
  t.strictSame(await executor.list(soon()), [])
  t.comment(`and stopped and removed after ${Date.now() - startMs} ms`)
})

t.test('slow stops run side by side and do not hold up a quick call', async (t) => {
  const executor = open(t)
  const tasks = Array.from({ length: 6 }, () =>
    makeTask({ image: shell, command: ['sleep', '99'] }),
  )
  for (const task of tasks) await run(t, executor, task)
  const since = String(Math.floor(Date.now() / 1000))
  let ended = 0
  const stops = tasks.map(async (task) => {
    await executor.stop(task, 600 * nsPerSecond, soon(60))
    ended += 1
  })
  await waitFor({ what: 'six signals at once', timeoutMs: 30_000 }, async () => {
    const until = (Date.now() / 1000).toFixed(3)
    const span = ['--since', since, '--until', until, '--filter', 'event=kill']
    const events = await mustDocker(cli, 'events', ...span, '--format', '{{.Actor.ID}}')
    return events.split('\n').length === 6
  })
  t.equal((await executor.list(soon())).length, 6)
  t.equal(ended, 0, 'the list did not wait for a stop')
  await mustDocker(cli, 'kill', ...tasks.map(taskName))
  await Promise.all(stops)
})

t.test('a registry: pulled once for all, by digest not at all, with its password', async (t) => {
  const folder = join(host.folder, 'registry')
  mkdirSync(folder)
  writeFileSync(join(folder, 'passwords'), `bee:${honey}\n`)
  writeFileSync(
    join(folder, 'registry.yml'),
    JSON.stringify({
      version: 0.1,
      storage: { filesystem: { rootdirectory: join(folder, 'data') } },
      http: { addr: '127.0.0.1:5000' },
      auth: { htpasswd: { realm: 'bees', path: join(folder, 'passwords') } },
    }),
  )
  const registry = host.start('registry', [
    'docker-registry',
    'serve',
    join(folder, 'registry.yml'),
  ])
  t.teardown(() => registry.stop())
  await waitFor({ what: 'registry', timeoutMs: 10_000 }, async () => {
    return (await host.run(['curl', '-s', 'http://127.0.0.1:5000/v2/'])).code === 0
  })
  const image = '127.0.0.1:5000/skep/pulled:1'
  const auth = Buffer.from(JSON.stringify({ username: 'bee', password: 'honey' }))
  // As the docker CLI sends it: with padding.
  const registryAuth = auth.toString('base64').replaceAll('+', '-').replaceAll('/', '_')
  await mustDocker(cli, 'tag', shell, image)
  const config = join(folder, 'config')
  mkdirSync(config)
  const auths = { '127.0.0.1:5000': { auth: Buffer.from('bee:honey').toString('base64') } }
  writeFileSync(join(config, 'config.json'), JSON.stringify({ auths }))
  await mustDocker({ ...cli, env: { DOCKER_CONFIG: config } }, 'push', image)
  const digests = await mustDocker(cli, 'inspect', '--format', '{{index .RepoDigests 0}}', image)
  await mustDocker(cli, 'rmi', image)

  const executor = open(t)
  await t.rejects(executor.prepare(makeTask({ image }), soon()), {
    code: 'not-found',
    message: `No such image: ${image}`,
    detail: { pullFailure: /no basic auth credentials|unauthorized/ },
  })
  const tasks = Array.from({ length: 3 }, () => makeTask({ image }, { registryAuth }))
  await Promise.all(tasks.map((task) => run(t, executor, task)))
  const pulls =
    registry.log().match(/"HEAD \/v2\/skep\/pulled\/manifests\/1 HTTP\/1.1" 200/g)?.length ?? 0
  t.equal(pulls, 1, 'three tasks, one pull')

  await registry.stop()
  await run(t, executor, makeTask({ image: digests }))
  await run(t, executor, makeTask({ image }, { registryAuth }))
})

t.test(
  'a registry that says nothing is asked for the first task, and not for the next',
  async (t) => {
    const asked = join(host.folder, 'asked')
    const answer = ['sh', '-c', `echo >> ${asked}; sleep 99`]
    const silent = host.start('silent', ['busybox', 'nc', '-ll', '-p', '5001', '-e', ...answer])
    t.teardown(() => silent.kill())
    const image = '127.0.0.1:5001/skep/local:1'
    await mustDocker(cli, 'tag', shell, image)
    const executor = open(t)
    const prepare = async (): Promise<string> => {
      const task = makeTask({ image })
      t.teardown(() => executor.remove(task.id, soon()))
      await executor.prepare(task, soon())
      return readFileSync(asked, 'utf8')
    }
    const first = await prepare()
    t.match(first, /^\n+$/)
    t.equal(await prepare(), first, 'the silence is remembered')
  },
)

t.test('an executor that is closed ends its watchers and refuses calls', async (t) => {
  const executor = open(t)
  const controller = new AbortController()
  const watching = executor.watch(controller.signal)[Symbol.asyncIterator]()
  t.match(await watching.next(), { value: { type: 'connected' } })
  controller.abort()
  t.match(await watching.next(), { done: true })
  await executor.close()
  await t.rejects(executor.list(soon()), { code: 'unavailable' })
})
