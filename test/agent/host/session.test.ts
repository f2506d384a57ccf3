// Sessions over TCP on loopback: two managers, of which one leads, and a worker that knows both. What
// the leader's machine would hear is written down; who leads is said by the test.

import t, { type Test } from 'tap'
import { systemClock } from '../../../agent/base/clock.ts'
import { createSessionClient, type SessionClient } from '../../../agent/host/session-client.ts'
import {
  createSessionRouter,
  type Leader,
  type SessionRouter,
} from '../../../agent/host/session-router.ts'
import { CodedError } from '../../../core/base/error.ts'
import type { TaskId } from '../../../core/base/id.ts'
import type { Assignments } from '../../../core/dispatch/protocol.ts'
import type { ManagerEvent } from '../../../core/machine/manager.ts'
import { createPeers, type Peers } from '../../../net/cluster/peers.ts'
import type { Address } from '../../../net/cluster/tcp.ts'
import { makeClusterKeys, nodeIdOf } from '../../support/cluster-keys.ts'
import { waitFor } from '../../support/wait.ts'

t.setTimeout(60_000)
const timeoutMs = 10_000
const epoch = { counter: 1, id: 'e', parent: undefined }
const description = {
  hostname: 'w',
  platform: { architecture: 'x86_64', os: 'linux' },
  resources: { nanoCpus: 1e9, memoryBytes: 1e9, generic: [] },
  engine: { version: '20.10', labels: {}, plugins: [] },
  runtime: 'docker',
  agentVersion: 'test',
} as const

interface Manager {
  readonly peers: Peers
  readonly address: Address
  readonly router: SessionRouter
  readonly events: ManagerEvent[]
  leader: Leader
  isKnown: boolean
  isQuorate: boolean
}

interface Stage {
  readonly managers: readonly [Manager, Manager]
  readonly client: SessionClient
  readonly assigned: Assignments[]
  readonly reached: boolean[]
  readonly leases: number[]
  readonly expelled: string[]
  /** Messages to the worker are lost from here on. */
  isLossy: boolean
  readonly lead: (index: 0 | 1) => void
}

const nothing: Assignments = {
  isComplete: false,
  tasks: [],
  removed: [],
  files: [],
  removedFiles: [],
}

async function openStage(t: Test): Promise<Stage> {
  const cluster = makeClusterKeys()
  const common = {
    trust: cluster.trust,
    agentVersion: 'test',
    clock: systemClock,
    log: () => undefined,
    admitGuest: () => {
      throw new CodedError('unavailable', 'nobody joins here')
    },
    onFault: (error: unknown) => t.fail('a bug in a handler', { error }),
  }
  const nowhere = { host: '127.0.0.1', port: 0 }
  const startManager = async (number: number): Promise<Manager> => {
    const identity = cluster.identity(number)
    const rows = { messages: {}, requests: {}, streams: {}, guests: {} }
    const peers = createPeers({ ...common, identity: () => identity, handlers: rows })
    t.teardown(() => peers.close())
    const events: ManagerEvent[] = []
    const lossy: Pick<Peers, 'send' | 'request'> = {
      request: peers.request,
      send: (to, kind, body, options) => {
        if (stage.isLossy && kind === 'session.assign') return
        peers.send(to, kind, body, options)
      },
    }
    const router = createSessionRouter({
      ownId: nodeIdOf(number),
      peers: lossy,
      leader: () => manager.leader,
      isKnown: () => manager.isKnown,
      dispatch: (event) => events.push(event),
      clock: systemClock,
      isQuorate: () => manager.isQuorate,
      heartbeatMs: () => 50,
      welcome: () => ({ table: new Uint8Array(1), epoch }),
      awaitMember: async () => undefined,
      checkEpoch: () => undefined,
      local: { assign: () => undefined, moved: () => undefined },
      log: () => undefined,
    })
    Object.assign(rows.messages, router.handlers.messages)
    Object.assign(rows.requests, router.handlers.requests)
    const address = await peers.listen(nowhere)
    const manager: Manager = {
      ...{ peers, router, events, address },
      leader: { type: 'none' },
      isKnown: true,
      isQuorate: true,
    }
    return manager
  }
  const managers = [await startManager(1), await startManager(2)] as const
  const [one, two] = managers
  one.peers.setAddresses(nodeIdOf(2), [two.address])
  two.peers.setAddresses(nodeIdOf(1), [one.address])
  const rows = { messages: {}, requests: {}, streams: {}, guests: {} }
  const identity = cluster.identity(9, { role: 'worker' })
  const peers = createPeers({
    ...common,
    identity: () => identity,
    handlers: rows,
    onPeerDown: (id) => client.peerDown(id),
  })
  t.teardown(() => peers.close())
  for (const [index, { address }] of managers.entries()) {
    peers.setAddresses(nodeIdOf(index + 1), [address])
  }
  const [assigned, reached, expelled] = [[], [], []] as [Assignments[], boolean[], string[]]
  const leases: number[] = []
  const client = createSessionClient({
    ownId: nodeIdOf(9),
    peers,
    // The follower alone, so that what the leader says takes the longer way.
    managers: () => [nodeIdOf(2)],
    router: () => undefined,
    say: () => ({
      incarnation: 'i',
      description,
      address: '127.0.0.1',
      reports: [],
      tableIndex: 0,
    }),
    onWelcome: () => undefined,
    onAssign: (assignments) => assigned.push(assignments),
    onTable: () => undefined,
    onReached: (isReached) => reached.push(isReached),
    onLease: (sentAtMs) => leases.push(sentAtMs),
    onRefused: (_manager, error) => expelled.push(error.message),
    clock: systemClock,
    log: () => undefined,
  })
  t.teardown(() => client.close())
  Object.assign(rows.messages, client.handlers.messages)
  const stage: Stage = {
    ...{ managers, client, assigned, reached, leases, expelled },
    isLossy: false,
    lead: (index) => {
      for (const [at, manager] of managers.entries()) {
        manager.leader =
          at === index ? { type: 'self' } : { type: 'other', nodeId: nodeIdOf(index + 1) }
      }
      for (const manager of managers) manager.router.leaderChanged()
    },
  }
  return stage
}

