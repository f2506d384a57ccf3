// Server: the Docker Engine API on the agent's unix socket. Each request is either ours (the table
// in routes.ts) or the engine's (pass-through.ts), and each error becomes {"message": ...} with the
// status of the one table in core/base/error.ts.
//
// The socket is root's and, where there is one, group docker's: whoever may write to it is root on
// this machine, as with Docker's own.

import { chmodSync, chownSync, lstatSync, readFileSync, unlinkSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { AssertionError } from '../../core/base/assert.ts'
import { CodedError, errorCodes, formatError } from '../../core/base/error.ts'
import type { Log } from '../../core/base/note.ts'
import type { Backend } from './backend.ts'
import { type Api, type Call, sendJson } from './call.ts'
import { createEngine } from './engine.ts'
import { createEventLog } from './event-log.ts'
import { passThrough, passUpgrade, refuseUpgrade } from './pass-through.ts'
import { findRoute } from './routes.ts'
import { checkVersion, isOlder, offeredVersion, splitVersion } from './version.ts'

export interface ApiServer {
  /**
   * Resolves when clients can connect. The socket's folder must be there. Throws conflict if
   * another daemon answers there, invalid-argument for a path that no socket can have, unavailable
   * when the system refuses.
   */
  readonly listen: () => Promise<void>
  /** Stops accepting, lets short requests finish, then ends what is left. */
  readonly close: () => Promise<void>
}

export interface ApiServerOptions {
  readonly backend: Backend
  /** The engine's unix socket; undefined on a node without one. */
  readonly engineSocket: string | undefined
  readonly socketPath: string
  readonly log: Log
}

/** Head of a request: engines allow 1 MiB, no client of theirs sends 64 KiB. */
const headBytesMax = 64 * 1024
const headTimeoutMs = 15_000
/** Clients keep a connection for their next call; one that is idle for long is closed. */
const idleTimeoutMs = 10 * 60_000
/** Clients of one node: each `logs -f`, `events` and `attach` is one. */
const connectionsMax = 4_096
/** How long `close` waits for requests under way. */
const closeGraceMs = 1_000

/** The API server. Nothing happens before `listen`. */
export function createApiServer(options: ApiServerOptions): ApiServer {
  const engine = createEngine(options.engineSocket)
  const events = createEventLog(options.backend)
  const api: Api = { backend: options.backend, engine, events, log: options.log }
  const upgraded = new Set<Duplex>()
  const server = createServer({
    maxHeaderSize: headBytesMax,
    headersTimeout: headTimeoutMs,
    // Bodies for the engine (build, load, cp) may take hours; call.ts bounds those of ours.
    requestTimeout: 0,
    keepAliveTimeout: idleTimeoutMs,
    shouldUpgradeCallback: isForEngine,
  })
  server.maxConnections = connectionsMax
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    void serve(api, request, response)
  }
  server.on('request', answer)
  server.on('checkContinue', answer)
  server.on('upgrade', (request, socket, head) => {
    upgraded.add(socket)
    socket.on('close', () => upgraded.delete(socket))
    void serveUpgrade(api, request, { socket, head })
  })
  server.on('clientError', refuseBroken)
  return {
    listen: async () => {
      checkPath(options.socketPath)
      await removeStale(options.socketPath)
      await listenOn(server, options.socketPath)
      giveToGroup(options.socketPath)
      events.start()
      void engine.facts()
    },
    close: async () => {
      events.stop()
      await closeServer(server, upgraded)
    },
  }
}

function isForEngine(request: IncomingMessage): boolean {
  const { rest } = splitVersion(request.url ?? '/')
  return findRoute(request.method ?? 'GET', pathOf(rest)).type === 'engine'
}

function pathOf(url: string): string {
  const at = url.indexOf('?')
  return at < 0 ? url : url.slice(0, at)
}

/** Answers one request. Never rejects but with a failed assertion, which ends the process. */
async function serve(api: Api, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { version: asked, rest } = splitVersion(request.url ?? '/')
  // The connection may die at any time; what matters of it is seen by the streams' users.
  response.on('error', () => response.destroy())
  try {
    const found = findRoute(request.method ?? 'GET', pathOf(rest))
    const offered = await negotiate(api, asked)
    if (found.type === 'engine') {
      await passThrough(api.engine, request, response)
      return
    }
    if (found.type === 'nobody') throw new CodedError('not-found', 'page not found')
    if (request.headers.expect !== undefined) response.writeContinue()
    setHeaders(api, response)
    const call: Call = {
      api,
      request,
      response,
      params: found.params,
      query: new URL(rest, 'http://agent').searchParams,
      version: asked ?? offered,
      signal: signalOf(response),
    }
    await found.handle(call)
  } catch (error) {
    if (error instanceof AssertionError) throw error
    sendError(api, { request, response, asked }, error)
  }
}

/** The version we offer now. Throws bad-request if the asked one is outside of what we speak. */
async function negotiate(api: Api, asked: string | undefined): Promise<string> {
  let offered = offeredVersion(api.engine.known()?.apiVersion)
  if (asked === undefined) return offered
  if (isOlder(offered, asked)) offered = offeredVersion((await api.engine.facts())?.apiVersion)
  checkVersion(asked, offered)
  return offered
}

/**
 * The headers that all answers of a Docker engine carry, and two of ours: they spare our own client
 * a ping, and /info, which takes an engine some 10 ms.
 */
