// The multiplexer over links whose records move one by one: what overtakes what is counted, not
// timed.

import t, { type Test } from 'tap'
import { CodedError } from '../../../core/base/error.ts'
import { encode } from '../../../net/wire/codec.ts'
import { encodeFrame, type FrameType } from '../../../net/wire/frames.ts'
import { encodeEnvelope, encodeHello, type Hello } from '../../../net/wire/messages.ts'
import { Mux, type MuxHandlers, muxLimits, recordTargetBytes } from '../../../net/wire/mux.ts'
import type { MuxStream } from '../../../net/wire/mux-stream.ts'
import {
  type ManualClock,
  type MemoryLink,
  manualClock,
  memoryLinks,
} from '../../support/memory-net.ts'

const hello: Hello = {
  versionMin: 1,
  versionMax: 1,
  agentVersion: 'test',
  features: ['a', 'b'],
  ...muxLimits,
}

interface Side {
  readonly mux: Mux
  readonly link: MemoryLink
  readonly messages: unknown[]
  readonly streams: MuxStream[]
  readonly closed: (CodedError | undefined)[]
  leaves: number
}

function makeSide(
  link: MemoryLink,
  options: {
    readonly isDialer: boolean
    readonly clock: ManualClock
    readonly hello?: Partial<Hello>
    readonly onRequest?: MuxHandlers['onRequest']
  },
): Side {
  const kept = {
    messages: [] as unknown[],
    streams: [] as MuxStream[],
    closed: [] as Side['closed'],
  }
  const side = { link, ...kept, leaves: 0 }
  const mux = new Mux({
    link,
    isDialer: options.isDialer,
    hello: { ...hello, ...options.hello },
    timers: options.clock,
    handlers: {
      onOpen: () => {},
      onMessage: (kind, body) => kept.messages.push(body === null ? kind : body),
      onRequest: options.onRequest ?? (async (_kind, body) => body),
      onStream: (stream) => kept.streams.push(stream),
      onLeave: () => side.leaves++,
      onClose: (error) => kept.closed.push(error),
      onFault: (error) => {
        throw error
      },
    },
  })
  mux.start()
  return Object.assign(side, { mux })
}

type SideOptions = Omit<Parameters<typeof makeSide>[1], 'isDialer' | 'clock'>

function connect(left: SideOptions = {}, right: SideOptions = {}) {
  const clock = manualClock()
  const links = memoryLinks()
  const one = makeSide(links[0], { isDialer: true, clock, ...left })
  const two = makeSide(links[1], { isDialer: false, clock, ...right })
  return { one, two, clock }
}

/** Moves records both ways, and lets promises run, until nothing moves any more. */
async function settle(...sides: readonly Side[]): Promise<void> {
  for (let idle = 0; idle < 3; ) {
    const moved = sides.map(({ link }) => link.deliver()).some((has) => has)
    await new Promise((resolve) => setImmediate(resolve))
    idle = moved ? 0 : idle + 1
  }
}

async function established(left: SideOptions = {}, right: SideOptions = {}) {
  const both = connect(left, right)
  await settle(both.one, both.two)
  return both
}

t.test('messages arrive in order, requests are answered, both ways', async (t) => {
  const { one, two } = await established()
  for (const text of ['a', 'b', 'c']) one.mux.send('note', text)
  const asked = [
    one.mux.request('echo', { n: 1 }, { timeoutMs: 1_000 }),
    two.mux.request('echo', 'two', { timeoutMs: 1_000 }),
  ]
  await settle(one, two)
  t.same(two.messages, ['a', 'b', 'c'])
  t.same(await Promise.all(asked), [{ n: 1 }, 'two'])
})

t.test('messages of all sizes come whole', async (t) => {
  const { one, two } = await established()
  const sizes = [0, 1, 4_000, 16_360, 16_384, 16_400, 100_000, 3_000_000]
  for (const size of sizes) one.mux.send('note', new Uint8Array(size).fill(size % 251))
  const replies = sizes.map((size) =>
    one.mux.request('echo', 'x'.repeat(size), { timeoutMs: 1_000 }),
  )
  await settle(one, two)
  t.same(
    two.messages.map((body) => (body instanceof Uint8Array ? body.length : body)),
    sizes,
  )
  t.same(
    (await Promise.all(replies)).map((reply) => String(reply).length),
    sizes,
  )
})

