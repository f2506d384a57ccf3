// Pass-through: what the engine and its clients say to each other arrives as it was said.

import { mkdtempSync, rmSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { request } from '../../support/unix-http.ts'
import { waitFor } from '../../support/wait.ts'
import { startApi, type TestApi } from './api.ts'
import { startUpstream, type Upstream, type UpstreamHandlers } from './upstream.ts'

async function start(
  t: Test,
  handlers: UpstreamHandlers,
): Promise<{ readonly api: TestApi; readonly upstream: Upstream }> {
  const folder = mkdtempSync(join(tmpdir(), 'skep-engine-'))
  const engineSocket = join(folder, 'engine.sock')
  const upstream = await startUpstream(engineSocket, handlers)
  const api = await startApi({ engineSocket })
  t.teardown(async () => {
    await api.close()
    await upstream.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return { api, upstream }
}

/** An engine that answers every request with the same bytes, and closes at once. */
async function startRaw(t: Test, bytes: string): Promise<{ readonly api: TestApi }> {
  const folder = mkdtempSync(join(tmpdir(), 'skep-engine-'))
  const engineSocket = join(folder, 'engine.sock')
  const listener = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(bytes, () => socket.destroy()))
  })
  await new Promise<void>((resolve) => listener.listen(engineSocket, resolve))
  const api = await startApi({ engineSocket })
  t.teardown(async () => {
    await api.close()
    await new Promise((resolve) => listener.close(resolve))
    rmSync(folder, { recursive: true, force: true })
  })
  return { api }
}

/** A connection on which a test writes bytes and sees what comes back. */
function dial(t: Test, path: string): { readonly socket: Socket; readonly text: () => string } {
  const socket = connect({ path, allowHalfOpen: true })
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  return { socket, text: () => text }
}

const within = { timeoutMs: 20_000, everyMs: 5 }

t.test('method, path, query and headers arrive as sent, the version lowered', async (t) => {
  const { api, upstream } = await start(t, {
    answer: (_, response) => {
      response.writeHead(418, 'Odd', ['X-Twice', 'a', 'X-Twice', 'b', 'Content-Length', '3'])
      response.end('abc')
    },
  })
  const headers = { 'X-Registry-Auth': 'e30=', 'X-Mixed-Case': 'kept' }
  const answer = await api.ask('DELETE', '/v1.44/images/a%2Fb:1?force=1&x=%20', undefined, headers)
  t.equal(answer.status, 418)
  t.equal(answer.body, 'abc')
  t.equal(answer.headers['x-twice'], 'a, b')
  t.match(upstream.seen[0]?.line, 'DELETE /v1.41/images/a%2Fb:1?force=1&x=%20')
  t.ok(upstream.seen[0]?.rawHeaders.includes('X-Mixed-Case'))
  t.ok(upstream.seen[0]?.rawHeaders.includes('e30='))
})

t.test('a body in chunks and one of known length both arrive whole', async (t) => {
  const { api } = await start(t, {
    answer: (request, response) => {
      response.setHeader('X-Framing', request.headers['transfer-encoding'] ?? 'length')
      request.pipe(response)
    },
  })
  const body = Buffer.alloc(3_000_000, 'skep')
  const known = await api.ask('POST', '/images/load', body)
  t.equal(known.headers['x-framing'], 'length')
  t.equal(known.body.length, body.length)
  const chunked = await new Promise<IncomingMessage>((resolve) => {
    const call = httpRequest({ socketPath: api.socket, method: 'POST', path: '/build' }, resolve)
    call.write('one')
    call.end('two')
  })
  t.equal(chunked.headers['x-framing'], 'chunked')
  t.equal((await chunked.toArray()).join(''), 'onetwo')
})

t.test('HEAD keeps the length of the body that it does not send', async (t) => {
  const { api } = await start(t, {
    answer: (_, response) => {
      response.setHeader('Content-Length', 1234)
      response.end()
    },
  })
  const answer = await api.ask('HEAD', '/containers/c/archive?path=/')
  t.equal(answer.headers['content-length'], '1234')
})

t.test('the head of a stream arrives before its first byte, and bytes as they come', async (t) => {
  const go = Promise.withResolvers<void>()
  const { api } = await start(t, {
    answer: (_, response) => {
      response.flushHeaders()
      void go.promise.then(() => response.end('late'))
    },
  })
  const answer = await new Promise<IncomingMessage>((resolve) => {
    httpRequest({ socketPath: api.socket, path: '/containers/c/logs?follow=1' }, resolve).end()
  })
  t.equal(answer.statusCode, 200)
  go.resolve()
  t.equal((await answer.toArray()).join(''), 'late')
})

t.test('a client that leaves is gone for the engine too', async (t) => {
  const gone = Promise.withResolvers<void>()
  const { api } = await start(t, {
    answer: (_, response) => {
      response.write('first')
      response.on('close', () => gone.resolve())
    },
  })
  const call = httpRequest({ socketPath: api.socket, path: '/containers/c/stats' })
  call.on('error', () => {})
  call.on('response', (answer) => {
    answer.on('error', () => {})
    answer.once('data', () => call.destroy())
  })
  call.end()
  await gone.promise
  t.pass('the engine saw its connection close')
})

t.test('an answer that breaks off does not look complete', async (t) => {
  const { api } = await start(t, {
    answer: (_, response) => {
      response.write('half')
      setImmediate(() => response.destroy())
    },
  })
  await t.rejects(api.ask('GET', '/containers/c/export'))
})

