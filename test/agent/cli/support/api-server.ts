// A small server of the Docker API on a unix socket: it answers from a table of routes and keeps what it
// was asked. Real sockets and real HTTP; only what stands behind them is a table.

import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A request as it came, its path without the version; '' is a request without one. */
export interface SeenRequest {
  readonly method: string
  readonly version: string
  readonly path: string
  readonly query: URLSearchParams
  readonly body: unknown
}

/** What a route answers: a status and a body; bytes are sent as they are. */
export interface Answer {
  readonly status?: number
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** The first route whose text is the start of "METHOD /path" answers. */
export type Routes = Readonly<Record<string, (request: SeenRequest) => Answer>>

export interface ApiServer {
  readonly host: string
  readonly requests: readonly SeenRequest[]
  readonly close: () => Promise<void>
}

/** Starts a server that speaks API `version`. */
export async function startApiServer(routes: Routes, version = '1.50'): Promise<ApiServer> {
  const folder = await mkdtemp(join(tmpdir(), 'skep-cli-'))
  const requests: SeenRequest[] = []
  const server = createServer(async (incoming, outgoing) => {
    const request = await readRequest(incoming)
    const headers = { 'api-version': version, 'content-type': 'application/json' }
    if (request.path === '/_ping') {
      outgoing.writeHead(200, headers).end()
      return
    }
    requests.push(request)
    const name = `${request.method} ${request.path}`
    const route = Object.keys(routes).find((start) => name.startsWith(start))
    const answer: Answer =
      route === undefined
        ? { status: 404, body: { message: `page not found: ${name}` } }
        : (routes[route]?.(request) ?? {})
    outgoing.writeHead(answer.status ?? 200, { ...headers, ...answer.headers })
    outgoing.end(
      answer.body instanceof Uint8Array ? answer.body : (JSON.stringify(answer.body) ?? ''),
    )
  })
  const path = join(folder, 'api.sock')
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    host: `unix://${path}`,
    requests,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(folder, { recursive: true })
    },
  }
}

async function readRequest(incoming: IncomingMessage): Promise<SeenRequest> {
  let text = ''
  for await (const chunk of incoming) text += chunk
  const url = new URL(incoming.url ?? '/', 'http://agent')
  return {
    method: incoming.method ?? '',
    version: /^\/v(\d+\.\d+)/.exec(url.pathname)?.[1] ?? '',
    path: url.pathname.replace(/^\/v\d+\.\d+/, ''),
    query: url.searchParams,
    body: text === '' ? undefined : JSON.parse(text),
  }
}
