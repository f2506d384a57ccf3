// Ingress on loopback: real sockets, real web servers in processes of their own.

import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { systemClock } from '../../agent/base/clock.ts'
import { asId, type TaskId } from '../../core/base/id.ts'
import type { BackendAddress } from '../../net/balance/backend.ts'
import {
  type BalanceClock,
  createIngress,
  type Ingress,
  type IngressLimits,
  type IngressRow,
} from '../../net/balance/ingress.ts'
import { waitFor } from '../support/wait.ts'

t.setTimeout(240_000)

const clock = systemClock

/** Time that runs fifty times as fast, for what takes minutes. */
const fastClock: BalanceClock = {
  nowMs: () => systemClock.nowMs() * 50,
  sleep: (ms, signal) => systemClock.sleep(ms / 50, signal),
}

function open(t: Test, limits: Partial<IngressLimits> = {}, time: BalanceClock = clock): Ingress {
  const ingress = createIngress({ log: () => undefined, clock: time, limits })
  t.teardown(() => ingress.close())
  return ingress
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  await waitFor({ what, timeoutMs: 10_000, everyMs: 5 }, isSo)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '::')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function listening(ingress: Ingress): Promise<void> {
  await until('ingress listens', () => ingress.status().every((row) => row.state === 'listening'))
}

