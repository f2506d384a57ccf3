// What a node says of itself, from the engine's /info. Pure.

import type { EnginePlugin, GenericResource, NodeDescription } from '../../core/object/node.ts'
import { list, number, record, text } from './engine-json.ts'

const nanoPerCpu = 1_000_000_000

/** Plugins are sorted by type, then name, as Swarm shows them. */
export function parseDescription(
  answer: unknown,
): Omit<NodeDescription, 'runtime' | 'agentVersion'> {
  const info = record(answer)
  return {
    hostname: text(info['Name']),
    platform: { architecture: text(info['Architecture']), os: text(info['OSType']) },
    resources: {
      nanoCpus: number(info['NCPU']) * nanoPerCpu,
      memoryBytes: number(info['MemTotal']),
      generic: list(info['GenericResources']).flatMap(parseGeneric),
    },
    engine: {
      version: text(info['ServerVersion']),
      labels: parseLabels(info['Labels']),
      plugins: parsePlugins(info['Plugins']),
    },
  }
}

function parseLabels(labels: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    list(labels).map((label) => {
      const [key = '', ...value] = text(label).split('=')
      return [key, value.join('=')]
    }),
  )
}

function parsePlugins(plugins: unknown): readonly EnginePlugin[] {
  const found = Object.entries(record(plugins)).flatMap(([type, names]) =>
    list(names).map((name) => ({ type, name: text(name) })),
  )
  return found.sort((a, b) => compare(a.type, b.type) || compare(a.name, b.name))
}

function parseGeneric(resource: unknown): readonly GenericResource[] {
  const discrete = record(record(resource)['DiscreteResourceSpec'])
  const named = record(record(resource)['NamedResourceSpec'])
  if (text(discrete['Kind']) !== '') {
    const kind = text(discrete['Kind'])
    return [{ type: 'discrete', kind, value: number(discrete['Value']) }]
  }
  if (text(named['Kind']) === '') return []
  return [{ type: 'named', kind: text(named['Kind']), value: text(named['Value']) }]
}

function compare(left: string, right: string): number {
  if (left === right) return 0
  return left < right ? -1 : 1
}
