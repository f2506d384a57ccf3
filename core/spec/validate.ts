// The rules of everything but services: names, labels, nodes, the cluster, networks, secrets and
// configs, in Swarm's order and words.

import { type Cidr, containsIp, formatCidr, overlaps, parseCidr, parseIp } from '../base/address.ts'
import { limits } from '../base/limits.ts'
import { formatDuration } from '../base/time.ts'
import type { ClusterSpec } from '../object/cluster.ts'
import type { IpamConfig, NetworkSpec } from '../object/network.ts'
import type { NodeSpec } from '../object/node.ts'
import type { Annotations, Labels } from '../object/object.ts'
import type { ConfigSpec, SecretSpec } from '../object/secret.ts'
import { invalid, type Problem, throwFirst } from './problem.ts'

type Problems = Generator<Problem, void, undefined>

/** Name and labels of a service or network: the name is a DNS label. */
export function* checkAnnotations({ name, labels }: Annotations): Problems {
  const path = 'Spec.Name'
  if (name === '') yield invalid(path, 'meta: name must be provided')
  else if (!isDnsName(name)) {
    yield invalid(path, 'name must be valid as a DNS name component')
  } else if (name.length > limits.nameCharactersMax) {
    yield invalid(path, `name must be ${limits.nameCharactersMax} characters or fewer`)
  }
  yield* checkLabels(labels, 'Spec.Labels')
}

/** Letters, digits, "-" and "_", the last two only inside. */
function isDnsName(name: string): boolean {
  return /^[a-zA-Z0-9](?:[-_a-zA-Z0-9]*[a-zA-Z0-9])?$/.test(name)
}

/** Bounds of labels: none that Swarm has. */
export function* checkLabels(labels: Labels, path: string): Problems {
  const entries = Object.entries(labels)
  if (entries.length > limits.labelsMax) {
    yield invalid(path, `${entries.length} labels given, at most ${limits.labelsMax} are taken`)
  }
  for (const [key, value] of entries) {
    const shown = `${key.slice(0, 40)}${key.length > 40 ? '...' : ''}`
    if (key.length > limits.labelKeyCharactersMax) {
      const most = limits.labelKeyCharactersMax
      yield invalid(path, `label ${shown}: the key has ${key.length} characters, at most ${most}`)
    }
    if (value.length > limits.labelValueCharactersMax) {
      const most = limits.labelValueCharactersMax
      yield invalid(
        path,
        `label ${shown}: the value has ${value.length} characters, at most ${most}; put it in a config`,
      )
    }
  }
}

/** Throws the first rule that a node's spec breaks. Roles and words are checked when it is read. */
export function validateNode(spec: NodeSpec): void {
  throwFirst(checkLabels(spec.labels, 'Spec.Labels'))
}

/** Throws the first rule that the cluster's spec breaks. */
export function validateCluster(spec: ClusterSpec): void {
  throwFirst(checkCluster(spec))
}

function* checkCluster(spec: ClusterSpec): Problems {
  const least = limits.certificateExpiryNsMin
  if (spec.ca.nodeCertExpiryNs < least) {
    yield invalid(
      'Spec.CAConfig.NodeCertExpiry',
      `minimum certificate expiry time is: ${formatDuration(least)}`,
    )
  }
  const period = spec.dispatcher.heartbeatPeriodNs
  if (period < 0) {
    yield invalid(
      'Spec.Dispatcher.HeartbeatPeriod',
      'heartbeat time period cannot be a negative duration',
    )
  } else if (period > limits.heartbeatPeriodNsMax) {
    const most = formatDuration(limits.heartbeatPeriodNsMax)
    yield invalid(
      'Spec.Dispatcher.HeartbeatPeriod',
      `heartbeat period ${formatDuration(period)} is too long to notice a lost node: at most ${most}`,
    )
  }
  if (spec.name !== 'default') {
    yield invalid('Spec.Name', 'modification of cluster name is not allowed')
  }
  yield* checkLabels(spec.labels, 'Spec.Labels')
  const history = spec.orchestration.taskHistoryLimit
  if (history > limits.taskHistoryMax) {
    yield invalid(
      'Spec.Orchestration.TaskHistoryRetentionLimit',
      `task history of ${history} ended tasks per slot is over the ${limits.taskHistoryMax} that are kept`,
    )
  }
  if (spec.raft.snapshotInterval < limits.snapshotIntervalMin) {
    yield invalid('Spec.Raft.SnapshotInterval', 'snapshot interval must be 1 entry or more')
  }
}

interface SwarmInit {
  readonly defaultAddressPool: readonly string[]
  readonly subnetSize?: number
  readonly dataPathPort?: number
}

/** Throws the first rule that a new cluster's addresses or port break, as bad-request. */
export function validateSwarmInit(init: SwarmInit): void {
  throwFirst(checkInit(init))
}

const builtinPool = ['10.0.0.0/8']
const subnetSizeDefault = 24

function* checkInit({ defaultAddressPool, subnetSize, dataPathPort }: SwarmInit): Problems {
  const bad = (path: string, message: string): Problem => ({ code: 'bad-request', path, message })
  const size = subnetSize ?? subnetSizeDefault
  if (size > limits.subnetSizeMax) yield bad('SubnetSize', `subnet size is out of range: ${size}`)
  const earlier: Cidr[] = []
  const pools = defaultAddressPool.length === 0 ? builtinPool : defaultAddressPool
  for (const [index, text] of pools.entries()) {
    const path = `DefaultAddrPool[${index}]`
    const pool = parseCidr(text)
    if (pool === undefined) {
      yield bad(path, `invalid base pool ${text}: invalid CIDR address: ${text}`)
      continue
    }
    if (size < pool.prefix) {
      yield bad(path, `invalid CIDR: "${text}". Subnet size is too small for pool: ${size}`)
    }
    const other = earlier.find((each) => overlaps(each, pool))
    if (other !== undefined) {
      yield bad(path, `base pools ${formatCidr(other)} and ${text} overlap: remove one of them`)
    }
    earlier.push(pool)
  }
  const [least, most] = [limits.dataPathPortMin, limits.dataPathPortMax]
  if (dataPathPort !== undefined && (dataPathPort < least || dataPathPort > most)) {
    const message = `Datapath port number is not in valid range (${least}-${most}) : ${dataPathPort}`
    yield bad('DataPathPort', message)
  }
}

