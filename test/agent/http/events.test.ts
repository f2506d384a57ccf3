// GET /events: the engine's events and the cluster's in one stream.

import { mkdtempSync, rmSync } from 'node:fs'
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { waitFor } from '../../support/wait.ts'
import { serviceBody, startCluster, type TestApi } from './api.ts'
import { startUpstream, type Upstream } from './upstream.ts'

const within = { timeoutMs: 20_000, everyMs: 5 }

interface Started {
  readonly api: TestApi
  readonly upstream: Upstream
  /** Streams of events that the engine has open. */
  readonly open: ServerResponse[]
}

async function start(t: Test): Promise<Started> {
  const folder = mkdtempSync(join(tmpdir(), 'skep-events-'))
  const engineSocket = join(folder, 'engine.sock')
  const open: ServerResponse[] = []
  const upstream = await startUpstream(engineSocket, {
    answer: (_, response) => {
      response.flushHeaders()
      open.push(response)
    },
  })
  const api = await startCluster({ engineSocket })
  t.teardown(async () => {
    await api.close()
    await upstream.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return { api, upstream, open }
}

interface Stream {
  readonly lines: () => readonly string[]
  readonly isEnded: () => boolean
}

async function listen(t: Test, api: TestApi, query = ''): Promise<Stream> {
  const answer = await new Promise<IncomingMessage>((resolve) => {
    const call = request({ socketPath: api.socket, path: `/events?${query}` }, resolve)
    call.on('error', () => {})
    t.teardown(() => call.destroy())
    call.end()
  })
  let text = ''
  let isEnded = false
  answer.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  answer.on('end', () => {
    isEnded = true
  })
  answer.on('error', () => {})
  return { lines: () => text.split('\n').slice(0, -1), isEnded: () => isEnded }
}

function engineLine(name: string, ms: number): string {
  return `{"Type":"container","Action":"${name}","time":${Math.floor(ms / 1000)},"timeNano":${ms}000000}`
}

function brief(line: string): string {
  const event = JSON.parse(line)
  return `${event.Type} ${event.Action}`
}

t.test('lines of both arrive whole, however the engine cuts its own', async (t) => {
  const { api, open } = await start(t)
  const stream = await listen(t, api)
  await waitFor({ what: 'stream of the engine', ...within }, () => open.length === 1)
  const line = engineLine('start', 1)
  open[0]?.write(line.slice(0, 20))
  await api.ask('POST', '/services/create', serviceBody('web', 1))
  await waitFor({ what: 'event of the cluster', ...within }, () =>
    stream.lines().some((each) => brief(each) === 'service create'),
  )
  open[0]?.write(`${line.slice(20)}\n${engineLine('die', 2)}\n`)
  await waitFor({ what: 'both of the engine', ...within }, () => stream.lines().includes(line))
  t.ok(stream.lines().some((each) => brief(each) === 'container die'))
})

t.test('past events of both are replayed in the order of time, and the stream ends', async (t) => {
  const { api, open } = await start(t)
  await api.ask('POST', '/services/create', serviceBody('web', 1))
  await api.ask('DELETE', '/services/web')
  const now = Date.now()
  const stream = await listen(t, api, `since=1&until=${(now / 1000).toFixed(3)}&filters={}`)
  await waitFor({ what: 'stream of the engine', ...within }, () => open.length === 1)
  open[0]?.write(`${engineLine('old', 1_000)}\n${engineLine('new', now + 1_000)}\n`)
  open[0]?.end()
  await waitFor({ what: 'end of the stream', ...within }, stream.isEnded)
  const briefs = stream.lines().map(brief)
  t.equal(briefs[0], 'container old')
  t.equal(briefs.at(-1), 'container new')
  const own = briefs.filter((each) => each.startsWith('service'))
  t.equal(own[0], 'service create')
  t.equal(own.at(-1), 'service remove')
})

t.test('a stream with until ends when the time has come', async (t) => {
  const { api, open } = await start(t)
  const until = (Date.now() + 300) / 1000
  const stream = await listen(t, api, `until=${until.toFixed(3)}`)
  await waitFor({ what: 'stream of the engine', ...within }, () => open.length === 1)
  open[0]?.end()
  await waitFor({ what: 'end of the stream', ...within }, stream.isEnded)
  t.ok(Date.now() >= until * 1000, 'not before')
})

t.test('the stream ends with the engine that it carries', async (t) => {
  const { api, open } = await start(t)
  const stream = await listen(t, api)
  await waitFor({ what: 'stream of the engine', ...within }, () => open.length === 1)
  open[0]?.end()
  await waitFor({ what: 'end of the stream', ...within }, stream.isEnded)
  t.pass('clients connect anew, as with Docker')
})

t.test('a client that leaves is gone for the engine too', async (t) => {
  const { api, open } = await start(t)
  const gone = new AbortController()
  const call = request({ socketPath: api.socket, path: '/events', signal: gone.signal })
  call.on('error', () => {})
  call.end()
  await waitFor({ what: 'stream of the engine', ...within }, () => open.length === 1)
  gone.abort()
  await waitFor({ what: 'end on the engine side', ...within }, () => open[0]?.destroyed === true)
  t.pass('its stream is closed')
})

t.test('an engine that starts later joins the stream', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'skep-events-'))
  const engineSocket = join(folder, 'engine.sock')
  const api = await startCluster({ engineSocket })
  const stream = await listen(t, api)
  await api.ask('POST', '/services/create', serviceBody('web', 1))
  await waitFor({ what: 'event without an engine', ...within }, () => stream.lines().length > 0)
  const line = engineLine('start', 1)
  const upstream = await startUpstream(engineSocket, {
    answer: (_, response) => void response.write(`${line}\n`),
  })
  t.teardown(async () => {
    await api.close()
    await upstream.close()
    rmSync(folder, { recursive: true, force: true })
  })
  await waitFor({ what: 'event of the engine', ...within }, () => stream.lines().includes(line))
  t.pass('its events are there')
})

t.test('filters hold for the cluster too, and odd times are refused', async (t) => {
  const { api } = await start(t)
  const filters = encodeURIComponent('{"type":["service"],"event":["remove"]}')
  const stream = await listen(t, api, `filters=${filters}`)
  await api.ask('POST', '/services/create', serviceBody('web', 1))
  await api.ask('DELETE', '/services/web')
  await waitFor({ what: 'removal', ...within }, () => stream.lines().length > 0)
  t.same(stream.lines().map(brief), ['service remove'])
  t.match(await api.json('GET', '/events?since=yesterday'), {
    message: /^invalid value for 'since': invalid timestamp "yesterday"/,
  })
  t.same(await api.json('GET', '/events?since=9&until=8'), {
    message: '`since` time (9) cannot be after `until` time (8)',
  })
})
