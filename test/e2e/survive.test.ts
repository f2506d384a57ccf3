// Survival: whatever ends the agent, and however full its disk is, what was acknowledged is there
// afterwards, containers run on meanwhile, and none is started twice.

import { join } from 'node:path'
import t from 'tap'
import { startAgent } from '../support/agent.ts'
import { waitFor } from '../support/wait.ts'
import { OneNode, openOneNode, shell, web1 } from './one-node.ts'

const node = await openOneNode(t)
const url = `http://${node.host.address}:8080/`

/** Names of the containers that the engine has started, in order, since the time. */
async function starts(sinceSeconds: number): Promise<readonly string[]> {
  const until = Math.floor(Date.now() / 1000) + 1
  const text = await node.engineMust(
    ...['events', '--since', String(sinceSeconds), '--until', String(until)],
    ...['--filter', 'event=start', '--format', '{{.Actor.Attributes.name}}'],
  )
  return text === '' ? [] : text.split('\n')
}

/** A service of no task, with a label so that its spec is not like the others'. */
function tinySpec(name: string, ballastBytes = 0): object {
  const TaskTemplate = { ContainerSpec: { Image: shell, Env: ['A='.padEnd(ballastBytes, 'x')] } }
  return { Name: name, Labels: { at: name }, TaskTemplate, Mode: { Replicated: { Replicas: 0 } } }
}

t.test('kill -9 in the middle of a scale: it completes, and nothing starts twice', async (t) => {
  const sinceSeconds = Math.floor(Date.now() / 1000)
  await node.create('web', '--replicas', '2', '-p', '8080:8080', web1)
  await node.awaitRunning('web', { count: 2 })
  let replicas = 2
  // At once; when the first containers are made; when the first of them run; near the end.
  for (const seen of [0, 1, 3, 5]) {
    const before = (await node.containers('web')).length
    replicas += 6
    await node.must('service', 'scale', '--detach', `web=${replicas}`)
    await waitFor({ what: `${seen} new containers`, timeoutMs: 20_000, everyMs: 5 }, async () => {
      return (await node.containers('web')).length >= before + seen
    })
    await node.agent.kill()
    t.match(await node.engineMust('ps', '--quiet'), /\w/, 'containers run on without the agent')
    await node.agent.start()
    await node.awaitRunning('web', { count: replicas, timeoutMs: 60_000 })
  }
  const names = await starts(sinceSeconds)
  t.equal(new Set(names).size, names.length, 'no container was started twice')
  t.equal(names.length, replicas, 'and none that was not needed')
  t.equal((await node.engineMust('ps', '-a', '--quiet')).split('\n').length, replicas)
  await waitFor({ what: 'page', timeoutMs: 10_000 }, () => node.client.fetch(url))
})

t.test(
  'containers and their tasks are adopted after a crash and after an orderly end',
  async (t) => {
    await node.must('service', 'scale', '--detach', 'web=3')
    const before = await node.awaitRunning('web', { count: 3 })
    const ids = (tasks: typeof before): readonly string[] =>
      tasks.map((task) => `${task.ID} ${task.Status.ContainerStatus?.ContainerID}`)
    await waitFor({ what: 'three containers', timeoutMs: 30_000 }, async () => {
      return (await node.containers('web')).length === 3
    })
    const sinceSeconds = Math.floor(Date.now() / 1000) + 1
    await waitFor({ what: 'another second', timeoutMs: 30_000 }, () => {
      return Date.now() / 1000 >= sinceSeconds
    })

    const end = await node.agent.stop()
    t.same(end, { code: 0, signal: null }, 'SIGTERM ends it in good order')
    t.match(node.agent.log(), 'agent.stopped')
    const listed = await node.engineMust('ps', '--quiet')
    t.equal(listed.split('\n').length, 3, 'containers run on')
    await t.rejects(node.client.fetch(url), 'nobody serves the port meanwhile')
    await node.agent.start()
    t.same(ids(await node.awaitRunning('web', { count: 3 })), ids(before))
    await waitFor({ what: 'page', timeoutMs: 10_000 }, () => node.client.fetch(url))

    await node.agent.restart('kill')
    t.same(ids(await node.awaitRunning('web', { count: 3 })), ids(before))
    await waitFor({ what: 'page', timeoutMs: 10_000 }, () => node.client.fetch(url))
    t.same(await starts(sinceSeconds), [], 'no container was started')

    await node.agent.stop()
    const [victim] = (await node.engineMust('ps', '--quiet')).split('\n')
    await node.engineMust('kill', victim ?? '')
    await node.agent.start()
    await node.awaitRunning('web', { count: 3 })
    t.pass('what died meanwhile is replaced')
    await node.remove('web')
  },
)

