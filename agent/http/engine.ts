// Engine: the local container engine as the API sees it: a unix socket that speaks HTTP. Holds
// what is known of it (versions), asked once and forgotten when the engine goes or changes.
//
// Each request takes a connection of its own: connecting to a unix socket costs some 50 us, and a
// connection that is never shared cannot be stale after a restart of the engine.

import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { CodedError } from '../../core/base/error.ts'

/** What an engine says of itself. */
export interface EngineFacts {
  readonly version: string
  readonly apiVersion: string
  readonly minApiVersion: string
  /** Its whole answer to GET /version. */
  readonly document: Readonly<Record<string, unknown>>
}

/** An answer that was read to its end. */
export interface EngineAnswer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface Engine {
  readonly socketPath: string | undefined
  /** Known facts, asked for if need be; undefined when the engine does not answer. */
  readonly facts: () => Promise<EngineFacts | undefined>
  /** What is known now, without asking. */
  readonly known: () => EngineFacts | undefined
  /** Forgets the facts if the engine has just named another API version than theirs. */
  readonly noteVersion: (apiVersion: string | undefined) => void
  /** Begins a request. Throws unavailable if this node has no engine. */
  readonly open: (options: EngineRequest) => ClientRequest
  /** Sends a request without a body, reads the answer. Throws unavailable, timeout, too-large. */
  readonly get: (options: EngineGet) => Promise<EngineAnswer>
}

export interface EngineRequest {
  readonly method: string
  /** With its version and query. */
  readonly path: string
  /** Name, value, name, value. */
  readonly headers: readonly string[]
}

export interface EngineGet {
  readonly method?: 'GET' | 'HEAD'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** How long a question of ours may take. A healthy engine answers within a few milliseconds. */
export const engineTimeoutMs = 5_000

/** Largest answer that we read ourselves; /info of a large engine is some 10 kB. */
const answerBytesMax = 8 * 1024 * 1024

/** The engine at that socket; with undefined, an engine that is never there. */
export function createEngine(socketPath: string | undefined): Engine {
  let known: EngineFacts | undefined
  let asking: Promise<EngineFacts | undefined> | undefined

  const open = (options: EngineRequest): ClientRequest => {
    if (socketPath === undefined) {
      throw new CodedError(
        'unavailable',
        'This node has no container engine: the agent runs containers itself and answers only for nodes, services, tasks and the cluster.',
      )
    }
    return request({
      ...options,
      headers: [...options.headers],
      createConnection: () => connect({ path: socketPath, allowHalfOpen: true }),
    })
  }

  const get = async (options: EngineGet): Promise<EngineAnswer> => {
    const headers = Object.entries({ Host: 'docker', ...options.headers }).flat()
    const call = open({ method: options.method ?? 'GET', path: options.path, headers })
    const timeout = AbortSignal.timeout(options.timeoutMs)
    const signal = options.signal ? AbortSignal.any([timeout, options.signal]) : timeout
    const stop = (): void => void call.destroy(stopReason(timeout, options))
    signal.addEventListener('abort', stop, { once: true })
    try {
      return await readAnswer(call)
    } catch (error) {
      if (error instanceof CodedError) throw error
      known = undefined
      throw engineGone(socketPath, error)
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  const ask = async (): Promise<EngineFacts | undefined> => {
    try {
      const answer = await get({ path: '/version', timeoutMs: engineTimeoutMs })
      known = answer.status === 200 ? parseFacts(answer.body) : undefined
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      known = undefined
    } finally {
      asking = undefined
    }
    return known
  }

  return {
    socketPath,
    facts: async () => {
      if (known !== undefined || socketPath === undefined) return known
      asking ??= ask()
      return asking
    },
    known: () => known,
    noteVersion: (apiVersion) => {
      if (apiVersion !== undefined && known?.apiVersion !== apiVersion) known = undefined
    },
    open,
    get,
  }
}

function stopReason(timeout: AbortSignal, options: EngineGet): CodedError {
  const what = `${options.method ?? 'GET'} ${options.path}`
  return timeout.aborted
    ? new CodedError(
        'timeout',
        `the container engine did not answer ${what} within ${options.timeoutMs} ms`,
      )
    : new CodedError('unavailable', `${what} was given up by its caller`)
}

/** The error of a request that could not reach the engine. */
export function engineGone(socketPath: string | undefined, cause: unknown): CodedError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new CodedError(
    'unavailable',
    `Cannot reach the container engine at unix://${socketPath ?? ''}: ${reason}. Is dockerd running?`,
    { cause },
  )
}

function readAnswer(call: ClientRequest): Promise<EngineAnswer> {
  return new Promise((resolve, reject) => {
    call.on('error', reject)
    call.on('response', (answer) => {
      const chunks: Buffer[] = []
      let sizeBytes = 0
      answer.on('error', reject)
      answer.on('data', (chunk: Buffer) => {
        sizeBytes += chunk.length
        chunks.push(chunk)
        if (sizeBytes > answerBytesMax) {
          call.destroy(
            new CodedError('too-large', `the engine's answer is over ${answerBytesMax} bytes`),
          )
        }
      })
      answer.on('end', () => {
        const body = Buffer.concat(chunks).toString('utf8')
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body })
      })
    })
    call.end()
  })
}

function parseFacts(body: string): EngineFacts | undefined {
  const document = parseObject(body)
  const text = (name: string): string | undefined => {
    const value = document?.[name]
    return typeof value === 'string' ? value : undefined
  }
  const apiVersion = text('ApiVersion')
  if (document === undefined || apiVersion === undefined) return undefined
  return {
    version: text('Version') ?? 'unknown',
    apiVersion,
    minApiVersion: text('MinAPIVersion') ?? apiVersion,
    document,
  }
}

/** A JSON object, or undefined for anything else. */
export function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    return value as Readonly<Record<string, unknown>>
  } catch {
    return undefined
  }
}
