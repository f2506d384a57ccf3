// The handshake and the stream behind it: who gets in, who does not and why, and what becomes of
// bytes that were changed, replayed, reordered or cut on the way.

import type { Duplex } from 'node:stream'
import t from 'tap'
import { CodedError } from '../../../core/base/error.ts'
import { signSuccession } from '../../../net/secure/certificate.ts'
import { makeExchangeKeys } from '../../../net/secure/crypto.ts'
import {
  createInitiator,
  type InitiatorOptions,
  type ResponderOptions,
} from '../../../net/secure/handshake.ts'
import { clusterDigest, type JoinToken } from '../../../net/secure/join-token.ts'
import { encodeUnit } from '../../../net/secure/records.ts'
import { acceptSecure, dialSecure, type SecureStream } from '../../../net/secure/secure-stream.ts'
import { makeClusterKeys, nodeIdOf } from '../../support/cluster-keys.ts'
import { type ManualClock, manualClock, memoryPipe } from '../../support/memory-net.ts'

const cluster = makeClusterKeys()
const stranger = makeClusterKeys('d')
const secret = 's'.repeat(25)
const token: JoinToken = { digest: clusterDigest(cluster.key.publicKey), secret, addresses: [] }

const dialer: InitiatorOptions = {
  type: 'member',
  identity: cluster.identity(2),
  trust: cluster.trust,
  lane: 'bulk',
}
const guest: InitiatorOptions = { type: 'guest', keys: makeExchangeKeys(), token }
const host: ResponderOptions = {
  identity: cluster.identity(1),
  trust: cluster.trust,
  admitGuest: (given) => {
    if (given === secret) return 'worker'
    throw new CodedError('invalid-argument', 'A valid join token is necessary')
  },
}

interface Meeting {
  readonly clock: ManualClock
  readonly pipe: readonly [Duplex, Duplex]
  readonly dialed: Promise<SecureStream>
  readonly accepted: Promise<SecureStream>
}

/** Both sides begin their handshake over one pipe. */
function meet(initiator: InitiatorOptions, responder: ResponderOptions): Meeting {
  const clock = manualClock()
  const pipe = memoryPipe()
  const dialed = dialSecure(pipe[0], initiator, { timers: clock })
  const accepted = acceptSecure(pipe[1], responder, { timers: clock })
  dialed.catch(() => {})
  accepted.catch(() => {})
  return { clock, pipe, dialed, accepted }
}

interface Heard {
  readonly records: string[]
  readonly closed: Promise<CodedError | undefined>
}

function hear(stream: SecureStream): Heard {
  const records: string[] = []
  const { promise, resolve } = Promise.withResolvers<CodedError | undefined>()
  stream.listen({
    onRecord: (plain) => records.push(new TextDecoder().decode(plain)),
    onClose: resolve,
  })
  return { records, closed: promise }
}

const say = (stream: SecureStream, text: string): void =>
  stream.send(new TextEncoder().encode(text), () => {})

t.test('two members know each other and speak', async (t) => {
  const { dialed, accepted } = meet(dialer, host)
  const [there, here] = [await dialed, await accepted]
  t.match(there.peer, { type: 'member', role: 'manager', incarnation: '1.1' })
  t.match(here.peer, { type: 'member', role: 'manager', incarnation: '2.1', lane: 'bulk' })
  t.same(there.hash, here.hash)
  const [heardThere, heardHere] = [hear(there), hear(here)]
  say(there, 'knock')
  say(here, 'come in')
  say(there, 'thanks')
  there.close()
  t.equal(await heardHere.closed, undefined)
  t.equal(await heardThere.closed, undefined)
  t.same([heardHere.records, heardThere.records], [['knock', 'thanks'], ['come in']])
})

t.test('a newcomer comes in with its token, and its key is known', async (t) => {
  const { dialed, accepted } = meet(guest, host)
  t.match((await dialed).peer, { type: 'member', role: 'manager' })
  t.same((await accepted).peer, { type: 'guest', key: guest.keys.publicKey, role: 'worker' })
})

const worker = cluster.identity(3, { role: 'worker' })
const impostor = { ...cluster.identity(2), certificate: cluster.identity(4).certificate }
const withoutThree = {
  ...cluster.trust,
  roleOf: () => undefined,
}

