// The Docker Engine API on the agent's socket, as raw HTTP in four versions, and what is passed
// through to the engine: streams, upgrades and archives, byte for byte.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../../scripts/process.ts'
import { type Answer, request } from '../support/unix-http.ts'
import { waitFor } from '../support/wait.ts'
import { openOneNode, type ServiceJson, shell, type TaskJson, web1 } from './one-node.ts'

const newest = '1.44'
const versions = ['1.24', '1.41', newest] as const

const node = await openOneNode(t)

const ask = (path: string, rest: { method?: string; body?: unknown } = {}): Promise<Answer> =>
  request({ socket: node.agent.socket, path, ...rest })
const filters = (value: unknown): string => `filters=${encodeURIComponent(JSON.stringify(value))}`
const spec = (name: string, replicas: number, labels: object = {}): object => ({
  Name: name,
  Labels: labels,
  TaskTemplate: { ContainerSpec: { Image: web1 } },
  Mode: { Replicated: { Replicas: replicas } },
})

async function json<T>(path: string): Promise<T> {
  const answer = await ask(path)
  if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.body}`)
  return JSON.parse(answer.body) as T
}

const created = await ask('/v1.41/services/create', { method: 'POST', body: spec('web', 2) })
const { ID: id } = JSON.parse(created.body) as { ID: string }
await node.awaitRunning('web', { count: 2 })

for (const version of versions) {
  const v = `/v${version}`
  t.test(`version ${version}`, async (t) => {
    for (const method of ['GET', 'HEAD']) {
      const ping = await ask(`${v}/_ping`, { method })
      t.match(ping, { status: 200, body: method === 'GET' ? 'OK' : '' })
      t.match(ping.headers, {
        'api-version': newest,
        ostype: 'linux',
        swarm: 'active/manager',
        'docker-experimental': 'false',
      })
    }
    t.match(await json(`${v}/version`), { ApiVersion: newest, MinAPIVersion: '1.24', Os: 'linux' })
    t.match(await json(`${v}/info`), {
      Name: 'n1',
      Swarm: {
        LocalNodeState: 'active',
        ControlAvailable: true,
        NodeAddr: node.host.address,
        Nodes: 1,
        Managers: 1,
        Cluster: { ID: /^\w{25}$/ },
      },
    })
    t.match(await json(`${v}/swarm`), {
      ID: /^\w{25}$/,
      Spec: { Name: 'default', Orchestration: { TaskHistoryRetentionLimit: 5 } },
      JoinTokens: { Worker: /^SWMTKN-1-\w{50}-\w{25}/, Manager: /^SWMTKN-1-\w{50}-\w{25}/ },
    })
    const nodes = await json<{ ID: string }[]>(`${v}/nodes`)
    t.match(nodes, [
      {
        Spec: { Role: 'manager', Availability: 'active' },
        Description: { Hostname: 'n1', Engine: { EngineVersion: /^\d/ } },
        Status: { State: 'ready', Addr: node.host.address },
        ManagerStatus: { Leader: true, Reachability: 'reachable' },
      },
    ])
    t.match(await json(`${v}/nodes/${nodes[0]?.ID.slice(0, 6)}`), { ID: nodes[0]?.ID })
    const services = await json<ServiceJson[]>(`${v}/services`)
    t.match(services, [{ ID: id, Spec: { Name: 'web' } }])
    t.same(await json(`${v}/services/web`), services[0])
    t.match(await json(`${v}/services/${id.slice(0, 8)}`), { ID: id }, 'the beginning of an id')
    const tasks = await json<TaskJson[]>(`${v}/tasks`)
    t.equal(tasks.length, 2)
    const first = tasks[0]?.ID ?? ''
    t.match(await json(`${v}/tasks/${first.slice(0, 10)}`), {
      ID: first,
      ServiceID: id,
      Status: {
        State: 'running',
        Message: 'started',
        ContainerStatus: { ContainerID: /^\w{64}$/ },
      },
      DesiredState: 'running',
    })
    t.match(await ask(`${v}/services/nope`), {
      status: 404,
      body: /^\{"message":"service nope not found"\}\n?$/,
    })
    t.match(await ask(`${v}/containers/json`), {
      status: 200,
      body: /com\.docker\.swarm\.task\.id/,
    })
  })
}

t.test('versions that are not spoken are refused with a word', async (t) => {
  t.match(await ask('/v1.23/services'), { status: 400, body: /too old.* 1\.24/ })
  t.match(await ask('/v1.99/services'), { status: 400, body: /too new.* 1\.44/ })
  t.match(await ask('/v1.41/nope'), { status: 404, body: '{"message":"page not found"}' })
})

t.test('filters come in both forms, and unknown ones are refused', async (t) => {
  const names = async (query: string): Promise<readonly string[]> =>
    (await json<ServiceJson[]>(`/v1.41/services?${query}`)).map((service) => service.Spec.Name)
  for (const form of [(name: string) => [name], (name: string) => ({ [name]: true })]) {
    t.same(await names(filters({ name: form('web') })), ['web'])
    t.same(await names(filters({ name: form('nope') })), [])
    t.same(await names(filters({ id: form(id.slice(0, 5)) })), ['web'])
    const running = filters({ 'desired-state': form('running'), service: form('web') })
    t.equal((await json<TaskJson[]>(`/v1.41/tasks?${running}`)).length, 2)
    const other = await ask(`/v1.41/tasks?${filters({ node: form('nope') })}`)
    t.match(other, { status: 404, body: /node nope not found/ })
  }
  for (const path of ['services', 'tasks', 'nodes']) {
    const unknown = await ask(`/v1.41/${path}?${filters({ bogus: ['x'] })}`)
    t.match(unknown, { status: 400, body: /invalid filter 'bogus'/ }, path)
    t.match(await ask(`/v1.41/${path}?filters=nojson`), { status: 400 })
  }
})

t.test('a service is changed by its version only, and only once', async (t) => {
  const before = await json<ServiceJson>('/v1.41/services/web')
  const update = (version: number | string): Promise<Answer> =>
    ask(`/v1.41/services/web/update?version=${version}`, {
      method: 'POST',
      body: spec('web', 2, { round: String(version) }),
    })
  const [a, b] = await Promise.all([update(before.Version.Index), update(before.Version.Index)])
  t.same([a.status, b.status].sort(), [200, 500].sort(), 'one of two wins')
  const loser = a.status === 200 ? b : a
  t.match(loser.body, 'rpc error: code = Unknown desc = update out of sequence')
  t.match(await update(1), { status: 500, body: /update out of sequence/ })
  t.match(await update('x'), { status: 400, body: /invalid service version 'x'/ })
  t.match(await ask('/v1.41/services/create', { method: 'POST', body: '{' }), { status: 400 })
  t.match(await ask('/v1.41/services/create', { method: 'POST', body: spec('web', 1) }), {
    status: 409,
    body: /name conflicts with an existing object: service web already exists/,
  })
  t.match(
    await ask('/v1.41/services/nope/update?version=1', { method: 'POST', body: spec('x', 1) }),
    {
      status: 404,
    },
  )
})

t.test("events are told with since, until and filters, ours and the engine's", async (t) => {
  const since = (Date.now() / 1000).toFixed(3)
  const made = await ask('/v1.41/services/create', { method: 'POST', body: spec('ev', 1) })
  const { ID: made1 } = JSON.parse(made.body) as { ID: string }
  await node.awaitRunning('ev', { count: 1 })
  await node.remove('ev')
  const until = (Date.now() / 1000).toFixed(3)
  const events = async (query: string): Promise<readonly string[]> => {
    const answer = await ask(`/v1.41/events?since=${since}&until=${until}&${query}`)
    const lines = answer.body.split('\n').filter((line) => line !== '')
    return lines
      .map((line) => JSON.parse(line) as { Type: string; Action: string })
      .map(({ Type, Action }) => `${Type} ${Action}`)
  }
  for (const form of [(word: string) => [word], (word: string) => ({ [word]: true })]) {
    t.same(await events(filters({ type: form('service') })), ['service create', 'service remove'])
    t.same(await events(filters({ scope: form('swarm'), event: form('remove') })), [
      'service remove',
    ])
    t.same(await events(filters({ service: form(made1) })), ['service create', 'service remove'])
  }
  const all = await events('')
  t.ok(all.includes('service create') && all.includes('container start'), 'both in one stream')
  t.ok(all.indexOf('service create') < all.indexOf('container start'), 'in the order of time')

  const text = await node.must(
    ...['events', '--since', since, '--until', until],
    ...['--filter', 'type=service', '--format', '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'],
  )
  t.equal(text, 'service create ev\nservice remove ev')
})

t.test('events are told while they happen', async (_t) => {
  const follower = node.host.start('events', [
    ...['docker', '--host', node.agent.url, 'events', '--format', '{{.Type}} {{.Action}}'],
  ])
  // The first event that is seen shows that the stream is open.
  await waitFor({ what: 'open stream of events', timeoutMs: 20_000, everyMs: 200 }, async () => {
    await node.must('service', 'update', '--detach', '--label-add', `x=${Date.now()}`, 'web')
    return follower.log().includes('service update')
  })
  const container = await node.must('run', '--detach', shell)
  await waitFor({ what: 'event of the engine', timeoutMs: 10_000 }, () =>
    follower.log().includes('container start'),
  )
  await node.must('rm', '--force', container)
  await follower.stop()
})

t.test('run, exec, attach, cp and logs go through to the engine', async (t) => {
  t.equal(await node.must('run', '--rm', shell, 'echo', 'hello'), 'hello')
  const failed = await node.docker('run', '--rm', shell, 'sh', '-c', 'echo oh >&2; exit 7')
  t.match(failed, { code: 7, stderr: /^oh\n$/ })
  const piped = await run('docker', ['-H', node.agent.url, 'run', '--rm', '-i', shell, 'md5sum'], {
    timeoutMs: 30_000,
    input: Buffer.alloc(3_000_000, 'bee'),
  })
  const sum = await run('md5sum', [], { timeoutMs: 10_000, input: Buffer.alloc(3_000_000, 'bee') })
  t.equal(piped.stdout, sum.stdout, '3 MB through standard input, and its end')

  const id = await node.must(
    'run',
    '--detach',
    '--name',
    'own',
    shell,
    ...[
      'sh',
      '-c',
      'while read line; do echo "got $line"; done < /dev/zero & trap "exit 0" TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done',
    ],
  )
  const tty = (command: string): ReturnType<typeof run> =>
    run('script', ['-qec', `docker -H ${node.agent.url} ${command}`, '/dev/null'], {
      timeoutMs: 30_000,
    })
  t.match(await tty('exec -it own sh -c "tty; exit 4"'), { code: 4, stdout: /\/dev\/pts\/0/ })
  t.match((await tty(`run --rm -it ${shell} tty`)).stdout, '/dev/pts/0')
  t.equal(await node.must('exec', 'own', 'echo', 'inside'), 'inside')

  writeFileSync(join(node.host.folder, 'in.txt'), 'carried')
  await node.must('cp', join(node.host.folder, 'in.txt'), 'own:/tmp/in.txt')
  t.equal(await node.must('exec', 'own', 'cat', '/tmp/in.txt'), 'carried')
  await node.must('cp', 'own:/tmp/in.txt', join(node.host.folder, 'out.txt'))
  t.equal(readFileSync(join(node.host.folder, 'out.txt'), 'utf8'), 'carried')

  const docker = (...args: readonly string[]): readonly string[] => [
    ...['docker', '--host', node.agent.url],
    ...args,
  ]
  const follow = node.host.start('follow', docker('logs', '--follow', 'own'))
  const attach = node.host.start('attach', docker('attach', '--no-stdin', 'own'))
  for (const each of [follow, attach]) {
    await waitFor({ what: `lines of ${each.name}`, timeoutMs: 10_000 }, () => {
      return (each.log().match(/line \d+/g) ?? []).length > 5
    })
  }
  await node.must('stop', 'own')
  for (const each of [follow, attach]) {
    await waitFor({ what: `end of ${each.name}`, timeoutMs: 10_000 }, () => !each.isRunning)
  }
  await node.must('rm', id)
  t.match(await node.must('images', '--format', '{{.Repository}}'), 'nigelpoulton/ddd-web')
  t.match((await node.docker('pull', 'nigelpoulton/none:1')).stderr, /connection refused/)
})

t.test('service logs are followed, of tasks that come later too', async (_t) => {
  await node.create('talk', shell, 'sh', '-c', 'echo one; trap "exit 0" TERM; sleep 100000 & wait')
  await node.awaitRunning('talk', { count: 1 })
  const words = ['--host', node.agent.url, 'service', 'logs', '--follow', '--raw', 'talk']
  const follow = node.host.start('talk', ['docker', ...words])
  await waitFor({ what: 'first line', timeoutMs: 10_000 }, () => follow.log() === 'one\n')
  await node.must('service', 'scale', '--detach', 'talk=3')
  await waitFor(
    { what: 'lines of three tasks', timeoutMs: 20_000, describe: () => follow.log() },
    () => follow.log() === 'one\none\none\n',
  )
  await follow.kill()
  await node.remove('talk')
})
