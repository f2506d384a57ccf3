// The channel between agents over real TCP on loopback: dialing, joining, refusals, crossings,
// restarts, and a crowd of strangers that says nothing.

import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { systemClock } from '../../agent/base/clock.ts'
import { CodedError } from '../../core/base/error.ts'
import type { NodeId } from '../../core/base/id.ts'
import type { PeerHandlers } from '../../net/cluster/connection.ts'
import { createPeers, type Peers, type PeersOptions } from '../../net/cluster/peers.ts'
import type { Address } from '../../net/cluster/tcp.ts'
import { makeExchangeKeys } from '../../net/secure/crypto.ts'
import { clusterDigest, isSameSecret } from '../../net/secure/join-token.ts'
import { type ClusterKeys, makeClusterKeys, nodeIdOf } from '../support/cluster-keys.ts'
import { waitFor } from '../support/wait.ts'

const secret = 'a'.repeat(25)
const timeoutMs = 5_000

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
    guests: { join: async (guest, body) => ({ role: guest.role, body }) },
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