function setHeaders(api: Api, response: ServerResponse): void {
  const facts = api.engine.known()
  const { agentVersion, nodeId } = api.backend.state()
  const engineVersion = facts?.version ?? agentVersion
  response.setHeader('Api-Version', offeredVersion(facts?.apiVersion))
  response.setHeader('Docker-Experimental', 'false')
  response.setHeader('Ostype', 'linux')
  response.setHeader('Server', `Docker/${engineVersion} (linux)`)
  response.setHeader('Skep-Version', agentVersion)
  if (nodeId !== undefined) response.setHeader('Skep-Node', nodeId)
}

/** Aborts when the connection closes before the answer is complete. */
function signalOf(response: ServerResponse): AbortSignal {
  const gone = new AbortController()
  response.on('close', () => {
    if (!response.writableFinished) gone.abort()
  })
  return gone.signal
}

interface Failed {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly asked: string | undefined
}

function sendError(api: Api, failed: Failed, error: unknown): void {
  const { request, response, asked } = failed
  if (response.destroyed) return
  if (!response.headersSent) setHeaders(api, response)
  const { status, message } = describeError(error)
  if (status >= 500) logError(api, request, { status, message, error })
  if (response.headersSent) {
    // Half an answer must not look like a whole one.
    response.destroy()
    return
  }
  if (!request.complete) {
    response.setHeader('Connection', 'close')
    request.resume()
  }
  if (asked !== undefined && isOlder(asked, '1.24')) {
    // Clients that old print the body as it is.
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' })
    response.end(`${message}\n`)
    return
  }
  sendJson({ response }, status, { message })
}

/** Status and text of an error, as a client of the Docker API sees them. */
function describeError(error: unknown): { readonly status: number; readonly message: string } {
  if (error instanceof CodedError) {
    return { status: errorCodes[error.code].status, message: formatError(error) }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { status: errorCodes.internal.status, message: `internal error: ${message}` }
}

function logError(
  api: Api,
  request: IncomingMessage,
  failure: { readonly status: number; readonly message: string; readonly error: unknown },
): void {
  const isKnown = failure.error instanceof CodedError && failure.error.code !== 'internal'
  api.log(isKnown ? 'debug' : 'error', 'http.failed', {
    method: request.method ?? '',
    path: pathOf(request.url ?? ''),
    status: failure.status,
    message: failure.message,
    ...(isKnown || !(failure.error instanceof Error) ? {} : { stack: failure.error.stack }),
  })
}

async function serveUpgrade(
  api: Api,
  request: IncomingMessage,
  client: { readonly socket: Duplex; readonly head: Buffer },
): Promise<void> {
  try {
    await negotiate(api, splitVersion(request.url ?? '/').version)
    await passUpgrade(api.engine, request, client)
  } catch (error) {
    if (error instanceof AssertionError) throw error
    refuseUpgrade(client.socket, describeError(error))
  }
}

/** A request that is no HTTP, is too long or comes too slowly. */
function refuseBroken(error: Error & { readonly code?: string }, socket: Duplex): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const known: Readonly<Record<string, readonly [number, string]>> = {
    HPE_HEADER_OVERFLOW: [431, `the head of the request is over ${headBytesMax} bytes`],
    ERR_HTTP_REQUEST_TIMEOUT: [408, `the head of the request took over ${headTimeoutMs} ms`],
  }
  const [status, message] = known[error.code ?? ''] ?? [400, `malformed request: ${error.message}`]
  refuseUpgrade(socket, { status, message })
}

/** Bytes of sun_path (unix(7)), less the one that ends it. */
const pathBytesMax = 107

function checkPath(path: string): void {
  if (Buffer.byteLength(path) <= pathBytesMax) return
  throw new CodedError(
    'invalid-argument',
    `--socket ${path}: a unix socket's path has at most ${pathBytesMax} bytes, this has ${Buffer.byteLength(path)}`,
  )
}

/** Removes a socket that nobody listens on. Throws conflict if somebody does, or it is no socket. */
async function removeStale(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isSocket()) {
    throw new CodedError('conflict', `${path} exists and is no socket: remove it, or use --socket`)
  }
  if (await isAnswered(path)) {
    throw new CodedError(
      'conflict',
      `another daemon listens on ${path}: stop it, or use another --socket`,
    )
  }
  unlinkSync(path)
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket = connect(path)
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

function listenOn(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      const message = `cannot listen on ${path}: ${error.message}`
      reject(new CodedError('unavailable', message, { cause: error }))
    }
    // The socket exists from bind on: its first mode must not be wider than its last.
    const mask = process.umask(0o177)
    server.once('error', fail)
    server.listen(path, () => {
      server.off('error', fail)
      resolve()
    })
    process.umask(mask)
  })
}

/** Mode 0660, group docker if this machine has it. */
function giveToGroup(path: string): void {
  const gid = groupId('docker')
  if (gid !== undefined) chownSync(path, 0, gid)
  chmodSync(path, 0o660)
}

/** Number of a group in /etc/group; undefined if it is not there or we may not give to it. */
function groupId(name: string): number | undefined {
  if (process.getuid?.() !== 0) return undefined
  try {
    const line = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((row) => row.startsWith(`${name}:`))
    const gid = Number(line?.split(':')[2])
    return line === undefined || !Number.isInteger(gid) ? undefined : gid
  } catch {
    return undefined
  }
}

/** Waits for requests under way, then ends them. Node removes the socket's file. */
function closeServer(server: Server, upgraded: ReadonlySet<Duplex>): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) {
      resolve()
      return
    }
    const timer = setTimeout(() => server.closeAllConnections(), closeGraceMs)
    server.close(() => {
      clearTimeout(timer)
      resolve()
    })
    server.closeIdleConnections()
    for (const socket of upgraded) socket.destroy()
  })
}
