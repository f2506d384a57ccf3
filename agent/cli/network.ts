// Networks: create, ls, inspect, rm, prune.

import { CodedError, hasCode } from '../../core/base/error.ts'
import { formatFilters } from './api.ts'
import type { NetworkJson } from './api-json.ts'
import { writeLine } from './cli-io.ts'
import { type Call, exitError, messageOf } from './command.ts'
import { parseCsv } from './csv.ts'
import type { FlagValues } from './flags.ts'
import { formatGoTime } from './go-print.ts'
import { compareNatural } from './natural.ts'
import { checkIp, cut, recordOf } from './opts/list.ts'
import { formatLabels, inspectAll, type ListForm, listFormat, writeList } from './output.ts'
import { filtersOf } from './service-list.ts'
import { truncateId } from './tasks.ts'

/** network create */
export async function createNetwork({ api, args, flags, io }: Call): Promise<undefined> {
  const switchOf = (name: string): boolean | undefined =>
    flags.isSet(name) ? flags.isOn(name) : undefined
  const [ipv4, ipv6] = [switchOf('ipv4'), switchOf('ipv6')]
  const from = flags.text('config-from')
  const answer = await api.post<{ readonly Id?: string; readonly Warning?: string }>(
    '/networks/create',
    {
      body: {
        Name: args[0] ?? '',
        Driver: flags.text('driver'),
        Scope: flags.text('scope'),
        ...(ipv4 === undefined ? {} : { EnableIPv4: ipv4 }),
        ...(ipv6 === undefined ? {} : { EnableIPv6: ipv6 }),
        IPAM: {
          Driver: flags.text('ipam-driver'),
          Options: recordOf(flags.all('ipam-opt')),
          Config: ipamConfigs(flags),
        },
        Internal: flags.isOn('internal'),
        Attachable: flags.isOn('attachable'),
        Ingress: flags.isOn('ingress'),
        ConfigOnly: flags.isOn('config-only'),
        ConfigFrom: from === '' ? null : { Network: from },
        Options: recordOf(flags.all('opt')),
        Labels: recordOf(flags.all('label')),
      },
    },
  )
  writeLine(io.stdout, answer.Id)
  return undefined
}

interface IpamConfig {
  readonly Subnet: string
  IPRange?: string
  Gateway?: string
  readonly AuxiliaryAddresses: Record<string, string>
}

/** Subnets with the ranges, gateways and addresses that lie in each. */
function ipamConfigs(flags: FlagValues): readonly IpamConfig[] {
  const all = (name: string): readonly string[] => flags.all(name).flatMap(parseCsv)
  const [subnets, ranges, gateways] = [all('subnet'), all('ip-range'), all('gateway')]
  if (subnets.length < ranges.length || subnets.length < gateways.length) {
    throw wrong('every ip-range or gateway must have a corresponding subnet')
  }
  const configs: IpamConfig[] = []
  for (const subnet of subnets) {
    const other = configs.find((one) => holds(one.Subnet, subnet) || holds(subnet, one.Subnet))
    if (other !== undefined) {
      throw wrong('multiple overlapping subnet configuration is not supported')
    }
    configs.push({ Subnet: subnet, AuxiliaryAddresses: {} })
  }
  const place = (what: string, address: string): readonly IpamConfig[] => {
    const matching = configs.filter((config) => holds(config.Subnet, address))
    if (matching.length === 0) throw wrong(`no matching subnet for ${what} ${address}`)
    return matching
  }
  for (const range of ranges) {
    for (const config of place('range', range)) {
      if (config.IPRange !== undefined) {
        throw wrong(
          `cannot configure multiple ranges (${range}, ${config.IPRange}) on the same subnet (${config.Subnet})`,
        )
      }
      config.IPRange = range
    }
  }
  for (const gateway of gateways.map(checkIp)) {
    for (const config of place('gateway', gateway)) {
      if (config.Gateway !== undefined) {
        throw wrong(
          `cannot configure multiple gateways (${gateway}, ${config.Gateway}) for the same subnet (${config.Subnet})`,
        )
      }
      config.Gateway = gateway
    }
  }
  for (const [name, address] of Object.entries(recordOf(flags.all('aux-address')))) {
    if (address === '') continue
    for (const config of place('aux-address', address)) config.AuxiliaryAddresses[name] = address
  }
  return configs
}

/** True when the network of `subnet` holds an address, or the first address of another network. */
function holds(subnet: string, address: string): boolean {
  const net = parseCidr(subnet)
  if (net === undefined) throw wrong(`invalid subnet: invalid CIDR address: ${subnet}`)
  const other = parseCidr(address.includes('/') ? address : `${address}/0`)
  if (other === undefined) throw wrong(`invalid CIDR address: ${address}`)
  if (net.size !== other.size) return false
  const shift = BigInt(net.size - net.bits)
  return net.value >> shift === other.value >> shift
}

interface Cidr {
  readonly value: bigint
  readonly bits: number
  readonly size: 32 | 128
}

function parseCidr(text: string): Cidr | undefined {
  const { before, after } = cut(text, '/')
  let ip: string
  try {
    ip = checkIp(before)
  } catch {
    return undefined
  }
  const size = ip.includes(':') ? 128 : 32
  const bits = Number(after)
  if (!/^\d+$/.test(after) || bits > size) return undefined
  return { value: size === 32 ? ipv4Value(ip) : ipv6Value(ip), bits, size }
}

