// The commands' own HTTP client: answers in pieces of any size, and real sockets that end early.

import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { type HttpPart, HttpReader } from '../../agent/base/http-reader.ts'
import { HttpClient, readText } from '../../agent/base/unix-http.ts'

const place = mkdtempSync(join(tmpdir(), 'skep-client-'))
t.teardown(() => rmSync(place, { recursive: true }))

interface Read {
  readonly status: number | undefined
  readonly body: string
  readonly isEnded: boolean
  readonly isReusable: boolean
}

/** Reads the text in pieces of `pieceBytes`, then the end of the connection if it is wanted. */
function readIn(
  text: string,
  how: { method?: string; pieceBytes: number; isClosed?: boolean },
): Read {
  const reader = new HttpReader(how.method ?? 'GET')
  const parts: HttpPart[] = []
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += how.pieceBytes) {
    parts.push(...reader.read(bytes.subarray(at, at + how.pieceBytes)))
  }
  if (how.isClosed === true) parts.push(...reader.finish())
  return {
    status: parts.find((part) => part.type === 'head')?.head.status,
    body: parts.map((part) => (part.type === 'body' ? Buffer.from(part.bytes) : '')).join(''),
    isEnded: parts.at(-1)?.type === 'end',
    isReusable: reader.isReusable,
  }
}

const ok = 'HTTP/1.1 200 OK\r\n'
const answers: readonly {
  readonly name: string
  readonly text: string
  readonly method?: string
  readonly isClosed?: boolean
  readonly want: Read
}[] = [
  {
    name: 'a length',
    text: `${ok}Content-Length: 5\r\n\r\nhello`,
    want: { status: 200, body: 'hello', isEnded: true, isReusable: true },
  },
  {
    name: 'no body at all',
    text: `${ok}content-length:0\r\n\r\n`,
    want: { status: 200, body: '', isEnded: true, isReusable: true },
  },
  {
    name: 'chunks, with an extension and a trailer',
    text: `${ok}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nX: y\r\n\r\n`,
    want: { status: 200, body: 'abc0123456789', isEnded: true, isReusable: true },
  },
  {
    name: 'until the connection ends',
    text: `${ok}Content-Type: text/plain\r\n\r\nhello`,
    isClosed: true,
    want: { status: 200, body: 'hello', isEnded: true, isReusable: false },
  },
  {
    name: 'to HEAD: a length, and no body',
    text: `${ok}Content-Length: 5\r\n\r\n`,
    method: 'HEAD',
    want: { status: 200, body: '', isEnded: true, isReusable: true },
  },
  {
    name: '204',
    text: 'HTTP/1.1 204 No Content\r\n\r\n',
    want: { status: 204, body: '', isEnded: true, isReusable: true },
  },
  {
    name: '100 before the answer',
    text: `HTTP/1.1 100 Continue\r\n\r\n${ok}Content-Length: 2\r\nConnection: close\r\n\r\nOK`,
    want: { status: 200, body: 'OK', isEnded: true, isReusable: false },
  },
]

t.test('an answer is the same in whatever pieces it comes', async (t) => {
  for (const { name, text, want, ...how } of answers) {
    for (const pieceBytes of [1, 2, 3, 7, 1_000]) {
      t.same(readIn(text, { ...how, pieceBytes }), want, `${name}, by ${pieceBytes}`)
    }
  }
})