t.test('an urgent message waits for one record of bulk at most', async (t) => {
  const { one, two } = await established()
  const bulk = Array.from({ length: 8 }, () => one.mux.openStream('bulk', null))
  for (const stream of bulk) void stream.write(new Uint8Array(200_000))
  one.mux.send('large', new Uint8Array(1_000_000))
  const reply = one.mux.request('large', new Uint8Array(1_000_000), { timeoutMs: 1_000 })
  reply.catch(() => {})
  for (let records = 0; records < 10; records++) one.link.deliver()
  for (const name of ['first', 'second']) {
    one.mux.send('heartbeat', name, { isUrgent: true })
    one.link.deliver()
    t.not(two.messages.at(-1), name, 'the record under way was there before')
    one.link.deliver()
    t.equal(two.messages.at(-1), name)
  }
  t.ok(one.link.waiting.every(({ length }) => length <= recordTargetBytes))
})

t.test('a small request waits for one record, and streams get their share, in turn', async (t) => {
  const { one, two } = await established()
  const bulk = Array.from({ length: 3 }, () => one.mux.openStream('bulk', null))
  await settle(one, two)
  for (const stream of bulk) void stream.write(new Uint8Array(200_000))
  one.link.deliver()
  let isServed = false
  void one.mux.request('echo', 1, { timeoutMs: 1_000 }).then(() => {
    isServed = true
  })
  one.link.deliver()
  one.link.deliver()
  await settle(two)
  t.ok(isServed)
  // However many messages there are, a quarter of each record is for streams.
  for (let records = 0; records < 3; records++) one.link.deliver()
  for (const stream of two.streams) t.ok(await stream.read())
  for (let count = 0; count < 500; count++) one.mux.send('note', 'n'.repeat(2_000))
  const seen = two.messages.length
  for (let records = 0; records < 13; records++) one.link.deliver()
  t.ok(two.messages.length >= seen + 12 * 5, `${two.messages.length} messages`)
  for (const stream of two.streams) {
    const bytes = await stream.read()
    t.ok((bytes?.length ?? 0) >= recordTargetBytes / 4 - 100, `${bytes?.length} bytes`)
  }
})

t.test('a reader that stops, stops the writer: nobody holds more than the window', async (t) => {
  const window = 64 * 1024
  const { one, two } = await established({}, { hello: { streamWindowBytes: window } })
  const stream = one.mux.openStream('bulk', { name: 'log' })
  let written = 0
  const writing = (async () => {
    for (; written < 4_000_000; written += 10_000) await stream.write(new Uint8Array(10_000))
    stream.end()
  })()
  await settle(one, two)
  t.ok(written < window + 80_000, `${written} bytes written`)
  const [arrived] = two.streams
  t.same([arrived?.kind, arrived?.header], ['bulk', { name: 'log' }])
  let read = 0
  const reading = (async () => {
    for await (const bytes of arrived ?? []) read += bytes.length
  })()
  await settle(one, two)
  await Promise.all([writing, reading])
  t.equal(read, 4_000_000)
  arrived?.end()
  await settle(one, two)
  t.same([one.mux.openCount(), two.mux.openCount()], [0, 0])
})

t.test('small pieces of a stream cost no more than their bytes', async (t) => {
  const { one, two } = await established()
  const stream = one.mux.openStream('drip', null)
  for (let count = 0; count < 5_000; count++) void stream.write(new Uint8Array([count % 256]))
  stream.end()
  await settle(one, two)
  const chunks: number[] = []
  for await (const bytes of two.streams[0] ?? []) chunks.push(bytes.length)
  t.equal(
    chunks.reduce((sum, length) => sum + length, 0),
    5_000,
  )
  t.ok(chunks.length < 10, `${chunks.length} chunks`)
})

t.test('a reset reaches the other side with its error, and leaving a loop resets', async (t) => {
  const { one, two } = await established()
  const [first, second] = [one.mux.openStream('a', 0), one.mux.openStream('b', 0)]
  void second.write(new Uint8Array(10))
  await settle(one, two)
  first.reset(new CodedError('not-found', 'no such log'))
  await settle(one, two)
  const [gone, there] = two.streams
  await t.rejects(async () => gone?.read(), { code: 'not-found' })
  await t.rejects(async () => gone?.write(new Uint8Array(1)), { code: 'not-found' })
  t.ok(gone?.signal.aborted)
  for await (const bytes of there ?? []) {
    t.equal(bytes.length, 10)
    break
  }
  await settle(one, two)
  await t.rejects(second.write(new Uint8Array(1)), { code: 'unavailable', message: /given up/ })
  t.same([one.mux.openCount(), two.mux.openCount()], [0, 0])
})

