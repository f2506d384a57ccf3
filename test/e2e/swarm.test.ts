// Swarm: from a fresh daemon through init, its flags and its settings, to leave, and what remains.

import t from 'tap'
import { waitFor } from '../support/wait.ts'
import { openOneNode, shell, web1 } from './one-node.ts'
import { normalise, printed } from './transcript.ts'

const notManager =
  'Error response from daemon: This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.\n(exit status 1)\n'
const notPart = 'Error response from daemon: This node is not part of a swarm\n(exit status 1)\n'
const lastManager =
  'Error response from daemon: You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message.\n(exit status 1)\n'

const node = await openOneNode(t, { isFresh: true })

t.test('a daemon in no swarm says so, and serves the engine', async (t) => {
  for (const words of [
    'node ls',
    'service ls',
    `service create ${shell}`,
    'swarm join-token worker',
  ]) {
    t.equal(printed(await node.docker(...words.split(' '))), notManager, words)
  }
  for (const words of ['node ls', 'service ls']) {
    t.equal(printed(await node.agent.cli(...words.split(' '))), notManager, `agent ${words}`)
  }
  t.equal(printed(await node.docker('swarm', 'leave')), notPart)
  t.equal(printed(await node.docker('swarm', 'leave', '--force')), notPart)
  const state = await node.must('info', '--format', '{{.Swarm.LocalNodeState}} {{.Swarm.NodeID}}')
  t.equal(state, 'inactive')
  const ping = await node.agent.request({ path: '/_ping' })
  t.equal(ping.headers['swarm'], 'inactive')
  t.equal(await node.must('run', '--rm', shell, 'echo', 'hello'), 'hello')
})

t.test('flags of init that are wrong are named, and nothing is begun', async (t) => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['--advertise-addr bogus', /advertise address must be a non-zero IP address .*: bogus/],
    ['--advertise-addr 0.0.0.0', /advertise address must be a non-zero IP address/],
    ['--advertise-addr 10.99.0.11:99999', /99999/],
    ['--listen-addr 10.99.0.11:bogus', /bogus/],
    ['--availability bogus', /bogus/],
    ['--default-addr-pool 10.0.0.0/99', /10\.0\.0\.0\/99/],
    ['--default-addr-pool-mask-length 99', /99/],
    ['--task-history-limit x', /--task-history-limit/],
    ['--external-ca protocol=cfssl,url=https://ca.example', /external/i],
    ['--data-path-port 99', /data path port|99/i],
  ]
  for (const [flags, want] of refused) {
    const ended = await node.docker('swarm', 'init', ...flags.split(' '))
    t.not(ended.code, 0, flags)
    t.match(ended.stderr, want, flags)
  }
  t.equal(await node.must('info', '--format', '{{.Swarm.LocalNodeState}}'), 'inactive')
})

t.test('init takes its settings and prints how to join', async (t) => {
  const flags = ['--task-history-limit', '3', '--dispatcher-heartbeat', '2s']
  const pool = ['--default-addr-pool', '10.20.0.0/16', '--default-addr-pool-mask-length', '26']
  const ended = await node.docker('swarm', 'init', '--availability', 'pause', ...flags, ...pool)
  const token = /SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}-\S+/.exec(ended.stdout)?.[0] ?? ''
  t.equal(
    normalise(`${ended.stdout.replace(token, 'TOKEN').trimEnd()}\n`),
    normalise(`Swarm initialized: current node (<id>) is now a manager.

To add a worker to this swarm, run the following command:

    docker swarm join --token TOKEN ${node.host.address}:2377

To add a manager to this swarm, run 'docker swarm join-token manager' and follow the instructions.
`),
  )
  t.equal(await node.must('swarm', 'join-token', '-q', 'worker'), token)
  t.not(await node.must('swarm', 'join-token', '-q', 'manager'), token)
  t.match(await node.agent.json({ path: '/swarm' }), {
    Spec: {
      Orchestration: { TaskHistoryRetentionLimit: 3 },
      Dispatcher: { HeartbeatPeriod: 2_000_000_000 },
    },
    DefaultAddrPool: ['10.20.0.0/16'],
    SubnetSize: 26,
  })
  t.match(
    normalise(await node.must('node', 'ls')).replaceAll(/ +/g, ' '),
    /<id> \* n1 Ready Pause Leader 20\.10/,
  )
  t.match((await node.docker('swarm', 'init')).stderr, 'This node is already part of a swarm')
})

