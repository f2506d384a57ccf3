// Call: one request to one of our own routes: what a handler gets, how it reads the body and the
// query, and how it answers.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { CodedError } from '../../core/base/error.ts'
import type { Log } from '../../core/base/note.ts'
import type { Backend } from './backend.ts'
import type { Engine } from './engine.ts'
import type { EventLog } from './event-log.ts'

/** What all handlers share. */
export interface Api {
  readonly backend: Backend
  readonly engine: Engine
  readonly events: EventLog
  readonly log: Log
}

export interface Call {
  readonly api: Api
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** What stands for the `{...}` of the route's path, decoded, in order. */
  readonly params: readonly string[]
  readonly query: URLSearchParams
  /** Version asked for, or the newest offered. */
  readonly version: string
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal
}

export type Handler = (call: Call) => Promise<void>

/** Largest JSON body: a config of 1000 KiB in base64 fits twice over. */
export const bodyBytesMax = 4 * 1024 * 1024

/** How long a body of ours may take to arrive. (Bodies passed to the engine may take hours.) */
export const bodyTimeoutMs = 30_000

/** Answers with JSON. */
export function sendJson(call: Pick<Call, 'response'>, status: number, value: unknown): void {
  sendJsonText(call, status, JSON.stringify(value))
}

/** Answers with JSON that is text already. */
export function sendJsonText(call: Pick<Call, 'response'>, status: number, json: string): void {
  const body = `${json}\n`
  call.response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
  })
  call.response.end(body)
}

/** Answers with a status and no body. */
export function sendNothing(call: Pick<Call, 'response'>, status: 200 | 204 = 200): void {
  call.response.writeHead(status, status === 204 ? {} : { 'Content-Length': 0 })
  call.response.end()
}

/** Answers remarks where docker's client looks for nothing, and ours prints them; nothing if there are none. */
export function sendWarnings(call: Call, warnings: readonly string[]): void {
  if (warnings.length === 0) sendNothing(call)
  else sendJson(call, 200, { Warnings: warnings })
}

/**
 * Reads a JSON body; an absent one is {}. Throws bad-request (type, syntax, too slow), too-large.
 */
export async function readJson(call: Call): Promise<unknown> {
  const { headers } = call.request
  const isAbsent =
    headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0'
  checkContentType(headers['content-type'] ?? '', isAbsent)
  const text = (await readBody(call)).toString('utf8')
  if (isAbsent) return {}
  if (text.trim() === '') {
    throw new CodedError('bad-request', 'invalid JSON: got EOF while reading request body')
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CodedError('bad-request', `invalid JSON: ${(error as Error).message}`)
  }
}

function checkContentType(type: string, isAbsent: boolean): void {
  if (type === '' && isAbsent) return
  if (!/^[^/;\s]+\/[^/;\s]+\s*(;|$)/.test(type)) {
    throw new CodedError('bad-request', `malformed Content-Type header (${type})`)
  }
  if (type.split(';')[0]?.trim().toLowerCase() !== 'application/json') {
    throw new CodedError(
      'bad-request',
      `unsupported Content-Type header (${type}): must be 'application/json'`,
    )
  }
}

/** Reads a body to its end. Throws too-large, bad-request if it comes too slowly or breaks off. */
export function readBody(call: Pick<Call, 'request'>): Promise<Buffer> {
  const { request } = call
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let sizeBytes = 0
    const timer = setTimeout(
      () => fail('bad-request', `the request body did not arrive within ${bodyTimeoutMs} ms`),
      bodyTimeoutMs,
    )
    const stop = (): void => {
      clearTimeout(timer)
      request.off('data', take).off('end', finish).off('error', broken).off('close', broken)
    }
    const fail = (code: 'bad-request' | 'too-large', message: string): void => {
      stop()
      request.pause()
      reject(new CodedError(code, message))
    }
    const take = (chunk: Buffer): void => {
      sizeBytes += chunk.length
      if (sizeBytes <= bodyBytesMax) chunks.push(chunk)
      else fail('too-large', `the request body is over the limit of ${bodyBytesMax} bytes`)
    }
    const finish = (): void => {
      stop()
      resolve(Buffer.concat(chunks))
    }
    const broken = (): void => fail('bad-request', 'the request body broke off')
    request.on('data', take).on('end', finish).on('error', broken).on('close', broken)
  })
}

/** A query flag as Docker reads it: anything but "", 0, no, false, none is true. */
export function isOn(call: Call, name: string): boolean {
  const value = (call.query.get(name) ?? '').trim().toLowerCase()
  return !['', '0', 'no', 'false', 'none'].includes(value)
}

/** A strict flag (Go's ParseBool); absent is false. Throws bad-request. */
export function readFlag(call: Call, name: string): boolean {
  const value = call.query.get(name) ?? ''
  if (['', '0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true
  throw new CodedError('bad-request', `invalid value for ${name}: ${value}`)
}

/** `?version=` of an update: the version the client has read. Throws bad-request. */
export function readObjectVersion(call: Call, kind: string): number {
  const value = call.query.get('version') ?? ''
  if (/^\d{1,15}$/.test(value)) return Number(value)
  throw new CodedError(
    'bad-request',
    `invalid ${kind} version '${value}': strconv.ParseUint: parsing ${JSON.stringify(value)}: invalid syntax`,
  )
}

/** The nth part of the path that the route leaves open. */
export function param(call: Call, at = 0): string {
  return call.params[at] ?? ''
}
