// Pass-through: what is the engine's goes to the engine, byte for byte, and comes back so.
//
//   client --request--> agent --request--> engine        ordinary: streamed both ways
//          <--answer---        <--answer---
//
//   client ==Upgrade==> agent ==Upgrade==> engine        attach, exec, build sessions: after the
//          <===101====         <===101====               101 two sockets are joined, half-closes
//          <---------- raw bytes ----------->            and all
//
// Nothing is buffered beyond what the two sockets hold: a slow reader slows the writer.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { readBody } from './call.ts'
import { type Engine, engineGone } from './engine.ts'
import { pathForEngine } from './version.ts'

/** Headers of one hop (RFC 9110 section 7.6.1): ours to the client, ours to the engine. */
const hopHeaders = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding'])

/** How long a client may go on sending a body after the engine has answered without wanting it. */
const lingerMs = 500

/**
 * Passes a request to the engine and its answer back. Resolves when the answer has been given to
 * the client or the client has gone. Throws unavailable if the engine cannot be reached.
 */
export async function passThrough(
  engine: Engine,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = await enginePath(engine, request)
  const call = engine.open({ method: request.method ?? 'GET', path, headers: forward(request) })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let answered: IncomingMessage | undefined

  call.on('error', (error) => {
    if (answered === undefined) reject(engineGone(engine.socketPath, error))
    // After the answer began only its own stream counts: an engine that does not want the rest
    // of the body closes that direction.
  })
  call.on('continue', () => response.writeContinue())
  call.on('response', (answer) => {
    answered = answer
    engine.noteVersion(headerText(answer.headers['api-version']))
    if (isUnframed(answer)) {
      // Raw bytes until the connection ends, as attach without an upgrade has them.
      response.useChunkedEncodingByDefault = false
      response.shouldKeepAlive = false
    }
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, backward(answer))
    response.flushHeaders()
    answer.pipe(response)
    // A broken answer must not look like a complete one.
    answer.on('error', () => response.destroy())
    answer.on('aborted', () => response.destroy())
  })
  response.on('finish', () => {
    if (!request.complete) closeSoon(request)
    resolve()
  })
  response.on('close', () => {
    call.destroy()
    resolve()
  })
  request.on('error', () => call.destroy())
  if (hasBody(request)) {
    // The head goes first: a body may be a conversation whose first word is the engine's.
    call.flushHeaders()
    request.pipe(call)
  } else {
    // In one write: an engine that answers and closes at once would break a second one.
    call.end()
  }
  return promise
}

function hasBody(request: IncomingMessage): boolean {
  const { headers } = request
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/** True for an answer whose length nothing tells but its end. */
function isUnframed({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] === undefined && headers['content-length'] === undefined
}

/** Lets the client see the answer although it is still sending, then closes. */
function closeSoon(request: IncomingMessage): void {
  request.unpipe()
  request.resume()
  const { socket } = request
  socket.end()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => clearTimeout(timer))
}

async function enginePath(engine: Engine, request: IncomingMessage): Promise<string> {
  const facts = await engine.facts()
  return pathForEngine(
    request.url ?? '/',
    facts && { min: facts.minApiVersion, max: facts.apiVersion },
  )
}

/** The request's headers for the engine: all but those of the hop; each call has a connection. */
function forward(request: IncomingMessage): readonly string[] {
  const headers = kept(request.rawHeaders)
  if (request.headers['transfer-encoding'] !== undefined) {
    headers.push('Transfer-Encoding', 'chunked')
  } else if (request.headers['content-length'] === undefined && hasBodyByDefault(request.method)) {
    headers.push('Content-Length', '0')
  }
  return [...headers, 'Connection', 'close']
}

function hasBodyByDefault(method: string | undefined): boolean {
  return method !== 'GET' && method !== 'HEAD' && method !== 'DELETE'
}

/** The answer's headers for the client; framing is made anew from what is known of the length. */
function backward(answer: IncomingMessage): string[] {
  return kept(answer.rawHeaders)
}

function kept(rawHeaders: readonly string[]): string[] {
  const headers: string[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    if (!hopHeaders.has(name.toLowerCase())) headers.push(name, rawHeaders[at + 1] ?? '')
  }
  return headers
}

function headerText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

/**
 * Passes a request that wants to leave HTTP (`Upgrade: tcp`, `h2c`, `websocket`) to the engine, and
 * joins the two sockets when the engine agrees. `head` is what came behind the request already.
 * Throws unavailable, before anything was written to the client.
 */
export async function passUpgrade(
  engine: Engine,
  request: IncomingMessage,
  client: { readonly socket: Duplex; readonly head: Buffer },
): Promise<void> {
  const { socket, head } = client
  const body = await readBody({ request })
  const path = await enginePath(engine, request)
  const headers = [...upgradeHeaders(request), 'Content-Length', String(body.length)]
  const call = engine.open({ method: request.method ?? 'GET', path, headers })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let isAnswered = false
  socket.on('close', () => {
    call.destroy()
    resolve()
  })
  socket.on('error', () => socket.destroy())
  call.on('error', (error) => {
    if (!isAnswered) reject(engineGone(engine.socketPath, error))
    else socket.destroy()
  })
  call.on('upgrade', (answer, engineSocket, engineHead) => {
    isAnswered = true
    socket.write(statusLines(answer, answer.rawHeaders))
    join({ socket, head }, { socket: engineSocket, head: engineHead })
  })
  call.on('response', (answer) => {
    // Not upgraded: an error, mostly. The connection ends with it, so that nothing sent later on
    // it can be taken for more of this conversation.
    isAnswered = true
    socket.write(statusLines(answer, [...kept(answer.rawHeaders), 'Connection', 'close']))
    answer.pipe(socket)
    answer.on('error', () => socket.destroy())
  })
  call.end(body)
  return promise
}

function upgradeHeaders(request: IncomingMessage): readonly string[] {
  const headers: string[] = []
  const raw = request.rawHeaders
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? ''
    if (!['content-length', 'transfer-encoding'].includes(name.toLowerCase())) {
      headers.push(name, raw[at + 1] ?? '')
    }
  }
  return headers
}

function statusLines(answer: IncomingMessage, rawHeaders: readonly string[]): string {
  let text = `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage ?? ''}\r\n`
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    text += `${rawHeaders[at]}: ${rawHeaders[at + 1]}\r\n`
  }
  return `${text}\r\n`
}

interface End {
  readonly socket: Duplex
  /** Bytes of it that were read already. */
  readonly head: Buffer
}

/** Joins two sockets: each byte, and each end of input, goes over to the other side. */
function join(client: End, engine: End): void {
  for (const [from, to] of [
    [client, engine],
    [engine, client],
  ] as const) {
    if (from.head.length > 0) to.socket.write(from.head)
    from.socket.pipe(to.socket)
    from.socket.on('error', () => to.socket.destroy())
    from.socket.on('close', () => {
      // A socket that died without an end leaves the other without one too.
      if (!from.socket.readableEnded) to.socket.destroy()
    })
  }
}

/** Writes an error to a socket whose request was taken out of HTTP, and ends it. */
export function refuseUpgrade(
  socket: Duplex,
  answer: { readonly status: number; readonly message: string },
): void {
  const body = `${JSON.stringify({ message: answer.message })}\n`
  socket.end(
    `HTTP/1.1 ${answer.status} Error\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
