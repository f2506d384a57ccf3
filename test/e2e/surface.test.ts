// What users of several nodes see: logs from everywhere, on any manager, with either CLI.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import t from 'tap'
import { agentCommand } from '../support/agent.ts'
import { docker, mustDocker } from '../support/docker-cli.ts'
import { waitFor } from '../support/wait.ts'
import { openCluster } from './cluster.ts'
import { shell } from './one-node.ts'

const cluster = await openCluster(t, { managers: 3, workers: 2 })
const hostnames = cluster.lab.hosts.map(({ name }) => name)

/** The node that each line of `service logs` says it is from. */
function nodesIn(text: string): string[] {
  const names = text.split('\n').flatMap((line) => /^\S+@(\S+)\s+\|/.exec(line)?.[1] ?? [])
  return [...new Set(names)].toSorted()
}

function dockerAt(index: number, ...args: readonly string[]): Promise<string> {
  return mustDocker({ host: cluster.agent(index).url }, ...args)
}

t.test('service logs show all nodes in order of time, on any manager', async (t) => {
  const script =
    "trap 'exit 0' TERM; for i in 1 2 3; do echo line $i; sleep 1; done; sleep 1000000 & wait"
  const create = ['service', 'create', '--detach', '--mode', 'global', '--name', 'talk']
  await cluster.must(1, ...create, shell, 'sh', '-c', script)
  await cluster.awaitRunning('talk', 5)
  const all = await waitFor({ what: 'three lines of each node', timeoutMs: 20_000 }, async () => {
    const text = await cluster.must(1, 'service', 'logs', '--timestamps', 'talk')
    return text.split('\n').length === 15 ? text : undefined
  })
  const times = all.split('\n').map((line) => line.split(' ')[0] ?? '')
  t.same(times, times.toSorted(), 'in order of time')
  for (const index of [0, 1, 2]) {
    t.same(nodesIn(await cluster.must(index, 'service', 'logs', 'talk')), hostnames)
    t.same(nodesIn(await dockerAt(index, 'service', 'logs', 'talk')), hostnames)
  }
  const tail = await cluster.must(2, 'service', 'logs', '--tail', '1', 'talk')
  t.equal(tail.split('\n').length, 5)
  t.ok(
    tail.split('\n').every((line) => line.endsWith('line 3')),
    tail,
  )
  const [task] = (await cluster.running('talk')).filter(({ NodeID }) => NodeID !== '')
  const one = await cluster.must(0, 'service', 'logs', '--raw', task?.ID ?? '')
  t.equal(one, 'line 1\nline 2\nline 3')
})

t.test('a node that cannot be reached is named once, and the rest is shown', async (t) => {
  const gone = cluster.lab.host(4)
  gone.cut()
  for (const how of ['agent', 'docker'] as const) {
    const began = Date.now()
    const ended =
      how === 'agent'
        ? await cluster.cli(0, 'service', 'logs', 'talk')
        : await docker({ host: cluster.agent(0).url }, 'service', 'logs', 'talk')
    t.equal(ended.code, 0, how)
    t.ok(Date.now() - began < 10_000, `${how}: ${Date.now() - began} ms`)
    t.same(nodesIn(ended.stdout), hostnames.slice(0, 4), how)
    t.equal(ended.stderr.match(/warning: incomplete log stream/g)?.length, 1, ended.stderr)
    t.match(ended.stderr, `node ${gone.name} is not available`, how)
  }
  gone.mend()
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'))
  await waitFor({ what: 'logs of all nodes', timeoutMs: 20_000 }, async () => {
    const text = await cluster.must(0, 'service', 'logs', 'talk')
    return nodesIn(text).length === 5 ? true : undefined
  })
  t.pass('all of them again')
})

t.test('followed logs come from all nodes, and go on when a manager dies', async (t) => {
  const tick = "trap 'exit 0' TERM; while :; do date +%s; sleep 1; done"
  const create = ['service', 'create', '--detach', '--mode', 'global', '--name', 'ticks']
  await cluster.must(0, ...create, shell, 'sh', '-c', tick)
  await cluster.awaitRunning('ticks', 5)
  const leader = await cluster.leader()
  const [reader = 0, dying = 0] = [0, 1, 2].filter((index) => index !== leader)
  const seen: Record<string, number[]> = {}
  const { host, url } = cluster.agent(reader)
  const [program = '', ...rest] = [...host.enter, ...agentCommand()]
  const words = ['service', 'logs', '--follow', '--tail', '0', 'ticks']
  const child = spawn(program, [...rest, ...words], { env: { ...process.env, AGENT_HOST: url } })
  t.teardown(() => child.kill())
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [, name = '', time = ''] = /^\S+@(\S+)\s+\| (\d+)$/.exec(line) ?? []
    seen[name] ??= []
    seen[name]?.push(Number(time))
  })
  const awaitLines = (names: readonly string[], afterMs: number): Promise<true> =>
    waitFor(
      { what: `lines of ${names}`, timeoutMs: 30_000, describe: () => JSON.stringify(seen) },
      () => names.every((name) => (seen[name]?.at(-1) ?? 0) * 1_000 > afterMs) || undefined,
    )
  await awaitLines(hostnames, 0)
  await cluster.agent(dying).kill()
  const alive = hostnames.filter((_, index) => index !== dying)
  await awaitLines(alive, Date.now() + 2_000)
  await cluster.agent(dying).start()
  await awaitLines(hostnames, Date.now() + 1_000)
  for (const [name, times] of Object.entries(seen)) {
    t.same(times, [...new Set(times)].toSorted(), `${name}: each line once, in order`)
    t.ok((times.at(-1) ?? 0) - (times[0] ?? 0) <= times.length + 1, `${name}: none is missing`)
  }
  child.kill()
  await cluster.must(reader, 'service', 'rm', 'ticks')
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'))
})

