// Fuzzers of the channel, one round a call, all from one seed: strangers' bytes at the handshake,
// changed records, frames without manners, and two honest sides with whom time plays games.
//
// A round throws if something happens that must not: an error that is no CodedError, a byte that
// was changed and accepted, a message lost or mixed up.

import { setImmediate as turn } from 'node:timers/promises'
import { CodedError } from '../../core/base/error.ts'
import { below, numberedRandom, type Random } from '../../core/base/random.ts'
import { decodeCertificate } from '../../net/secure/certificate.ts'
import type { InitiatorOptions, ResponderOptions } from '../../net/secure/handshake.ts'
import { parseJoinToken } from '../../net/secure/join-token.ts'
import {
  createRecordOpener,
  createRecordSealer,
  createUnitParser,
} from '../../net/secure/records.ts'
import { acceptSecure, dialSecure } from '../../net/secure/secure-stream.ts'
import { decodeFrames, encodeFrame, type FrameType } from '../../net/wire/frames.ts'
import { decodeHello, encodeEnvelope, encodeHello, type Hello } from '../../net/wire/messages.ts'
import { Mux, type MuxHandlers, muxLimits } from '../../net/wire/mux.ts'
import type { MuxStream } from '../../net/wire/mux-stream.ts'
import { makeClusterKeys } from './cluster-keys.ts'
import { type MemoryLink, manualClock, memoryLinks, memoryPipe } from './memory-net.ts'

const cluster = makeClusterKeys()
const dialer: InitiatorOptions = {
  type: 'member',
  identity: cluster.identity(2),
  trust: cluster.trust,
  lane: 'control',
}
const host: ResponderOptions = {
  identity: cluster.identity(1),
  trust: cluster.trust,
  admitGuest: () => {
    throw new CodedError('invalid-argument', 'wrong')
  },
}
const hello: Hello = {
  ...{ versionMin: 1, versionMax: 1, agentVersion: 'fuzz', features: [] },
  ...{ ...muxLimits, streamWindowBytes: 4_096, streamsMax: 8, requestsMax: 8 },
  messageBytesMax: 200_000,
}

/** Name -> one round with this seed. */
export const fuzzers: Readonly<Record<string, (seed: number) => Promise<void>>> = {
  handshake: fuzzHandshake,
  records: fuzzRecords,
  parsers: fuzzParsers,
  frames: fuzzFrames,
  conversation: fuzzConversation,
}

function bytesOf(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => below(random, 256))
}

/** The bytes with some flipped, cut out, doubled or put in. At least one byte is another. */
function mutate(random: Random, bytes: Uint8Array): Uint8Array {
  let result = bytes
  while (Buffer.from(result).equals(bytes)) {
    const at = below(random, result.length + 1)
    const end = Math.min(result.length, at + below(random, 20))
    const [head, middle, tail] = [result.slice(0, at), result.slice(at, end), result.slice(end)]
    const middles = [
      middle.map((byte) => byte ^ (1 << below(random, 8))),
      new Uint8Array(0),
      new Uint8Array([...middle, ...middle]),
      bytesOf(random, below(random, 40)),
    ]
    result = new Uint8Array([...head, ...(middles[below(random, 4)] ?? []), ...tail])
  }
  return result
}

/** Runs, and passes over the errors that the world may cause. */
async function onlyCoded(run: () => unknown): Promise<unknown> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    return undefined
  }
}