t.test('an error of the handler travels; a bug is told as one', async (t) => {
  const errors = [
    new CodedError('conflict', 'update out of sequence', { detail: { version: 7 } }),
    new CodedError('engine', 'x', { detail: { odd: () => 0 } }),
  ]
  const { one, two } = await established({}, { onRequest: () => Promise.reject(errors.shift()) })
  const [first, second] = [
    one.mux.request('a', 0, { timeoutMs: 1_000 }),
    one.mux.request('a', 0, { timeoutMs: 1_000 }),
  ]
  const checks = [
    t.rejects(first, {
      code: 'conflict',
      message: 'update out of sequence',
      detail: { version: 7 },
    }),
    t.rejects(second, { code: 'engine', message: 'x', detail: {} }),
  ]
  await settle(one, two)
  await Promise.all(checks)
})

t.test('a request that is late or given up is cancelled on the other side', async (t) => {
  const signals: AbortSignal[] = []
  const never = (_kind: string, _body: unknown, signal: AbortSignal): Promise<unknown> => {
    signals.push(signal)
    return new Promise(() => {})
  }
  const { one, two, clock } = await established({}, { onRequest: never })
  const giveUp = new AbortController()
  const late = t.rejects(one.mux.request('slow', 0, { timeoutMs: 100 }), {
    code: 'timeout',
    message: 'no answer to slow within 0.1 s',
  })
  const dropped = t.rejects(
    one.mux.request('slow', 0, { timeoutMs: 5_000, signal: giveUp.signal }),
    { code: 'unavailable' },
  )
  await settle(one, two)
  t.equal(signals.length, 2)
  giveUp.abort()
  await settle(one, two)
  t.same(
    signals.map(({ aborted }) => aborted),
    [false, true],
  )
  clock.advance(100)
  await settle(one, two)
  await Promise.all([late, dropped])
  t.ok(signals[0]?.aborted)
  t.same([one.mux.openCount(), two.mux.openCount()], [0, 0])
})

t.test('a request given up before it left is never seen', async (t) => {
  let seen = 0
  const { one, two } = await established({}, { onRequest: async () => ++seen })
  const giveUp = new AbortController()
  void one.mux.request('first', 'x'.repeat(100_000), { timeoutMs: 1_000 })
  const second = one.mux.request('second', 'x'.repeat(100_000), {
    timeoutMs: 1_000,
    signal: giveUp.signal,
  })
  giveUp.abort()
  await t.rejects(second, { code: 'unavailable' })
  await settle(one, two)
  t.equal(seen, 1)
})

t.test('a request cut off half way through its parts leaves nothing behind', async (t) => {
  let seen = 0
  const { one, two } = await established({}, { onRequest: async () => ++seen })
  const giveUp = new AbortController()
  const large = one.mux.request('large', 'x'.repeat(100_000), {
    timeoutMs: 1_000,
    signal: giveUp.signal,
  })
  one.link.deliver()
  one.link.deliver()
  giveUp.abort()
  await t.rejects(large, { code: 'unavailable' })
  for (let count = 0; count < 20; count++) {
    const again = new AbortController()
    const next = one.mux.request('large', 'x'.repeat(100_000), {
      timeoutMs: 1_000,
      signal: again.signal,
    })
    one.link.deliver()
    one.link.deliver()
    again.abort()
    await t.rejects(next, { code: 'unavailable' })
  }
  await settle(one, two)
  t.equal(seen, 0)
  const last = one.mux.request('large', 'x'.repeat(100_000), { timeoutMs: 1_000 })
  await settle(one, two)
  t.equal(await last, 1)
})

t.test('the limits of the other side are kept, and its answers say so', async (t) => {
  const small = { requestsMax: 2, streamsMax: 1, messageBytesMax: 1_000 }
  const never = (): Promise<unknown> => new Promise(() => {})
  const { one, two } = await established({}, { hello: small, onRequest: never })
  for (const _ of [1, 2]) one.mux.request('a', 0, { timeoutMs: 1_000 }).catch(() => {})
  await t.rejects(one.mux.request('a', 0, { timeoutMs: 1_000 }), {
    code: 'resource-exhausted',
    message: '2 requests are open, which is the limit',
  })
  one.mux.openStream('s', 0)
  t.throws(() => one.mux.openStream('s', 0), { code: 'resource-exhausted' })
  const tooLarge = one.mux.request('a', 'x'.repeat(1_001), { timeoutMs: 1_000 })
  await t.rejects(tooLarge, { code: 'resource-exhausted' })
  await settle(one, two)
  t.equal(two.streams.length, 1)
})

