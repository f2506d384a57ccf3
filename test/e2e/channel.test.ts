// The channel between agents over real TCP on loopback: dialing, joining, refusals, crossings,
// restarts, and a crowd of strangers that says nothing.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { systemClock } from '../../agent/base/clock.ts'
import { CodedError } from '../../core/base/error.ts'
import type { NodeId } from '../../core/base/id.ts'
import type { PeerHandlers } from '../../net/cluster/connection.ts'
import { createPeers, type Peers, type PeersOptions } from '../../net/cluster/peers.ts'
import type { Address } from '../../net/cluster/tcp.ts'
import { signSuccession } from '../../net/secure/certificate.ts'
import { makeExchangeKeys } from '../../net/secure/crypto.ts'
import type { Identity } from '../../net/secure/handshake.ts'
import { clusterDigest, isSameSecret, type JoinToken } from '../../net/secure/join-token.ts'
import { type ClusterKeys, makeClusterKeys, nodeIdOf } from '../support/cluster-keys.ts'
import { waitFor } from '../support/wait.ts'

t.setTimeout(240_000)

const secret = 'a'.repeat(25)
const timeoutMs = 20_000

interface TestNode {
  readonly peers: Peers
  readonly id: NodeId
  readonly address: Address
  readonly messages: string[]
  readonly ups: string[]
  readonly downs: string[]
  readonly logged: string[]
}

const anyMember = ['manager', 'worker', 'newcomer'] as const

function handlersOf(node: { readonly messages: string[] }): PeerHandlers {
  return {
    messages: {
      note: {
        from: anyMember,
        handle: (peer, body) => node.messages.push(`${Number(peer.nodeId)}:${String(body)}`),
      },
    },
    requests: {
      echo: { from: anyMember, handle: async (_peer, body) => body },
      'for-managers': { from: ['manager'], handle: async () => 'done' },
      fail: {
        from: anyMember,
        handle: async () => {
          throw new CodedError('not-found', 'service web not found', { detail: { name: 'web' } })
        },
      },
      never: {
        from: anyMember,
        handle: (_peer, _body, signal) =>
          new Promise((resolve) => signal.addEventListener('abort', () => resolve(0))),
      },
    },
    streams: {
      count: {
        from: anyMember,
        handle: async (_peer, stream) => {
          let bytes = 0
          for await (const chunk of stream) bytes += chunk.length
          await stream.write(new TextEncoder().encode(`${stream.kind} ${bytes}`))
          stream.end()
        },
      },
    },
    guests: {
      join: async (guest, body) => ({ role: guest.role, body }),
      never: (_guest, _body, signal) =>
        new Promise((resolve) => signal.addEventListener('abort', () => resolve(0))),
    },
  }
}

async function startNode(
  t: Test,
  cluster: ClusterKeys,
  options: { readonly number: number; readonly isDeaf?: boolean } & Partial<PeersOptions>,
): Promise<TestNode> {
  const { number, isDeaf, ...more } = options
  const identity = cluster.identity(number)
  const kept = {
    messages: [] as string[],
    ups: [] as string[],
    downs: [] as string[],
    logged: [] as string[],
  }
  const peers = createPeers({
    identity: () => identity,
    trust: cluster.trust,
    admitGuest: (given) => {
      if (isSameSecret(given, secret)) return 'worker'
      const text = 'A valid join token is necessary to join this cluster'
      throw new CodedError('invalid-argument', text)
    },
    handlers: handlersOf(kept),
    agentVersion: 'test',
    clock: systemClock,
    log: (level, event, fields) => kept.logged.push(`${level} ${event} ${JSON.stringify(fields)}`),
    onPeerUp: (peer) => kept.ups.push(peer.incarnation),
    onPeerDown: (nodeId) => kept.downs.push(String(Number(nodeId))),
    onFault: (error) => t.fail('a bug in a handler', { error }),
    ...more,
  })
  t.teardown(() => peers.close())
  const nowhere = { host: '127.0.0.1', port: 0 }
  const address = isDeaf === true ? nowhere : await peers.listen(nowhere)
  return { peers, id: more.identity?.().nodeId ?? identity.nodeId, address, ...kept }
}

