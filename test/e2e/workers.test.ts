// Workers that are lost, stand still, are cut off, and come back: what becomes of them, of their
// tasks, and of everybody else's.

import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { waitFor } from '../support/wait.ts'
import { type Copy, type NodeLine, openCluster } from './cluster.ts'
import { shell } from './one-node.ts'

const managers = [0, 1, 2]
const workers = [3, 4, 5]
const cluster = await openCluster(t, { managers: managers.length, workers: workers.length })

/** A command that ends when it is told to. */
const patient = ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1 & wait $!; done']

function lineOf(lines: readonly NodeLine[], place: number): NodeLine {
  const line = lines.find(({ hostname }) => hostname === cluster.lab.host(place).name)
  if (line === undefined) throw new Error(`no node ${place + 1} in ${JSON.stringify(lines)}`)
  return line
}

const isAllReady = (lines: readonly NodeLine[]): boolean =>
  lines.every(({ status }) => status === 'Ready')

function awaitStatus(place: number, status: string, timeoutMs = 20_000): Promise<unknown> {
  return cluster.awaitNodes((lines) => lineOf(lines, place).status === status, { timeoutMs })
}

/** The containers of `web` on all places but these. */
async function elsewhere(places: readonly number[]): Promise<readonly string[]> {
  const all = await cluster.copies('web')
  return all
    .filter(({ place }) => !places.includes(place))
    .map(({ container }) => container)
    .sort()
}

/** Waits until `web` has its six copies, each of a slot of its own, and as many tasks. */
async function settled(count = 6): Promise<readonly Copy[]> {
  await cluster.awaitRunning('web', count)
  let seen: readonly Copy[] = []
  await waitFor({ what: `${count} copies, one of each slot`, timeoutMs: 30_000 }, async () => {
    seen = await cluster.copies('web')
    return seen.length === count && new Set(seen.map(({ slot }) => slot)).size === count
  })
  return seen
}

t.before(async () => {
  const flags = ['--detach', '--name', 'web', '--replicas', '6', '--stop-grace-period', '2s']
  await cluster.must(0, 'service', 'create', ...flags, shell, ...patient)
  await settled()
})

t.test(
  'a worker whose agent dies is Down, its tasks go elsewhere, and it comes back',
  async (t) => {
    const [place = 3] = workers
    const others = await elsewhere([place])
    const killedAtMs = Date.now()
    await cluster.agent(place).kill()
    await awaitStatus(place, 'Down')
    const downMs = Date.now() - killedAtMs
    const id = lineOf(await cluster.nodes(), place).id
    await cluster.awaitRunning('web', 6, {
      isSo: (list) => list.every(({ NodeID }) => NodeID !== id),
    })
    t.comment(`Down after ${downMs} ms, replaced after ${Date.now() - killedAtMs} ms`)
    const own = (await cluster.copies('web')).filter((copy) => copy.place === place)
    t.equal(own.length, 1, 'the copy on the lost node runs on')
    await cluster.agent(place).start()
    await awaitStatus(place, 'Ready')
    const now = await settled()
    const kept = new Set(now.map(({ container }) => container))
    t.ok(
      others.every((container) => kept.has(container)),
      'no other task was touched',
    )
    t.notOk(
      now.some((copy) => copy.place === place),
      'the older copy was stopped',
    )
  },
)

t.test('a worker that loses its power is replaced, and comes back empty', async (t) => {
  const [, place = 4] = workers
  const others = await elsewhere([place])
  const lostAtMs = Date.now()
  await cluster.lab.host(place).powerOff()
  await awaitStatus(place, 'Down')
  t.comment(`Down after ${Date.now() - lostAtMs} ms`)
  await cluster.awaitRunning('web', 6)
  t.comment(`replaced after ${Date.now() - lostAtMs} ms`)
  await cluster.lab.host(place).powerOn()
  await cluster.engines[place]?.start()
  await cluster.agent(place).start()
  await awaitStatus(place, 'Ready')
  const now = await settled()
  const kept = new Set(now.map(({ container }) => container))
  t.ok(
    others.every((container) => kept.has(container)),
    'no other task was touched',
  )
})

t.test(
  'a worker that stands still for 2 s keeps its tasks; for 4 and 20 s too, or is replaced',
  async (t) => {
    const [, , place = 5] = workers
    for (const seconds of [2, 4, 20]) {
      const others = await elsewhere([place])
      cluster.agent(place).pause()
      const woken = sleep(seconds * 1_000).then(() => cluster.agent(place).resume())
      if (seconds === 2) {
        const until = Date.now() + 3_000
        let isDown = false
        while (Date.now() < until) {
          isDown ||= lineOf(await cluster.nodes(), place).status !== 'Ready'
        }
        t.notOk(isDown, 'nobody is called down for 2 s')
      }
      await woken
      await cluster.awaitNodes(isAllReady)
      const kept = new Set((await settled()).map(({ container }) => container))
      t.ok(
        others.every((container) => kept.has(container)),
        `${seconds} s: no other task was touched`,
      )
    }
  },
)

t.test('half of the nodes cut off at once are Unknown first, and nothing is moved', async (t) => {
  const lost = workers.slice(0, 2)
  // What was lost before has left these nodes empty.
  await cluster.must(0, 'service', 'scale', '--detach', 'web=12')
  const copiesBefore = await settled(12)
  t.ok(copiesBefore.some(({ place }) => place === lost[0]))
  const before = copiesBefore.map(({ container }) => container).sort()
  for (const place of lost) cluster.lab.host(place).cut()
  for (const place of lost) await awaitStatus(place, 'Unknown')
  const tasks = (await cluster.running('web')).length
  t.equal(tasks, 12, 'no task was given up')
  for (const place of lost) cluster.lab.host(place).mend()
  await cluster.awaitNodes(isAllReady)
  t.same((await settled(12)).map(({ container }) => container).sort(), before)
})

