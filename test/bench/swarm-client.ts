// What benchmarks ask of the Docker API of services. A real Swarm and the agent answer alike, so
// one client measures both.

import { Agent, request } from 'node:http'
import { waitFor } from '../support/wait.ts'

/** What of a service a benchmark chooses. */
export interface ServicePlan {
  readonly name: string
  readonly image: string
  readonly replicas: number
  readonly publishedPort?: number
  /** Tasks that an update replaces at a time. */
  readonly updateParallelism?: number
}

export interface TaskState {
  readonly id: string
  readonly image: string
  readonly state: string
  readonly containerId: string
}

/** A client of one socket with so many connections, kept open between requests. */
export class SwarmClient {
  readonly #socket: string
  readonly #agent: Agent

  constructor(plan: { socket: string; connections?: number }) {
    this.#socket = plan.socket
    this.#agent = new Agent({ keepAlive: true, maxSockets: plan.connections ?? 4 })
  }

  close(): void {
    this.#agent.destroy()
  }

  /** One request; throws with the answer's text unless it succeeds. */
  json(method: string, path: string, body?: unknown): Promise<unknown> {
    const bytes = body === undefined ? '' : JSON.stringify(body)
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: this.#socket,
          agent: this.#agent,
          method,
          path,
          headers: {
            Host: 'docker',
            'Content-Type': 'application/json',
            'Content-Length': Buffer.byteLength(bytes),
          },
        },
        (incoming) => {
          const chunks: Buffer[] = []
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
          incoming.on('error', reject)
          incoming.on('end', () => {
            const text = Buffer.concat(chunks).toString()
            const status = incoming.statusCode ?? 0
            if (status >= 200 && status < 300) resolve(text === '' ? undefined : JSON.parse(text))
            else reject(new Error(`${method} ${path}: ${status} ${text.trim()}`))
          })
        },
      )
      outgoing.on('error', reject)
      outgoing.end(bytes)
    })
  }

  async init(address: string): Promise<void> {
    await this.json('POST', '/swarm/init', {
      ListenAddr: `${address}:2377`,
      AdvertiseAddr: address,
      ForceNewCluster: false,
      Spec: {},
    })
  }

  async createService(plan: ServicePlan): Promise<void> {
    await this.json('POST', '/services/create', specOf(plan))
  }

  /** Replaces the service's specification, as `service update` and `service scale` do. */
  async updateService(plan: ServicePlan): Promise<void> {
    const path = `/services/${plan.name}`
    const version = numberAt(await this.json('GET', path), 'Version', 'Index')
    await this.json('POST', `${path}/update?version=${version}`, specOf(plan))
  }

  async removeService(name: string): Promise<void> {
    await this.json('DELETE', `/services/${name}`)
  }

  /** The tasks of a service that ought to run. */
  async tasks(service: string): Promise<TaskState[]> {
    const filters = JSON.stringify({ service: [service], 'desired-state': ['running'] })
    const answer = await this.json('GET', `/tasks?filters=${encodeURIComponent(filters)}`)
    if (!Array.isArray(answer)) throw new Error(`GET /tasks: not a list: ${JSON.stringify(answer)}`)
    return answer.map((task: unknown) => ({
      id: textAt(task, 'ID'),
      image: textAt(task, 'Spec', 'ContainerSpec', 'Image'),
      state: textAt(task, 'Status', 'State'),
      containerId: textAt(task, 'Status', 'ContainerStatus', 'ContainerID'),
    }))
  }

  /** Waits until exactly `replicas` tasks of the service run, all of them with its image. */
  async untilRunning(plan: ServicePlan): Promise<TaskState[]> {
    const what = `${plan.replicas} running tasks of ${plan.name} with ${plan.image}`
    let last: readonly TaskState[] = []
    const describe = (): string => last.map((task) => `${task.id} ${task.state}`).join('\n')
    return waitFor({ what, timeoutMs: 180_000, everyMs: 20, describe }, async () => {
      const tasks = await this.tasks(plan.name)
      last = tasks
      const ready = tasks.filter((task) => task.state === 'running' && task.image === plan.image)
      return ready.length === plan.replicas && tasks.length === plan.replicas && tasks
    })
  }
}

/** The body of /services/create. */
export function specOf(plan: ServicePlan): unknown {
  const { publishedPort, updateParallelism } = plan
  return {
    Name: plan.name,
    TaskTemplate: { ContainerSpec: { Image: plan.image }, Placement: {} },
    Mode: { Replicated: { Replicas: plan.replicas } },
    ...(publishedPort === undefined
      ? {}
      : {
          EndpointSpec: {
            Ports: [{ Protocol: 'tcp', TargetPort: 8080, PublishedPort: publishedPort }],
          },
        }),
    ...(updateParallelism === undefined
      ? {}
      : { UpdateConfig: { Parallelism: updateParallelism, Order: 'stop-first' } }),
  }
}

/** The value at a path of keys; undefined where one is missing. */
function at(value: unknown, ...keys: readonly string[]): unknown {
  let here = value
  for (const key of keys) {
    if (typeof here !== 'object' || here === null) return undefined
    here = (here as Readonly<Record<string, unknown>>)[key]
  }
  return here
}

function textAt(value: unknown, ...keys: readonly string[]): string {
  const found = at(value, ...keys)
  return typeof found === 'string' ? found : ''
}

function numberAt(value: unknown, ...keys: readonly string[]): number {
  const found = at(value, ...keys)
  if (typeof found !== 'number') throw new Error(`no number at ${keys.join('.')}`)
  return found
}
