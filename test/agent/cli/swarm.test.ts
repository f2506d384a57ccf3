// The cluster's commands: what they send and what they print.

import t from 'tap'
import { type Routes, startApiServer } from './support/api-server.ts'
import { run } from './support/memory-io.ts'

const spec = {
  Name: 'default',
  Labels: {},
  Orchestration: { TaskHistoryRetentionLimit: 5 },
  Raft: { SnapshotInterval: 10000, ElectionTick: 10, HeartbeatTick: 1 },
  Dispatcher: { HeartbeatPeriod: 5_000_000_000 },
  CAConfig: { NodeCertExpiry: 7_776_000_000_000_000 },
  TaskDefaults: {},
  EncryptionConfig: { AutoLockManagers: false },
}

/** A manager; `tokens` as it hands them out. */
function manager(tokens: object, state = 'active'): Routes {
  return {
    'POST /swarm/init': () => ({ body: 'node1' }),
    'POST /': () => ({}),
    'GET /swarm/unlockkey': () => ({ body: { UnlockKey: 'SWMKEY-1-abc' } }),
    'GET /swarm': () => ({
      body: {
        Version: { Index: 3 },
        Spec: spec,
        JoinTokens: tokens,
        TLSInfo: { TrustRoot: 'PEM\n' },
      },
    }),
    'GET /nodes/node1': () => ({ body: { ID: 'node1', ManagerStatus: { Addr: '1.2.3.4:2377' } } }),
    'GET /info': () => ({
      body: { Swarm: { NodeID: 'node1', LocalNodeState: state, ControlAvailable: false } },
    }),
  }
}

const ours = {
  Worker: 'SWMTKN-1-digest-secret-1.2.3.4:2377',
  Manager: 'SWMTKN-1-digest-other-1.2.3.4:2377',
}

t.test('init says how a worker joins', async (t) => {
  const server = await startApiServer(manager(ours))
  t.teardown(server.close)
  const args = [
    '--listen-addr',
    '1.2.3.4',
    '--task-history-limit',
    '9',
    '--default-addr-pool',
    '10.0.0.0/8',
  ]
  const { exitCode, out } = await run(['-H', server.host, 'init', ...args])
  t.equal(exitCode, 0)
  t.equal(
    out,
    `Swarm initialized: current node (node1) is now a manager.

To add a worker to this swarm, run the following command:

    agent join ${ours.Worker}

To add a manager to this swarm, run 'agent token manager' and follow the instructions.
`,
  )
  t.match(server.requests[0]?.body, {
    ListenAddr: '1.2.3.4:2377',
    DefaultAddrPool: ['10.0.0.0/8'],
    SubnetSize: 24,
    Spec: { Orchestration: { TaskHistoryRetentionLimit: 9 } },
    AutoLockManagers: false,
    Availability: '',
  })
  const locked = await run(['-H', server.host, 'swarm', 'init', '--autolock'])
  t.match(
    locked.out,
    'To unlock a swarm manager after it restarts, run the `agent unlock`\ncommand and provide the following key:\n\n    SWMKEY-1-abc\n\n',
  )
})

t.test('a token without addresses is printed with the address', async (t) => {
  const server = await startApiServer(manager({ Worker: 'SWMTKN-1-d-s', Manager: 'SWMTKN-1-d-m' }))
  t.teardown(server.close)
  const at = async (...args: readonly string[]) => (await run(['-H', server.host, ...args])).out
  const line = (command: string): string =>
    `To add a manager to this swarm, run the following command:\n\n    ${command}\n\n`
  t.equal(await at('token', 'manager'), line('agent join SWMTKN-1-d-m 1.2.3.4:2377'))
  t.equal(
    await at('swarm', 'join-token', 'manager'),
    line('agent swarm join --token SWMTKN-1-d-m 1.2.3.4:2377'),
  )
  t.equal(await at('token', '-q', 'worker'), 'SWMTKN-1-d-s\n')
  t.match(
    await at('token', '--rotate', 'worker'),
    'Successfully rotated worker join token.\n\nTo add',
  )
  const update = server.requests.find((request) => request.path === '/swarm/update')
  t.equal(
    update?.query.toString(),
    'rotateManagerToken=false&rotateManagerUnlockKey=false&rotateWorkerToken=true&version=3',
  )
  t.strictSame(update?.body, spec)
})