/** Throws the first rule that a secret's spec breaks. */
export function validateSecret(spec: SecretSpec): void {
  throwFirst(checkSecret(spec))
}

function* checkSecret(spec: SecretSpec): Problems {
  yield* checkPlainName(spec)
  if (spec.driver !== undefined) {
    if (spec.driver.name === '') yield invalid('Spec.Driver', 'secret driver must have a name')
    return
  }
  const most = limits.secretBytesMax
  if (spec.data.length >= most || spec.data.length < 1) {
    yield invalid('Spec.Data', `secret data must be larger than 0 and less than ${most} bytes`)
  }
}

/** Throws the first rule that a config's spec breaks. */
export function validateConfig(spec: ConfigSpec): void {
  throwFirst(checkConfig(spec))
}

function* checkConfig(spec: ConfigSpec): Problems {
  yield* checkPlainName(spec)
  const most = limits.configBytesMax
  if (spec.data.length >= most || spec.data.length < 1) {
    yield invalid('Spec.Data', `config data must be larger than 0 and less than ${most} bytes`)
  }
}

/** Names of secrets and configs may have dots. */
function* checkPlainName({ name, labels }: Annotations): Problems {
  if (name === '') yield invalid('Spec.Name', 'name must be provided')
  else if (
    name.length > limits.secretNameCharactersMax ||
    !/^[a-zA-Z0-9](?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?$/.test(name)
  ) {
    yield invalid(
      'Spec.Name',
      'invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]',
    )
  }
  yield* checkLabels(labels, 'Spec.Labels')
}

/** Throws unless only labels differ: names and bytes of secrets and configs are for ever. */
export function validateSecretChange(
  before: SecretSpec | ConfigSpec,
  after: SecretSpec | ConfigSpec,
): void {
  const isSame = after.data.length === 0 || sameBytes(before.data, after.data)
  if (before.name !== after.name || !isSame) {
    throwFirst([invalid('Spec', 'only updates to Labels are allowed')])
  }
  throwFirst(checkLabels(after.labels, 'Spec.Labels'))
}

/** Looks at every byte, so that the time taken does not tell how much was guessed. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  return a.reduce((difference, byte, index) => difference | (byte ^ (b[index] ?? 0)), 0) === 0
}

const predefinedLabel = 'com.docker.swarm.predefined'

/** Throws the first rule that a network's spec breaks. Overlaps with other networks: allocate. */
export function validateNetwork(spec: NetworkSpec): void {
  throwFirst(checkNetwork(spec))
}

function* checkNetwork(spec: NetworkSpec): Problems {
  if (spec.attachable && spec.ingress) {
    yield invalid('Attachable', 'ingress network cannot be attachable')
  }
  yield* checkAnnotations(spec)
  if (Object.hasOwn(spec.labels, predefinedLabel)) {
    yield invalid(
      'Labels',
      `label ${predefinedLabel} is for internally created predefined networks and cannot be applied by users`,
    )
  }
  if (spec.driver.name !== 'overlay') {
    const message = `--driver ${spec.driver.name}: networks of the cluster are of driver overlay; use --driver overlay`
    yield { code: 'not-supported', path: 'Driver', message }
  }
  if (spec.ipam.driver.name !== 'default') {
    yield invalid('IPAM.Driver', `error during lookup of plugin ${spec.ipam.driver.name}`)
  }
  for (const [index, config] of spec.ipam.configs.entries()) {
    yield* checkIpam(config, `IPAM.Config[${index}]`)
  }
  const subnets = spec.ipam.configs.flatMap(({ subnet = '' }) => parseCidr(subnet) ?? [])
  for (const [index, subnet] of subnets.entries()) {
    const other = subnets.slice(0, index).find((earlier) => overlaps(earlier, subnet))
    if (other !== undefined) {
      yield invalid(
        `IPAM.Config[${index}].Subnet`,
        `ipam configuration: subnet ${formatCidr(subnet)} overlaps ${formatCidr(other)}`,
      )
    }
  }
}

function* checkIpam({ subnet = '', range = '', gateway = '' }: IpamConfig, path: string): Problems {
  const parsed = parseCidr(subnet)
  if (parsed === undefined) {
    yield invalid(`${path}.Subnet`, `ipam configuration: invalid subnet ${subnet}`)
    return
  }
  if (range !== '') {
    const parsedRange = parseCidr(range)
    if (parsedRange === undefined) {
      yield invalid(`${path}.IPRange`, `ipam configuration: invalid range ${range}`)
    } else if (!containsIp(parsed, parsedRange.ip)) {
      yield invalid(
        `${path}.IPRange`,
        `ipam configuration: subnet ${subnet} does not contain range ${range}`,
      )
    }
  }
  if (gateway === '') return
  const parsedGateway = parseIp(gateway)
  if (parsedGateway === undefined) {
    yield invalid(`${path}.Gateway`, `ipam configuration: invalid gateway ${gateway}`)
  } else if (!containsIp(parsed, parsedGateway)) {
    yield invalid(
      `${path}.Gateway`,
      `ipam configuration: subnet ${subnet} does not contain gateway ${gateway}`,
    )
  }
}
