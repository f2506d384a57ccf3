// A cluster for a test file: a lab with so many hosts, each with an engine and our agent, and the
// questions that files about several nodes ask.

import type { Test } from 'tap'
import type { Ended } from '../../scripts/process.ts'
import { type Agent, startAgent } from '../support/agent.ts'
import { type Engine, startEngine } from '../support/engine.ts'
import { importTestImages } from '../support/images.ts'
import { type Lab, openLab } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'
import type { TaskJson } from './one-node.ts'

const timeoutMs = 600_000

export interface ClusterOptions {
  readonly managers: number
  readonly workers: number
  /** Hosts that belong to no cluster yet. */
  readonly spares?: number
  /** Flags of every daemon. */
  readonly flags?: readonly string[]
}

/** One line of `agent node ls`. */
export interface NodeLine {
  readonly id: string
  readonly isSelf: boolean
  readonly hostname: string
  readonly status: string
  readonly availability: string
  readonly manager: string
  readonly engine: string
}

/** A container of a service, and where it runs. */
export interface Copy {
  readonly task: string
  readonly slot: string
  readonly place: number
  readonly container: string
}

/** Opens the lab, joins all nodes, and waits until all are Ready. Closed in a teardown. */
export async function openCluster(t: Test, options: ClusterOptions): Promise<Cluster> {
  t.setTimeout(timeoutMs)
  const { managers, workers, spares = 0, flags = [] } = options
  const lab = await openLab({ hosts: managers + workers + spares })
  t.teardown(() => lab.close())
  const members = await Promise.all(
    lab.hosts.map(async (host) => {
      const engine = await startEngine(host)
      await importTestImages(engine)
      return { engine, agent: await startAgent(host, { engine, flags }) }
    }),
  )
  const cluster = new Cluster({
    lab,
    agents: members.map(({ agent }) => agent),
    engines: members.map(({ engine }) => engine),
  })
  await cluster.must(0, 'swarm', 'init')
  const tokens = {
    manager: await cluster.must(0, 'token', 'manager', '-q'),
    worker: await cluster.must(0, 'token', 'worker', '-q'),
  }
  for (let index = 1; index < managers; index++) {
    await cluster.must(index, 'join', tokens.manager)
  }
  const joining = Array.from({ length: workers }, (_, index) =>
    cluster.must(managers + index, 'join', tokens.worker),
  )
  await Promise.all(joining)
  await cluster.awaitNodes((lines) => {
    const ready = lines.filter(({ status }) => status === 'Ready')
    return ready.length === managers + workers
  })
  return cluster
}

export class Cluster {
  readonly lab: Lab
  readonly agents: readonly Agent[]
  readonly engines: readonly Engine[]

  constructor(parts: { lab: Lab; agents: readonly Agent[]; engines: readonly Engine[] }) {
    this.lab = parts.lab
    this.agents = parts.agents
    this.engines = parts.engines
  }

  agent(index: number): Agent {
    const agent = this.agents[index]
    if (agent === undefined) throw new Error(`the cluster has no node ${index}`)
    return agent
  }

  cli(index: number, ...args: readonly string[]): Promise<Ended> {
    return this.agent(index).cli(...args)
  }

  must(index: number, ...args: readonly string[]): Promise<string> {
    return this.agent(index).mustCli(...args)
  }

  /** `agent node ls` as that node answers it. */
  async nodes(index = 0): Promise<readonly NodeLine[]> {
    const format =
      '{{.ID}}|{{.Self}}|{{.Hostname}}|{{.Status}}|{{.Availability}}|{{.ManagerStatus}}|{{.EngineVersion}}'
    const text = await this.must(index, 'node', 'ls', '--format', format)
    return text.split('\n').map((line) => {
      const [
        id = '',
        self,
        hostname = '',
        status = '',
        availability = '',
        manager = '',
        engine = '',
      ] = line.split('|')
      return { id, isSelf: self === 'true', hostname, status, availability, manager, engine }
    })
  }

  /** Waits until the nodes, as that manager lists them, are so. */
  awaitNodes(
    isSo: (lines: readonly NodeLine[]) => boolean,
    options: { readonly index?: number; readonly timeoutMs?: number } = {},
  ): Promise<readonly NodeLine[]> {
    const { index = 0, timeoutMs = 60_000 } = options
    let last: unknown
    return waitFor(
      { what: 'state of the nodes', timeoutMs, describe: () => JSON.stringify(last, null, 1) },
      async () => {
        try {
          const lines = await this.nodes(index)
          last = lines
          return isSo(lines) ? lines : undefined
        } catch (error) {
          last = String(error)
          return undefined
        }
      },
    )
  }

  /** The tasks of a service that should run and do. */
  async running(name: string, index = 0): Promise<readonly (TaskJson & { NodeID: string })[]> {
    const filters = encodeURIComponent(
      JSON.stringify({ service: [name], 'desired-state': ['running'] }),
    )
    const tasks = (await this.agent(index).json({
      path: `/tasks?filters=${filters}`,
    })) as (TaskJson & {
      NodeID: string
    })[]
    return tasks.filter((task) => task.Status.State === 'running')
  }

  /** Waits until so many run, and perhaps more is true of them. */
  awaitRunning(
    name: string,
    count: number,
    options: {
      readonly index?: number
      readonly timeoutMs?: number
      readonly isSo?: (tasks: readonly (TaskJson & { NodeID: string })[]) => boolean
    } = {},
  ): Promise<readonly (TaskJson & { NodeID: string })[]> {
    const { index = 0, timeoutMs = 60_000, isSo = () => true } = options
    let last: unknown
    return waitFor(
      { what: `${count} running of ${name}`, timeoutMs, describe: () => JSON.stringify(last) },
      async () => {
        try {
          const tasks = await this.running(name, index)
          last = tasks.map(({ ID, NodeID, Status }) => [ID, NodeID, Status.State])
          return tasks.length === count && isSo(tasks) ? tasks : undefined
        } catch (error) {
          last = String(error)
          return undefined
        }
      },
    )
  }

  /** The containers of a service that run now, on all engines that answer. */
  async copies(service: string): Promise<readonly Copy[]> {
    const filters = encodeURIComponent(
      JSON.stringify({ label: [`com.docker.swarm.service.name=${service}`], status: ['running'] }),
    )
    const lists = await Promise.all(
      this.engines.map(async (engine, place) => {
        const list = await engine
          .json({ path: `/containers/json?filters=${filters}` })
          .catch(() => [])
        return (list as { Id: string; Labels: Record<string, string> }[]).map(({ Id, Labels }) => ({
          task: Labels['com.docker.swarm.task.id'] ?? '',
          slot: (Labels['com.docker.swarm.task.name'] ?? '').split('.').slice(0, 2).join('.'),
          place,
          container: Id,
        }))
      }),
    )
    return lists.flat()
  }

  /** The place of the node that leads, asked of that node. */
  async leader(index = 0): Promise<number> {
    const lines = await this.nodes(index)
    const leader = lines.find(({ manager }) => manager === 'Leader')
    const place = this.lab.hosts.findIndex(({ name }) => name === leader?.hostname)
    if (place < 0) throw new Error(`no leader among ${JSON.stringify(lines)}`)
    return place
  }
}