t.test('two nodes ask, answer, note and stream', async (t) => {
  const cluster = makeClusterKeys()
  const [one, two] = [
    await startNode(t, cluster, { number: 1 }),
    await startNode(t, cluster, { number: 2, isDeaf: true }),
  ]
  two.peers.setAddresses(one.id, [one.address])
  t.same(await two.peers.request(one.id, 'echo', { a: [1, 'b'] }, { timeoutMs }), { a: [1, 'b'] })
  // The listener speaks over the connection that the other has dialed.
  t.equal(await one.peers.request(two.id, 'echo', 'back', { timeoutMs }), 'back')
  two.peers.send(one.id, 'note', 'hello')
  await waitFor({ what: 'note', timeoutMs }, () => one.messages.length > 0)
  t.same(one.messages, ['2:hello'])
  const stream = await two.peers.openStream(one.id, 'count', {})
  const chunk = new Uint8Array(100_000)
  for (let count = 0; count < 50; count++) await stream.write(chunk)
  stream.end()
  t.equal(new TextDecoder().decode(await stream.read()), 'count 5000000')
  t.equal(await stream.read(), undefined)
  t.equal(one.peers.counts()['connections'], 2)
  await t.rejects(two.peers.request(one.id, 'fail', 0, { timeoutMs }), {
    code: 'not-found',
    message: 'service web not found',
    detail: { name: 'web' },
  })
  await t.rejects(two.peers.request(one.id, 'nonsense', 0, { timeoutMs }), {
    code: 'unimplemented',
  })
  await t.rejects(two.peers.request(one.id, 'never', 0, { timeoutMs: 50 }), { code: 'timeout' })
  await two.peers.close()
  await waitFor({ what: 'good-bye', timeoutMs }, () => one.downs.length > 0)
  t.same([one.ups, one.downs], [['2.1'], ['2']])
})

/** A token for the cluster with that secret. */
function tokenOf(cluster: ClusterKeys, text: string): JoinToken {
  return { digest: clusterDigest(cluster.key.publicKey), secret: text, addresses: [] }
}

/** A port where nobody listens. */
async function closedPort(): Promise<Address> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return { host: '127.0.0.1', port }
}

t.test('a newcomer joins with its token, at whichever of the addresses answers', async (t) => {
  const cluster = makeClusterKeys()
  const host = await startNode(t, cluster, { number: 1 })
  const newcomer = await startNode(t, makeClusterKeys('none'), { number: 5, isDeaf: true })
  const keys = makeExchangeKeys()
  const call = { keys, kind: 'join', body: { hostname: 'five' }, timeoutMs }
  const nobody = await closedPort()
  const token = tokenOf(cluster, secret)
  const reply = await newcomer.peers.call({ ...call, token, addresses: [nobody, host.address] })
  t.same(reply.value, { role: 'worker', body: { hostname: 'five' } })
  t.equal(reply.certificate.nodeId, host.id)
  t.same(reply.clusterKey, cluster.key.publicKey)
  t.equal(reply.localHost, '127.0.0.1')

  const wrong = tokenOf(cluster, 'b'.repeat(25))
  await t.rejects(newcomer.peers.call({ ...call, token: wrong, addresses: [host.address] }), {
    code: 'invalid-argument',
    message: 'A valid join token is necessary to join this cluster',
  })
  t.equal(host.peers.counts()['wrongTokens'], 1)
  t.match(host.logged.join(), /warn join.refused/)
  const foreign = tokenOf(makeClusterKeys('other'), secret)
  await t.rejects(
    newcomer.peers.call({ ...call, token: foreign, addresses: [nobody, host.address] }),
    {
      code: 'bad-request',
      message: /^remote CA does not match fingerprint. Expected: [0-9a-f]{64}$/,
    },
  )
  await t.rejects(newcomer.peers.call({ ...call, token, addresses: [nobody] }), {
    code: 'unavailable',
    message: `cannot connect to 127.0.0.1:${nobody.port}: ECONNREFUSED`,
  })
  // A guest may ask for what guests may, and nothing else.
  await t.rejects(
    newcomer.peers.call({ ...call, kind: 'echo', token, addresses: [host.address] }),
    { code: 'unimplemented' },
  )
})

