// The majority of managers is lost, and one goes on alone; and nodes that come back where they do not
// belong any more: removed, demoted while away, copied, or left behind by a recovery.

import { cpSync, rmSync } from 'node:fs'
import t from 'tap'
import { mustDocker } from '../support/docker-cli.ts'
import { waitFor } from '../support/wait.ts'
import { openCluster } from './cluster.ts'
import { web1 } from './one-node.ts'

const cluster = await openCluster(t, { managers: 3, workers: 2 })
await cluster.must(0, 'service', 'create', '--detach', '--name', 'web', '--replicas', '5', web1)
await cluster.awaitRunning('web', 5)

interface Swarm {
  readonly LocalNodeState: string
  readonly ControlAvailable: boolean
  readonly Error: string
}

async function swarmOf(index: number): Promise<Swarm> {
  return ((await cluster.agent(index).json({ path: '/info' })) as { Swarm: Swarm }).Swarm
}

/** Waits until the node says of itself what is wrong. */
function awaitError(index: number, text: RegExp): Promise<unknown> {
  let last: unknown
  return waitFor(
    { what: `error on node ${index}`, timeoutMs: 60_000, describe: () => JSON.stringify(last) },
    async () => {
      const swarm = await swarmOf(index)
      last = swarm
      return swarm.LocalNodeState === 'error' && text.test(swarm.Error)
    },
  )
}

/** Waits until no container of a task runs on the host. */
function awaitIdle(index: number): Promise<unknown> {
  return waitFor({ what: `idle engine ${index}`, timeoutMs: 60_000 }, async () => {
    return (await mustDocker({ host: cluster.engines[index]?.url ?? '' }, 'ps', '-q')) === ''
  })
}

t.test('a removed node that comes back hears so, stops, and may join again', async (t) => {
  await cluster.agent(4).stop()
  await cluster.awaitNodes((lines) =>
    lines.some(({ hostname, status }) => hostname === 'n5' && status === 'Down'),
  )
  await cluster.must(0, 'node', 'rm', 'n5')
  await cluster.agent(4).start()
  await awaitError(4, /is not a member of this cluster.*agent leave --force/)
  await awaitIdle(4)
  t.match(
    cluster.agent(0).log() + cluster.agent(1).log() + cluster.agent(2).log(),
    /peer\.refused .*not a member of this cluster/,
  )
  await cluster.must(4, 'leave', '--force')
  await cluster.must(4, 'join', await cluster.must(1, 'token', 'worker', '-q'))
  await cluster.awaitNodes((lines) =>
    lines.some(({ hostname, status }) => hostname === 'n5' && status === 'Ready'),
  )
})

t.test('a manager that was demoted while it was away comes back as a worker', async (t) => {
  const leader = await cluster.leader()
  const away = [0, 1, 2].find((index) => index !== leader) ?? 0
  const { name } = cluster.lab.host(away)
  await cluster.agent(away).kill()
  await cluster.must(leader, 'node', 'demote', name)
  await cluster.agent(away).start()
  await cluster.awaitNodes(
    (lines) => lines.some((line) => line.hostname === name && line.status === 'Ready'),
    { index: leader },
  )
  await waitFor({ what: 'a worker', timeoutMs: 30_000 }, async () => {
    const swarm = await swarmOf(away)
    return swarm.LocalNodeState === 'active' && !swarm.ControlAvailable
  })
  await cluster.must(leader, 'node', 'promote', name)
  await cluster.awaitNodes(
    (lines) => lines.some((line) => line.hostname === name && line.manager === 'Reachable'),
    { index: leader },
  )
  t.pass('and is a manager again')
})

t.test('two nodes with one state folder: the earlier is told', async (t) => {
  const [one, two] = [cluster.agent(3), cluster.agent(4)]
  await cluster.must(4, 'leave')
  await two.stop()
  await one.stop()
  rmSync(two.stateFolder, { recursive: true })
  cpSync(one.stateFolder, two.stateFolder, { recursive: true })
  await one.start()
  await waitFor({ what: 'session', timeoutMs: 30_000 }, () => /session\.open/.test(one.log()))
  await two.start()
  await awaitError(3, /runs twice.*state folder was copied/)
  await awaitIdle(3)
  t.equal((await swarmOf(4)).LocalNodeState, 'active')
  await cluster.must(3, 'leave', '--force')
  await cluster.must(3, 'join', await cluster.must(0, 'token', 'worker', '-q'))
  await cluster.awaitNodes((lines) => lines.filter(({ status }) => status === 'Ready').length === 5)
  await cluster.awaitRunning('web', 5)
})

t.test('while a leader is heard there is nothing to recover', async (t) => {
  for (const args of [['recover'], ['init', '--force-new-cluster']]) {
    const ended = await cluster.cli(0, ...args)
    t.equal(ended.code, 1)
    t.match(ended.stderr, /FailedPrecondition desc = the managers have a leader/)
  }
})

t.test('one manager goes on alone with all services, and the workers follow', async (t) => {
  await cluster.agent(1).kill()
  await cluster.agent(2).kill()
  await waitFor({ what: 'loss of the quorum', timeoutMs: 30_000 }, async () => {
    return (await swarmOf(0)).Error.includes('does not have a leader')
  })
  const dry = await cluster.must(0, 'recover', '--dry-run')
  t.match(dry, /would go on alone, in epoch 2, with 1 services and [56] nodes/)
  t.match(dry, /Nothing was changed/)
  t.match((await swarmOf(0)).Error, /does not have a leader/)
  const done = await cluster.must(0, 'recover')
  t.match(done, /goes on alone, in epoch 2/)
  const lines = await cluster.awaitNodes((all) =>
    ['n4', 'n5'].every((name) =>
      all.some(({ hostname, status }) => hostname === name && status === 'Ready'),
    ),
  )
  t.equal(lines.filter(({ manager }) => manager === 'Leader').length, 1)
  t.equal(lines.filter(({ manager }) => manager !== '').length, 1)
  await cluster.must(0, 'service', 'scale', '--detach', 'web=6')
  await cluster.awaitRunning('web', 6)
  await cluster.agent(0).restart()
  await cluster.awaitRunning('web', 6)
  t.equal((await cluster.nodes()).filter(({ manager }) => manager !== '').length, 1)
})

t.test('an old manager is refused until it joins anew', async (t) => {
  await cluster.agent(1).start()
  await awaitError(1, /recovered without this manager.*agent leave --force/)
  await awaitIdle(1)
  await cluster.must(1, 'leave', '--force')
  await cluster.must(1, 'join', await cluster.must(0, 'token', 'manager', '-q'))
  await cluster.awaitNodes((lines) =>
    lines.some(({ hostname, manager }) => hostname === 'n2' && manager === 'Reachable'),
  )
  t.pass('it is a manager of the new epoch')
})