/** A TCP server whose connections the test handles. */
async function serve(t: Test, handle: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    handle(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

function backend(name: string, port: number): BackendAddress {
  return { taskId: asId<TaskId>(name), address: '127.0.0.1', port }
}

function row(port: number, ...backends: BackendAddress[]): IngressRow {
  return { port, protocol: 'tcp', serviceName: 'web', backends }
}

/** Sends, ends, and reads to the end; rejects on a reset. */
async function exchange(port: number, data: string, host = '127.0.0.1'): Promise<string> {
  const socket = connect({ port, host })
  socket.end(data)
  let answer = ''
  for await (const chunk of socket) answer += chunk
  return answer
}

function destroyAll(sockets: readonly Socket[]): void {
  for (const socket of sockets) socket.destroy()
}

const echo = (socket: Socket): void => void socket.pipe(socket)

t.test('bytes and a half-close go through, over IPv4 and IPv6', async (t) => {
  const ingress = open(t)
  const port = await freePort()
  ingress.setTable([row(port, backend('a', await serve(t, echo)))])
  await listening(ingress)
  t.equal(await exchange(port, 'hello'), 'hello')
  t.equal(await exchange(port, 'six', '::1'), 'six')
  const [status] = ingress.status()
  t.match(status?.backends[0], { connectionsTotal: 2, bytesIn: 8, bytesOut: 8, failures: 0 })
})

t.test(
  'an answer after the client has ended arrives whole, and slow readers get all',
  async (t) => {
    const ingress = open(t)
    const port = await freePort()
    const size = 8 * 1024 * 1024
    const source = await serve(t, (socket) => {
      socket.resume().on('end', () => socket.end(Buffer.alloc(size, 'x')))
    })
    ingress.setTable([row(port, backend('a', source))])
    await listening(ingress)
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.end('go')
    let read = 0
    let chunks = 0
    for await (const chunk of socket) {
      read += chunk.length
      if (chunks++ % 16 === 0) await sleep(1)
    }
    t.equal(read, size)
  },
)

t.test('a task that has said its last word still hears its client', async (t) => {
  const ingress = open(t)
  const port = await freePort()
  let heard = ''
  const target = await serve(t, (socket) => {
    socket.end('bye')
    socket.on('data', (data) => {
      heard += data
    })
  })
  ingress.setTable([row(port, backend('a', target))])
  await listening(ingress)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.resume()
  await once(socket, 'end')
  socket.end('and so on')
  await until('the task has heard it', () => heard === 'and so on')
})

t.test('a reset by the task is a reset for the client', async (t) => {
  const ingress = open(t)
  const port = await freePort()
  const target = await serve(t, (socket) => socket.once('data', () => socket.resetAndDestroy()))
  ingress.setTable([row(port, backend('a', target))])
  await listening(ingress)
  await t.rejects(exchange(port, 'x'), { code: 'ECONNRESET' })
})

t.test('a backend that refuses costs the client nothing', async (t) => {
  const ingress = open(t)
  const port = await freePort()
  const dead = backend('dead', await freePort())
  ingress.setTable([row(port, dead, backend('a', await serve(t, echo)))])
  await listening(ingress)
  for (let at = 0; at < 6; at++) t.equal(await exchange(port, `r${at}`), `r${at}`)
  const refused = ingress.status()[0]?.backends.find((one) => one.taskId === 'dead')
  t.equal(refused?.failures, 1, 'it is left aside after the first failure')
})

t.test('connections are spread evenly', async (t) => {
  const ingress = open(t)
  const port = await freePort()
  const [a, b] = [await serve(t, echo), await serve(t, echo)]
  ingress.setTable([row(port, backend('a', a), backend('b', b))])
  await listening(ingress)
  const sockets = Array.from({ length: 10 }, () => connect({ port, host: '127.0.0.1' }))
  t.teardown(() => destroyAll(sockets))
  const counts = (): (number | undefined)[] =>
    ingress.status()[0]?.backends.map((one) => one.connections) ?? []
  await until('all are open', () => counts().join() === '5,5')
})

t.test('a connection waits for a backend to appear, and is reset if none does', async (t) => {
  const ingress = open(t, { holdMs: 300 })
  const port = await freePort()
  ingress.setTable([row(port)])
  await listening(ingress)
  const waiting = exchange(port, 'early')
  await until('it is held', () => ingress.status()[0]?.held === 1)
  ingress.setTable([row(port, backend('a', await serve(t, echo)))])
  t.equal(await waiting, 'early')
  ingress.setTable([row(port)])
  await t.rejects(exchange(port, 'never'), { code: 'ECONNRESET' })
  t.equal(ingress.status()[0]?.refused, 1)
})

t.test('a port taken by another program is named, and used once it is free', async (t) => {
  const other = createServer().listen(0, '0.0.0.0')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const ingress = open(t)
  ingress.setTable([row(port, backend('a', await serve(t, echo)))])
  await until('it has failed', () => ingress.status()[0]?.state === 'failed')
  t.match(ingress.status()[0]?.reason, `port ${port}/tcp is taken by another program`)
  other.close()
  await listening(ingress)
  t.equal(await exchange(port, 'mine'), 'mine')
})

t.test('a removed port stops listening at once, its connections go on', async (t) => {
  const ingress = open(t)
  const port = await freePort()
  ingress.setTable([row(port, backend('a', await serve(t, echo)))])
  await listening(ingress)
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write('one')
  t.equal(String((await once(socket, 'data'))[0]), 'one')
  ingress.setTable([])
  t.strictSame(ingress.status(), [])
  await t.rejects(exchange(port, 'x'), { code: 'ECONNREFUSED' })
  socket.write('two')
  t.equal(String((await once(socket, 'data'))[0]), 'two')
  socket.destroy()
})

t.test('clients above the limit of a port are sent away', async (t) => {
  const ingress = open(t, { connectionsPerPortMax: 2 })
  const port = await freePort()
  ingress.setTable([row(port, backend('a', await serve(t, echo)))])
  await listening(ingress)
  const kept = [connect({ port, host: '127.0.0.1' }), connect({ port, host: '127.0.0.1' })]
  t.teardown(() => destroyAll(kept))
  await until('two are open', () => ingress.status()[0]?.connections === 2)
  await t.rejects(exchange(port, 'third'), { code: 'ECONNRESET' })
})

/** A deadline of a drain that no test lives to see: a drain that ends has not waited for it. */
const farMs = 3_600_000

t.test('a drained task gets no new connection, and silent ones are closed', async (t) => {
  const ingress = open(t, { drainIdleMs: 200 })
  const port = await freePort()
  const [a, b] = [await serve(t, echo), await serve(t, (socket) => socket.resume().end('b'))]
  ingress.setTable([row(port, backend('a', a))])
  await listening(ingress)
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write('x')
  await once(socket, 'data')
  const drained = ingress.drain(asId<TaskId>('a'), Date.now() + farMs)
  ingress.setTable([row(port, backend('a', a), backend('b', b))])
  t.equal(await exchange(port, 'new'), 'b', 'even if a late table names the task again')
  await once(socket, 'end')
  await drained
  ingress.setTable([row(port, backend('a', a), backend('b', b))])
  const answers = [await exchange(port, ''), await exchange(port, ''), await exchange(port, '')]
  t.strictSame(answers, ['b', 'b', 'b'])
})

t.test('neighbours that never answer our end do not hold up a drain', async (t) => {
  const ingress = open(t, { drainIdleMs: 200 })
  const port = await freePort()
  const deaf = await serve(t, (socket) => {
    t.teardown(() => socket.destroy())
    socket.on('data', (data) => socket.write(data))
  })
  ingress.setTable([row(port, backend('a', deaf))])
  await listening(ingress)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  socket.write('x')
  await once(socket, 'data')
  await ingress.drain(asId<TaskId>('a'), Date.now() + farMs)
})

t.test('a drain ends at its deadline though a connection is busy', async (t) => {
  const ingress = open(t)
  const port = await freePort()
  ingress.setTable([row(port, backend('a', await serve(t, echo)))])
  await listening(ingress)
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('data', () => setTimeout(() => socket.write('x'), 20))
  t.teardown(() => socket.destroy())
  socket.write('x')
  await once(socket, 'data')
  const startMs = Date.now()
  await ingress.drain(asId<TaskId>('a'), startMs + 300)
  t.ok(Date.now() - startMs >= 290)
  t.notOk(socket.destroyed, 'the connection lives on, to end with its task')
})

interface WebServer {
  readonly port: number
  readonly child: ChildProcess
}

async function webServer(t: Test, name: string, delayMs: number): Promise<WebServer> {
  const file = new URL('../support/http-backend.program.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [file, name, String(delayMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = await once(child.stdout, 'data')
  return { port: Number(line), child }
}

async function request(port: number, agent: Agent): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const asked = get({ port, host: '127.0.0.1', agent }, (response) => {
      let body = ''
      response.on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () => resolve(body))
      response.on('error', reject)
    })
    asked.on('error', reject)
  })
}

