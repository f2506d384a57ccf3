// Workers without a manager: what they keep, restart and remember by themselves, also over a reboot;
// and what may run only on a lease, which never has two copies.

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { openCluster } from '../e2e/cluster.ts'
import { shell } from '../e2e/one-node.ts'
import { waitFor } from '../support/wait.ts'

const cluster = await openCluster(t, { managers: 1, workers: 3 })
/** Where what is pinned runs, and where the lease is put to the test. */
const [home, field] = [1, 2]
const homeHost = cluster.lab.host(home)
const password = 'correct horse battery staple'

async function idsOf(service: string): Promise<readonly string[]> {
  return (await cluster.copies(service)).map(({ container }) => container).sort()
}

function awaitStatus(place: number, status: string): Promise<unknown> {
  const { name } = cluster.lab.host(place)
  return cluster.awaitNodes((lines) =>
    lines.some((line) => line.hostname === name && line.status === status),
  )
}

async function awaitCopies(service: string, count: number): Promise<readonly string[]> {
  await waitFor({ what: `${count} containers of ${service}`, timeoutMs: 60_000 }, async () => {
    return (await cluster.copies(service)).length === count
  })
  return idsOf(service)
}

/** The pid of a container's process, on its host. */
async function pidOf(container: string): Promise<number> {
  const json = await cluster.engines[home]?.json({ path: `/containers/${container}/json` })
  return (json as { State: { Pid: number } }).State.Pid
}

/** What the node logged last, since the mark. */
function logSince(mark: number): string {
  return cluster.agent(home).log().slice(mark)
}

const patient = ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1 & wait $!; done']
const pinned = [
  '--constraint',
  `node.hostname==${homeHost.name}`,
  '--detach',
  '--stop-grace-period',
  '2s',
]

t.before(async () => {
  const file = join(cluster.lab.folder, 'pw')
  writeFileSync(file, password)
  await cluster.must(0, 'secret', 'create', 'kept', file)
  await cluster.must(0, 'secret', 'create', '--label', 'skep.offline=false', 'shy', file)
  const create = (name: string, ...flags: readonly string[]): Promise<string> =>
    cluster.must(0, 'service', 'create', ...pinned, '--name', name, ...flags, shell, ...patient)
  await create('local', '--replicas', '2')
  await create('keeper', '--secret', 'kept')
  await create('waiter', '--secret', 'shy')
  await awaitCopies('local', 2)
  await awaitCopies('keeper', 1)
  await awaitCopies('waiter', 1)
})

t.test('cut off, a crashed container is restarted; on return nothing else is', async (t) => {
  const before = await idsOf('local')
  homeHost.cut()
  await awaitStatus(home, 'Down')
  const [victim = ''] = before
  await homeHost.run(['kill', '-9', String(await pidOf(victim))])
  await waitFor({ what: 'another container', timeoutMs: 30_000 }, async () => {
    const now = await idsOf('local')
    return now.length === 2 && !now.includes(victim)
  })
  const alone = await idsOf('local')
  homeHost.mend()
  await awaitStatus(home, 'Ready')
  await cluster.awaitRunning('local', 2)
  t.same(await idsOf('local'), alone)
  t.equal(alone.filter((id) => before.includes(id)).length, 1)
})