t.test('an engine that answers early is heard although the body still comes', async (t) => {
  const { api } = await start(t, {
    answer: (_, response) => {
      response.writeHead(400, { Connection: 'close' })
      response.end('{"message":"no"}')
    },
  })
  const { socket, text } = dial(t, api.socket)
  socket.write('POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n')
  for (let sent = 0; sent < 64; sent++) socket.write(Buffer.alloc(65_536))
  await waitFor({ what: 'early answer', ...within }, () => text().includes('{"message":"no"}'))
  t.match(text(), /^HTTP\/1\.1 400 /)
  await waitFor({ what: 'end of the connection', ...within }, () => socket.readableEnded)
})

t.test('an upgrade joins two sockets, with what was sent ahead and half-closes', async (t) => {
  const { api, upstream } = await start(t, {
    upgrade: (request, socket, head) => {
      const body: Buffer[] = []
      request.on('data', (chunk: Buffer) => body.push(chunk))
      request.on('end', () => {
        socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
        socket.write(`[${Buffer.concat(body)}]`)
        socket.write(head)
        socket.on('data', (chunk) => socket.write(chunk))
        socket.on('end', () => socket.end('bye'))
      })
    },
  })
  const { socket, text } = dial(t, api.socket)
  socket.write(
    'POST /v1.44/exec/e/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n' +
      'Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 14\r\n\r\n{"Tty": false}early',
  )
  await waitFor({ what: 'what was sent ahead', ...within }, () => text().endsWith('early'))
  t.match(
    text(),
    'HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n[{"Tty": false}]',
  )
  t.match(upstream.seen[0]?.line, 'POST /v1.41/exec/e/start')
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, value) => value))
  socket.write(bytes)
  await waitFor({ what: 'each byte back', ...within }, () =>
    text().endsWith(`early${bytes.toString('latin1')}`),
  )
  socket.end()
  await waitFor({ what: 'word after the end of input', ...within }, () => text().endsWith('bye'))
  await waitFor({ what: 'end of the stream', ...within }, () => socket.readableEnded)
})

t.test('an upgrade that the engine refuses ends with its words', async (t) => {
  const { api } = await start(t, {
    upgrade: (request, socket) => {
      request.resume()
      const body = '{"message":"No such container: c"}'
      socket.end(
        `HTTP/1.1 404 Not Found\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      )
    },
  })
  const { socket, text } = dial(t, api.socket)
  socket.write(
    'POST /containers/c/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
  )
  await waitFor({ what: 'end of the answer', ...within }, () => socket.readableEnded)
  t.match(text(), /^HTTP\/1\.1 404 Not Found\r\n/)
  t.match(text(), /\{"message":"No such container: c"\}$/)
})

t.test('an upgraded client that dies takes the engine side with it', async (t) => {
  const gone = Promise.withResolvers<void>()
  const { api } = await start(t, {
    upgrade: (request, socket) => {
      request.resume()
      socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
      socket.on('error', () => {})
      socket.on('close', () => gone.resolve())
      // As a container that goes on printing: a byte that nobody takes ends the stream.
      socket.on('end', () => {
        const timer = setInterval(() => socket.write('more'), 5)
        socket.on('close', () => clearInterval(timer))
      })
      socket.resume()
    },
  })
  const { socket, text } = dial(t, api.socket)
  socket.write(
    'POST /containers/c/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
  )
  await waitFor({ what: 'upgrade', ...within }, () => text().includes('101 UPGRADED'))
  socket.destroy()
  await gone.promise
  t.pass('the engine saw its connection close')
})

t.test('routes of ours are not upgraded', async (t) => {
  const { api } = await start(t, {})
  const answer = await api.ask('GET', '/_ping', undefined, {
    Connection: 'Upgrade, HTTP2-Settings',
    Upgrade: 'h2c',
  })
  t.equal(answer.status, 200)
  t.equal(answer.body, 'OK')
})

t.test('raw bytes without an upgrade stay raw, and end with the connection', async (t) => {
  const type = 'Content-Type: application/vnd.docker.raw-stream'
  const { api } = await startRaw(t, `HTTP/1.1 200 OK\r\n${type}\r\n\r\nraw`)
  const { socket, text } = dial(t, api.socket)
  socket.write('POST /containers/c/attach HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n')
  await waitFor({ what: 'end of the stream', ...within }, () => socket.readableEnded)
  t.match(text(), /\r\n\r\nraw$/)
  t.notMatch(text(), /chunked/i)
})

t.test('an engine that is not there is named', async (t) => {
  const api = await startApi({ engineSocket: '/nowhere/docker.sock' })
  t.teardown(api.close)
  const answer = await api.ask('GET', '/v1.44/containers/json')
  t.equal(answer.status, 503)
  t.match(
    JSON.parse(answer.body).message,
    /^Cannot reach the container engine at unix:\/\/\/nowhere\/docker\.sock: /,
  )
  const { socket, text } = dial(t, api.socket)
  socket.write(
    'POST /containers/c/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
  )
  await waitFor({ what: 'refusal', ...within }, () => text().includes('nowhere'))
  t.match(text(), /^HTTP\/1\.1 503 /)
})

t.test('many requests at once do not wait for each other', async (t) => {
  const held: (() => void)[] = []
  const { api } = await start(t, {
    answer: (request, response) => {
      if (request.url?.includes('/wait') === true) held.push(() => response.end('{}'))
      else response.end('now')
    },
  })
  const waits = Array.from({ length: 50 }, () => api.ask('POST', '/containers/c/wait'))
  await waitFor({ what: '50 waiting requests', ...within }, () => held.length === 50)
  t.equal((await api.ask('GET', '/containers/json')).body, 'now')
  t.equal((await request({ socket: api.socket, path: '/_ping' })).body, 'OK')
  for (const release of held) release()
  t.equal((await Promise.all(waits)).length, 50)
})
