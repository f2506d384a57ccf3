// One node for a test file: a lab with an engine, our agent on it, the test images, and a cluster
// of one; and the few questions that all files ask of it.

import type { Test } from 'tap'
import type { Ended } from '../../scripts/process.ts'
import { type Agent, startAgent } from '../support/agent.ts'
import { docker, mustDocker } from '../support/docker-cli.ts'
import { type Engine, startEngine } from '../support/engine.ts'
import { importTestImages } from '../support/images.ts'
import { type Host, type Lab, openLab } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'

export const web1 = 'nigelpoulton/ddd-web:1.0'
export const web2 = 'nigelpoulton/ddd-web:2.0'
export const shell = 'skep/shell:1'

/** For the file: tap's own limit of 30 s is too short for what waits on real engines. */
const timeoutMs = 300_000

/** What a test reads of a task (Docker Engine API: Task). */
export interface TaskJson {
  readonly ID: string
  readonly Slot: number
  readonly DesiredState: string
  readonly Spec: { readonly ContainerSpec: { readonly Image: string } }
  readonly Status: {
    readonly State: string
    readonly Message?: string
    readonly Err?: string
    readonly Timestamp: string
    readonly ContainerStatus?: { readonly ContainerID?: string; readonly PID?: number }
  }
}

/** What a test reads of a service (Docker Engine API: Service). */
export interface ServiceJson {
  readonly ID: string
  readonly Version: { readonly Index: number }
  readonly Spec: { readonly Name: string }
  readonly UpdateStatus?: { readonly State: string; readonly Message: string }
}

export interface OneNodeOptions {
  /** A fresh daemon, in no swarm, instead of a cluster of one. */
  readonly isFresh?: boolean
  readonly engineFlags?: readonly string[]
}

/** Opens the lab: n1 with engine and agent, and n2, a plain host for clients. Closed in a teardown. */
export async function openOneNode(t: Test, options: OneNodeOptions = {}): Promise<OneNode> {
  t.setTimeout(timeoutMs)
  const lab = await openLab({ hosts: 2 })
  t.teardown(() => lab.close())
  const engine = await startEngine(lab.host(0), { flags: options.engineFlags ?? [] })
  await importTestImages(engine)
  const agent = await startAgent(lab.host(0), { engine })
  const node = new OneNode({ lab, engine, agent })
  if (options.isFresh !== true) await node.must('swarm', 'init')
  return node
}

export class OneNode {
  readonly lab: Lab
  readonly engine: Engine
  readonly agent: Agent

  constructor(parts: { lab: Lab; engine: Engine; agent: Agent }) {
    this.lab = parts.lab
    this.engine = parts.engine
    this.agent = parts.agent
  }

  /** The host of engine and agent. */
  get host(): Host {
    return this.lab.host(0)
  }

  /** A host with nothing on it, for clients. */
  get client(): Host {
    return this.lab.host(1)
  }

  /** The real docker CLI on the agent's socket. */
  docker(...args: readonly string[]): Promise<Ended> {
    return docker({ host: this.agent.url }, ...args)
  }

  /** Its standard output; it has to succeed. */
  must(...args: readonly string[]): Promise<string> {
    return mustDocker({ host: this.agent.url }, ...args)
  }

  /** The same against the engine itself, behind the agent's back. */
  engineMust(...args: readonly string[]): Promise<string> {
    return mustDocker({ host: this.engine.url }, ...args)
  }

  /** Creates a service without waiting for it; returns its id. */
  create(name: string, ...args: readonly string[]): Promise<string> {
    return this.must('service', 'create', '--detach', '--name', name, ...args)
  }

  async service(name: string): Promise<ServiceJson> {
    return (await this.agent.json({ path: `/services/${name}` })) as ServiceJson
  }

  /** All tasks of the service that are still remembered, ordered by slot, the newest first. */
  async tasks(name: string): Promise<readonly TaskJson[]> {
    const filters = encodeURIComponent(JSON.stringify({ service: [name] }))
    const tasks = (await this.agent.json({ path: `/tasks?filters=${filters}` })) as TaskJson[]
    return tasks
      .map((task) => ({ task, key: String(task.Slot).padStart(8, '0') }))
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
      .map(({ task }) => task)
  }

  async running(name: string): Promise<readonly TaskJson[]> {
    return (await this.tasks(name)).filter(isRunning)
  }

  /** Waits until exactly so many tasks run, all of the image when one is named. */
  async awaitRunning(
    name: string,
    want: { count: number; image?: string; timeoutMs?: number },
  ): Promise<readonly TaskJson[]> {
    const { count, image, timeoutMs = 60_000 } = want
    return waitFor(
      { what: `${count} running tasks of ${name}`, timeoutMs, describe: () => this.explain(name) },
      async () => {
        const tasks = await this.tasks(name)
        const wanted = tasks.filter((task) => task.DesiredState === 'running')
        const isAll = wanted.every(
          (task) => isRunning(task) && (image ?? imageOf(task)) === imageOf(task),
        )
        return isAll && wanted.length === count ? wanted : undefined
      },
    )
  }

  /** Waits until a line of `service ps --no-trunc` says so. */
  async awaitPs(name: string, wanted: RegExp, timeoutMs = 60_000): Promise<string> {
    const what = `line ${wanted} of service ps ${name}`
    return waitFor({ what, timeoutMs, describe: () => this.explain(name) }, async () => {
      const lines = (await this.must('service', 'ps', '--no-trunc', name)).split('\n')
      return lines.find((line) => wanted.test(line))
    })
  }

  /** Removes the services and waits until the engine has none of their containers. */
  async remove(...names: readonly string[]): Promise<void> {
    await this.must('service', 'rm', ...names)
    await waitFor(
      { what: `end of the containers of ${names.join(', ')}`, timeoutMs: 60_000 },
      async () => {
        const lists = await Promise.all(names.map((name) => this.containers(name)))
        return lists.every((list) => list.length === 0)
      },
    )
  }

  /** Names of the service's containers that the engine has, ended ones too. */
  async containers(name: string): Promise<readonly string[]> {
    const filter = `label=com.docker.swarm.service.name=${name}`
    const text = await this.engineMust('ps', '-a', '--filter', filter, '--format', '{{.Names}}')
    return text === '' ? [] : text.split('\n')
  }

  /** For the message of a wait that failed. */
  async explain(name: string): Promise<string> {
    const ps = await this.docker('service', 'ps', '--no-trunc', name)
    const log = this.agent.log().trimEnd().split('\n').slice(-15).join('\n')
    return `${ps.stdout}${ps.stderr}\n${log}`
  }
}

function isRunning(task: TaskJson): boolean {
  return task.Status.State === 'running'
}

export function imageOf(task: TaskJson): string {
  return task.Spec.ContainerSpec.Image
}