t.test('nodes are shown as they are, wherever they are asked of', async (t) => {
  const [place = 3] = workers
  const { name, address } = cluster.lab.host(place)
  await cluster.must(1, 'node', 'update', '--label-add', 'zone=east', name)
  const [head = ''] = (await cluster.must(0, 'node', 'ls')).split('\n')
  const columns = 'ID HOSTNAME STATUS AVAILABILITY MANAGER STATUS ENGINE VERSION'
  t.equal(head.trim().replaceAll(/ {2,}/g, ' '), columns)
  const own = (await cluster.must(0, 'node', 'ls'))
    .split('\n')
    .filter((line) => /^\w+ \* /.test(line))
  t.equal(own.length, 1, 'one line is marked as the node that was asked')
  const pretty = await cluster.must(2, 'node', 'inspect', '--pretty', name)
  for (const text of [
    ` - zone=east`,
    `Hostname: `,
    name,
    'State:',
    'Ready',
    address,
    'Engine Version:',
  ]) {
    t.match(pretty, text)
  }
  const json = JSON.parse(await cluster.must(1, 'node', 'inspect', name)) as readonly unknown[]
  t.match(json[0], {
    Spec: { Labels: { zone: 'east' }, Role: 'worker', Availability: 'active' },
    Status: { State: 'ready', Addr: address },
    Description: {
      Hostname: name,
      Platform: { OS: 'linux' },
      Resources: { NanoCPUs: Number, MemoryBytes: Number },
      Engine: { EngineVersion: String },
    },
  })
  await cluster.must(0, 'node', 'update', '--label-rm', 'zone', name)
})

t.test('a paused node gets nothing new, a drained one loses what it has', async (t) => {
  const [place = 3, other = 4] = workers
  const on = (list: readonly Copy[], at: number): number =>
    list.filter((copy) => copy.place === at).length
  const before = await settled(12)
  await cluster.must(0, 'node', 'update', '--availability', 'pause', cluster.lab.host(place).name)
  await cluster.must(0, 'node', 'update', '--availability', 'drain', cluster.lab.host(other).name)
  await waitFor({ what: 'an empty node', timeoutMs: 60_000 }, async () => {
    const list = await cluster.copies('web')
    return list.length === 12 && on(list, other) === 0
  })
  const after = await settled(12)
  t.equal(on(after, place), on(before, place))
  const text = await cluster.must(1, 'node', 'ps', cluster.lab.host(other).name)
  t.match(text, /Shutdown/, 'node ps of another node says what became of its tasks')
  for (const at of [place, other]) {
    await cluster.must(0, 'node', 'update', '--availability', 'active', cluster.lab.host(at).name)
  }
})

t.test('an engine that is away for long makes its node Down, and is described anew', async (t) => {
  const [, , place = 5] = workers
  const engine = cluster.engines[place]
  const others = await elsewhere([place])
  await engine?.kill()
  const lostAtMs = Date.now()
  await awaitStatus(place, 'Down', 40_000)
  t.comment(`Down after ${Date.now() - lostAtMs} ms`)
  const host = cluster.lab.host(place).name
  t.match(await cluster.must(0, 'node', 'inspect', host), /the container engine does not answer/)
  await cluster.awaitRunning('web', 12)
  await engine?.start()
  await awaitStatus(place, 'Ready')
  const kept = new Set((await settled(12)).map(({ container }) => container))
  t.ok(
    others.every((container) => kept.has(container)),
    'no other task was touched',
  )
})

t.test('the leader dies: nobody is called down, and no task is moved', async (t) => {
  const leader = await cluster.leader()
  const before = await elsewhere([leader])
  const index = managers.find((place) => place !== leader) ?? 0
  const marks = cluster.agents.map((agent) => agent.log().length)
  const killedAtMs = Date.now()
  await cluster.agent(leader).kill()
  const others = [...managers, ...workers].filter((place) => place !== leader)
  const isWell = (lines: readonly NodeLine[]): boolean =>
    others.every((place) => lineOf(lines, place).status === 'Ready')
  // Longer than a grace, and than what a new leader gives.
  const until = Date.now() + 6_000
  let wrong = 0
  while (Date.now() < until) {
    const lines = await cluster.nodes(index).catch(() => undefined)
    if (lines !== undefined && !isWell(lines)) wrong++
  }
  t.equal(wrong, 0)
  for (const place of workers) {
    const log = cluster.agent(place).log().slice(marks[place])
    const times = [...log.matchAll(/^(\S+) .*session\.(lost|open)/gm)]
    const [lost, open] = times.map(([, at = '']) => Date.parse(at))
    if (lost === undefined || open === undefined) continue
    t.comment(
      `n${place + 1} moved its session: lost ${lost - killedAtMs} ms after the kill, open after ${open - killedAtMs} ms`,
    )
  }
  await cluster.agent(leader).start()
  await cluster.awaitNodes(isAllReady, { index })
  const now = new Set((await settled(12)).map(({ container }) => container))
  t.ok(
    before.every((container) => now.has(container)),
    'no other task was touched',
  )
})

t.test('a worker that leaves in good order is Down at once, and can be removed', async (t) => {
  const [place = 3] = workers
  const { name } = cluster.lab.host(place)
  await cluster.must(place, 'leave')
  await awaitStatus(place, 'Down')
  await cluster.must(1, 'node', 'rm', name)
  t.notOk((await cluster.nodes(1)).some(({ hostname }) => hostname === name))
  await cluster.awaitRunning('web', 12)
})
