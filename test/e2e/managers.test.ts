// Managers that come and go: promoted, demoted, removed, leaving, stopped and started, moved to
// another address. The cluster goes on, and says why when it must not.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Agent } from '../support/agent.ts'
import { waitFor } from '../support/wait.ts'
import { openCluster } from './cluster.ts'

const cluster = await openCluster(t, { managers: 3, workers: 1 })
const nodes = await cluster.nodes()

/** Id of the node at that place. */
function idOf(index: number): string {
  const { name } = cluster.lab.host(index)
  const found = nodes.find(({ hostname }) => hostname === name)
  if (found === undefined) throw new Error(`no node ${name}`)
  return found.id
}

/** Waits until that manager lists the other one so. */
function awaitManager(name: string, status: string, index: number): Promise<unknown> {
  return cluster.awaitNodes(
    (lines) => lines.some(({ hostname, manager }) => hostname === name && manager === status),
    { index },
  )
}

t.test('a worker becomes a manager, a worker again, and a manager again', async (t) => {
  const promoted = await cluster.cli(1, 'node', 'promote', 'n4')
  t.equal(promoted.stdout, 'Node n4 promoted to a manager in the swarm.\n')
  t.match(promoted.stderr, /WARNING: 4 managers survive the loss of 1, as 3 would/)
  await awaitManager('n4', 'Reachable', 0)
  await waitFor({ what: 'answer of the new manager', timeoutMs: 30_000 }, async () => {
    return (await cluster.cli(3, 'node', 'ls')).code === 0
  })
  t.ok(existsSync(join(cluster.agent(3).stateFolder, 'raft')))
  t.equal(await cluster.must(0, 'node', 'promote', 'n4'), `Node ${idOf(3)} is already a manager.`)

  t.equal(await cluster.must(0, 'node', 'demote', 'n4'), 'Manager n4 demoted in the swarm.')
  await awaitManager('n4', '', 0)
  const state = cluster.agent(3).stateFolder
  await waitFor({ what: 'end of the manager', timeoutMs: 30_000 }, () => {
    return !existsSync(join(state, 'raft')) && !existsSync(join(state, 'manager.key'))
  })
  const refused = await cluster.cli(3, 'node', 'ls')
  t.match(refused.stderr, /This node is not a swarm manager. Worker nodes can't be used to view/)
  t.equal(await cluster.must(0, 'node', 'demote', 'n4'), `Node ${idOf(3)} is already a worker.`)

  await cluster.must(0, 'node', 'promote', 'n4')
  await awaitManager('n4', 'Reachable', 0)
  await waitFor({ what: 'answer of the new manager', timeoutMs: 30_000 }, async () => {
    return (await cluster.cli(3, 'node', 'ls')).code === 0
  })
  t.match(cluster.agent(3).log(), new RegExp(`manager.opened .*member=${idOf(3)}.2`))
  await cluster.must(0, 'node', 'demote', 'n4')
  await awaitManager('n4', '', 0)
})

t.test('a leader that is demoted hands over first', async (t) => {
  const leader = await cluster.leader()
  const other = [0, 1, 2].find((index) => index !== leader) ?? 0
  const { name } = cluster.lab.host(leader)
  await cluster.must(leader, 'node', 'demote', name)
  await cluster.must(other, 'config', 'create', 'after-demotion', '/etc/hostname')
  await awaitManager(name, '', other)
  t.not(await cluster.leader(other), leader)
  await cluster.must(other, 'node', 'promote', name)
  await awaitManager(name, 'Reachable', other)
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'), {
    index: other,
  })
})

t.test('what must not be removed is not, in the words of Swarm', async (t) => {
  const text = async (...args: readonly string[]): Promise<string> => {
    const ended = await cluster.cli(0, ...args)
    t.equal(ended.code, 1, args.join(' '))
    return ended.stderr.trim()
  }
  const precondition = 'Error response from daemon: rpc error: code = FailedPrecondition desc ='
  t.equal(
    await text('node', 'rm', 'n4'),
    `${precondition} node ${idOf(3)} is not down and can't be removed`,
  )
  for (const force of [[], ['--force']]) {
    t.equal(
      await text('node', 'rm', ...force, 'n2'),
      `${precondition} node ${idOf(1)} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal`,
    )
  }
  t.match(
    await text('leave'),
    /^Error response from daemon: You are attempting to leave the swarm on a node that is participating as a manager\. The only way to restore/,
  )
  t.equal(await text('node', 'rm', 'nope'), 'Error response from daemon: node nope not found')
  t.equal(await text('node', 'demote', 'nope'), 'Error response from daemon: node nope not found')
})

