// How fast the channel is on this machine, over loopback, both ends in this one process (so each
// figure is that of two nodes on one core): prints, asserts nothing.

import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { systemClock } from '../../agent/base/clock.ts'
import { dial } from '../../net/cluster/tcp.ts'
import type { InitiatorOptions, ResponderOptions } from '../../net/secure/handshake.ts'
import { acceptSecure, dialSecure, type SecureStream } from '../../net/secure/secure-stream.ts'
import type { Hello } from '../../net/wire/messages.ts'
import { Mux, type MuxHandlers, muxLimits } from '../../net/wire/mux.ts'
import { makeClusterKeys } from '../support/cluster-keys.ts'

const runMs = 2_000
const timers = systemClock
const cluster = makeClusterKeys()
const host: ResponderOptions = {
  identity: cluster.identity(1),
  trust: cluster.trust,
  admitGuest: () => 'worker',
}
const dialer: InitiatorOptions = {
  type: 'member',
  identity: cluster.identity(2),
  trust: cluster.trust,
  lane: 'bulk',
}
const hello: Hello = {
  ...{ versionMin: 1, versionMax: 1, agentVersion: 'bench', features: [] },
  ...muxLimits,
}
const handlers: MuxHandlers = {
  onOpen: () => {},
  onMessage: () => {},
  onRequest: async (_kind, body) => body,
  onStream: (stream) => {
    const drain = async (): Promise<void> => {
      for await (const _ of stream);
      stream.end()
    }
    void drain()
  },
  onLeave: () => {},
  onClose: () => {},
  onFault: (error) => {
    throw error
  },
}

const onAccepted = new Set<(stream: SecureStream) => void>()
const server: Server = createServer({ noDelay: true }, (socket) => {
  void acceptSecure(socket, host, { timers }).then((stream) => {
    for (const each of onAccepted) each(stream)
  })
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo

async function connect(): Promise<readonly [SecureStream, SecureStream]> {
  const { promise, resolve } = Promise.withResolvers<SecureStream>()
  onAccepted.add(resolve)
  const socket = await dial({ host: '127.0.0.1', port }, { timers })
  const dialed = await dialSecure(socket, dialer, { timers })
  const accepted = await promise
  onAccepted.delete(resolve)
  return [dialed, accepted]
}

function report(name: string, figure: string): void {
  console.log(`${name.padEnd(52)} ${figure}`)
}

async function counted(run: () => Promise<number>): Promise<string> {
  const startedAt = performance.now()
  let count = 0
  while (performance.now() - startedAt < runMs) count += await run()
  return ((count / (performance.now() - startedAt)) * 1_000).toFixed(0)
}

async function handshakes(): Promise<void> {
  const rate = await counted(async () => {
    const streams = await connect()
    for (const stream of streams) stream.destroy()
    return 1
  })
  report('handshakes, one after the other, both sides', `${rate} /s`)
}

async function muxes(): Promise<readonly [Mux, Mux]> {
  const [dialed, accepted] = await connect()
  const made = [
    new Mux({ link: dialed, isDialer: true, hello, timers, handlers }),
    new Mux({ link: accepted, isDialer: false, hello, timers, handlers }),
  ] as const
  for (const mux of made) mux.start()
  await Promise.all(made.map((mux) => mux.opened()))
  return made
}

async function requests(mux: Mux, width: number): Promise<void> {
  const body = 'x'.repeat(100)
  const rate = await counted(async () => {
    const asked = Array.from({ length: width }, () =>
      mux.request('echo', body, { timeoutMs: 10_000 }),
    )
    await Promise.all(asked)
    return width
  })
  report(`requests of 100 bytes with replies, ${width} at once`, `${rate} /s`)
}

async function bulk(mux: Mux, streams: number): Promise<void> {
  const chunk = new Uint8Array(64 * 1024)
  let bytes = 0
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: streams }, async () => {
      const stream = mux.openStream('bulk', null)
      for (; performance.now() - startedAt < runMs; bytes += chunk.length) await stream.write(chunk)
      stream.end()
      await stream.read()
    }),
  )
  const rate = bytes / 1_000 / (performance.now() - startedAt)
  report(`${streams} stream(s), one way`, `${rate.toFixed(0)} MB/s`)
}

/** How long an urgent message takes beside a stream that fills the line. */
async function beside(mux: Mux): Promise<void> {
  const stream = mux.openStream('bulk', null)
  const chunk = new Uint8Array(64 * 1024)
  let isOver = false
  const filling = (async () => {
    while (!isOver) await stream.write(chunk)
    stream.end()
  })()
  const times: number[] = []
  const startedAt = performance.now()
  while (performance.now() - startedAt < runMs) {
    const askedAt = performance.now()
    await mux.ping()
    times.push(performance.now() - askedAt)
  }
  isOver = true
  await filling
  times.sort((left, right) => left - right)
  const at = (part: number): string => (times[Math.floor(times.length * part)] ?? 0).toFixed(2)
  report('ping beside a full stream', `p50 ${at(0.5)} ms  p99 ${at(0.99)} ms`)
}

await handshakes()
const [mux] = await muxes()
await requests(mux, 1)
await requests(mux, 64)
await bulk(mux, 1)
await bulk(mux, 16)
await beside(mux)
mux.destroy()
server.close()