t.test('versions: the highest common one, and only common features', async (t) => {
  const { one, two } = await established(
    { hello: { versionMin: 1, versionMax: 3, features: ['a', 'zip'] } },
    { hello: { versionMin: 2, versionMax: 4, features: ['zip', 'b'] } },
  )
  for (const side of [one, two]) {
    const { version, features } = await side.mux.opened()
    t.same([version, [...features]], [3, ['zip']])
  }
})

t.test('without a common version both sides hear why', async (t) => {
  const { one, two } = connect(
    { hello: { versionMin: 1, versionMax: 1, agentVersion: '0.1' } },
    { hello: { versionMin: 2, versionMax: 4, agentVersion: '9.0' } },
  )
  const opened = [one, two].map(({ mux }) =>
    t.rejects(mux.opened(), { code: 'unavailable', message: /0\.1 speaks.*upgrade the older/s }),
  )
  await settle(one, two)
  await Promise.all(opened)
})

t.test('close waits for what is open and takes nothing new', async (t) => {
  const answer = Promise.withResolvers<string>()
  const { one, two } = await established({}, { onRequest: () => answer.promise })
  const open = one.mux.request('slow', 0, { timeoutMs: 10_000 })
  await settle(one, two)
  const closed = two.mux.close()
  await settle(one, two)
  t.equal(one.leaves, 1)
  t.notOk(one.mux.isUsable)
  await t.rejects(one.mux.request('more', 0, { timeoutMs: 1_000 }), {
    code: 'unavailable',
    message: 'the peer is closing the connection',
  })
  answer.resolve('at last')
  await settle(one, two)
  t.equal(await open, 'at last')
  await closed
  t.same([one.closed, two.closed], [[undefined], [undefined]])
})

t.test('close does not wait for ever', async (t) => {
  const { one, two, clock } = await established({}, { onRequest: () => new Promise(() => {}) })
  const lost = t.rejects(one.mux.request('slow', 0, { timeoutMs: 10_000 }), {
    code: 'unavailable',
  })
  await settle(one, two)
  void two.mux.close(3_000)
  await settle(one, two)
  clock.advance(3_000)
  await lost
  t.same(two.closed, [undefined])
})

t.test('a cut fails everything that is open, on both sides', async (t) => {
  const signals: AbortSignal[] = []
  const { one, two } = await established(
    {},
    {
      onRequest: (_kind, _body, signal) => {
        signals.push(signal)
        return new Promise(() => {})
      },
    },
  )
  const stream = one.mux.openStream('s', 0)
  const asked = t.rejects(one.mux.request('a', 0, { timeoutMs: 1_000 }), { code: 'unavailable' })
  const pinged = t.rejects(one.mux.ping(), { code: 'unavailable' })
  await settle(two)
  one.link.deliver()
  one.link.cut()
  await Promise.all([asked, pinged])
  await t.rejects(stream.read(), { code: 'unavailable', message: /cut/ })
  t.ok(signals.every(({ aborted }) => aborted))
  t.throws(() => one.mux.openStream('s', 0), { code: 'unavailable' })
  t.same([one.closed.length, two.closed.length], [1, 1])
})

t.test('a ping is answered', async (t) => {
  const { one, two } = await established()
  const before = one.mux.recordsReceived()
  const pings = [one.mux.ping(), one.mux.ping()]
  await settle(one, two)
  await Promise.all(pings)
  t.ok(one.mux.recordsReceived() > before)
})

/** A frame as a peer without manners would write it. */
function raw(type: FrameType, id: number, payload: Uint8Array = new Uint8Array(0), isPart = false) {
  return encodeFrame({ type, id, isPart, payload })
}

