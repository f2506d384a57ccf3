// JSON of the cluster (Docker Engine API: SwarmSpec in and out, ClusterInfo and Swarm out) and of
// the requests that make and join one.
//
// A spec that comes in is laid over the one in force: what is absent or zero keeps its value, as
// the engine does it.

import { CodedError } from '../base/error.ts'
import {
  always,
  anything,
  array,
  boolean,
  type Codec,
  durationNs,
  given,
  int64,
  labels,
  object,
  omitZero,
  parseAs,
  string,
  strings,
  uint32,
  uint64,
  unlessZero,
  word,
} from '../base/schema.ts'
import type { Cluster, ClusterSpec } from '../object/cluster.ts'
import { driverJson, formatMeta } from './common-json.ts'
import { formatTls, type TlsInfo } from './node-json.ts'
import { validateCluster, validateSwarmInit } from './validate.ts'

type Part<K extends keyof ClusterSpec> = ClusterSpec[K]

/** The spec as we write it: every field stands. */
const specJson: Codec<ClusterSpec> = object<ClusterSpec>({
  name: omitZero('Name', string, ''),
  labels: always('Labels', labels, {}),
  orchestration: whole(
    'Orchestration',
    object<Part<'orchestration'>>({
      taskHistoryLimit: always('TaskHistoryRetentionLimit', int64, 0),
    }),
  ),
  raft: whole(
    'Raft',
    object<Part<'raft'>>({
      snapshotInterval: omitZero('SnapshotInterval', uint64, 0),
      keepOldSnapshots: always('KeepOldSnapshots', uint64, 0),
      logEntriesForSlowFollowers: omitZero('LogEntriesForSlowFollowers', uint64, 0),
      electionTick: always('ElectionTick', uint32, 0),
      heartbeatTick: always('HeartbeatTick', uint32, 0),
    }),
  ),
  dispatcher: whole(
    'Dispatcher',
    object<Part<'dispatcher'>>({ heartbeatPeriodNs: omitZero('HeartbeatPeriod', durationNs, 0) }),
  ),
  ca: whole(
    'CAConfig',
    object<Part<'ca'>>({
      nodeCertExpiryNs: omitZero('NodeCertExpiry', durationNs, 0),
      forceRotate: unlessZero('ForceRotate', uint64),
    }),
  ),
  taskDefaults: whole(
    'TaskDefaults',
    object<Part<'taskDefaults'>>({ logDriver: given('LogDriver', driverJson) }),
  ),
  encryption: whole(
    'EncryptionConfig',
    object<Part<'encryption'>>({ autoLockManagers: always('AutoLockManagers', boolean, false) }),
  ),
})

/** A part that always stands, read from {} where it is absent. */
function whole<V>(name: string, codec: Codec<V>) {
  return {
    name,
    parse: (value: unknown, path: Parameters<Codec<V>['parse']>[1]) =>
      codec.parse(value ?? {}, path),
    format: (value: V | undefined) => (value === undefined ? undefined : codec.format(value)),
  }
}

/** The spec as a client sends it: everything may be absent. */
interface Sent {
  readonly name?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly orchestration: Partial<Part<'orchestration'>>
  readonly raft: Partial<Part<'raft'>>
  readonly dispatcher: Partial<Part<'dispatcher'>>
  readonly ca: Partial<Part<'ca'>> & {
    readonly externalCas?: readonly unknown[]
    readonly signingCert?: string
    readonly signingKey?: string
  }
  readonly taskDefaults: Partial<Part<'taskDefaults'>>
  readonly encryption: Partial<Part<'encryption'>>
}

