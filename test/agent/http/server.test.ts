// The server's socket: who may use it, what it takes over, what it bears.

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createApiServer } from '../../../agent/http/server.ts'
import { CodedError } from '../../../core/base/error.ts'
import { waitFor } from '../../support/wait.ts'
import { serviceBody, startApi, startCluster } from './api.ts'
import { createMemoryBackend } from './memory-backend.ts'

const within = { timeoutMs: 20_000, everyMs: 5 }

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'skep-server-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function serverAt(socketPath: string): ReturnType<typeof createApiServer> {
  const backend = createMemoryBackend()
  return createApiServer({ backend, engineSocket: undefined, socketPath, log: () => {} })
}

/** Sends bytes and reads until the other side ends. */
async function exchange(t: Test, path: string, bytes: string | Buffer): Promise<string> {
  const socket = connect(path)
  t.teardown(() => socket.destroy())
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString()
  })
  socket.on('error', () => {})
  socket.write(bytes)
  await waitFor({ what: 'end of the connection', ...within }, () => socket.closed)
  return text
}

t.test('the socket is for its owner and group alone', async (t) => {
  const api = await startApi()
  t.teardown(api.close)
  const stat = statSync(api.socket)
  t.equal(stat.mode & 0o777, 0o660)
  const docker = /^docker:[^:]*:(\d+):/m.exec(readFileSync('/etc/group', 'utf8'))?.[1]
  if (process.getuid?.() === 0 && docker !== undefined) t.equal(stat.gid, Number(docker))
})

t.test('a socket that a dead daemon left is taken over', async (t) => {
  const path = join(folderOf(t), 'agent.sock')
  // A listener that is closed without its file being removed, as after kill -9.
  const dead = createServer()
  await new Promise<void>((resolve) => dead.listen(path, resolve))
  const server = serverAt(path)
  await t.rejects(server.listen(), { code: 'conflict', message: /another daemon listens on/ })
  rmSync(path)
  await new Promise((resolve) => dead.close(resolve))
  writeFileSync(path, '')
  await t.rejects(server.listen(), { code: 'conflict', message: /exists and is no socket/ })
  rmSync(path)
  await server.listen()
  await server.close()
  t.throws(() => statSync(path), 'closing removes the file')
})

t.test('a path that no socket can have is refused by name', async (t) => {
  await t.rejects(serverAt(`/${'x'.repeat(110)}`).listen(), {
    code: 'invalid-argument',
    message: /has at most 107 bytes, this has 111/,
  })
  const path = join(folderOf(t), 'nowhere', 'agent.sock')
  await t.rejects(serverAt(path).listen(), {
    code: 'unavailable',
    message: `cannot listen on ${path}: `,
  })
})

t.test('closing ends streams that would never end', async (t) => {
  const path = join(folderOf(t), 'agent.sock')
  const server = serverAt(path)
  await server.listen()
  const ended = Promise.withResolvers<void>()
  const call = request({ socketPath: path, path: '/events' }, (answer) => {
    answer.resume()
    answer.on('close', () => ended.resolve())
    answer.on('error', () => {})
    void server.close()
  })
  call.on('error', () => ended.resolve())
  call.end()
  await ended.promise
  t.pass('its client was let go')
})

t.test('what is no HTTP, or too long, gets an error in JSON', async (t) => {
  const api = await startApi()
  t.teardown(api.close)
  t.match(
    await exchange(t, api.socket, 'hello\r\n\r\n'),
    /^HTTP\/1\.1 400 [\s\S]*"malformed request/,
  )
  const long = `GET /_ping HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(70_000)}\r\n\r\n`
  t.match(await exchange(t, api.socket, long), /^HTTP\/1\.1 431 [\s\S]*over 65536 bytes/)
})

t.test('a body that breaks off ends its own request alone', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  const socket = connect(api.socket)
  const head = 'POST /services/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
  socket.write(`${head}Content-Length: 100\r\n\r\n{"Name":`)
  socket.on('error', () => {})
  await new Promise<void>((resolve) => socket.write('"a"', () => resolve()))
  socket.destroy()
  t.equal((await api.ask('POST', '/services/create', serviceBody('web'))).status, 201)
  t.equal((await api.json('GET', '/services')).length, 1)
})

t.test('Expect: 100-continue is answered before the body', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  const body = JSON.stringify(serviceBody('web'))
  const status = await new Promise<number | undefined>((resolve) => {
    const call = request(
      {
        socketPath: api.socket,
        method: 'POST',
        path: '/services/create',
        headers: {
          Expect: '100-continue',
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(body),
        },
      },
      (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      },
    )
    call.on('continue', () => call.end(body))
    call.flushHeaders()
  })
  t.equal(status, 201)
})

t.test('an error that nobody foresaw is a 500 with its text, and is logged', async (t) => {
  const path = join(folderOf(t), 'agent.sock')
  const lines: string[] = []
  const backend = createMemoryBackend()
  const server = createApiServer({
    backend: {
      ...backend,
      read: async () => {
        throw new RangeError('out of luck')
      },
    },
    engineSocket: undefined,
    socketPath: path,
    log: (level, event) => lines.push(`${level} ${event}`),
  })
  await server.listen()
  t.teardown(server.close)
  const text = await exchange(
    t,
    path,
    'GET /nodes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  )
  t.match(text, /^HTTP\/1\.1 500 [\s\S]*\{"message":"internal error: out of luck"\}/)
  t.same(lines, ['error http.failed'])
})

t.test('errors carry the status of the table, whatever their code', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  const rows = [
    { code: 'no-leader', status: 503 },
    { code: 'resource-exhausted', status: 503 },
    { code: 'timeout', status: 504 },
    { code: 'disk-full', status: 507 },
  ] as const
  for (const { code, status } of rows) {
    api.backend.failure = new CodedError(code, 'why')
    // Asked to change something: what is only read is had from a manager without a leader too.
    t.equal((await api.ask('DELETE', '/services/web')).status, status, code)
  }
})
