// The client against a small engine of our own: versions, errors, an engine that goes away.

import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { compareVersions, DockerClient } from '../../../agent/executor/docker-client.ts'

const never = new AbortController().signal

type Handle = (request: IncomingMessage, response: ServerResponse) => void

interface FakeEngine {
  readonly client: DockerClient
  readonly server: Server
  /** Method and path of each request but pings. */
  readonly asked: string[]
}

/** An engine that speaks the version and answers by `handle`. */
async function fakeEngine(
  t: Test,
  version: string | undefined,
  handle: Handle,
): Promise<FakeEngine> {
  const folder = mkdtempSync(join(tmpdir(), 'skep-engine-'))
  const socket = join(folder, 's')
  const asked: string[] = []
  const server = createServer((request, response) => {
    if (request.url === '/_ping') {
      if (version !== undefined) response.setHeader('api-version', version)
      response.end('OK')
      return
    }
    asked.push(`${request.method} ${request.url}`)
    handle(request, response)
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  const client = new DockerClient(socket)
  t.teardown(async () => {
    await client.close()
    server.closeAllConnections()
    server.close()
    rmSync(folder, { recursive: true })
  })
  return { client, server, asked }
}

const info = { method: 'GET', path: '/info' } as const

t.test('the version is the lower of both, and asked once', async (t) => {
  const rows = [
    { engine: '1.24', want: '1.24' },
    { engine: '1.41', want: '1.41' },
    { engine: '1.44', want: '1.44' },
    { engine: '1.52', want: '1.44' },
    { engine: undefined, want: '1.24' },
  ]
  for (const { engine, want } of rows) {
    const { client, asked } = await fakeEngine(t, engine, (_request, response) =>
      response.end('{}'),
    )
    await client.call(info, never)
    await client.call({ ...info, version: '1.45' }, never)
    const above = engine === '1.52' ? '1.45' : want
    t.strictSame(asked, [`GET /v${want}/info`, `GET /v${above}/info`])
  }
})

t.test('an engine that is too old is refused by name', async (t) => {
  const { client } = await fakeEngine(t, '1.23', (_request, response) => response.end('{}'))
  await t.rejects(client.call(info, never), {
    code: 'engine',
    message: /speaks API 1.23, this agent needs 1.24 or newer: upgrade Docker/,
  })
})

t.test('versions are compared by number', async (t) => {
  t.ok(compareVersions('1.9', '1.24') < 0)
  t.ok(compareVersions('2.0', '1.99') > 0)
  t.equal(compareVersions('1.44', '1.44'), 0)
})

t.test('queries and bodies', async (t) => {
  let body = ''
  const { client, asked } = await fakeEngine(t, '1.41', (request, response) => {
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => response.end('{"Id":"x"}'))
  })
  const query = { name: 'a b', all: true, none: undefined, filters: { label: ['x=y'] } }
  const answer = await client.call({ method: 'POST', path: '/x', query, body: { A: 1 } }, never)
  t.strictSame(answer, { Id: 'x' })
  t.equal(body, '{"A":1}')
  const filters = encodeURIComponent('{"label":["x=y"]}')
  t.strictSame(asked, [`POST /v1.41/x?name=a%20b&all=true&filters=${filters}`])
})

t.test("refusals carry the engine's words", async (t) => {
  const rows = [
    { status: 400, code: 'invalid-argument' },
    { status: 404, code: 'not-found' },
    { status: 409, code: 'conflict' },
    { status: 500, code: 'engine' },
    { status: 503, code: 'engine' },
  ]
  for (const { status, code } of rows) {
    const { client } = await fakeEngine(t, '1.41', (_request, response) => {
      response.writeHead(status).end('{"message":"the words"}')
    })
    await t.rejects(client.call(info, never), { code, message: 'the words', detail: { status } })
  }
  const { client } = await fakeEngine(t, '1.41', (_request, response) => {
    response.writeHead(502).end('<html>')
  })
  await t.rejects(client.call(info, never), {
    code: 'engine',
    message: 'GET /info: the engine answered 502',
  })
})

t.test('an answer that is no JSON is an error, an empty one is none', async (t) => {
  const { client } = await fakeEngine(t, '1.41', (request, response) => {
    response.end(request.url?.endsWith('info') === true ? 'hello' : '')
  })
  await t.rejects(client.call(info, never), { code: 'engine', message: /no JSON: hello/ })
  t.equal(await client.call({ method: 'POST', path: '/start' }, never), undefined)
})

t.test('an engine that is not there, or goes away within an answer, is unavailable', async (t) => {
  const absent = new DockerClient('/no/such/socket')
  t.teardown(() => absent.close())
  await t.rejects(absent.call(info, never), {
    code: 'unavailable',
    message: /\/no\/such\/socket does not answer \(ENOENT\): start Docker/,
  })
  const halves: ServerResponse[] = []
  const { client } = await fakeEngine(t, '1.41', (_request, response) => {
    response.write('{"half":')
    halves.push(response)
  })
  const { body } = await client.stream(info, never)
  const reader = body[Symbol.asyncIterator]()
  t.match(await reader.next(), { done: false })
  halves.pop()?.destroy()
  await t.rejects(reader.next(), { code: 'unavailable' })
  const asked = client.call(info, never)
  while (halves.length === 0) await new Promise(setImmediate)
  // Long enough for the first bytes to be read: the answer has begun.
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  halves.pop()?.destroy()
  await t.rejects(asked, { code: 'unavailable' })
})

t.test('who gives up gets the reason that was given', async (t) => {
  const { client } = await fakeEngine(t, '1.41', (_request, response) => void response.write(' '))
  const controller = new AbortController()
  const asked = client.call(info, controller.signal)
  controller.abort(new Error('enough'))
  await t.rejects(asked, { message: 'enough' })
  await t.rejects(client.call(info, controller.signal), { message: 'enough' })
})

t.test('slow calls do not wait for one another', async (t) => {
  const waiting: ServerResponse[] = []
  const { client } = await fakeEngine(t, '1.41', (request, response) => {
    if (request.method === 'GET') response.end('{}')
    else if (waiting.push(response) === 20) for (const one of waiting) one.end('{}')
  })
  const slow = Array.from({ length: 20 }, () =>
    client.slowCall({ method: 'POST', path: '/stop' }, never),
  )
  t.strictSame(await client.call(info, never), {})
  await Promise.all(slow)
})