const refusals: readonly {
  readonly name: string
  readonly initiator?: InitiatorOptions
  readonly responder?: ResponderOptions
  readonly dialed: { readonly code: string; readonly message: RegExp }
  /** Only if the responder says more than that the other hung up. */
  readonly accepted?: { readonly code: string; readonly message: RegExp }
}[] = [
  {
    name: 'a member of another cluster, which does not get to see a certificate',
    initiator: { ...dialer, identity: stranger.identity(2), trust: stranger.trust },
    dialed: { code: 'permission-denied', message: /signed by another cluster/ },
    accepted: { code: 'unavailable', message: /hung up/ },
  },
  {
    name: 'a certificate of another cluster shown by one who trusts ours',
    initiator: { ...dialer, identity: stranger.identity(2) },
    dialed: { code: 'permission-denied', message: /belongs to cluster 0+c, not to 0+d/ },
  },
  {
    name: 'a node that was removed',
    responder: { ...host, trust: withoutThree },
    dialed: { code: 'not-a-member', message: /node 0+2 is not a member .*leave and join/ },
    accepted: { code: 'not-a-member', message: /not a member/ },
  },
  {
    name: 'a host that was removed',
    initiator: { ...dialer, trust: withoutThree },
    dialed: { code: 'permission-denied', message: /node 0+1 is not a member/ },
    accepted: { code: 'unavailable', message: /hung up/ },
  },
  {
    name: "another's certificate",
    initiator: { ...dialer, identity: impostor },
    dialed: { code: 'permission-denied', message: /not for the peer's key/ },
    accepted: { code: 'permission-denied', message: /not for the peer's key/ },
  },
  {
    name: "a host with another's certificate",
    responder: { ...host, identity: impostor },
    dialed: { code: 'permission-denied', message: /not for the peer's key/ },
  },
  {
    name: 'a node that is not the one that was called',
    initiator: { ...dialer, nodeId: nodeIdOf(9) },
    dialed: { code: 'unavailable', message: /node 0+1 answers there, not 0+9/ },
  },
  {
    name: 'a worker where a manager was expected',
    responder: { ...host, identity: worker },
    dialed: { code: 'unavailable', message: /answers there, a worker, not a manager/ },
  },
  {
    name: 'a newcomer at the address of a worker',
    initiator: guest,
    responder: { ...host, identity: worker },
    dialed: { code: 'not-a-manager', message: /join at the address of a manager/ },
  },
  {
    name: 'a token of another cluster: the secret is not said',
    initiator: { ...guest, token: { ...token, digest: new Uint8Array(32) } } as InitiatorOptions,
    dialed: {
      code: 'bad-request',
      message: /^remote CA does not match fingerprint. Expected: 0{64}$/,
    },
    accepted: { code: 'unavailable', message: /hung up/ },
  },
  {
    name: 'a token with another secret',
    initiator: { ...guest, token: { ...token, secret: 'x'.repeat(25) } } as InitiatorOptions,
    dialed: { code: 'invalid-argument', message: /^A valid join token is necessary$/ },
    accepted: { code: 'invalid-argument', message: /valid join token/ },
  },
]

for (const { name, initiator = dialer, responder = host, ...want } of refusals) {
  t.test(`refused: ${name}`, async (t) => {
    const { dialed, accepted, pipe } = meet(initiator, responder)
    await t.rejects(dialed, want.dialed)
    if (want.accepted === undefined) await t.rejects(accepted)
    else await t.rejects(accepted, want.accepted)
    t.ok(pipe[0].destroyed && pipe[1].destroyed, 'both sockets are closed')
  })
}

t.test('a node that was away follows the chain to the new cluster key', async (t) => {
  const next = makeClusterKeys('c')
  const successions = [signSuccession(cluster.key.privateKey, next.key.publicKey)]
  const renewed = { ...next.identity(1), successions }
  const trust = { ...next.trust, clusterKeys: () => [next.key.publicKey, cluster.key.publicKey] }
  const { dialed, accepted } = meet(dialer, { ...host, identity: renewed, trust })
  t.match((await dialed).peer, { clusterKey: next.key.publicKey })
  t.match((await accepted).peer, { type: 'member', clusterKey: next.key.publicKey })
  const compromised = { ...host, identity: { ...renewed, successions: [] }, trust }
  await t.rejects(meet(dialer, compromised).dialed, { code: 'permission-denied' })
})

t.test('who says nothing, or stops in the middle, is let go after 5 s', async (t) => {
  const clock = manualClock()
  const [silent, ours] = memoryPipe()
  const accepted = acceptSecure(ours, host, { timers: clock })
  silent.write(new Uint8Array([0]))
  clock.advance(4_999)
  t.notOk(ours.destroyed)
  clock.advance(1)
  await t.rejects(accepted, { code: 'timeout', message: 'no handshake within 5 s' })
  t.ok(ours.destroyed)

  const [, near] = memoryPipe()
  const dialed = dialSecure(near, dialer, { timers: clock })
  clock.advance(5_000)
  await t.rejects(dialed, { code: 'timeout' })
  t.ok(near.destroyed)
})

const garbage: readonly { readonly name: string; readonly bytes: Uint8Array }[] = [
  { name: 'HTTP', bytes: new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n') },
  { name: 'TLS', bytes: new Uint8Array([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]) },
  { name: 'a message that is too short', bytes: encodeUnit(new Uint8Array(31)) },
  { name: 'a key of low order', bytes: encodeUnit(new Uint8Array(32)) },
  { name: 'a message of 64 KiB', bytes: encodeUnit(new Uint8Array(65_535)) },
]
for (const { name, bytes } of garbage) {
  t.test(`${name} gets no answer`, async (t) => {
    const [far, near] = memoryPipe()
    const answer: Uint8Array[] = []
    far.on('data', (chunk: Uint8Array) => answer.push(chunk))
    const accepted = acceptSecure(near, host, { timers: manualClock() })
    far.write(bytes)
    await t.rejects(accepted, { code: 'bad-request' })
    t.ok(near.destroyed)
    t.same(answer, [])
  })
}

t.test('a recorded handshake cannot be played again', async (t) => {
  const { dialed, accepted, pipe } = meet(dialer, host)
  const recorded: Buffer[] = []
  const write = pipe[0].write.bind(pipe[0])
  pipe[0].write = ((chunk: Uint8Array, done: () => void) => {
    recorded.push(Buffer.from(chunk))
    return write(chunk, done)
  }) as (typeof pipe)[0]['write']
  await Promise.all([dialed, accepted])
  // The first message was written before we listened; a fresh one does as well.
  const first = encodeUnit(createInitiator(dialer).first())
  const [far, near] = memoryPipe()
  const again = acceptSecure(near, host, { timers: manualClock() })
  far.resume()
  far.write(Buffer.concat([first, ...recorded]))
  await t.rejects(again, { code: 'bad-request', message: /does not open/ })
})

const tampers: readonly {
  readonly name: string
  readonly change: (units: readonly Buffer[]) => readonly Buffer[]
  readonly heard: readonly string[]
  readonly error: { readonly code: string; readonly message: RegExp }
}[] = [
  {
    name: 'changed',
    change: (units) =>
      units.map((unit, at) => {
        if (at === 1) unit[unit.length - 1] = (unit.at(-1) ?? 0) ^ 1
        return unit
      }),
    heard: ['zero'],
    error: { code: 'bad-request', message: /does not open/ },
  },
  {
    name: 'replayed',
    change: ([zero, ...rest]) => (zero === undefined ? [] : [zero, zero, ...rest]),
    heard: ['zero'],
    error: { code: 'bad-request', message: /is not the next/ },
  },
  {
    name: 'reordered',
    change: (units) => units.toReversed(),
    heard: [],
    error: { code: 'bad-request', message: /is not the next/ },
  },
  {
    name: 'left out',
    change: (units) => units.slice(1),
    heard: [],
    error: { code: 'bad-request', message: /is not the next/ },
  },
  {
    name: 'cut within',
    change: (units) => units.map((unit, at) => (at === 2 ? unit.subarray(0, 5) : unit)),
    heard: ['zero', 'one'],
    error: { code: 'unavailable', message: /cut: the other side did not say good-bye/ },
  },
]
for (const { name, change, heard: wantHeard, error } of tampers) {
  t.test(`a stream whose records were ${name} is closed with the reason`, async (t) => {
    const { dialed, accepted, pipe } = meet(dialer, host)
    const [there, here] = [await dialed, await accepted]
    const held: Buffer[] = []
    const write = pipe[0].write.bind(pipe[0])
    pipe[0].write = ((chunk: Uint8Array) => held.push(Buffer.from(chunk)) > 0) as typeof write
    for (const text of ['zero', 'one', 'two']) say(there, text)
    const heard = hear(here)
    for (const unit of change(held)) write(unit)
    pipe[0].push(null)
    setImmediate(() => pipe[0].end())
    t.match(await heard.closed, error)
    t.same(heard.records, wantHeard)
    t.ok(pipe[1].destroyed)
  })
}

t.test('nothing is read before somebody listens', async (t) => {
  const { dialed, accepted, pipe } = meet(dialer, host)
  const [there, here] = [await dialed, await accepted]
  for (let count = 0; count < 100; count++) there.send(new Uint8Array(60_000), () => {})
  await new Promise((resolve) => setImmediate(resolve))
  t.ok(pipe[0].writableLength > 5_000_000, 'the writer keeps what nobody reads')
  const heard = hear(here)
  there.close()
  t.equal(await heard.closed, undefined)
  t.equal(heard.records.length, 100)
})

t.test('a good-bye that is not answered ends after 2 s', async (t) => {
  const { dialed, accepted, clock, pipe } = meet(dialer, host)
  const there = await dialed
  await accepted
  const heard = hear(there)
  there.close()
  clock.advance(2_000)
  t.equal(await heard.closed, undefined)
  t.ok(pipe[0].destroyed)
})
