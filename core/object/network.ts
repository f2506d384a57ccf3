// Network: an overlay (or a node-local network that services name), its addresses and its number.

import type { NetworkId } from '../base/id.ts'
import type { Annotations, Meta } from './object.ts'
import type { Driver } from './secret.ts'

export interface IpamConfig {
  /** CIDR. */
  readonly subnet?: string
  readonly range?: string
  readonly gateway?: string
}

export interface NetworkSpec extends Annotations {
  readonly driver: Driver
  readonly ipv6: boolean
  readonly internal: boolean
  readonly attachable: boolean
  readonly ingress: boolean
  readonly ipam: { readonly driver: Driver; readonly configs: readonly IpamConfig[] }
}

export interface Network extends Meta<NetworkId> {
  readonly kind: 'network'
  readonly spec: NetworkSpec
  /** What was allocated: subnets with their gateways, and the number in frames. */
  readonly ipam: readonly IpamConfig[]
  readonly vni?: number
}

/** A task's place on a network. */
export interface NetworkAttachment {
  readonly networkId: NetworkId
  /** CIDR, IPv4 first. */
  readonly addresses: readonly string[]
  readonly aliases: readonly string[]
}
