// The API server on a socket of its own, over a cluster in memory, and one request to it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApiServer } from '../../../agent/http/server.ts'
import { type Answer, request } from '../../support/unix-http.ts'
import { createMemoryBackend, type MemoryBackend } from './memory-backend.ts'

export interface TestApi {
  readonly backend: MemoryBackend
  readonly socket: string
  readonly folder: string
  readonly ask: (method: string, path: string, body?: unknown, headers?: Headers) => Promise<Answer>
  /** The same for answers in JSON. */
  readonly json: (method: string, path: string, body?: unknown) => Promise<Json>
  readonly close: () => Promise<void>
}

type Headers = Readonly<Record<string, string>>

/** JSON as a test reads it: each step down is one that it expects to be there. */
// biome-ignore lint/suspicious/noExplicitAny: answers are compared, not used
export type Json = any

export async function startApi(options: { engineSocket?: string } = {}): Promise<TestApi> {
  const folder = mkdtempSync(join(tmpdir(), 'skep-api-'))
  const socket = join(folder, 'agent.sock')
  const backend = createMemoryBackend()
  const server = createApiServer({
    backend,
    engineSocket: options.engineSocket,
    socketPath: socket,
    log: () => {},
  })
  await server.listen()
  const ask = (method: string, path: string, body?: unknown, headers: Headers = {}) =>
    request({ socket, method, path, body, headers, timeoutMs: 10_000 })
  return {
    backend,
    socket,
    folder,
    ask,
    json: async (method, path, body) => JSON.parse((await ask(method, path, body)).body),
    close: async () => {
      await server.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** The same with a cluster of one node. */
export async function startCluster(options: { engineSocket?: string } = {}): Promise<TestApi> {
  const api = await startApi(options)
  await api.ask('POST', '/swarm/init', { ListenAddr: '0.0.0.0:2377' })
  return api
}

/** The body of a create request. */
export function serviceBody(name: string, replicas = 1): Json {
  return {
    Name: name,
    Labels: { team: name },
    TaskTemplate: { ContainerSpec: { Image: 'web:1.0' } },
    Mode: { Replicated: { Replicas: replicas } },
  }
}