interface Load {
  readonly answers: string[]
  readonly failures: string[]
  readonly stop: () => Promise<void>
}

/** Clients that ask one request after the other. */
function load(
  port: number,
  options: { readonly clients: number; readonly keepAlive: boolean; readonly pauseMs: number },
): Load {
  const agent = new Agent({ keepAlive: options.keepAlive, maxSockets: options.clients })
  const answers: string[] = []
  const failures: string[] = []
  let isOn = true
  const clients = Array.from({ length: options.clients }, async () => {
    while (isOn) {
      await request(port, agent).then(
        (answer) => answers.push(answer),
        (error) => failures.push(String(error)),
      )
      await sleep(options.pauseMs)
    }
  })
  const stop = async (): Promise<void> => {
    isOn = false
    await Promise.all(clients)
    agent.destroy()
  }
  return { answers, failures, stop }
}

for (const keepAlive of [false, true]) {
  const kind = keepAlive ? 'kept connections' : 'a connection for each request'
  t.test(`no request is lost when tasks are replaced under load, ${kind}`, async (t) => {
    const ingress = open(t)
    const port = await freePort()
    let servers = [
      { name: 'a0', ...(await webServer(t, 'a0', 10)) },
      { name: 'b0', ...(await webServer(t, 'b0', 10)) },
    ]
    const publish = (): void =>
      ingress.setTable([row(port, ...servers.map((one) => backend(one.name, one.port)))])
    publish()
    await listening(ingress)
    const clients = load(port, { clients: 12, keepAlive, pauseMs: keepAlive ? 3 : 0 })
    await until('there is load', () => clients.answers.length > 50)
    for (const round of [1, 2]) {
      const [old] = servers
      if (old === undefined) break
      const fresh = { name: `c${round}`, ...(await webServer(t, `c${round}`, 10)) }
      servers = [...servers.slice(1), fresh]
      const drained = ingress.drain(asId<TaskId>(old.name), Date.now() + 1_000)
      publish()
      await drained
      // What never ends by itself is ended by the task, which is told to.
      old.child.kill(keepAlive ? 'SIGTERM' : 'SIGKILL')
      await once(old.child, 'exit')
      const seen = clients.answers.length
      await until('the load goes on', () => clients.answers.length > seen + 50)
    }
    await clients.stop()
    t.strictSame(clients.failures, [])
    t.match(new Set(clients.answers), new Set(['a0', 'b0', 'c1', 'c2']))
    t.comment(`${clients.answers.length} requests`)
  })
}