t.test('a newcomer is told when its question was heard and the answer was lost', async (t) => {
  const cluster = makeClusterKeys()
  const host = await startNode(t, cluster, { number: 1 })
  const newcomer = await startNode(t, makeClusterKeys('none'), { number: 5, isDeaf: true })
  const asked = newcomer.peers.call({
    ...{ keys: makeExchangeKeys(), kind: 'never', body: {}, timeoutMs },
    ...{ token: tokenOf(cluster, secret), addresses: [host.address] },
  })
  asked.catch(() => undefined)
  await waitFor({ what: 'guest', timeoutMs }, () => host.peers.counts()['guests'] === 1)
  await host.peers.close()
  const error = await asked.catch((each: unknown) => each)
  t.match(error, { name: 'CodedError', detail: { isLost: true } })
})

t.test('a probe says whether anybody listens there', async (t) => {
  const host = await startNode(t, makeClusterKeys(), { number: 1 })
  await host.peers.probe(host.address, timeoutMs)
  const nobody = await closedPort()
  await t.rejects(host.peers.probe(nobody, timeoutMs), {
    code: 'unavailable',
    message: `cannot connect to 127.0.0.1:${nobody.port}: ECONNREFUSED`,
  })
})

t.test('an address where nobody answers is given up in time', async (t) => {
  const cluster = makeClusterKeys()
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const { port } = silent.address() as AddressInfo
  const sockets: Socket[] = []
  silent.on('connection', (socket) => sockets.push(socket))
  t.teardown(() => sockets.map((socket) => socket.destroy()))
  const newcomer = await startNode(t, makeClusterKeys('none'), { number: 5, isDeaf: true })
  const addresses = [{ host: '127.0.0.1', port }]
  const call = { keys: makeExchangeKeys(), kind: 'join', body: 0, token: tokenOf(cluster, secret) }
  await t.rejects(newcomer.peers.call({ ...call, addresses, timeoutMs: 300 }), {
    code: 'timeout',
    message: `no answer from 127.0.0.1:${port} within 0.3 s`,
  })
})

t.test('who is not a manager may not what is for managers', async (t) => {
  const cluster = makeClusterKeys()
  const host = await startNode(t, cluster, { number: 1 })
  const worker = cluster.identity(2, { role: 'worker' })
  const other = await startNode(t, cluster, { number: 2, isDeaf: true, identity: () => worker })
  const peer = await other.peers.connectTo(host.address)
  t.equal(peer.nodeId, host.id)
  t.equal(await other.peers.request(host.id, 'echo', 1, { timeoutMs }), 1)
  await t.rejects(other.peers.request(host.id, 'for-managers', 1, { timeoutMs }), {
    code: 'permission-denied',
    message: `for-managers is for manager; node ${worker.nodeId} is a worker`,
  })
})

t.test('a removed node loses its connections and does not get back', async (t) => {
  const cluster = makeClusterKeys()
  const host = await startNode(t, cluster, { number: 1 })
  const other = await startNode(t, cluster, { number: 2, isDeaf: true })
  await other.peers.connectTo(host.address)
  t.equal(await other.peers.request(host.id, 'echo', 1, { timeoutMs }), 1)
  cluster.removed.add(other.id)
  host.peers.recheck()
  await waitFor({ what: 'end of the connection', timeoutMs }, () => other.downs.length > 0)
  await t.rejects(other.peers.request(host.id, 'echo', 1, { timeoutMs }), {
    code: 'unavailable',
    message: /no longer a member|is not a member of this cluster/,
  })
  t.same(host.peers.list(), [])
})

