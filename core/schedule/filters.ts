// Filters: the table of reasons why a node may not have a task. Each says in Swarm's words how many
// nodes it struck out, and in ours what would help.

import type { Platform } from '../object/node.ts'
import type { Task } from '../object/task.ts'
import { matchesNode, parseConstraints } from '../spec/constraint.ts'
import { type NodeUsage, takenPorts, tasksOf } from './node-usage.ts'

export interface Filter {
  readonly name: string
  readonly passes: (usage: NodeUsage, task: Task) => boolean
  /** Swarm's sentence for `count` nodes that do not pass. */
  readonly explain: (count: number) => string
  /** What would help, from the nodes that do not pass; '' if there is nothing to add. */
  readonly advise: (struckOut: readonly NodeUsage[], task: Task) => string
}

const nodes = (count: number): string => (count === 1 ? '1 node' : `${count} nodes`)

export const filters: readonly Filter[] = [
  {
    name: 'ready',
    passes: ({ node }) => node.status.state === 'ready' && node.spec.availability === 'active',
    explain: (count) => `${nodes(count)} not available for new tasks`,
    advise: (out) =>
      out
        .slice(0, 3)
        .map(
          ({ node }) =>
            `${hostname(node)} is ${node.status.state === 'ready' ? node.spec.availability : node.status.state}`,
        )
        .join(', '),
  },
  {
    name: 'resources',
    passes: (usage, task) => {
      const { nanoCpus = 0, memoryBytes = 0 } = task.spec.resources?.reservations ?? {}
      return nanoCpus <= usage.nanoCpusFree && memoryBytes <= usage.memoryBytesFree
    },
    explain: (count) => `insufficient resources on ${nodes(count)}`,
    advise: (out, task) => {
      const { nanoCpus = 0, memoryBytes = 0 } = task.spec.resources?.reservations ?? {}
      const best = [...out].sort((a, b) => b.memoryBytesFree - a.memoryBytesFree)[0]
      if (best === undefined) return ''
      const asked = [
        ...(memoryBytes > 0 ? [`${mib(memoryBytes)} MiB`] : []),
        ...(nanoCpus > 0 ? [`${nanoCpus / 1e9} CPUs`] : []),
      ].join(' and ')
      return `${asked} asked, ${hostname(best.node)} has ${mib(best.memoryBytesFree)} MiB and ${best.nanoCpusFree / 1e9} CPUs unreserved`
    },
  },
  {
    name: 'constraints',
    passes: ({ node }, task) =>
      matchesNode(parseConstraints(task.spec.placement?.constraints ?? []), node),
    explain: (count) => `scheduling constraints not satisfied on ${nodes(count)}`,
    advise: (_out, task) => `no node meets ${(task.spec.placement?.constraints ?? []).join(', ')}`,
  },
  {
    name: 'platform',
    passes: ({ node }, task) => {
      const wanted = task.spec.placement?.platforms ?? []
      const has = node.description?.platform
      return wanted.length === 0 || (has !== undefined && wanted.some((each) => matches(each, has)))
    },
    explain: (count) => `unsupported platform on ${nodes(count)}`,
    advise: (_out, task) =>
      `the image is made for ${(task.spec.placement?.platforms ?? []).map((each) => `${each.os ?? ''}/${each.architecture ?? ''}`).join(', ')}`,
  },
  {
    name: 'host-port',
    passes: (usage, task) => {
      const taken = takenPorts(usage)
      return task.ports.every(
        (port) =>
          port.publishMode !== 'host' ||
          (port.publishedPort ?? 0) === 0 ||
          !taken.some(
            (other) =>
              other.publishedPort === port.publishedPort && other.protocol === port.protocol,
          ),
      )
    },
    explain: (count) => `host-mode port already in use on ${nodes(count)}`,
    advise: () => 'a host-mode port serves one task a node',
  },
  {
    name: 'max-replicas',
    passes: (usage, task) => {
      const most = task.spec.placement?.maxReplicas ?? 0
      return most === 0 || tasksOf(usage, task.serviceId) < most
    },
    explain: () => 'max replicas per node limit exceed',
    advise: (_out, task) => `at most ${task.spec.placement?.maxReplicas} a node`,
  },
]

/** Docker and the kernel have different words for one architecture. */
const sameArchitecture: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  arm64: 'aarch64',
  'x86-64': 'x86_64',
}

function matches(wanted: Partial<Platform>, has: Platform): boolean {
  const plain = (text: string): string => sameArchitecture[text] ?? text
  return (
    (!wanted.os || wanted.os === has.os) &&
    (!wanted.architecture || plain(wanted.architecture) === plain(has.architecture))
  )
}

function hostname(node: NodeUsage['node']): string {
  return node.description?.hostname ?? node.id
}

function mib(bytes: number): number {
  return Math.floor(bytes / 2 ** 20)
}