const sentJson = object<Sent>({
  name: unlessZero('Name', string),
  labels: unlessZero('Labels', labels),
  orchestration: whole(
    'Orchestration',
    object<Sent['orchestration']>({ taskHistoryLimit: given('TaskHistoryRetentionLimit', int64) }),
  ),
  raft: whole(
    'Raft',
    object<Sent['raft']>({
      snapshotInterval: unlessZero('SnapshotInterval', uint64),
      keepOldSnapshots: given('KeepOldSnapshots', uint64),
      logEntriesForSlowFollowers: unlessZero('LogEntriesForSlowFollowers', uint64),
      electionTick: unlessZero('ElectionTick', uint32),
      heartbeatTick: unlessZero('HeartbeatTick', uint32),
    }),
  ),
  dispatcher: whole(
    'Dispatcher',
    object<Sent['dispatcher']>({ heartbeatPeriodNs: unlessZero('HeartbeatPeriod', durationNs) }),
  ),
  ca: whole(
    'CAConfig',
    object<Sent['ca']>({
      nodeCertExpiryNs: unlessZero('NodeCertExpiry', durationNs),
      externalCas: unlessZero('ExternalCAs', array(anything)),
      signingCert: unlessZero('SigningCACert', string),
      signingKey: unlessZero('SigningCAKey', string),
      forceRotate: unlessZero('ForceRotate', uint64),
    }),
  ),
  taskDefaults: whole(
    'TaskDefaults',
    object<Sent['taskDefaults']>({ logDriver: given('LogDriver', driverJson) }),
  ),
  encryption: whole(
    'EncryptionConfig',
    object<Sent['encryption']>({ autoLockManagers: given('AutoLockManagers', boolean) }),
  ),
})

/**
 * The body of POST /swarm/update laid over the spec in force. Labels and autolock are taken as sent,
 * the rest only where it is not zero. Throws bad-request, and not-supported for a CA of one's
 * own: nodes are known by their keys, and no certificate authority takes part.
 */
export function parseClusterSpec(body: unknown, inForce: ClusterSpec): ClusterSpec {
  return lay(parseAs(sentJson, body, { name: 'Spec' }), inForce)
}

function lay(sent: Sent, inForce: ClusterSpec): ClusterSpec {
  const { externalCas, signingCert, signingKey, forceRotate, ...ca } = sent.ca
  if (externalCas !== undefined || signingCert !== undefined || signingKey !== undefined) {
    throw new CodedError(
      'not-supported',
      '--external-ca, --ca-cert, --ca-key: nodes are known by their keys, there is no certificate authority to replace; remove the flag',
      { detail: { path: 'Spec.CAConfig' } },
    )
  }
  if (sent.name !== undefined && sent.name !== inForce.name) {
    throw new CodedError('bad-request', `swarm spec must be named "${inForce.name}"`, {
      detail: { path: 'Spec.Name' },
    })
  }
  return {
    name: inForce.name,
    labels: sent.labels ?? {},
    orchestration: { ...inForce.orchestration, ...sent.orchestration },
    raft: { ...inForce.raft, ...sent.raft },
    dispatcher: { ...inForce.dispatcher, ...sent.dispatcher },
    ca: {
      nodeCertExpiryNs: inForce.ca.nodeCertExpiryNs,
      ...ca,
      ...(forceRotate === undefined ? {} : { forceRotate }),
    },
    taskDefaults: { ...inForce.taskDefaults, ...sent.taskDefaults },
    encryption: { autoLockManagers: sent.encryption.autoLockManagers ?? false },
  }
}

export function formatClusterSpec(spec: ClusterSpec): unknown {
  return specJson.format(spec)
}

/** What clients see of the cluster's key, and whether nodes still follow to it. */
export interface ClusterTrust {
  readonly tls: TlsInfo
  readonly isRotating: boolean
}

/** ClusterInfo: the cluster in GET /info. */
export function formatClusterInfo(cluster: Cluster, trust?: ClusterTrust): unknown {
  return {
    ...formatMeta(cluster),
    Spec: formatClusterSpec(cluster.spec),
    TLSInfo: trust === undefined ? {} : formatTls(trust.tls),
    RootRotationInProgress: trust?.isRotating ?? false,
    DefaultAddrPool: cluster.defaultAddressPool.length === 0 ? null : cluster.defaultAddressPool,
    SubnetSize: cluster.subnetSize,
    DataPathPort: cluster.dataPathPort,
  }
}

