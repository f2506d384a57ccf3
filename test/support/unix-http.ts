// HTTP over a unix socket, as tests need it: one request, the whole answer.

import { request as httpRequest } from 'node:http'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: string
}

export interface Ask {
  readonly socket: string
  readonly method?: string
  readonly path: string
  /** Bytes and text go as they are, anything else as JSON. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

/** Sends one request and reads the answer to its end; rejects when the socket does not answer. */
export function request(ask: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { bytes, type } = encodeBody(ask.body)
    const outgoing = httpRequest(
      {
        socketPath: ask.socket,
        method: ask.method ?? 'GET',
        path: ask.path,
        headers: { Host: 'engine', ...type, 'Content-Length': bytes.length, ...ask.headers },
        timeout: ask.timeoutMs ?? 30_000,
      },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            body: Buffer.concat(chunks).toString(),
          })
        })
      },
    )
    outgoing.on('timeout', () => {
      outgoing.destroy(new Error(`${ask.method ?? 'GET'} ${ask.path}: no answer in time`))
    })
    outgoing.on('error', reject)
    outgoing.end(bytes)
  })
}

/** Like request, for JSON answers; throws with the answer's text unless the status is 2xx. */
export async function requestJson(ask: Ask): Promise<unknown> {
  const answer = await request(ask)
  if (answer.status < 200 || answer.status > 299) {
    throw new Error(`${ask.method ?? 'GET'} ${ask.path}: ${answer.status} ${answer.body.trim()}`)
  }
  return answer.body === '' ? undefined : JSON.parse(answer.body)
}

function encodeBody(body: unknown): { bytes: Uint8Array; type: Record<string, string> } {
  if (body === undefined) return { bytes: Buffer.alloc(0), type: {} }
  if (body instanceof Uint8Array)
    return { bytes: body, type: { 'Content-Type': 'application/x-tar' } }
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return { bytes: Buffer.from(text), type: { 'Content-Type': 'application/json' } }
}
