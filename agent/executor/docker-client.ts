// Docker's API over its unix socket: the only file that knows undici.
//
// Two pools of connections to one socket. Quick calls (inspect, list) share a few that stay open.
// Whatever may last (events, logs, pulls, a start, a stop that takes its grace) gets a connection
// of its own from the second pool, so that twenty slow stops never hold up one inspect.
//
// undici is loaded at the first call, and of it only the pool and `request`: 53-75 ms and 8 MB of
// private memory here, as much as node:http, where the whole package takes 93-194 ms and 14 MB.

import type { Dispatcher, Pool } from 'undici'
import { CodedError, type ErrorCode } from '../../core/base/error.ts'
import { parseJson, record, text } from './engine-json.ts'

export interface EngineRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Without the version: `/containers/json`. */
  readonly path: string
  /** Absent values are left out; objects are sent as JSON (filters). */
  readonly query?: Readonly<Record<string, string | number | boolean | object | undefined>>
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Asks for a version above `versionMax` when the engine has it, for one field that needs it. */
  readonly version?: string
}

export interface EngineStream {
  readonly body: AsyncIterable<Uint8Array>
  /** MIME type of the answer. */
  readonly contentType: string
}

const versionMin = '1.24'
const versionMax = '1.44'
const quickConnectionsMax = 4
const slowConnectionsMax = 512
/** A quick call that is not answered in this time means a stuck engine. */
const quickTimeoutMs = 120_000
/** Errors are short; what is longer is cut. */
const errorBytesMax = 64 * 1024

interface Opened {
  readonly quick: Pool
  readonly slow: Pool
  readonly request: (
    pool: Pool,
    options: Dispatcher.RequestOptions,
  ) => Promise<Dispatcher.ResponseData>
}

/** Connections to one engine. Every call throws CodedError, or the reason of its signal. */
export class DockerClient {
  readonly socketPath: string
  #opened: Promise<Opened> | undefined
  #engineVersion: string | undefined
  #isClosed = false

  constructor(socketPath: string) {
    this.socketPath = socketPath
  }

  /** A call whose answer is short: its JSON, or undefined for an empty one. */
  async call(request: EngineRequest, signal: AbortSignal): Promise<unknown> {
    return await this.#answer(await this.#send('quick', request, signal), request, signal)
  }

  /** As `call`, for one that may take as long as it likes (create, start, stop, remove). */
  async slowCall(request: EngineRequest, signal: AbortSignal): Promise<unknown> {
    return await this.#answer(await this.#send('slow', request, signal), request, signal)
  }

  /** An answer that goes on; it ends with the signal, or when its reader returns. */
  async stream(request: EngineRequest, signal: AbortSignal): Promise<EngineStream> {
    const answer = await this.#send('slow', request, signal)
    const type = answer.headers['content-type']
    return {
      body: this.#read(answer.body, signal),
      contentType: typeof type === 'string' ? type : '',
    }
  }

  /** The newest version that the engine speaks, asked once per engine start. */
  async engineVersion(signal: AbortSignal): Promise<string> {
    if (this.#engineVersion !== undefined) return this.#engineVersion
    const answer = await this.#request('quick', { method: 'GET', path: '/_ping' }, signal)
    await answer.body.dump()
    const offered = answer.headers['api-version']
    const version = typeof offered === 'string' && offered !== '' ? offered : versionMin
    if (compareVersions(version, versionMin) < 0) {
      throw new CodedError(
        'engine',
        `the engine at ${this.socketPath} speaks API ${version}, this agent needs ${versionMin} or newer: upgrade Docker`,
      )
    }
    this.#engineVersion = version
    return version
  }

  /** To be called when the engine may be another one (it was restarted). */
  forgetVersion(): void {
    this.#engineVersion = undefined
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const opened = await this.#opened
    await Promise.all([opened?.quick.destroy(), opened?.slow.destroy()])
  }

  async #send(
    lane: 'quick' | 'slow',
    request: EngineRequest,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const engine = await this.engineVersion(signal)
    const most = request.version ?? versionMax
    const version = compareVersions(engine, most) < 0 ? engine : most
    const path = `/v${version}${request.path}${formatQuery(request.query)}`
    const answer = await this.#request(lane, { ...request, path }, signal)
    if (answer.statusCode < 400) return answer
    throw await this.#refusal(answer, request)
  }