function opened(manager: Manager): readonly ManagerEvent[] {
  return manager.events.filter(({ type }) => type === 'sessionOpened')
}

t.test('a session through a follower reaches the leader, and both ways carry', async (t) => {
  const stage = await openStage(t)
  const [leader] = stage.managers
  stage.lead(0)
  stage.client.start()
  await waitFor({ what: 'session', timeoutMs }, () => opened(leader).length === 1)
  t.match(opened(leader)[0], { nodeId: nodeIdOf(9), isLocal: false, description })
  leader.router.assign(nodeIdOf(9), { ...nothing, isComplete: true })
  leader.router.assign(nodeIdOf(9), nothing)
  await waitFor({ what: 'assignments', timeoutMs }, () => stage.assigned.length === 2)
  t.same(
    stage.assigned.map(({ isComplete }) => isComplete),
    [true, false],
  )
  const status = { state: 'running', atMs: 1, message: 'started' } as const
  stage.client.report([{ id: nodeIdOf(5) as unknown as TaskId, status }])
  await waitFor({ what: 'report', timeoutMs }, () =>
    leader.events.some(({ type }) => type === 'reported'),
  )
  await waitFor({ what: 'heartbeats', timeoutMs }, () => {
    return leader.events.filter(({ type }) => type === 'heard').length > 2
  })
  await stage.client.leave()
  t.match(leader.events.at(-1), { type: 'sessionClosed', isLeaving: true })
  const count = leader.events.length
  await systemClock.sleep(500)
  t.equal(leader.events.length, count, 'and nothing is heard of it any more')
})

t.test('what is reported while a session is being opened is not lost', async (t) => {
  const stage = await openStage(t)
  const [leader] = stage.managers
  stage.lead(0)
  stage.client.start()
  const status = { state: 'running', atMs: 1, message: 'started' } as const
  // At each moment until the session stands, and after.
  let count = 0
  await waitFor({ what: 'session', timeoutMs, everyMs: 1 }, () => {
    count += 1
    stage.client.report([{ id: nodeIdOf(count) as unknown as TaskId, status }])
    return stage.client.isOpen()
  })
  stage.client.report([{ id: nodeIdOf(7_777) as unknown as TaskId, status }])
  const reported = (): readonly string[] =>
    leader.events.flatMap((event) =>
      event.type === 'reported' ? event.reports.map(({ id }) => String(id)) : [],
    )
  await waitFor({ what: 'last report', timeoutMs }, () => reported().includes(nodeIdOf(7_777)))
  t.ok(reported().includes(nodeIdOf(count)), 'the last before it stood')
  t.ok(count < 2 || reported().length > 2, 'and those before')
})