t.test('info says on each node what it is and who manages', async (t) => {
  const managers = ['10.99.0.11:2377', '10.99.0.12:2377', '10.99.0.13:2377']
  for (const index of [0, 1, 2, 3, 4]) {
    const text = await dockerAt(index, 'info', '--format', '{{json .Swarm}}')
    const swarm = JSON.parse(text) as Record<string, unknown> & {
      RemoteManagers: readonly { Addr: string }[]
      Cluster?: { TLSInfo: { TrustRoot: string }; RootRotationInProgress: boolean }
    }
    t.match(swarm, {
      NodeAddr: cluster.lab.host(index).address,
      LocalNodeState: 'active',
      ControlAvailable: index < 3,
      Error: '',
      ...(index < 3 ? { Nodes: 5, Managers: 3 } : {}),
    })
    t.same(swarm.RemoteManagers.map(({ Addr }) => Addr).toSorted(), managers)
    t.equal(swarm.Cluster?.RootRotationInProgress, index < 3 ? false : undefined)
    t.equal(swarm.Cluster?.TLSInfo.TrustRoot.startsWith('-----BEGIN'), index < 3 ? true : undefined)
  }
})

t.test('both CLIs print the same, on every manager', async (t) => {
  const questions = [
    ['node', 'ls'],
    ['node', 'ps', 'n4'],
    ['node', 'inspect', 'n4'],
    ['node', 'inspect', '--pretty', 'n1'],
    ['service', 'ps', 'talk'],
    ['service', 'ps', '--no-trunc', 'talk'],
  ]
  for (const index of [0, 1, 2]) {
    for (const words of index === 1 ? questions : questions.slice(0, 1)) {
      // The age of a task may change between the two.
      await waitFor({ what: `equal ${words.join(' ')}`, timeoutMs: 20_000 }, async () => {
        const [ours, theirs] = [
          await cluster.must(index, ...words),
          await dockerAt(index, ...words),
        ]
        return ours === theirs ? true : undefined
      })
    }
  }
  t.pass('byte for byte')
})

t.test('the join line names the manager that was asked', async (t) => {
  t.match(await cluster.must(1, 'token', 'worker'), /agent join SWMTKN-1-/)
  t.match(
    await dockerAt(1, 'swarm', 'join-token', 'worker'),
    /docker swarm join --token SWMTKN-1-\S+ 10\.99\.0\.12:2377/,
  )
})

t.test('every manager tells of what happens in the cluster', async (t) => {
  const since = (Date.now() - 1_000) / 1_000
  const id = await cluster.must(1, 'service', 'create', '--detach', '--name', 'told', shell)
  await cluster.awaitRunning('told', 1)
  for (const index of [0, 1, 2]) {
    const until = Date.now() / 1_000
    const filters = encodeURIComponent(JSON.stringify({ type: ['service'] }))
    const { body } = await cluster
      .agent(index)
      .request({ path: `/events?since=${since}&until=${until}&filters=${filters}` })
    const events = body
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { Action: string; Actor: { ID: string } })
    t.same(
      events.map(({ Action, Actor }) => [Action, Actor.ID]),
      [['create', id]],
      `manager ${index}`,
    )
  }
})

t.test('a service is created on a follower while the leader dies', async (t) => {
  const leader = await cluster.leader()
  const other = [0, 1, 2].find((index) => index !== leader) ?? 0
  const creating = cluster.cli(
    other,
    'service',
    'create',
    '--name',
    'lives',
    '--replicas',
    '4',
    shell,
  )
  await waitFor({ what: 'the service', timeoutMs: 20_000 }, async () => {
    const names = await cluster.must(other, 'service', 'ls', '--format', '{{.Name}}')
    return names.includes('lives') ? true : undefined
  })
  await cluster.agent(leader).kill()
  const ended = await creating
  t.equal(ended.code, 0, ended.stderr)
  t.match(ended.stdout, /verify: Service \S+ converged/)
  await cluster.agent(leader).start()
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'))
})

t.test('without a leader reading goes on, marked; writing says what is wrong', async (t) => {
  for (const index of [1, 2]) await cluster.agent(index).kill()
  const agent = cluster.agent(0)
  const noLeader =
    "Error response from daemon: rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online."
  const listed = await cluster.cli(0, 'service', 'ls', '--format', '{{.Name}}')
  t.equal(listed.code, 0)
  t.match(listed.stdout, 'talk')
  t.match(listed.stderr, /warning/i)
  t.match(await dockerAt(0, 'node', 'inspect', '--format', '{{.Description.Hostname}}', 'n4'), 'n4')
  t.match(await dockerAt(0, 'node', 'ls'), 'n4')

  const stale = await agent.request({ path: '/services' })
  t.equal(stale.status, 200)
  t.ok(Number(stale.headers['skep-stale']) >= 0, String(stale.headers['skep-stale']))
  const strict = await agent.request({ path: '/services', headers: { 'Skep-Read': 'strict' } })
  t.equal(strict.status, 503)
  const refused = await docker({ host: agent.url }, 'service', 'create', '--detach', shell)
  t.equal(refused.code, 1)
  t.equal(refused.stderr.trim(), noLeader)
  const info = await dockerAt(0, 'info', '--format', '{{.Swarm.ControlAvailable}} {{.Swarm.Error}}')
  t.match(info, 'true rpc error: code = Unknown desc = The swarm does not have a leader.')

  for (const index of [1, 2]) await cluster.agent(index).start()
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'))
  const fresh = await agent.request({ path: '/services' })
  t.equal(fresh.headers['skep-stale'], undefined)
})