t.test('a node that pauses gets nothing new, one that drains gives up what it has', async (t) => {
  const update = (availability: string): Promise<string> =>
    node.must('node', 'update', '--availability', availability, 'n1')
  await node.create('web', '--replicas', '2', web1)
  await node.awaitPs('web', /Pending .*"no suitable node \(1 node not available for new tasks\)/)
  t.equal(await update('active'), 'n1')
  await node.awaitRunning('web', { count: 2 })

  await update('pause')
  await node.must('service', 'scale', '--detach', 'web=3')
  await node.awaitPs('web', /Pending .*"no suitable node/)
  t.equal((await node.running('web')).length, 2, 'a pause takes nothing away')

  await update('drain')
  await waitFor({ what: 'empty node', timeoutMs: 30_000 }, async () => {
    return (await node.engineMust('ps', '--quiet')) === ''
  })
  t.match(await node.must('node', 'ls'), / Drain /)
  await update('active')
  await node.awaitRunning('web', { count: 3 })

  await node.must('node', 'update', '--label-add', 'zone=a', '--label-add', 'disk', 'n1')
  t.match(await node.must('node', 'inspect', '--pretty', 'self'), ' - disk\n - zone=a\n')
  await node.must('node', 'update', '--label-rm', 'disk', 'n1')
  t.equal(
    await node.must('node', 'inspect', '--format', '{{json .Spec.Labels}}', 'n1'),
    '{"zone":"a"}',
  )
})

t.test('settings of the swarm are changed while it runs', async (t) => {
  t.equal(await node.must('swarm', 'update', '--task-history-limit', '1'), 'Swarm updated.')
  t.match(await node.must('info'), 'Task History Retention Limit: 1')
  for (const value of ['a', 'b', 'c']) {
    const flags = ['--detach', '--env-add', `A=${value}`, '--update-parallelism', '0']
    await node.must('service', 'update', ...flags, 'web')
    await waitFor({ what: `update to ${value}`, timeoutMs: 30_000 }, async () => {
      return (await node.service('web')).UpdateStatus?.State === 'completed'
    })
  }
  await waitFor({ what: 'one task a slot', timeoutMs: 20_000 }, async () => {
    return (await node.tasks('web')).length === 3
  })
  const token = await node.must('swarm', 'join-token', '-q', 'worker')
  await node.must('swarm', 'join-token', '--rotate', 'worker')
  t.not(await node.must('swarm', 'join-token', '-q', 'worker'), token)
  t.match((await node.docker('swarm', 'update', '--task-history-limit', '-1')).code, 0)

  await node.agent.restart('kill')
  t.match(await node.must('info'), 'Task History Retention Limit: ', 'settings outlive a crash')
})

t.test('leave takes our containers away, and no others', async (t) => {
  const own = await node.must('run', '--detach', '--name', 'mine', shell)
  t.equal(printed(await node.docker('swarm', 'leave')), lastManager)
  t.equal(printed(await node.agent.cli('swarm', 'leave')), lastManager)
  t.equal((await node.running('web')).length, 3, 'which changes nothing')
  t.equal(await node.must('swarm', 'leave', '--force'), 'Node left the swarm.')
  const left = await node.engineMust('ps', '-a', '--quiet', '--no-trunc')
  t.equal(left, own, 'the one that is not ours is all that is left')
  t.equal(printed(await node.docker('service', 'ls')), notManager)
  await node.agent.restart('kill')
  t.equal(printed(await node.docker('service', 'ls')), notManager, 'after a restart too')

  t.match(await node.must('swarm', 'init'), 'Swarm initialized')
  t.equal(await node.must('service', 'ls', '--quiet'), '', 'a new swarm knows nothing of the old')
  t.equal(await node.engineMust('ps', '-a', '--quiet', '--no-trunc'), own)
  await node.must('rm', '--force', 'mine')
})