t.test('kill -9 while services are created: each that was answered is there', async (t) => {
  const answered = new Map<string, string>()
  let count = 0
  for (let round = 0; round < 4; round += 1) {
    let isDown = false
    const target = answered.size + 25
    const create = async (): Promise<void> => {
      while (!isDown) {
        count += 1
        const name = `s${count}`
        const ask = { method: 'POST', path: '/services/create', body: tinySpec(name) }
        const answer = await node.agent.request(ask).catch(() => undefined)
        if (answer?.status === 201)
          answered.set(name, (JSON.parse(answer.body) as { ID: string }).ID)
      }
    }
    const clients = [create(), create(), create(), create()]
    await waitFor({ what: `${target} answers`, timeoutMs: 30_000, everyMs: 1 }, () => {
      return answered.size >= target
    })
    await node.agent.kill()
    isDown = true
    await Promise.all(clients)
    await node.agent.start()
  }
  t.ok(answered.size >= 100, `${answered.size} were answered`)
  const services = (await node.agent.json({ path: '/services' })) as {
    readonly ID: string
    readonly Spec: { readonly Name: string; readonly Labels: Record<string, string> }
  }[]
  const found = new Map(services.map((service) => [service.Spec.Name, service]))
  const missing = [...answered].filter(([name, id]) => found.get(name)?.ID !== id)
  t.same(missing, [], 'none of them is lost')
  t.same(
    [...found.values()].filter(({ Spec }) => Spec.Labels['at'] !== Spec.Name),
    [],
  )
  t.equal(new Set(services.map((service) => service.ID)).size, services.length)
  for (const { ID } of services)
    await node.agent.json({ method: 'DELETE', path: `/services/${ID}` })
})

t.test('a wrong flag and a taken socket end the daemon with a word', async (t) => {
  const daemon = (...flags: string[]) => node.agent.cli('daemon', ...flags)
  const bogus = await daemon('--bogus')
  t.equal(bogus.code, 125)
  t.match(bogus.stderr, '--bogus')
  const taken = await daemon(
    ...['--state-dir', join(node.host.folder, 'other'), '--socket', node.agent.socket],
    ...['--docker-host', node.engine.url],
  )
  t.equal(taken.code, 1)
  t.match(taken.stderr, node.agent.socket)
  const same = await daemon(
    ...['--state-dir', node.agent.stateFolder, '--socket', join(node.host.folder, 'other.sock')],
    ...['--docker-host', node.engine.url],
  )
  t.equal(same.code, 1, 'two daemons may not share a state folder')
  t.match(same.stderr, node.agent.stateFolder)
  t.match(await node.must('node', 'ls'), 'Leader', 'the first one is unharmed')
})

t.test(
  'a full or read-only state folder is reported, and nothing acknowledged is lost',
  async (t) => {
    await node.must('swarm', 'leave', '--force')
    await node.agent.stop()
    const mount = async (options: string): Promise<void> => {
      const state = node.agent.stateFolder
      const done = await node.host.run(['mount', ...options.split(' '), state])
      if (done.code !== 0) throw new Error(done.stderr)
    }
    const remount = (mode: 'ro' | 'rw'): Promise<void> => mount(`-o remount,${mode}`)
    await mount('-t tmpfs -o size=16m tmpfs')
    const small = await startAgent(node.host, { engine: node.engine, startTimeoutMs: 10_000 })
    t.teardown(() => small.kill())
    const full = new OneNode({ lab: node.lab, engine: node.engine, agent: small })
    await full.must('swarm', 'init')
    await full.create('kept', web1)
    await full.awaitRunning('kept', { count: 1 })

    // The daemon has its own mount namespace: the file is written there.
    const ballast = join(small.stateFolder, 'ballast')
    const fill = ['sh', '-c', `busybox cat /dev/zero > ${ballast}; true`]
    const answered = new Map<string, string>()
    const create = async (name: string): Promise<{ status: number; body: string }> => {
      // Large ones, for the log has a few MiB in hand.
      const ask = { method: 'POST', path: '/services/create', body: tinySpec(name, 50_000) }
      const answer = await small.request(ask)
      if (answer.status === 201) answered.set(name, (JSON.parse(answer.body) as { ID: string }).ID)
      return answer
    }
    for (let index = 0; index < 10; index += 1) await create(`early${index}`)
    await full.host.run(fill)
    let refused = ''
    for (let index = 0; index < 300 && refused === ''; index += 1) {
      const answer = await create(`full${index}`)
      if (answer.status !== 201) refused = `${answer.status} ${answer.body}`
    }
    t.match(refused, /^5\d\d .*(disk|space)/i, 'the client is told')
    t.match(small.log(), /(WARN|ERROR) .*(full|space|ENOSPC)/i, 'and so is the log')
    t.not(small.pid, undefined, 'the daemon lives')
    t.match(await full.must('service', 'ls', '--filter', 'name=kept'), ' 1/1 ', 'reads still work')

    const idsNow = async (): Promise<ReadonlyMap<string, string>> => {
      const services = (await small.json({ path: '/services' })) as {
        readonly ID: string
        readonly Spec: { readonly Name: string }
      }[]
      return new Map(services.map((service) => [service.Spec.Name, service.ID]))
    }
    const lost = async (): Promise<readonly string[]> => {
      const now = await idsNow()
      return [...answered].filter(([name, id]) => now.get(name) !== id).map(([name]) => name)
    }
    await full.host.run(['rm', ballast])
    await waitFor({ what: 'answer when space is back', timeoutMs: 30_000 }, async () => {
      return (await create(`late${answered.size}`)).status === 201
    })
    t.same(await lost(), [], 'everything that was answered is there')
    await full.host.run(fill)
    await small.kill()
    await full.host.run(['rm', ballast])
    await small.start()
    t.same(await lost(), [], 'after kill -9 too')
    await full.awaitRunning('kept', { count: 1 })

    await small.kill()
    await remount('ro')
    await t.rejects(small.start(), 'a daemon that may not write does not start')
    t.match(small.log(), /ERROR .*(EROFS|read-only)/i, 'and says so')
    await remount('rw')
    await small.start()
    t.same(await lost(), [])
    await full.awaitRunning('kept', { count: 1 })
  },
)
