// The two that are compared: the built agent on an engine of its own, and a Swarm of one node on
// another engine of the same version, in the same lab, with the same images.

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { daemonEnvironment } from '../../agent/service-unit.ts'
import { type Agent, startAgent } from '../support/agent.ts'
import { type Engine, startEngine } from '../support/engine.ts'
import { importImage, webImage } from '../support/images.ts'
import { type Host, type Lab, openLab } from '../support/lab.ts'
import { SwarmClient } from './swarm-client.ts'

export interface Contender {
  readonly name: 'ours' | 'swarm'
  readonly host: Host
  readonly engine: Engine
  readonly client: SwarmClient
  /** The socket of its API. */
  readonly socket: string
}

export interface Ring {
  readonly lab: Lab
  readonly ours: Contender & { readonly agent: Agent }
  readonly swarm: Contender
}

export const pageImage = 'nigelpoulton/ddd-web:1.0'
export const pageImageNew = 'nigelpoulton/ddd-web:2.0'

// Node reads these certificates at each start, in a thread beside: 2 ms and 1.5 MB of whoever runs the
// benchmark, and not of a service.
delete process.env['NODE_EXTRA_CA_CERTS']

/** The executable that is measured: AGENT_BIN, or dist/agent. Throws when it is not there. */
export function builtAgent(): string {
  const path = resolve(process.env['AGENT_BIN'] || join(import.meta.dirname, '../../dist/agent'))
  if (!existsSync(path)) throw new Error(`${path} is missing: run make build first`)
  return path
}

/** Starts both, runs the benchmark, and clears everything away. */
export async function withContenders(bench: (ring: Ring) => Promise<void>): Promise<void> {
  const lab = await openLab({ hosts: 2 })
  try {
    const ours = await startOurs(lab.host(0))
    const swarm = await startSwarm(lab.host(1))
    await bench({ lab, ours, swarm })
    ours.client.close()
    swarm.client.close()
  } finally {
    lab.close()
  }
}

/** A cluster of one node on the host, by the built agent. */
export async function startOurs(host: Host): Promise<Ring['ours']> {
  const engine = await startEngineWithPages(host)
  const env = daemonEnvironment
  const agent = await startAgent(host, { engine, command: [builtAgent()], env })
  const client = new SwarmClient({ socket: agent.socket })
  await client.init(host.address)
  return { name: 'ours', host, engine, agent, client, socket: agent.socket }
}

async function startSwarm(host: Host): Promise<Contender> {
  const engine = await startEngineWithPages(host)
  const client = new SwarmClient({ socket: engine.socket })
  await client.init(host.address)
  return { name: 'swarm', host, engine, client, socket: engine.socket }
}

async function startEngineWithPages(host: Host): Promise<Engine> {
  const engine = await startEngine(host)
  for (const tag of ['1.0', '2.0']) await importImage(engine, webImage(tag))
  return engine
}
