// The Docker Engine API as the commands use it: a path, a query, JSON both ways. A daemon's error becomes
// a CodedError with docker's words.
//
// The version is agreed on once: by /_ping, as docker does, or, where a command begins with a GET, by the
// answer to that, which spares a way to the daemon and back. Without a version in its path a request
// is of the newest version that the daemon speaks; if that is newer than ours, we ask again with ours.

import { CodedError, type ErrorCode } from '../../core/base/error.ts'
import { HttpClient, type HttpResponse, type HttpTarget, readText } from '../base/unix-http.ts'
import { parseUint } from './opts/number.ts'

/** The newest version of the API that the commands speak. */
export const apiVersionMax = '1.50'
/** Spoken when the daemon does not say what it knows. */
const apiVersionUnsaid = '1.24'
/** Where the agent listens unless told otherwise. */
export const hostDefault = 'unix:///run/skep/agent.sock'

/** Names and values behind a `?`; a value left out is not sent. */
export type Query = Readonly<Record<string, string | undefined>>

/** Values of filters by name. */
export type Filters = Readonly<Record<string, readonly string[]>>

export interface ApiRequest {
  readonly query?: Query
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** An answer as text and as what the text holds. */
export interface RawAnswer<T> {
  readonly value: T
  readonly text: string
}

/** A connection to one daemon. `close` it when the command ends. */
export class Api {
  readonly host: string
  readonly #client: HttpClient
  #version: string | undefined
  #nodeId: string | undefined
  #staleMs: number | undefined

  /** Throws invalid-argument for a host that is neither unix:// nor tcp://. */
  constructor(host: string) {
    this.host = host
    this.#client = new HttpClient(parseHost(host))
  }

  /** The version that both sides speak. */
  async version(): Promise<string> {
    if (this.#version !== undefined) return this.#version
    let answer = await this.#send({ method: 'HEAD', path: '/_ping' })
    await readText(answer.body)
    if (answer.status !== 200) {
      answer = await this.#send({ method: 'GET', path: '/_ping' })
      await readText(answer.body)
    }
    this.#nodeId = answer.headers['skep-node']
    const known = answer.headers['api-version'] ?? apiVersionUnsaid
    this.#version = compareVersions(known, apiVersionMax) < 0 ? known : apiVersionMax
    return this.#version
  }

  /** The id of the node that answers; undefined where the daemon is Docker's, or in no swarm. */
  async nodeId(): Promise<string | undefined> {
    await this.version()
    return this.#nodeId
  }

  async get<T>(path: string, request: ApiRequest = {}): Promise<T> {
    return (await this.getRaw<T>(path, request)).value
  }

  /** As `get`, with the text that the daemon sent. */
  async getRaw<T>(path: string, request: ApiRequest = {}): Promise<RawAnswer<T>> {
    const answer = await this.stream('GET', path, request)
    return decode<T>(await readText(answer.body), path)
  }

  /** Sends a body as JSON; an answer without a body is undefined. */
  async post<T>(path: string, request: ApiRequest = {}): Promise<T> {
    const answer = await this.stream('POST', path, request)
    const text = await readText(answer.body)
    return text.trim() === '' ? (undefined as T) : decode<T>(text, path).value
  }

  async delete(path: string, request: ApiRequest = {}): Promise<void> {
    const answer = await this.stream('DELETE', path, request)
    await readText(answer.body)
  }

  /** The answer with its body unread. Throws what the daemon says when its status is 400 or more. */
  async stream(method: string, path: string, request: ApiRequest = {}): Promise<HttpResponse> {
    const answer =
      (await this.#firstAnswer(method, path, request)) ??
      (await this.#ask(method, `/v${await this.version()}${path}`, request))
    const stale = Number(answer.headers['skep-stale'] ?? Number.NaN)
    if (!Number.isNaN(stale)) this.#staleMs = Math.max(this.#staleMs ?? 0, stale)
    if (answer.status >= 400) throw await daemonError(answer)
    return answer
  }

  /** The answer to a command's first request, if a version need not be known to ask it. */
  async #firstAnswer(
    method: string,
    path: string,
    request: ApiRequest,
  ): Promise<HttpResponse | undefined> {
    if (this.#version !== undefined || method !== 'GET') return undefined
    const answer = await this.#ask(method, path, request)
    const { 'api-version': version, 'skep-version': agent, 'skep-node': node } = answer.headers
    if (version === undefined || compareVersions(version, apiVersionMax) > 0) {
      answer.leave()
      return undefined
    }
    // What the agent passes through has the version of the engine behind it, which is not its own.
    if (agent !== undefined) {
      this.#version = version
      this.#nodeId = node
    }
    return answer
  }

  #ask(method: string, path: string, request: ApiRequest): Promise<HttpResponse> {
    return this.#send({
      method,
      path: `${path}${formatQuery(request.query ?? {})}`,
      headers: {
        ...request.headers,
        ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    })
  }

  /**
   * How long ago the leader was last heard, when an answer came from a manager without one: the most
   * of all answers, as its header Skep-Stale says. Undefined when all answers were up to date.
   */
  get staleMs(): number | undefined {
    return this.#staleMs
  }

  close(): void {
    this.#client.close()
  }

  async #send(request: Parameters<HttpClient['send']>[0]): Promise<HttpResponse> {
    try {
      return await this.#client.send(request)
    } catch (error) {
      if (!(error instanceof CodedError) || !isConnectError(error.cause)) throw error
      if (isPermissionError(error.cause)) {
        throw new CodedError(
          'unavailable',
          `permission denied while trying to connect to the Skep agent at ${this.host}. Run the command as root, or as a member of the socket's group.`,
        )
      }
      throw new CodedError(
        'unavailable',
        `Cannot connect to the Skep agent at ${this.host}. Is the agent running?`,
        { detail: { isConnect: true }, cause: error },
      )
    }
  }
}

/** Reads `unix:///path` or `tcp://host:port`. */
export function parseHost(host: string): HttpTarget {
  if (host.startsWith('unix://')) return { type: 'unix', path: host.slice('unix://'.length) }
  const tcp = /^tcp:\/\/(\[[^\]]+\]|[^:/]+)(?::(\d+))?\/?$/.exec(host)
  if (tcp?.[1] !== undefined) {
    const port = parseUint(tcp[2] ?? '2375', { base: 10, bits: 16 })
    return { type: 'tcp', host: tcp[1].replace(/^\[|\]$/g, ''), port }
  }
  throw new CodedError(
    'invalid-argument',
    `unable to parse host ${JSON.stringify(host)}: it must be unix://PATH or tcp://HOST:PORT`,
  )
}