t.test('what is no answer is refused, and so is one that ends early', async (t) => {
  const bad: readonly (readonly [string, string])[] = [
    ['SSH-2.0-OpenSSH_9.2\r\n\r\n', 'not an HTTP answer'],
    [`${ok}no colon here\r\n\r\n`, 'a header without a name'],
    [`${ok}Content-Length: 1e3\r\n\r\n`, 'content-length 1e3'],
    [`${ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx`, 'content-length 1, 2'],
    [`${ok}Transfer-Encoding: gzip\r\n\r\n`, 'coding gzip'],
    [`${ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 'a chunk of size zz'],
    [`${ok}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n`, 'longer than its size'],
    [`${ok}Content-Length: 1\r\n\r\nab`, 'after the end'],
    [`${ok}X: ${'y'.repeat(70_000)}`, 'over 65536 bytes'],
    [`${ok}Content-Length: 5\r\n\r\nhel`, 'ended before the answer'],
    [`${ok}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`, 'ended before the answer'],
    ['', 'ended before the answer'],
  ]
  for (const [text, message] of bad) {
    const read = (): unknown => readIn(text, { pieceBytes: 100, isClosed: true })
    t.throws(read, { code: 'damaged-data', message }, message)
  }
})

async function listen<T extends Server>(name: string, server: T): Promise<string> {
  const path = join(place, name)
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.teardown(() => server.close())
  return path
}

t.test('one connection carries one request after the other, and bodies both ways', async (t) => {
  let connections = 0
  const server = createHttpServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    response.end(`${request.method} ${request.url} ${body}`)
  })
  server.on('connection', () => {
    connections += 1
  })
  const client = new HttpClient({ type: 'unix', path: await listen('http.sock', server) })
  t.teardown(() => client.close())
  for (const body of ['', 'ä', 'x'.repeat(300_000)]) {
    const answer = await client.send({ method: 'POST', path: '/p?q=1', body })
    t.equal(await readText(answer.body), `POST /p?q=1 ${body}`, `${body.length} characters`)
  }
  const head = await client.send({ method: 'HEAD', path: '/' })
  t.equal(await readText(head.body), '')
  t.equal(connections, 1)
  const both = await Promise.all(
    ['/1', '/2'].map(async (path) => readText((await client.send({ method: 'GET', path })).body)),
  )
  t.same(both, ['GET /1 ', 'GET /2 '])
  t.equal(connections, 2, 'a second connection while the first is in use')
})

t.test('a reader that is slow holds the server back, and loses nothing', async (t) => {
  const sizeBytes = 8 * 1024 * 1024
  const server = createHttpServer((_, response) => response.end(Buffer.alloc(sizeBytes, 1)))
  const client = new HttpClient({ type: 'unix', path: await listen('large.sock', server) })
  t.teardown(() => client.close())
  const answer = await client.send({ method: 'GET', path: '/' })
  let received = 0
  for await (const chunk of answer.body) {
    received += chunk.length
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(received, sizeBytes)
})

t.test('a request that gets no whole answer fails, and says why', async (t) => {
  const says: Record<string, (socket: Socket) => void> = {
    '/hangup': (socket) => socket.end(),
    '/half': (socket) => socket.end(`${ok}Content-Length: 5\r\n\r\nhel`),
    '/noise': (socket) => socket.end('noise\r\n\r\n'),
    '/never': () => undefined,
    '/stall': (socket) => socket.write(`${ok}Content-Length: 5\r\n\r\nhel`),
  }
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => says[String(bytes).split(' ')[1] ?? '']?.(socket))
  })
  const client = new HttpClient({ type: 'unix', path: await listen('raw.sock', server) })
  t.teardown(() => client.close())
  const get = async (path: string, signal?: AbortSignal): Promise<string> => {
    const answer = await client.send({ method: 'GET', path, ...(signal ? { signal } : {}) })
    return readText(answer.body)
  }
  await t.rejects(get('/hangup'), { code: 'unavailable', message: 'GET /hangup: the connection' })
  await t.rejects(get('/half'), { code: 'unavailable', message: 'ended before the answer did' })
  await t.rejects(get('/noise'), { code: 'unavailable', message: 'not an HTTP answer' })
  for (const path of ['/never', '/stall']) {
    const abort = new AbortController()
    const waiting = get(path, abort.signal)
    setTimeout(() => abort.abort(new Error('enough')), 50)
    await t.rejects(waiting, { code: 'timeout', message: `GET ${path}: enough` })
  }
  await t.rejects(get('/never', AbortSignal.abort()), { code: 'timeout' })
  await t.rejects(get('/a b'), { code: 'invalid-argument' })
  await t.rejects(get('/a\r\nX: y'), { code: 'invalid-argument' })
})

t.test('where nobody listens the system says so', async (t) => {
  const nobody = new HttpClient({ type: 'unix', path: join(place, 'none.sock') })
  const refusal = { code: 'unavailable', cause: { code: 'ENOENT' } }
  await t.rejects(nobody.send({ method: 'GET', path: '/' }), refusal)
})