t.test('the leader stops in good order: another one leads before it is gone', async (t) => {
  const leader = await cluster.leader()
  const other = [0, 1, 2].find((index) => index !== leader) ?? 0
  const write = (count: number): Promise<unknown> =>
    cluster.agent(other).json({
      method: 'POST',
      path: '/configs/create',
      body: { Name: `w${count}`, Data: 'eA==' },
    })
  await write(0)
  let isOver = false
  let longestMs = 0
  const writing = (async () => {
    for (let count = 1; !isOver; count++) {
      const beganMs = performance.now()
      await write(count)
      longestMs = Math.max(longestMs, performance.now() - beganMs)
    }
  })()
  const stopped = cluster
    .agent(leader)
    .stop()
    .finally(() => {
      isOver = true
    })
  await Promise.all([stopped, writing])
  t.comment(`the longest write took ${Math.round(longestMs)} ms`)
  t.match(cluster.agent(leader).log(), /raft\.transfer-started/)
  await cluster.must(other, 'config', 'create', 'while-away', '/etc/hostname')
  await cluster.agent(leader).start()
  await awaitManager(cluster.lab.host(leader).name, 'Reachable', other)
  t.match(await cluster.must(leader, 'config', 'ls'), /while-away/, 'it has caught up')
})

t.test('all managers stop and start, and the cluster is back', async (t) => {
  await Promise.all([0, 1, 2].map((index) => cluster.agent(index).stop()))
  await Promise.all([0, 1, 2].map((index) => cluster.agent(index).start()))
  const lines = await cluster.awaitNodes((all) => all.every(({ status }) => status === 'Ready'))
  t.equal(lines.length, 4)
  t.match(await cluster.must(1, 'config', 'ls'), /while-away/)
})

t.test('a manager comes back with another address, and all learn it', async (t) => {
  const leader = await cluster.leader()
  const moved = [0, 1, 2].find((index) => index !== leader) ?? 0
  const host = cluster.lab.host(moved)
  const [address, at] = ['10.99.0.77', '10.99.0.77:2377']
  await cluster.agent(moved).stop()
  const change = async (from: string, to: string): Promise<void> => {
    await host.run(['ip', 'addr', 'del', `${from}/24`, 'dev', 'eth0'])
    await host.run(['ip', 'addr', 'add', `${to}/24`, 'dev', 'eth0'])
  }
  await change(host.address, address)
  const [engine] = cluster.engines.slice(moved)
  if (engine === undefined) throw new Error('no engine')
  const agent = new Agent(host, {
    engine,
    flags: ['--listen-addr', at, '--advertise-addr', address],
  })
  await agent.start()
  t.teardown(() => agent.stop())
  const managers = async (index: number): Promise<readonly string[]> => {
    const info = (await cluster.agent(index).json({ path: '/info' })) as {
      Swarm: { RemoteManagers: { Addr: string }[] }
    }
    return info.Swarm.RemoteManagers.map(({ Addr }) => Addr)
  }
  for (const index of [leader, 3]) {
    await waitFor({ what: 'news of the address', timeoutMs: 30_000 }, async () => {
      return (await managers(index)).includes(at)
    })
  }
  await awaitManager(host.name, 'Reachable', leader)
  const rest = [0, 1, 2].filter((index) => index !== leader && index !== moved)
  await cluster.agent(rest[0] ?? 0).stop()
  await cluster.must(leader, 'config', 'create', 'by-two', '/etc/hostname')
  t.pass('the two are a quorum over the new address')
  await cluster.agent(rest[0] ?? 0).start()
  await agent.stop()
  await change(address, host.address)
  await cluster.agent(moved).start()
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'), {
    index: leader,
  })
})

t.test('a manager that leaves by force counts no more', async (t) => {
  const leader = await cluster.leader()
  const { name } = cluster.lab.host(leader)
  const other = [0, 1, 2].find((index) => index !== leader) ?? 0
  t.equal(await cluster.must(leader, 'leave', '--force'), 'Node left the swarm.')
  await cluster.awaitNodes(
    (all) =>
      all.some((line) => line.hostname === name && line.status === 'Down' && line.manager === ''),
    { index: other },
  )
  t.equal(await cluster.must(other, 'node', 'rm', name), name)
  const last = [0, 1, 2].filter((index) => index !== leader)
  const info = (await cluster.agent(other).json({ path: '/info' })) as { Warnings: string[] | null }
  t.match(info.Warnings?.join(), /Two managers tolerate no failure/)
  await cluster.must(
    other,
    'node',
    'demote',
    cluster.lab.host(last.find((i) => i !== other) ?? 0).name,
  )
  await waitFor({ what: 'a single member', timeoutMs: 30_000 }, async () => {
    return (await cluster.nodes(other)).filter(({ manager }) => manager !== '').length === 1
  })
  const demoted = await cluster.cli(other, 'node', 'demote', cluster.lab.host(other).name)
  t.equal(
    demoted.stderr.trim(),
    'Error response from daemon: rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm',
  )
  const leave = await cluster.cli(other, 'leave')
  t.equal(
    leave.stderr.trim(),
    'Error response from daemon: You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message.',
  )
})