/** Compares two API versions such as "1.9" and "1.41". */
export function compareVersions(one: string, other: string): number {
  const [ones, others] = [one.split('.').map(Number), other.split('.').map(Number)]
  return (ones[0] ?? 0) - (others[0] ?? 0) || (ones[1] ?? 0) - (others[1] ?? 0)
}

/** Filters as the API wants them in a query; undefined when there are none. */
export function formatFilters(filters: Filters): string | undefined {
  const names = Object.keys(filters)
  if (names.length === 0) return undefined
  const sets = names.toSorted().map((name) => {
    const values = (filters[name] ?? []).toSorted()
    return [name, Object.fromEntries(values.map((value) => [value, true]))]
  })
  return JSON.stringify(Object.fromEntries(sets))
}

function formatQuery(query: Query): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined)
  if (pairs.length === 0) return ''
  return `?${pairs.map(([name, value]) => `${name}=${encodeURIComponent(value ?? '')}`).join('&')}`
}

function decode<T>(text: string, path: string): RawAnswer<T> {
  try {
    // A daemon is trusted to speak its own API: every field of the shapes in api-json.ts is optional.
    return { value: JSON.parse(text) as T, text: text.trim() }
  } catch (cause) {
    throw new CodedError(
      'damaged-data',
      `the answer to ${path} is not JSON: ${text.slice(0, 80)}`,
      {
        cause,
      },
    )
  }
}

async function daemonError(answer: HttpResponse): Promise<CodedError> {
  const text = (await readText(answer.body)).trim()
  let message = text
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null && 'message' in body) {
      message = String(body.message).trim()
    }
  } catch {
    // Not JSON: the text itself is the best that is known.
  }
  if (message === '') message = `request returned status ${answer.status} with no message`
  return new CodedError(codeOf(answer.status), `Error response from daemon: ${message}`, {
    detail: { status: answer.status },
  })
}

const codes: Readonly<Record<number, ErrorCode>> = {
  400: 'bad-request',
  404: 'not-found',
  409: 'conflict',
  501: 'not-supported',
  503: 'unavailable',
}

function codeOf(status: number): ErrorCode {
  return codes[status] ?? (status >= 500 ? 'internal' : 'bad-request')
}

const connectErrors = ['ENOENT', 'ECONNREFUSED', 'EACCES', 'EHOSTUNREACH', 'ETIMEDOUT', 'ENOTFOUND']

function isConnectError(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && connectErrors.includes(String(cause.code))
}

function isPermissionError(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'EACCES'
}