t.test('join takes a token of ours alone, and a token of Swarm with an address', async (t) => {
  const server = await startApiServer(manager(ours))
  t.teardown(server.close)
  const joined = async (...args: readonly string[]): Promise<unknown> => {
    const { out } = await run(['-H', server.host, ...args])
    t.equal(out, 'This node joined a swarm as a worker.\n')
    return server.requests.findLast((request) => request.method === 'POST')?.body
  }
  t.match(await joined('join', ours.Worker), { JoinToken: ours.Worker, RemoteAddrs: [] })
  t.match(await joined('join', 'T', '1.2.3.4:2377'), { RemoteAddrs: ['1.2.3.4:2377'] })
  t.match(await joined('swarm', 'join', '--token', 'T', 'h:1', '--availability', 'Drain'), {
    JoinToken: 'T',
    RemoteAddrs: ['h:1'],
    Availability: 'drain',
  })
  t.match((await run(['-H', server.host, 'join'])).err, 'a token is needed')
})

t.test('swarm update changes what is given and leaves the rest', async (t) => {
  const server = await startApiServer(manager(ours))
  t.teardown(server.close)
  const args = [
    '--autolock',
    '--cert-expiry',
    '48h',
    '--external-ca',
    'protocol=cfssl,url=http://x',
  ]
  const { out } = await run(['-H', server.host, 'swarm', 'update', ...args])
  t.match(out, 'Swarm updated.\nTo unlock a swarm manager')
  const body = server.requests.findLast((request) => request.method === 'POST')?.body
  t.strictSame(body, {
    ...spec,
    CAConfig: {
      NodeCertExpiry: 172_800_000_000_000,
      ExternalCAs: [{ Protocol: 'cfssl', URL: 'http://x', Options: {}, CACert: 'PEM\n' }],
    },
    EncryptionConfig: { AutoLockManagers: true },
  })
  t.match((await run(['swarm', 'update'])).out, 'Usage:  agent swarm update [OPTIONS]\n')
})

t.test('unlock asks only a node that is locked', async (t) => {
  const open = await startApiServer(manager(ours))
  t.teardown(open.close)
  t.equal((await run(['-H', open.host, 'unlock'])).err, 'Error: swarm is not locked\n')
  const locked = await startApiServer(manager(ours, 'locked'))
  t.teardown(locked.close)
  const { exitCode } = await run(['-H', locked.host, 'swarm', 'unlock'], { input: 'SWMKEY-1-k \n' })
  t.equal(exitCode, 0)
  t.strictSame(locked.requests.at(-1)?.body, { UnlockKey: 'SWMKEY-1-k' })
})

t.test('the certificate authority is shown, and rotated only when asked', async (t) => {
  const server = await startApiServer(manager(ours))
  t.teardown(server.close)
  t.equal((await run(['-H', server.host, 'swarm', 'ca'])).out, 'PEM\n')
  t.equal(
    (await run(['-H', server.host, 'swarm', 'ca', '--cert-expiry', '5h'])).err,
    '`--cert-expiry` flag requires the `--rotate` flag to update the CA\n',
  )
  await run(['-H', server.host, 'swarm', 'ca', '--rotate', '--detach'])
  t.match(server.requests.at(-1)?.body, { CAConfig: { ForceRotate: 1 } })
})

t.test('leave and node changes send what docker sends', async (t) => {
  const server = await startApiServer(manager(ours))
  t.teardown(server.close)
  t.equal((await run(['-H', server.host, 'leave', '-f'])).out, 'Node left the swarm.\n')
  t.equal(server.requests.at(-1)?.query.get('force'), '1')
  const args = ['node', 'update', '--label-add', 'a=b', '--availability', 'drain', 'node1']
  t.equal((await run(['-H', server.host, ...args])).out, 'node1\n')
  t.strictSame(server.requests.at(-1)?.body, { Labels: { a: 'b' }, Availability: 'drain' })
  t.equal(
    (await run(['-H', server.host, 'node', 'promote', 'node1'])).out,
    'Node node1 promoted to a manager in the swarm.\n',
  )
})