t.test('another leader gets the session at once, and the reports with it', async (t) => {
  const stage = await openStage(t)
  const [one, two] = stage.managers
  stage.lead(0)
  stage.client.start()
  await waitFor({ what: 'session', timeoutMs }, () => opened(one).length === 1)
  stage.lead(1)
  await waitFor({ what: 'session with the next', timeoutMs }, () => opened(two).length === 1)
  two.router.assign(nodeIdOf(9), { ...nothing, isComplete: true })
  await waitFor({ what: 'its word', timeoutMs }, () => stage.assigned.length === 1)
  // The old leader may still say something: it is not heard.
  one.router.assign(nodeIdOf(9), nothing)
  t.equal(stage.reached.filter((isReached) => !isReached).length, 0, 'nobody was cut off')
})

t.test('a lost assignment is noticed, and everything is told again', async (t) => {
  const stage = await openStage(t)
  const [, leader] = stage.managers
  stage.lead(1)
  stage.client.start()
  await waitFor({ what: 'session', timeoutMs }, () => opened(leader).length === 1)
  stage.isLossy = true
  leader.router.assign(nodeIdOf(9), nothing)
  stage.isLossy = false
  await waitFor({ what: 'a new session', timeoutMs }, () => opened(leader).length === 2)
  t.equal(stage.assigned.length, 0)
})

t.test('without a leader the node waits; one that is not known is told so', async (t) => {
  const stage = await openStage(t)
  const [leader] = stage.managers
  stage.client.start()
  await waitFor({ what: 'a refusal', timeoutMs }, () => !stage.client.isOpen())
  leader.isKnown = false
  stage.lead(0)
  await waitFor({ what: 'word of it', timeoutMs }, () => stage.expelled.length > 0)
  t.match(stage.expelled[0], /is not a member of this cluster/)
  leader.isKnown = true
  await waitFor({ what: 'session', timeoutMs }, () => stage.client.isOpen())
  t.pass('and is let in when it is')
})

t.test('a leader that may have a successor renews no lease', async (t) => {
  const stage = await openStage(t)
  const [leader] = stage.managers
  stage.lead(0)
  stage.client.start()
  await waitFor({ what: 'leases', timeoutMs }, () => stage.leases.length > 2)
  leader.isQuorate = false
  const heard = leader.events.length
  await waitFor({ what: 'heartbeats', timeoutMs }, () => leader.events.length > heard + 2)
  const count = stage.leases.length
  await waitFor({ what: 'more of them', timeoutMs }, () => leader.events.length > heard + 5)
  t.equal(stage.leases.length, count)
  t.ok(stage.client.isOpen(), 'the session stays')
})

t.test('a node that was called down opens a new session with its next heartbeat', async (t) => {
  const stage = await openStage(t)
  const [leader] = stage.managers
  stage.lead(0)
  stage.client.start()
  await waitFor({ what: 'session', timeoutMs }, () => opened(leader).length === 1)
  leader.router.endSession(nodeIdOf(9))
  await waitFor({ what: 'another one', timeoutMs }, () => opened(leader).length === 2)
  const leases = stage.leases.length
  await waitFor({ what: 'heartbeats', timeoutMs }, () => stage.leases.length > leases + 2)
  t.equal(opened(leader).length, 2)
})

t.test('an earlier start of an agent is told that it runs twice', async (t) => {
  const stage = await openStage(t)
  stage.lead(0)
  const { router } = stage.managers[0]
  const open = (session: string, incarnation: string): Promise<unknown> =>
    router.open(nodeIdOf(7), {
      ...{
        session,
        incarnation,
        description,
        address: '127.0.0.1',
        reports: [],
        sentAtMs: 0,
        tableIndex: 0,
      },
    })
  await open('a', 'first')
  await open('b', 'first')
  await open('c', 'second')
  await t.rejects(open('d', 'first'), {
    code: 'permission-denied',
    message: /runs twice.*state folder was copied/,
    detail: { isExpelled: true },
  })
  await open('e', 'second')
  await open('f', 'third')
})