async function datagramServer(t: Test, name: string): Promise<DatagramSocket> {
  const socket = createSocket('udp4')
  socket.on('message', (data, from) => socket.send(`${name}:${data}`, from.port, from.address))
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  return socket
}

async function ask(client: DatagramSocket, port: number, data: string): Promise<string> {
  client.send(data, port, '127.0.0.1')
  const [answer] = await once(client, 'message', { signal: AbortSignal.timeout(3_000) })
  return String(answer)
}

function datagramClient(t: Test): DatagramSocket {
  const client = createSocket('udp4')
  t.teardown(() => client.close())
  return client
}

t.test('datagrams of one client go to one task, those of another to the next', async (t) => {
  const ingress = open(t)
  const port = await freePort()
  const [a, b] = [await datagramServer(t, 'a'), await datagramServer(t, 'b')]
  const table = (...names: string[]): void =>
    ingress.setTable([
      {
        port,
        protocol: 'udp',
        serviceName: 'dns',
        backends: [backend('a', a.address().port), backend('b', b.address().port)].filter((one) =>
          names.includes(one.taskId),
        ),
      },
    ])
  table('a', 'b')
  await listening(ingress)
  const [one, two] = [datagramClient(t), datagramClient(t)]
  t.equal(await ask(one, port, '1'), 'a:1')
  t.equal(await ask(two, port, '2'), 'b:2')
  t.equal(await ask(one, port, '3'), 'a:3')
  table('b')
  t.equal(await ask(one, port, '4'), 'b:4', 'a flow moves on when its task leaves the table')
  t.match(ingress.status()[0], { connections: 2 })
})

t.test('flows of datagrams are bounded: the one silent for longest makes room', async (t) => {
  const ingress = open(t, { udpFlowsPerPortMax: 3 })
  const port = await freePort()
  const server = await datagramServer(t, 'a')
  const backends = [backend('a', server.address().port)]
  ingress.setTable([{ port, protocol: 'udp', serviceName: 'dns', backends }])
  await listening(ingress)
  for (let at = 0; at < 5; at++) t.equal(await ask(datagramClient(t), port, 'x'), 'a:x')
  t.equal(ingress.status()[0]?.connections, 3)
})

t.test('a client that asked once is forgotten after 10 s, one that goes on after 60', async (t) => {
  const ingress = open(t, {}, fastClock)
  const port = await freePort()
  const server = await datagramServer(t, 'a')
  const backends = [backend('a', server.address().port)]
  ingress.setTable([{ port, protocol: 'udp', serviceName: 'dns', backends }])
  await listening(ingress)
  const talker = datagramClient(t)
  await ask(talker, port, '1')
  await ask(talker, port, '2')
  const startMs = fastClock.nowMs()
  await ask(datagramClient(t), port, 'once')
  t.equal(ingress.status()[0]?.connections, 2)
  await until('one is left', () => ingress.status()[0]?.connections === 1)
  t.ok(fastClock.nowMs() - startMs >= 10_000)
  await until('none is left', () => ingress.status()[0]?.connections === 0)
  t.ok(fastClock.nowMs() - startMs >= 59_000)
})

t.test('a datagram that nobody listens for moves its client to another task', async (t) => {
  const ingress = open(t)
  const port = await freePort()
  const a = await datagramServer(t, 'a')
  const dead = backend('dead', await freePort())
  const backends = [dead, backend('a', a.address().port)]
  ingress.setTable([{ port, protocol: 'udp', serviceName: 'dns', backends }])
  await listening(ingress)
  const client = datagramClient(t)
  client.send('lost', port, '127.0.0.1')
  const failures = (): number | undefined =>
    ingress.status()[0]?.backends.find((one) => one.taskId === 'dead')?.failures
  await until('the refusal is heard', () => failures() === 1)
  t.equal(await ask(client, port, 'again'), 'a:again')
})

t.test('a connection that is silent for longer than its idle time is reset', async (t) => {
  const ingress = open(t, { tcpIdleMs: 20_000 }, fastClock)
  const port = await freePort()
  ingress.setTable([row(port, backend('a', await serve(t, echo)))])
  await listening(ingress)
  const socket = connect({ port, host: '127.0.0.1' })
  const [error] = await once(socket, 'error')
  t.match(error, { code: 'ECONNRESET' })
})