t.test('two that dial each other at once end up with one connection', async (t) => {
  for (let round = 0; round < 5; round++) {
    const cluster = makeClusterKeys()
    const one = await startNode(t, cluster, { number: 1 })
    const two = await startNode(t, cluster, { number: 2 })
    one.peers.setAddresses(two.id, [two.address])
    two.peers.setAddresses(one.id, [one.address])
    const asked = Array.from({ length: 20 }, (_, at) => [
      one.peers.request(two.id, 'echo', at, { timeoutMs }),
      two.peers.request(one.id, 'echo', at, { timeoutMs }),
    ])
    await Promise.all(asked.flat())
    await waitFor({ what: 'one connection', timeoutMs }, () =>
      [one, two].every(({ peers }) => peers.counts()['connections'] === 1),
    )
    t.equal(await one.peers.request(two.id, 'echo', 'x', { timeoutMs }), 'x')
    t.equal(await two.peers.request(one.id, 'echo', 'y', { timeoutMs }), 'y')
    t.same([one.downs, two.downs], [[], []])
  }
})

t.test('one-way messages wait for a peer that is away, within bounds', async (t) => {
  const cluster = makeClusterKeys()
  const address = await closedPort()
  const one = await startNode(t, cluster, { number: 1, isDeaf: true })
  one.peers.setAddresses(nodeIdOf(2), [address])
  for (let count = 0; count < 2_000; count++) one.peers.send(nodeIdOf(2), 'note', count)
  await t.rejects(one.peers.request(nodeIdOf(2), 'echo', 1, { timeoutMs }), {
    code: 'unavailable',
    message: /node 0+2: cannot connect to 127.0.0.1:\d+: ECONNREFUSED/,
  })
  const two = await startNode(t, cluster, { number: 2, isDeaf: true })
  await two.peers.listen(address)
  await waitFor({ what: 'messages', timeoutMs }, () => two.messages.length === 1_024)
  t.equal(two.messages[0], '1:976')
  t.equal(one.peers.counts()['messagesDropped'], 976)
})

t.test('a peer that starts again takes the place of its earlier self', async (t) => {
  const cluster = makeClusterKeys()
  const host = await startNode(t, cluster, { number: 1 })
  const keys = makeExchangeKeys()
  const start = async (number: number): Promise<TestNode> => {
    const identity = cluster.identity(2, { keys, start: number })
    const node = await startNode(t, cluster, { number: 2, isDeaf: true, identity: () => identity })
    node.peers.setAddresses(host.id, [host.address])
    return node
  }
  const first = await start(1)
  await first.peers.connectTo(host.address)
  const second = await start(2)
  t.equal(await second.peers.request(host.id, 'echo', 2, { timeoutMs }), 2)
  t.same(host.ups, ['2.1', '2.2'])
  t.equal(host.peers.peer(second.id)?.incarnation, '2.2')
  // The earlier self still lives: its state folder was copied. It is told so, again and again.
  await waitFor({ what: 'the end of the first', timeoutMs }, () => first.downs.length > 0)
  await waitFor({ what: 'words of a twin', timeoutMs }, async () => {
    const asked = first.peers.request(host.id, 'echo', 1, { timeoutMs })
    const error: unknown = await asked.catch((error: unknown) => error)
    return error instanceof CodedError && /runs twice/.test(error.message)
  })
  t.match(host.logged.join(), /error peer.twin/)
  t.equal(await second.peers.request(host.id, 'echo', 3, { timeoutMs }), 3)
  await second.peers.close()
  await waitFor(
    { what: 'the first, let in again', timeoutMs },
    async () => (await first.peers.request(host.id, 'echo', 'back', { timeoutMs })) === 'back',
  )
})