/** Swarm: what GET /swarm answers. */
export function formatSwarm(
  cluster: Cluster,
  tokens: { readonly worker: string; readonly manager: string },
  trust?: ClusterTrust,
): unknown {
  return {
    ...(formatClusterInfo(cluster, trust) as Record<string, unknown>),
    JoinTokens: { Worker: tokens.worker, Manager: tokens.manager },
  }
}

/** What POST /swarm/init asks. */
export interface SwarmInit {
  readonly listenAddress?: string
  readonly advertiseAddress?: string
  readonly dataPathAddress?: string
  readonly dataPathPort?: number
  readonly defaultAddressPool: readonly string[]
  readonly subnetSize?: number
  readonly forceNewCluster: boolean
  readonly availability: 'active' | 'pause' | 'drain'
  readonly autoLockManagers: boolean
  readonly spec: ClusterSpec
}

const availabilityJson = word(['active', 'pause', 'drain'], {
  empty: 'active',
  isFolded: true,
  refuse: (text) => `invalid Availability: "${text}"`,
})

const initJson = object<Omit<SwarmInit, 'spec'> & { readonly spec: Sent }>({
  listenAddress: unlessZero('ListenAddr', string),
  advertiseAddress: unlessZero('AdvertiseAddr', string),
  dataPathAddress: unlessZero('DataPathAddr', string),
  dataPathPort: unlessZero('DataPathPort', uint32),
  defaultAddressPool: always('DefaultAddrPool', strings, []),
  subnetSize: unlessZero('SubnetSize', uint32),
  forceNewCluster: always('ForceNewCluster', boolean, false),
  availability: always('Availability', availabilityJson, 'active'),
  autoLockManagers: always('AutoLockManagers', boolean, false),
  spec: whole('Spec', sentJson),
})

/**
 * The body of POST /swarm/init; its spec is laid over the defaults. Throws bad-request, and what
 * validateSwarmInit and validateCluster throw: nothing has been made yet that could be left behind.
 */
export function parseSwarmInit(body: unknown, defaults: ClusterSpec): SwarmInit {
  const request = parseAs(initJson, body)
  const spec = lay(request.spec, defaults)
  validateSwarmInit(request)
  validateCluster(spec)
  const autoLockManagers = request.autoLockManagers || spec.encryption.autoLockManagers
  return {
    ...request,
    autoLockManagers,
    spec: { ...spec, encryption: { autoLockManagers } },
  }
}

/** What POST /swarm/join asks. */
export interface SwarmJoin {
  readonly listenAddress?: string
  readonly advertiseAddress?: string
  readonly dataPathAddress?: string
  readonly remoteAddresses: readonly string[]
  readonly joinToken: string
  readonly availability: 'active' | 'pause' | 'drain'
}

const joinJson = object<SwarmJoin>({
  listenAddress: unlessZero('ListenAddr', string),
  advertiseAddress: unlessZero('AdvertiseAddr', string),
  dataPathAddress: unlessZero('DataPathAddr', string),
  remoteAddresses: always('RemoteAddrs', strings, []),
  joinToken: always('JoinToken', string, ''),
  availability: always('Availability', availabilityJson, 'active'),
})

/** The body of POST /swarm/join. Throws bad-request. */
export function parseSwarmJoin(body: unknown): SwarmJoin {
  return parseAs(joinJson, body)
}

/** What POST /skep/recover asks. */
export interface Recover {
  readonly isDryRun: boolean
  readonly isForced: boolean
  readonly advertiseAddress?: string
}

const recoverJson = object<Recover>({
  isDryRun: always('DryRun', boolean, false),
  isForced: always('Force', boolean, false),
  advertiseAddress: unlessZero('AdvertiseAddr', string),
})

/** The body of POST /skep/recover. Throws bad-request. */
export function parseRecover(body: unknown): Recover {
  return parseAs(recoverJson, body)
}

const unlockJson = object<{ readonly unlockKey: string }>({
  unlockKey: always('UnlockKey', string, ''),
})

/** The body of POST /swarm/unlock: its key. Throws bad-request. */
export function parseSwarmUnlock(body: unknown): string {
  return parseAs(unlockJson, body).unlockKey
}