const said = encodeEnvelope('note', 1)
const part = new Uint8Array(100)
const violations: readonly {
  readonly name: string
  readonly records: readonly Uint8Array[]
  readonly message: RegExp
}[] = [
  { name: 'half a frame', records: [new Uint8Array(3)], message: /a frame is cut off/ },
  {
    name: 'a second hello',
    records: [raw('hello', 0, encodeHello(hello))],
    message: /hello twice/,
  },
  {
    name: 'garbage for MessagePack',
    records: [raw('message', 0, part.fill(0xc1))],
    message: /0xc1/,
  },
  { name: 'a message that is no list', records: [raw('message', 0, encode(5))], message: /list/ },
  { name: 'a request with our id', records: [raw('request', 2, said)], message: /not one of its/ },
  { name: 'a request with no id', records: [raw('request', 0, said)], message: /not one of its/ },
  {
    name: 'two streams with one id',
    records: [raw('open', 1, said), raw('open', 1, said)],
    message: /uses id 1 twice/,
  },
  {
    name: 'more data than the window',
    records: [
      raw('open', 1, said),
      ...Array.from({ length: 5 }, () => raw('data', 1, new Uint8Array(60_000))),
    ],
    message: /more than the 262144 bytes of its window/,
  },
  {
    name: 'data after the end',
    records: [raw('open', 1, said), raw('end', 1), raw('data', 1, part)],
    message: /data after its end/,
  },
  {
    name: 'two ends',
    records: [raw('open', 1, said), raw('end', 1), raw('end', 1)],
    message: /twice/,
  },
  {
    name: 'endless credit',
    records: [
      raw('open', 1, said),
      ...Array.from({ length: 300 }, () => raw('credit', 1, new Uint8Array(4).fill(0xff))),
    ],
    message: /too much credit/,
  },
  {
    name: 'a credit of one byte',
    records: [raw('credit', 1, part.slice(99))],
    message: /no number/,
  },
  {
    name: 'a message without end',
    records: Array.from({ length: 141 }, () => raw('message', 0, new Uint8Array(60_000), true)),
    message: /more than 8388608 bytes/,
  },
  {
    name: 'many messages in parts at once',
    records: Array.from({ length: 9 }, (_, at) => raw('request', at * 2 + 1, part, true)),
    message: /too many parts/,
  },
  {
    name: 'parts of one byte',
    records: [raw('message', 0, part.slice(99), true)],
    message: /parts that are too small/,
  },
]
for (const { name, records, message } of violations) {
  t.test(`a peer that sends ${name} is told why and left`, async (t) => {
    const { two, told } = await rude(t)
    for (const record of records) two.listener(record)
    await new Promise((resolve) => setImmediate(resolve))
    t.match(two.closed[0], { code: 'bad-request', message })
    t.match(told(), message)
  })
}

/** A multiplexer that speaks with nobody but the test; its hello is behind it. */
async function rude(_t: Test) {
  const clock = manualClock()
  const [link, far] = memoryLinks()
  const side = makeSide(link, { isDialer: false, clock })
  const sent: Uint8Array[] = []
  far.listen({ onRecord: (record) => sent.push(record), onClose: () => {} })
  const listener = (record: Uint8Array): void => {
    far.send(record, () => {})
    far.deliver()
  }
  listener(raw('hello', 0, encodeHello(hello)))
  await side.mux.opened()
  const told = (): string => new TextDecoder('latin1').decode(sent.at(-1))
  return { two: Object.assign(side, { listener }), told, link }
}

t.test('a peer that speaks before its hello is left', async (t) => {
  const [link, far] = memoryLinks()
  const side = makeSide(link, { isDialer: false, clock: manualClock() })
  far.listen({ onRecord: () => {}, onClose: () => {} })
  far.send(raw('ping', 0), () => {})
  far.deliver()
  await t.rejects(side.mux.opened(), { code: 'bad-request', message: /ping before its hello/ })
})

t.test('a frame of a type that only a newer agent knows is passed over', async (t) => {
  const { two } = await rude(t)
  const unknown = raw('ping', 0)
  unknown[0] = 99
  two.listener(Buffer.concat([unknown, raw('message', 0, said)]))
  t.same(two.messages, [1])
  t.same(two.closed, [])
})

t.test('one who asks and does not read is left before memory is', async (t) => {
  const { two } = await rude(t)
  for (let id = 1; id < 20_000 && two.closed.length === 0; id += 2) {
    two.listener(raw('request', id, encodeEnvelope('echo', 'x'.repeat(1_000))))
    if (id % 100 === 1) await new Promise((resolve) => setImmediate(resolve))
  }
  t.match(two.closed[0], { code: 'bad-request', message: /asks too much at once/ })
})

t.test('pings in masses cost one pong at a time', async (t) => {
  const { two, link } = await rude(t)
  for (let count = 0; count < 100_000; count++) two.listener(raw('ping', 0))
  t.same(two.closed, [])
  t.ok(link.waiting.length <= 1)
})
