// Published ports of services: those asked for are checked against all other services, those left
// open are chosen from the dynamic range. An ingress port is the whole cluster's; a host-mode port
// is a node's, so it only clashes with an ingress port here and with tasks in the scheduler.

import { CodedError } from '../base/error.ts'
import type { ServiceId } from '../base/id.ts'
import type { PortConfig, Service } from '../object/service.ts'
import type { View } from '../store/view.ts'

/** Where the cluster chooses published ports from (swarmkit allocator: 30000 to 32767). */
export const dynamicPortMin = 30_000
export const dynamicPortMax = 32_767

/**
 * The ports a service gets. A port whose number was left open keeps the number it `had`, else it
 * takes the lowest free one. Throws invalid-argument in Swarm's words if one is taken.
 */
export function allocatePorts(
  view: View,
  options: {
    readonly serviceId: ServiceId
    readonly wanted: readonly PortConfig[]
    readonly had?: readonly PortConfig[]
  },
): readonly PortConfig[] {
  const { serviceId, wanted, had = [] } = options
  if (wanted.length === 0) return []
  const others = [...view.all('service')].filter((service) => service.id !== serviceId)
  for (const port of wanted) checkFree(port, others)
  const taken = new Set(
    [...others.flatMap((service) => service.endpoint.ports), ...wanted].map(portKey),
  )
  return wanted.map((port) => {
    if (isNumbered(port) || port.publishMode === 'host') return port
    const kept = had.find(
      (each) =>
        each.targetPort === port.targetPort &&
        each.protocol === port.protocol &&
        each.publishMode === port.publishMode &&
        isNumbered(each) &&
        !taken.has(portKey(each)),
    )?.publishedPort
    const publishedPort = kept ?? lowestFree(port, taken)
    const chosen = { ...port, publishedPort }
    taken.add(portKey(chosen))
    return chosen
  })
}

function isNumbered(port: PortConfig): boolean {
  return port.publishedPort !== undefined && port.publishedPort !== 0
}

function portKey(port: PortConfig): string {
  return `${port.protocol}/${port.publishedPort ?? 0}`
}

function checkFree(port: PortConfig, others: readonly Service[]): void {
  if (!isNumbered(port)) return
  for (const service of others) {
    for (const used of service.endpoint.ports) {
      if (portKey(used) !== portKey(port)) continue
      if (used.publishMode === 'host' && port.publishMode === 'host') continue
      const mode = used.publishMode === 'host' ? 'a host-published' : 'an ingress'
      throw new CodedError(
        'invalid-argument',
        `port '${port.publishedPort}' is already in use by service '${service.spec.name}' (${service.id}) as ${mode} port`,
      )
    }
  }
}

function lowestFree(port: PortConfig, taken: ReadonlySet<string>): number {
  for (let number = dynamicPortMin; number <= dynamicPortMax; number++) {
    if (!taken.has(portKey({ ...port, publishedPort: number }))) return number
  }
  throw new CodedError(
    'resource-exhausted',
    `no free ${port.protocol} port in ${dynamicPortMin}-${dynamicPortMax} for target port ${port.targetPort}; publish it with a number of your own`,
  )
}
