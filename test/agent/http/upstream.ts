// An HTTP server on a unix socket that stands where the engine stands, and does on the wire what an
// engine does at its edges: early answers, streams without end, upgrades, sudden death. Tests with
// a real engine are in test/e2e.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

export interface Upstream {
  readonly server: Server
  /** Requests seen, newest last: line and raw headers. */
  readonly seen: { readonly line: string; readonly rawHeaders: readonly string[] }[]
  readonly close: () => Promise<void>
}

export interface UpstreamHandlers {
  readonly answer?: (request: IncomingMessage, response: ServerResponse) => void
  readonly upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
}

/** Listens on the path; `/version` is answered as an engine of API 1.41 does. */
export async function startUpstream(path: string, handlers: UpstreamHandlers): Promise<Upstream> {
  const seen: { line: string; rawHeaders: readonly string[] }[] = []
  const server = createServer((request, response) => {
    if (request.url === '/version') {
      response.end('{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"}')
      return
    }
    seen.push({ line: `${request.method} ${request.url}`, rawHeaders: request.rawHeaders })
    response.setHeader('Api-Version', '1.41')
    handlers.answer?.(request, response)
  })
  const sockets = new Set<Duplex>()
  server.on('upgrade', (request, socket, head) => {
    sockets.add(socket)
    seen.push({ line: `${request.method} ${request.url}`, rawHeaders: request.rawHeaders })
    handlers.upgrade?.(request, socket, head)
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    server,
    seen,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