t.test('rebooted while cut off, by its service unit, it starts what it remembers', async (t) => {
  const agent = cluster.agent(home)
  const unit = await agent.mustCli(
    ...['service-unit', '--state-dir', agent.stateFolder, '--socket', agent.socket],
    ...['--docker-host', cluster.engines[home]?.url ?? ''],
    ...['--listen-addr', `${homeHost.address}:2377`, '--advertise-addr', homeHost.address],
  )
  const command = /^ExecStart=(.*)$/m.exec(unit)?.[1] ?? ''
  for (const path of readdirSync(agent.stateFolder, { recursive: true, encoding: 'utf8' })) {
    const whole = join(agent.stateFolder, path)
    if (statSync(whole).isFile()) t.notOk(readFileSync(whole).includes(password), path)
  }
  homeHost.cut()
  await awaitStatus(home, 'Down')
  await homeHost.powerOff()
  await homeHost.powerOn()
  const mark = agent.log().length
  await cluster.engines[home]?.start()
  homeHost.start('agent', command.split(' '))
  await awaitCopies('local', 2)
  const [keeper = ''] = await awaitCopies('keeper', 1)
  const exec = ['docker', '-H', cluster.engines[home]?.url ?? '', 'exec', keeper]
  const read = await homeHost.run([...exec, 'cat', '/run/secrets/kept'])
  t.equal(read.stdout, password)
  await waitFor({ what: 'word of what waits', timeoutMs: 20_000 }, () =>
    /task\.waiting.*secret shy/.test(logSince(mark)),
  )
  t.same(await idsOf('waiter'), [], 'what may not be kept waits for a manager')
  const alone = [await idsOf('local'), await idsOf('keeper')]
  homeHost.mend()
  await awaitStatus(home, 'Ready')
  await awaitCopies('waiter', 1)
  for (const [name, count] of [
    ['local', 2],
    ['keeper', 1],
    ['waiter', 1],
  ] as const) {
    await cluster.awaitRunning(name, count)
  }
  t.same([await idsOf('local'), await idsOf('keeper')], alone, 'nothing was restarted for it')
})

t.test('what runs on a lease never has two copies', async (t) => {
  const stubborn = ['sh', '-c', 'trap : TERM; while :; do sleep 1 & wait $!; done']
  await cluster.must(
    ...([0, 'service', 'create', '--detach', '--name', 'one', '--replicas', '3'] as const),
    ...[
      '--label',
      'skep.on-disconnect=stop',
      '--stop-grace-period',
      '2s',
      '--update-parallelism',
      '0',
    ],
    ...['--constraint', 'node.role==worker', shell, ...stubborn],
  )
  await awaitCopies('one', 3)
  let isWatching = true
  let scene = ''
  const twice: string[] = []
  let looks = 0
  const watch = (async () => {
    while (isWatching) {
      const slots = (await cluster.copies('one')).map(({ slot, place }) => ({ slot, place }))
      looks++
      await sleep(30)
      for (const { slot } of slots) {
        const same = slots.filter((other) => other.slot === slot)
        if (same.length > 1) twice.push(`${scene}: ${JSON.stringify(same)}`)
      }
    }
  })()
  const host = cluster.lab.host(field)
  /** Moves a copy to the field, if there is none, and waits until all is well. */
  const begin = async (name: string): Promise<void> => {
    scene = `${name}, before`
    await awaitStatus(field, 'Ready')
    await cluster.awaitRunning('one', 3)
    if (!(await cluster.copies('one')).some(({ place }) => place === field)) {
      await cluster.must(0, 'service', 'scale', '--detach', 'one=0')
      await awaitCopies('one', 0)
      await cluster.must(0, 'service', 'scale', '--detach', 'one=3')
      await waitFor({ what: 'a copy in the field', timeoutMs: 60_000 }, async () => {
        const list = await cluster.copies('one')
        return list.length === 3 && list.some(({ place }) => place === field)
      })
      await cluster.awaitRunning('one', 3)
    }
    scene = name
  }
  const replaced = (): Promise<unknown> =>
    waitFor({ what: 'replacement elsewhere', timeoutMs: 40_000 }, async () => {
      const list = await cluster.copies('one')
      return list.length === 3 && list.every(({ place }) => place !== field)
    })

  await begin('cut')
  host.cut()
  await replaced()
  host.mend()

  for (const way of ['in', 'out'] as const) {
    await begin(`nothing gets ${way}`)
    host.block(way)
    await replaced()
    host.unblock(way)
  }

  await begin('agent stands still')
  cluster.agent(field).pause()
  const until = Date.now() + 4_000
  await waitFor({ what: 'its time', timeoutMs: 10_000 }, () => Date.now() > until)
  cluster.agent(field).resume()

  await begin('agent restarts')
  await cluster.agent(field).restart('kill')

  await begin('reboot')
  host.cut()
  await host.powerOff()
  await host.powerOn()
  await cluster.engines[field]?.start()
  await cluster.agent(field).start()
  await replaced()
  t.notOk((await cluster.copies('one')).some(({ place }) => place === field))
  host.mend()
  await awaitStatus(field, 'Ready')
  await cluster.awaitRunning('one', 3)
  isWatching = false
  await watch
  t.same(twice, [])
  t.comment(`looked ${looks} times`)
  t.ok(looks > 100)
})
