// HTTP/1.1 to an engine or agent, over a unix socket or plain TCP: one request, one streamed answer.
// What an answer means is the caller's affair: a status of 404 is no error here.
//
// Our own reader on node:net, and not node:http's client: that takes 15 ms to load and to run for
// the first time, half of what a command takes in all. node:net is loaded on first use.

import { statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { CodedError } from '../../core/base/error.ts'
import { type HttpHead, type HttpPart, HttpReader } from './http-reader.ts'

/** Where a server listens. */
export type HttpTarget =
  | { readonly type: 'unix'; readonly path: string }
  | { readonly type: 'tcp'; readonly host: string; readonly port: number }

/** One request. A `body` is sent as it is; its length is set from it. */
export interface HttpRequest {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  readonly signal?: AbortSignal
}

/** The answer's head, and its body as it arrives. Read the body, or leave it: it holds a socket. */
export interface HttpResponse extends HttpHead {
  readonly body: AsyncIterable<Uint8Array>
  /** Gives up what was not read; leaving a loop over the body does it too. */
  readonly leave: () => void
}

/** Bytes of a body that wait for their reader; the server has to wait beyond that. */
const waitingBytesMax = 1024 * 1024

/** Answers of one server over connections that are kept for the next request. */
export class HttpClient {
  readonly #target: HttpTarget
  readonly #open = new Set<Connection>()
  readonly #idle: Connection[] = []

  constructor(target: HttpTarget) {
    this.#target = target
  }

  /**
   * Sends a request and waits for the answer's head. Throws `unavailable` when nobody listens or the
   * connection breaks, and `timeout` when the signal ends it.
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    try {
      request.signal?.throwIfAborted()
      const connection = this.#idle.pop() ?? (await this.#connect())
      return await connection.exchange(request, hostOf(this.#target))
    } catch (error) {
      throw broken(error, request)
    }
  }

  /** Ends all connections; a client can be used again afterwards. */
  close(): void {
    for (const connection of this.#open) connection.close()
  }

  async #connect(): Promise<Connection> {
    const target = this.#target
    if (target.type === 'unix') statSync(target.path) // Where nothing is, node:net need not be loaded.
    const { connect } = await import('node:net')
    const socket = target.type === 'unix' ? connect(target.path) : connect(target.port, target.host)
    const connection = new Connection(socket, {
      onIdle: () => this.#idle.push(connection),
      onClosed: () => {
        this.#open.delete(connection)
        const at = this.#idle.indexOf(connection)
        if (at >= 0) this.#idle.splice(at, 1)
      },
    })
    this.#open.add(connection)
    return connection
  }
}

/** One connection, which carries one request after the other. */
class Connection {
  readonly #socket: Socket
  readonly #on: { readonly onIdle: () => void; readonly onClosed: () => void }
  #exchange: Exchange | undefined

  constructor(socket: Socket, on: { readonly onIdle: () => void; readonly onClosed: () => void }) {
    this.#socket = socket
    this.#on = on
    socket.on('data', (bytes: Buffer) => this.#take((exchange) => exchange.read(bytes)))
    socket.on('end', () => this.#take((exchange) => exchange.finish()))
    socket.on('error', (error) => this.#exchange?.fail(error))
    socket.on('close', () => {
      this.#exchange?.fail(new Error('the connection was closed'))
      on.onClosed()
    })
  }

  /** Sends the request; resolves with the head of its answer. */
  async exchange(request: HttpRequest, host: string): Promise<HttpResponse> {
    const sent = formatHead(request, host)
    const exchange = new Exchange(request.method, this.#socket)
    this.#exchange = exchange
    const abort = (): void => {
      exchange.fail(request.signal?.reason)
      this.close()
    }
    request.signal?.addEventListener('abort', abort, { once: true })
    exchange.onOver = () => {
      request.signal?.removeEventListener('abort', abort)
      this.#exchange = undefined
      if (exchange.isReusable && !this.#socket.destroyed) this.#on.onIdle()
      else this.close()
    }
    if (request.signal?.aborted === true) abort()
    this.#socket.write(sent)
    if (request.body !== undefined) this.#socket.write(request.body)
    this.#socket.resume()
    const head = await exchange.head
    return { ...head, body: bodyOf(exchange, request), leave: () => exchange.leave() }
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(read: (exchange: Exchange) => void): void {
    const exchange = this.#exchange
    // A server has nothing to say before it is asked, but that it ends the connection.
    if (exchange === undefined) this.close()
    else {
      try {
        read(exchange)
      } catch (error) {
        exchange.fail(error)
        this.close()
      }
    }
  }
}

/** One answer on its way: what was received and not read yet. */
class Exchange {
  readonly head: Promise<HttpHead>
  /** Told when all is received, or will never be. */
  onOver: () => void = () => undefined
  readonly #reader: HttpReader
  readonly #socket: Socket
  readonly #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #isOver = false
  #error: unknown
  #settleHead: { resolve: (head: HttpHead) => void; reject: (error: unknown) => void }
  #wake: (() => void) | undefined

  constructor(method: string, socket: Socket) {
    this.#reader = new HttpReader(method)
    this.#socket = socket
    const { promise, resolve, reject } = Promise.withResolvers<HttpHead>()
    this.head = promise
    this.#settleHead = { resolve, reject }
  }

  get isReusable(): boolean {
    return this.#reader.isReusable
  }

  read(bytes: Uint8Array): void {
    this.#takeParts(this.#reader.read(bytes))
    if (this.#waitingBytes > waitingBytesMax) this.#socket.pause()
  }

  finish(): void {
    this.#takeParts(this.#reader.finish())
  }

  /** Ends the answer with an error, unless it is complete. */
  fail(error: unknown): void {
    if (this.#isOver) return
    this.#error = error ?? new Error('aborted')
    this.#settleHead.reject(this.#error)
    this.#end()
  }

  /** The next bytes of the body, undefined at its end. Throws what broke it, after what had come. */
  async next(): Promise<Uint8Array | undefined> {
    while (this.#waiting.length === 0 && !this.#isOver) {
      this.#socket.resume()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const bytes = this.#waiting.shift()
    if (bytes !== undefined) this.#waitingBytes -= bytes.length
    else if (this.#error !== undefined) throw this.#error
    return bytes
  }

  /** Nobody reads on: what is still to come would only hold the connection. */
  leave(): void {
    if (!this.#isOver) this.#socket.destroy()
  }

  #takeParts(parts: readonly HttpPart[]): void {
    for (const part of parts) {
      if (part.type === 'head') this.#settleHead.resolve(part.head)
      else if (part.type === 'end') this.#end()
      else {
        this.#waiting.push(part.bytes)
        this.#waitingBytes += part.bytes.length
      }
    }
    this.#wake?.()
  }

  #end(): void {
    this.#isOver = true
    this.#wake?.()
    this.onOver()
  }
}

/** The whole body as text. */
export async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function hostOf(target: HttpTarget): string {
  return target.type === 'tcp' ? target.host : 'agent'
}

/** Throws invalid-argument for a header or path that would be read as more than one line. */
function formatHead(request: HttpRequest, host: string): string {
  const { method, path, body } = request
  const lines = [`${method} ${path} HTTP/1.1`, `host: ${host}`]
  if (body !== undefined) {
    const size = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength
    lines.push(`content-length: ${size}`)
  } else if (method === 'POST') lines.push('content-length: 0')
  for (const [name, value] of Object.entries(request.headers ?? {})) lines.push(`${name}: ${value}`)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in a line.
  const bad = lines.find((line) => /[\x00-\x08\x0a-\x1f\x7f]/.test(line))
  if (bad !== undefined || / /.test(path)) {
    throw new CodedError('invalid-argument', `not a request line: ${JSON.stringify(bad ?? path)}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}

async function* bodyOf(exchange: Exchange, request: HttpRequest): AsyncGenerator<Uint8Array> {
  try {
    for (let bytes = await exchange.next(); bytes !== undefined; bytes = await exchange.next()) {
      yield bytes
    }
  } catch (error) {
    throw broken(error, request)
  } finally {
    exchange.leave()
  }
}

function broken(error: unknown, request: HttpRequest): CodedError {
  if (error instanceof CodedError && error.code === 'invalid-argument') return error
  const text = error instanceof Error ? error.message : String(error)
  const code = request.signal?.aborted === true ? 'timeout' : 'unavailable'
  return new CodedError(code, `${request.method} ${request.path}: ${text}`, { cause: error })
}
