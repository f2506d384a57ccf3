// What the engine says of a container, read into the port's words. Pure.

import { asId, type TaskId } from '../../core/base/id.ts'
import type { PortConfig, PortProtocol } from '../../core/object/service.ts'
import { nodeLabel, taskLabel } from './docker-container.ts'
import { list, number, record, text, texts } from './engine-json.ts'
import type { ContainerHealth, ExistingContainer, Exit, Started } from './executor.ts'

/** A container as GET /containers/ID/json describes it. */
export interface Inspected {
  readonly id: string
  readonly taskId: TaskId
  /** Label of the node that made it; '' for a container that is not ours. */
  readonly nodeId: string
  readonly state: ExistingContainer['state']
  readonly health: ContainerHealth
  readonly exit: Exit
  readonly started: Started
  readonly isTty: boolean
}

/** Reads the engine's answer; fields that are missing read as empty. */
export function parseInspect(answer: unknown): Inspected {
  const container = record(answer)
  const config = record(container['Config'])
  const state = record(container['State'])
  const labels = texts(config['Labels'])
  const error = text(state['Error'])
  const exitCode = number(state['ExitCode'])
  const id = text(container['Id'])
  return {
    id,
    taskId: asId<TaskId>(labels[taskLabel] ?? ''),
    nodeId: labels[nodeLabel] ?? '',
    state: parseState(text(state['Status'])),
    health: parseHealth(text(record(state['Health'])['Status'])),
    exit: {
      exitCode,
      isOomKilled: state['OOMKilled'] === true,
      ...(error === '' ? {} : { error }),
    },
    started: {
      container: { id, pid: number(state['Pid']), exitCode },
      ports: parsePorts(record(container['NetworkSettings'])['Ports']),
      addresses: parseAddresses(record(container['NetworkSettings'])['Networks']),
      hasHealthCheck: hasHealthCheck(config['Healthcheck']),
    },
    isTty: config['Tty'] === true,
  }
}

/** The port's view of it, with what its state allows to say. */
export function existing(container: Inspected): ExistingContainer {
  const { taskId, id: containerId, state, health, exit, started } = container
  const common = { taskId, containerId, state, health }
  if (state === 'created') return common
  return state === 'ended' ? { ...common, exit } : { ...common, started }
}

/** paused and restarting count as running: a process is there. */
function parseState(status: string): ExistingContainer['state'] {
  if (status === 'created') return 'created'
  return status === 'exited' || status === 'dead' || status === 'removing' ? 'ended' : 'running'
}

/** Health as inspect and events spell it. */
export function parseHealth(status: string): ContainerHealth {
  return status === 'starting' || status === 'healthy' || status === 'unhealthy' ? status : 'none'
}

function hasHealthCheck(health: unknown): boolean {
  const [kind] = list(record(health)['Test'])
  return kind !== undefined && kind !== 'NONE'
}

/**
 * Bindings by port, as Docker publishes them. One for 0.0.0.0 and one for [::] are the same port;
 * Swarm shows them twice.
 */
function parsePorts(ports: unknown): readonly PortConfig[] {
  const found = new Map<string, PortConfig>()
  for (const [key, bindings] of Object.entries(record(ports))) {
    const [target = '', protocol = 'tcp'] = key.split('/')
    for (const binding of list(bindings)) {
      const publishedPort = Number(text(record(binding)['HostPort']))
      if (publishedPort === 0) continue
      found.set(`${key} ${publishedPort}`, {
        protocol: protocol as PortProtocol,
        targetPort: Number(target),
        publishedPort,
        publishMode: 'host',
      })
    }
  }
  return [...found.values()]
}

function parseAddresses(networks: unknown): readonly string[] {
  const endpoints = Object.values(record(networks)).map(record)
  const all = [
    ...endpoints.map((endpoint) => text(endpoint['IPAddress'])),
    ...endpoints.map((endpoint) => text(endpoint['GlobalIPv6Address'])),
  ]
  return all.filter((address) => address !== '')
}