function ipv4Value(ip: string): bigint {
  return ip.split('.').reduce((value, byte) => (value << 8n) + BigInt(byte), 0n)
}

/** The value of an IPv6 address in the form that checkIp gives: no dots, `::` once at most. */
function ipv6Value(ip: string): bigint {
  const { before, after, isCut } = cut(ip, '::')
  const [head, tail] = [before, after].map((part) => (part === '' ? [] : part.split(':')))
  const zeros = isCut ? 8 - (head?.length ?? 0) - (tail?.length ?? 0) : 0
  const groups = [...(head ?? []), ...Array<string>(zeros).fill('0'), ...(tail ?? [])]
  return groups.reduce((value, group) => (value << 16n) + BigInt(`0x${group}`), 0n)
}

const networkForm: ListForm = {
  typeName: '*network.networkContext',
  headings: {
    ID: 'NETWORK ID',
    Name: 'NAME',
    Driver: 'DRIVER',
    Scope: 'SCOPE',
    IPv4: 'IPV4',
    IPv6: 'IPV6',
    Internal: 'INTERNAL',
    Labels: 'LABELS',
    CreatedAt: 'CREATED AT',
  },
  table: 'table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}',
  raw: {
    full: 'network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n',
    quiet: 'network_id: {{.ID}}',
  },
}

/** network ls */
export async function listNetworks({ api, flags, io }: Call): Promise<undefined> {
  const filters = formatFilters(filtersOf(flags.all('filter')))
  const networks = await api.get<readonly NetworkJson[]>('/networks', { query: { filters } })
  const isFull = flags.isOn('no-trunc')
  writeList(io.stdout, {
    form: networkForm,
    format: listFormat(networkForm, {
      format: flags.text('format'),
      isQuiet: flags.isOn('quiet'),
    }),
    rows: networks
      .toSorted((one, other) => compareNatural(one.Name ?? '', other.Name ?? ''))
      .map((network) => ({
        fields: {
          ID: isFull ? network.Id : truncateId(network.Id),
          Name: network.Name ?? '',
          Driver: network.Driver ?? '',
          Scope: network.Scope ?? '',
          IPv4: String(network.EnableIPv4 ?? false),
          IPv6: String(network.EnableIPv6 ?? false),
          Internal: String(network.Internal ?? false),
          Labels: formatLabels(network.Labels),
          CreatedAt: formatGoTime(network.Created ?? ''),
        },
        methods: { Label: (name: string) => network.Labels?.[name] ?? '' },
      })),
  })
  return undefined
}

/** network inspect */
export async function inspectNetworks({ api, args, flags, io }: Call): Promise<undefined> {
  const verbose = flags.isOn('verbose') ? 'true' : undefined
  await inspectAll(io.stdout, {
    names: args,
    format: flags.text('format'),
    type: 'network.Inspect',
    isRawToo: true,
    find: (name) =>
      api.getRaw<NetworkJson>(`/networks/${encodeURIComponent(name)}`, { query: { verbose } }),
  })
  return undefined
}

const ingressWarning =
  'WARNING! Before removing the routing-mesh network, make sure all the nodes in your swarm run the same docker engine version. Otherwise, removal may not be effective and functionality of newly create ingress networks will be impaired.\nAre you sure you want to continue?'

/** network rm */
export async function removeNetworks(call: Call): Promise<undefined> {
  const { api, args, flags, io } = call
  let hasFailed = false
  for (const name of args) {
    const path = `/networks/${encodeURIComponent(name)}`
    if ((await isIngress(call, path)) && !(await confirm(call, ingressWarning))) continue
    try {
      await api.delete(path)
      writeLine(io.stdout, name)
    } catch (error) {
      if (flags.isOn('force') && hasCode(error, 'not-found')) continue
      writeLine(io.stderr, messageOf(error))
      hasFailed = true
    }
  }
  if (hasFailed) throw exitError('exit status 1', 1)
  return undefined
}

async function isIngress({ api }: Call, path: string): Promise<boolean> {
  try {
    return (await api.get<NetworkJson>(path)).Ingress === true
  } catch (error) {
    // Removing it will tell what is wrong with it.
    messageOf(error)
    return false
  }
}

const pruneWarning =
  'WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue?'

/** network prune */
export async function pruneNetworks(call: Call): Promise<undefined> {
  const { api, flags, io } = call
  if (!flags.isOn('force') && !(await confirm(call, pruneWarning))) return undefined
  const filters = formatFilters(filtersOf(flags.all('filter'))) ?? '{}'
  const report = await api.post<{ readonly NetworksDeleted?: readonly string[] | null }>(
    '/networks/prune',
    { query: { filters } },
  )
  const deleted = report.NetworksDeleted ?? []
  if (deleted.length > 0) writeLine(io.stdout, `Deleted Networks:\n${deleted.join('\n')}\n`)
  return undefined
}

/** Asks, and reads a line for the answer; the end of the input is a no. */
async function confirm({ io }: Call, question: string): Promise<boolean> {
  io.stdout.write(`${question} [y/N] `)
  return (await io.stdin.readLine()).trim().toLowerCase() === 'y'
}

function wrong(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}
