// JSON of networks: what POST /networks/create takes, what GET /networks gives, and the older shape
// that stands in the attachments of a task.

import { CodedError } from '../base/error.ts'
import {
  always,
  array,
  boolean,
  given,
  labels,
  object,
  parseAs,
  string,
  unlessZero,
} from '../base/schema.ts'
import { formatTime } from '../base/time.ts'
import type { IpamConfig, Network, NetworkSpec } from '../object/network.ts'
import { compact, driverJson, formatMeta } from './common-json.ts'

interface CreateIpam {
  readonly driver: string
  readonly options: Readonly<Record<string, string>>
  readonly configs: readonly IpamConfig[]
}

interface CreateRequest {
  readonly name: string
  readonly driver: string
  readonly scope?: string
  readonly internal: boolean
  readonly attachable: boolean
  readonly ingress: boolean
  readonly configOnly: boolean
  readonly configFrom?: { readonly network: string }
  readonly ipv6: boolean
  readonly ipam?: CreateIpam
  readonly options: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
}

const createConfigJson = object<IpamConfig>({
  subnet: unlessZero('Subnet', string),
  range: unlessZero('IPRange', string),
  gateway: unlessZero('Gateway', string),
})

const createJson = object<CreateRequest>({
  name: always('Name', string, ''),
  driver: always('Driver', string, ''),
  scope: unlessZero('Scope', string),
  internal: always('Internal', boolean, false),
  attachable: always('Attachable', boolean, false),
  ingress: always('Ingress', boolean, false),
  configOnly: always('ConfigOnly', boolean, false),
  configFrom: given(
    'ConfigFrom',
    object<{ readonly network: string }>({ network: always('Network', string, '') }),
  ),
  ipv6: always('EnableIPv6', boolean, false),
  ipam: given(
    'IPAM',
    object<CreateIpam>({
      driver: always('Driver', string, ''),
      options: always('Options', labels, {}),
      configs: always('Config', array(createConfigJson), []),
    }),
  ),
  options: always('Options', labels, {}),
  labels: always('Labels', labels, {}),
})

/**
 * The body of POST /networks/create for a network of the cluster. The caller has already seen that
 * it is one (driver overlay or scope swarm); others are the engine's. Throws bad-request.
 */
export function parseNetworkSpec(body: unknown): NetworkSpec {
  const request = parseAs(createJson, body)
  if (request.configOnly || request.configFrom !== undefined) {
    throw new CodedError(
      'not-supported',
      'ConfigOnly, ConfigFrom: configuration networks belong to one node; create an overlay with its own options',
      { detail: { path: 'ConfigOnly' } },
    )
  }
  return {
    name: request.name,
    labels: request.labels,
    driver: { name: request.driver === '' ? 'overlay' : request.driver, options: request.options },
    ipv6: request.ipv6,
    internal: request.internal,
    attachable: request.attachable,
    ingress: request.ingress,
    ipam: {
      driver: {
        name:
          request.ipam === undefined || request.ipam.driver === ''
            ? 'default'
            : request.ipam.driver,
        options: request.ipam?.options ?? {},
      },
      configs: request.ipam?.configs ?? [],
    },
  }
}

/** Name of the option that holds a network's number (VNI), as tools read it. */
const vniOption = 'com.docker.network.driver.overlay.vxlanid_list'

function driverState(network: Network): Readonly<Record<string, string>> {
  const { options } = network.spec.driver
  return network.vni === undefined ? options : { ...options, [vniOption]: String(network.vni) }
}

/** What GET /networks and GET /networks/{id} give of a cluster network. */
export function formatNetwork(network: Network): unknown {
  const { spec } = network
  const isEmpty = Object.keys(spec.labels).length === 0
  const ipamOptions = spec.ipam.driver.options
  return {
    Name: spec.name,
    Id: network.id,
    Created: formatTime(network.createdAtMs),
    Scope: 'swarm',
    Driver: spec.driver.name,
    EnableIPv6: spec.ipv6,
    IPAM: {
      Driver: spec.ipam.driver.name,
      Options: Object.keys(ipamOptions).length === 0 ? null : labels.format(ipamOptions),
      Config: network.ipam.map(({ subnet, range, gateway }) =>
        compact({ Subnet: subnet, IPRange: range, Gateway: gateway }),
      ),
    },
    Internal: spec.internal,
    Attachable: spec.attachable,
    Ingress: spec.ingress,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: null,
    Options: labels.format(driverState(network)),
    Labels: isEmpty ? null : labels.format(spec.labels),
  }
}

/** A network as it stands in a task's NetworksAttachments. */
export function formatTaskNetwork(network: Network): unknown {
  const { spec } = network
  return compact({
    ...formatMeta(network),
    Spec: compact({
      Name: spec.name,
      Labels: labels.format(spec.labels),
      DriverConfiguration: driverJson.format(spec.driver),
      IPv6Enabled: spec.ipv6 || undefined,
      Internal: spec.internal || undefined,
      Attachable: spec.attachable || undefined,
      Ingress: spec.ingress || undefined,
      IPAMOptions: formatIpam(spec.ipam.driver, spec.ipam.configs),
      Scope: 'swarm',
    }),
    DriverState: driverJson.format({ name: spec.driver.name, options: driverState(network) }),
    IPAMOptions: formatIpam(spec.ipam.driver, network.ipam),
  })
}

function formatIpam(
  driver: NetworkSpec['ipam']['driver'],
  configs: readonly IpamConfig[],
): unknown {
  return compact({
    Driver: driverJson.format(driver),
    Configs:
      configs.length === 0
        ? undefined
        : configs.map(({ subnet, range, gateway }) =>
            compact({ Subnet: subnet, Range: range, Gateway: gateway }),
          ),
  })
}
