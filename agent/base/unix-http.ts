// HTTP/1.1 to an engine or agent, over a unix socket or plain TCP: one request, one streamed answer.
// The door to node:http's client, loaded on first use, so that commands which talk to nobody do
// not pay for it. What an answer means is the caller's affair: a status of 404 is no error here.

import type { Agent, ClientRequest, IncomingMessage } from 'node:http'
import { CodedError } from '../../core/base/error.ts'

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

/** The answer's head, and its body as it arrives. Read or destroy the body: it holds a socket. */
export interface HttpResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: AsyncIterable<Uint8Array>
}

/** Answers of one server over connections that are kept for the next request. */
export class HttpClient {
  readonly #target: HttpTarget
  #agent: Agent | undefined

  constructor(target: HttpTarget) {
    this.#target = target
  }

  /**
   * Sends a request and waits for the answer's head. Throws `unavailable` when nobody listens or the
   * connection breaks, and `timeout` when the signal ends it.
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    const http = await import('node:http')
    this.#agent ??= new http.Agent({ keepAlive: true, maxSockets: 8 })
    const target = this.#target
    const length = request.body === undefined ? {} : { 'content-length': sizeOf(request.body) }
    const outgoing = http.request({
      agent: this.#agent,
      method: request.method,
      path: request.path,
      headers: {
        host: target.type === 'tcp' ? target.host : 'agent',
        ...length,
        ...request.headers,
      },
      ...(target.type === 'unix'
        ? { socketPath: target.path }
        : { host: target.host, port: target.port }),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    })
    const message = await answerOf(outgoing, request)
    return {
      status: message.statusCode ?? 0,
      headers: message.headers,
      body: bodyOf(message, request),
    }
  }

  /** Ends kept connections; a client can be used again afterwards. */
  close(): void {
    this.#agent?.destroy()
    this.#agent = undefined
  }
}

/** The whole body as text. */
export async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of body) text += decoder.decode(chunk, { stream: true })
  return text + decoder.decode()
}

function sizeOf(body: string | Uint8Array): number {
  return typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength
}

function answerOf(outgoing: ClientRequest, request: HttpRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.on('response', resolve)
    outgoing.on('error', (error) => reject(broken(error, request)))
    outgoing.end(request.body)
  })
}

async function* bodyOf(message: IncomingMessage, request: HttpRequest): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of message) yield chunk
  } catch (error) {
    throw broken(error, request)
  } finally {
    message.destroy()
  }
}

function broken(error: unknown, request: HttpRequest): CodedError {
  const text = error instanceof Error ? error.message : String(error)
  const code = request.signal?.aborted === true ? 'timeout' : 'unavailable'
  return new CodedError(code, `${request.method} ${request.path}: ${text}`, { cause: error })
}