  async #request(
    lane: 'quick' | 'slow',
    request: Pick<EngineRequest, 'method' | 'path' | 'body' | 'headers'>,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    signal.throwIfAborted()
    if (this.#isClosed) throw new CodedError('unavailable', 'the executor is closed')
    try {
      this.#opened ??= open(this.socketPath)
      const { request: ask, [lane]: pool } = await this.#opened
      return await ask(pool, {
        method: request.method,
        path: request.path,
        headers: { ...(request.body === undefined ? {} : jsonHeaders), ...request.headers },
        body: request.body === undefined ? null : JSON.stringify(request.body),
        signal,
      })
    } catch (error) {
      throw this.#failure(error, signal)
    }
  }

  async #answer(
    answer: Dispatcher.ResponseData,
    { method, path }: EngineRequest,
    signal: AbortSignal,
  ): Promise<unknown> {
    const body = await answer.body.text().catch((error: unknown) => {
      throw this.#failure(error, signal)
    })
    const value = parseJson(body)
    if (body === '' || value !== undefined) return value
    const start = body.slice(0, 80)
    throw new CodedError('engine', `${method} ${path}: the engine's answer is no JSON: ${start}`)
  }

  async *#read(body: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array> {
    try {
      yield* body
    } catch (error) {
      throw this.#failure(error, signal)
    }
  }

  /** What went wrong below HTTP: the socket, a time-out, the caller's own signal. */
  #failure(error: unknown, signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason
    if (error instanceof CodedError) return error
    const fields = record(error)
    const name = text(fields['code']) || text(fields['message']) || String(error)
    if (name === 'UND_ERR_HEADERS_TIMEOUT' || name === 'UND_ERR_BODY_TIMEOUT') {
      return new CodedError(
        'timeout',
        `the engine at ${this.socketPath} gave no answer in ${quickTimeoutMs / 1000} s: see its log`,
        { cause: error },
      )
    }
    return new CodedError(
      'unavailable',
      `the engine at ${this.socketPath} does not answer (${name}): start Docker, or name its socket with --docker-host`,
      { cause: error },
    )
  }

  async #refusal(answer: Dispatcher.ResponseData, request: EngineRequest): Promise<CodedError> {
    // A refusal whose words are cut off is still one.
    const body = await readError(answer.body).catch(() => '')
    const words = text(record(parseJson(body))['message'])
    return new CodedError(
      codeOf(answer.statusCode),
      words || `${request.method} ${request.path}: the engine answered ${answer.statusCode}`,
      { detail: { status: answer.statusCode } },
    )
  }
}

const jsonHeaders = { 'content-type': 'application/json' }

async function open(socketPath: string): Promise<Opened> {
  const [{ default: Pool }, { default: request }] = await Promise.all([
    import('undici/lib/dispatcher/pool.js'),
    import('undici/lib/api/api-request.js'),
  ])
  const origin = 'http://docker'
  return {
    quick: new Pool(origin, {
      socketPath,
      connections: quickConnectionsMax,
      headersTimeout: quickTimeoutMs,
      bodyTimeout: quickTimeoutMs,
    }),
    slow: new Pool(origin, {
      socketPath,
      connections: slowConnectionsMax,
      headersTimeout: 0,
      bodyTimeout: 0,
    }),
    request: (pool, options) => request.call(pool, options),
  }
}

async function readError(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let source = ''
  for await (const chunk of body) {
    source += decoder.decode(chunk, { stream: true })
    if (source.length > errorBytesMax) break
  }
  return source
}

const codes: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid-argument',
  404: 'not-found',
  409: 'conflict',
}

function codeOf(status: number): ErrorCode {
  return codes[status] ?? 'engine'
}

function formatQuery(query: EngineRequest['query']): string {
  const parts = Object.entries(query ?? {}).flatMap(([key, value]) => {
    if (value === undefined) return []
    const shown = typeof value === 'object' ? JSON.stringify(value) : String(value)
    return [`${key}=${encodeURIComponent(shown)}`]
  })
  return parts.length === 0 ? '' : `?${parts.join('&')}`
}

/** Below, at or above 0, as versions "1.41" and "1.9" stand to each other. */
export function compareVersions(left: string, right: string): number {
  const [leftMajor = 0, leftMinor = 0] = left.split('.').map(Number)
  const [rightMajor = 0, rightMinor = 0] = right.split('.').map(Number)
  return leftMajor - rightMajor || leftMinor - rightMinor
}