async function fuzzHandshake(seed: number): Promise<void> {
  const random = numberedRandom(seed)
  const clock = manualClock()
  // A man in the middle, who changes one thing that one of the two says.
  const [left, leftEnd] = memoryPipe()
  const [right, rightEnd] = memoryPipe()
  const victim = below(random, 4)
  let said = 0
  let isOnlyLonger = false
  const forward = (from: typeof leftEnd, to: typeof rightEnd): void => {
    from.on('data', (bytes: Uint8Array) => {
      const changed = said === victim ? mutate(random, bytes) : bytes
      const head = Buffer.from(changed).subarray(0, bytes.length)
      isOnlyLonger ||= said === victim && head.equals(bytes)
      said++
      if (to.writable) to.write(changed)
    })
    from.on('end', () => to.end())
    from.on('close', () => to.destroy())
  }
  forward(leftEnd, rightEnd)
  forward(rightEnd, leftEnd)
  const both = Promise.all([
    onlyCoded(() => dialSecure(left, dialer, { timers: clock })),
    onlyCoded(() => acceptSecure(right, host, { timers: clock })),
  ])
  for (let count = 0; count < 12; count++) await turn()
  clock.advance(5_000)
  const [dialed, accepted] = await both
  // What is put behind a message is taken for the beginning of the next one: it breaks that one.
  const isFooled = dialed !== undefined && !(isOnlyLonger && victim >= 2)
  if (isFooled) throw new Error('the dialer took a changed handshake for a good one')
  // The last word of all is the acceptor's: what became of it, it does not know.
  const isBlind = accepted !== undefined && victim < 3 && !(isOnlyLonger && victim >= 1)
  if (isBlind) throw new Error('the acceptor took a changed handshake for a good one')
  for (const end of [left, right, leftEnd, rightEnd]) end.destroy()
}

async function fuzzRecords(seed: number): Promise<void> {
  const random = numberedRandom(seed)
  const key = bytesOf(random, 32)
  const perKey = 1 + below(random, 5)
  const seal = createRecordSealer(key, perKey)
  const plains = Array.from({ length: 8 }, () => bytesOf(random, below(random, 300)))
  const whole = new Uint8Array(Buffer.concat(plains.map((plain) => seal(plain))))
  const changed = mutate(random, whole)
  const parser = createUnitParser()
  const open = createRecordOpener(key, perKey)
  const got: Uint8Array[] = []
  await onlyCoded(() => {
    for (let at = 0; at < changed.length; ) {
      const size = 1 + below(random, 200)
      parser.push(changed.subarray(at, at + size))
      at += size
      for (let unit = parser.next(65_535); unit !== undefined; unit = parser.next(65_535)) {
        got.push(open(unit))
      }
    }
  })
  const isPrefix = got.every((plain, index) => Buffer.from(plain).equals(plains[index] ?? key))
  if (!isPrefix || got.length > plains.length) throw new Error('a record came that was not sent')
}

async function fuzzParsers(seed: number): Promise<void> {
  const random = numberedRandom(seed)
  const good = [encodeHello(hello), cluster.identity(3).certificate, encodeEnvelope('a', [1, 'b'])]
  const bytes = mutate(random, good[below(random, good.length)] ?? new Uint8Array(1))
  await onlyCoded(() => decodeHello(bytes))
  await onlyCoded(() => decodeFrames(bytes))
  await onlyCoded(() => parseJoinToken(Buffer.from(bytes).toString('latin1')))
  const keys = [cluster.key.publicKey]
  const isAccepted = (await onlyCoded(() => decodeCertificate(bytes, keys))) !== undefined
  if (isAccepted) throw new Error('a changed certificate was accepted')
}

const types: readonly FrameType[] = [
  ...(['hello', 'message', 'urgent', 'request', 'reply', 'failure', 'cancel', 'open'] as const),
  ...(['data', 'end', 'reset', 'credit', 'ping', 'pong', 'leave'] as const),
]

async function fuzzFrames(seed: number): Promise<void> {
  const random = numberedRandom(seed)
  const [link, far] = memoryLinks()
  far.listen({ onRecord: () => {}, onClose: () => {} })
  const streams: MuxStream[] = []
  const mux = makeMux({ link, isDialer: false, streams })
  const push = (record: Uint8Array): void => {
    far.send(record, () => {})
    far.deliver()
  }
  push(encodeFrame({ type: 'hello', id: 0, isPart: false, payload: encodeHello(hello) }))
  for (let count = 0; count < 200 && mux.loss === undefined; count++) {
    const frames = Array.from({ length: 1 + below(random, 3) }, () => {
      const payloads = [
        bytesOf(random, below(random, 64)),
        encodeEnvelope('echo', 'x'.repeat(below(random, 100))),
        new Uint8Array([0, 0, 1, 0]),
        new Uint8Array(below(random, 5_000)),
      ]
      return encodeFrame({
        type: types[below(random, types.length)] ?? 'ping',
        id: below(random, 8),
        isPart: below(random, 4) === 0,
        payload: payloads[below(random, payloads.length)] ?? new Uint8Array(0),
      })
    })
    const record = Buffer.concat(frames)
    push(below(random, 10) === 0 ? mutate(random, record) : new Uint8Array(record))
    if (below(random, 3) === 0) link.deliver()
    if (below(random, 8) === 0) await turn()
  }
  mux.destroy()
  for (const stream of streams) {
    if (!stream.signal.aborted) throw new Error('a stream outlived its connection')
  }
  if (mux.openCount() !== 0) throw new Error('something outlived its connection')
}