t.test('the cluster key changes while a node is away, and it follows', async (t) => {
  const cluster = makeClusterKeys()
  const next = makeClusterKeys()
  const renewed: Identity = {
    ...next.identity(1),
    successions: [signSuccession(cluster.key.privateKey, next.key.publicKey)],
  }
  const trust = { ...next.trust, clusterKeys: () => [next.key.publicKey, cluster.key.publicKey] }
  const host = await startNode(t, cluster, { number: 1, identity: () => renewed, trust })
  const other = await startNode(t, cluster, { number: 2, isDeaf: true })
  await other.peers.connectTo(host.address)
  t.equal(await other.peers.request(host.id, 'echo', 1, { timeoutMs }), 1)
})

t.test('a thousand silent connections do not keep a member out', async (t) => {
  const cluster = makeClusterKeys()
  const host = await startNode(t, cluster, { number: 1 })
  const strangers: Socket[] = []
  t.teardown(() => strangers.map((socket) => socket.destroy()))
  let connected = 0
  for (let count = 0; count < 1_000; count++) {
    const socket = connect(host.address)
    socket.on('error', () => {})
    socket.once('connect', () => connected++)
    strangers.push(socket)
  }
  await waitFor({ what: '1,000 connections', timeoutMs: 20_000 }, () => connected === 1_000)
  await waitFor({ what: 'full hall', timeoutMs }, () => host.peers.counts()['halfOpen'] === 512)
  const other = await startNode(t, cluster, { number: 2, isDeaf: true })
  await other.peers.connectTo(host.address)
  t.equal(await other.peers.request(host.id, 'echo', 1, { timeoutMs }), 1)
  t.ok((host.peers.counts()['evicted'] ?? 0) >= 488)
  await waitFor(
    { what: 'empty hall', timeoutMs: 10_000 },
    () => host.peers.counts()['halfOpen'] === 0,
  )
})

/** A clock on which everything takes a twentieth of the time. */
const hasty = {
  ...systemClock,
  steadyMs: () => systemClock.steadyMs() * 20,
  after: (ms: number, callback: () => void) => systemClock.after(ms / 20, callback),
}

t.test('a peer that falls silent is given up after 12 s, and found again', async (t) => {
  const cluster = makeClusterKeys()
  const host = await startNode(t, cluster, { number: 1, clock: hasty })
  const cable = createServer((near) => {
    const far = connect(host.address)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (bytes) => isCut || to.write(bytes))
      from.on('error', () => {})
      from.on('close', () => isCut || to.destroy())
      plugs.push(from)
    }
  }).listen(0, '127.0.0.1')
  const plugs: Socket[] = []
  let isCut = false
  await once(cable, 'listening')
  t.teardown(() => {
    cable.close()
    for (const socket of plugs) socket.destroy()
  })
  const other = await startNode(t, cluster, { number: 2, isDeaf: true, clock: hasty })
  const { port } = cable.address() as AddressInfo
  other.peers.setAddresses(host.id, [{ host: '127.0.0.1', port }])
  t.equal(await other.peers.request(host.id, 'echo', 1, { timeoutMs: 20_000 }), 1)
  // Idle is not silent: pings are answered. 30 s of the hasty clock.
  await new Promise<void>((resolve) => hasty.after(30_000, resolve))
  t.same([host.downs, other.downs], [[], []])
  isCut = true
  await waitFor(
    { what: 'both to notice', timeoutMs },
    () => host.downs.length + other.downs.length === 2,
  )
  t.match(other.logged.join(), /peer.down.*no sign of life for 12 s/)
  isCut = false
  await waitFor(
    { what: 'the way back', timeoutMs },
    async () => (await other.peers.request(host.id, 'echo', 2, { timeoutMs: 20_000 })) === 2,
  )
})

t.test('an address in use is named', async (t) => {
  const cluster = makeClusterKeys()
  const host = await startNode(t, cluster, { number: 1 })
  const other = await startNode(t, cluster, { number: 2, isDeaf: true })
  await t.rejects(other.peers.listen(host.address), {
    code: 'unavailable',
    message: `cannot listen on 127.0.0.1:${host.address.port}: the address is in use`,
  })
})