function makeMux(options: {
  readonly link: MemoryLink
  readonly isDialer: boolean
  readonly streams?: MuxStream[]
  readonly onMessage?: MuxHandlers['onMessage']
  readonly onStream?: MuxHandlers['onStream']
}): Mux {
  const mux = new Mux({
    link: options.link,
    isDialer: options.isDialer,
    hello,
    timers: manualClock(),
    handlers: {
      onOpen: () => {},
      onMessage: options.onMessage ?? (() => {}),
      onRequest: async (_kind, body) => body,
      onStream: options.onStream ?? ((stream) => void options.streams?.push(stream)),
      onLeave: () => {},
      onClose: () => {},
      onFault: (error) => {
        throw error
      },
    },
  })
  mux.start()
  return mux
}

/** Two honest sides, records delivered in any rhythm: everything comes, whole and once. */
async function fuzzConversation(seed: number): Promise<void> {
  const random = numberedRandom(seed)
  const links = memoryLinks()
  const received: number[] = []
  const echo = async (stream: MuxStream): Promise<void> => {
    for await (const bytes of stream) await stream.write(bytes.slice())
    stream.end()
  }
  const faults: unknown[] = []
  const fault = (error: unknown): void => void faults.push(error)
  const sides = [
    makeMux({ link: links[0], isDialer: true }),
    makeMux({
      link: links[1],
      isDialer: false,
      onMessage: (_kind, body) => received.push(Number((body as { n: number }).n)),
      onStream: (stream) => void echo(stream).catch(fault),
    }),
  ] as const
  const work: Promise<void>[] = []
  let sent = 0
  const acts = [
    () => sides[0].send('n', { n: sent++, fill: 'x'.repeat(below(random, 30_000)) }),
    async () => {
      const side = sides[below(random, 2)] ?? sides[0]
      const body = 'y'.repeat(below(random, 60_000))
      const reply = await onlyCoded(() => side.request('echo', body, { timeoutMs: 1_000 }))
      if (reply !== undefined && reply !== body) throw new Error('another reply came')
    },
    async () => {
      const stream = await onlyCoded(async () => sides[0].openStream('echo', null))
      if (stream === undefined) return
      const out = bytesOf(random, below(random, 20_000))
      const writing = writeInPieces(stream as MuxStream, out, random)
      const back: Uint8Array[] = []
      for await (const bytes of stream as MuxStream) back.push(bytes)
      await writing
      if (!Buffer.concat(back).equals(out)) throw new Error('other bytes came back')
    },
  ]
  const deliver = (): boolean =>
    [0, 1].map((at) => links[at === 0 ? 0 : 1].deliver()).includes(true)
  while (!links.every(({ waiting }) => waiting.length === 0)) deliver()
  for (let count = 0; count < 25; count++) {
    const act = acts[below(random, acts.length)]
    work.push(Promise.resolve(act?.()).then(() => {}, fault))
    for (let moves = below(random, 6); moves > 0; moves--)
      links[below(random, 2) === 0 ? 0 : 1].deliver()
    if (below(random, 2) === 0) await turn()
  }
  let isDone = false
  void Promise.all(work).then(() => {
    isDone = true
  })
  for (let idle = 0; !isDone || idle < 3; idle++) {
    if (deliver()) idle = 0
    if (idle > 20) throw new Error('the conversation stands still')
    await turn()
  }
  if (faults.length > 0) throw faults[0]
  const inOrder = received.every((number, index) => number === index)
  if (!inOrder || received.length !== sent) throw new Error(`${received.length} of ${sent} came`)
  if (sides.some((mux) => mux.openCount() !== 0)) throw new Error('something stays open')
}

async function writeInPieces(stream: MuxStream, bytes: Uint8Array, random: Random): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + below(random, 3_000)
    await stream.write(bytes.subarray(at, at + size))
    at += size
  }
  stream.end()
}
