// The cluster: init, join, leave, update, tokens, unlock.

import { CodedError } from '../../core/base/error.ts'
import { parseDuration } from '../../core/base/time.ts'
import type { Api } from './api.ts'
import type {
  ClusterJson,
  ClusterSpecJson,
  ExternalCaJson,
  NodeJson,
  SwarmInfoJson,
} from './api-json.ts'
import {
  type CliIo,
  type CliOutput,
  type WarningsJson,
  writeLine,
  writeWarnings,
} from './cli-io.ts'
import { type Call, exitError } from './command.ts'
import type { FlagValues } from './flags.ts'
import { parseAddressRanges, parseExternalCa, parseNodeAddress } from './opts/swarm.ts'
import { given, readInt, readUint } from './service-spec.ts'

interface InfoJson {
  readonly Swarm?: SwarmInfoJson
}

function getCluster(api: Api): Promise<ClusterJson> {
  return api.get<ClusterJson>('/swarm')
}

/** Sends a changed spec of the cluster, and what else shall be changed with it. */
export async function updateCluster(
  api: Api,
  cluster: ClusterJson,
  change: {
    readonly spec: ClusterSpecJson
    readonly rotate?: 'WorkerToken' | 'ManagerToken' | 'ManagerUnlockKey'
    /** The cluster's key is in wrong hands: nodes do not follow to the next one. */
    readonly isCompromised?: boolean
  },
): Promise<void> {
  const kinds = ['ManagerToken', 'ManagerUnlockKey', 'WorkerToken'] as const
  const rotations = kinds.map((kind) => [`rotate${kind}`, String(change.rotate === kind)])
  await api.post('/swarm/update', {
    query: {
      ...Object.fromEntries(rotations),
      ...(change.isCompromised === true ? { compromised: '1' } : {}),
      version: String(cluster.Version?.Index ?? 0),
    },
    body: change.spec,
  })
}

const availabilities = ['active', 'pause', 'drain']

function availabilityOf(flags: FlagValues): string {
  const text = flags.isSet('availability') ? flags.text('availability') : ''
  if (text === '' && !flags.isSet('availability')) return ''
  if (availabilities.includes(text.toLowerCase())) return text.toLowerCase()
  throw exitError(
    `invalid availability ${JSON.stringify(text)}, only active, pause and drain are supported`,
    1,
  )
}

/** init: makes this node the first manager, and says how others join. */
export async function initSwarm(call: Call): Promise<undefined> {
  const { api, flags, io } = call
  if (flags.isSet('dry-run') && flags.isOn('dry-run')) {
    if (flags.isOn('force-new-cluster')) return recoverSwarm(call)
    throw exitError('--dry-run goes with --force-new-cluster', 1)
  }
  const isLocked = flags.isOn('autolock')
  const nodeId = await postInit(api, {
    ListenAddr: parseNodeAddress(flags.text('listen-addr')),
    AdvertiseAddr: flags.text('advertise-addr'),
    DataPathAddr: flags.text('data-path-addr'),
    DataPathPort: readUint(flags.text('data-path-port') || '0'),
    ForceNewCluster: flags.isOn('force-new-cluster'),
    Spec: await clusterSpec({}, { flags, io }),
    AutoLockManagers: isLocked,
    Availability: availabilityOf(flags),
    DefaultAddrPool: flags.all('default-addr-pool').flatMap(parseAddressRanges),
    SubnetSize: readUint(flags.text('default-addr-pool-mask-length') || '24'),
  })
  writeLine(io.stdout, `Swarm initialized: current node (${nodeId}) is now a manager.\n`)
  await writeJoinLines(call, { role: 'worker', nodeId })
  writeLine(
    io.stdout,
    "To add a manager to this swarm, run 'agent token manager' and follow the instructions.",
  )
  if (isLocked) await writeUnlockKey(call)
  return undefined
}

async function postInit(api: Api, body: unknown): Promise<string> {
  try {
    return await api.post<string>('/swarm/init', { body })
  } catch (error) {
    const needsAddress =
      /could not choose an IP address to advertise|could not find the system's IP address/
    if (!(error instanceof CodedError) || !needsAddress.test(error.message)) throw error
    throw exitError(`${error.message} - specify one with --advertise-addr`, 1)
  }
}

/** The spec with the flags of init and update laid over it. */
export async function clusterSpec(
  spec: ClusterSpecJson,
  sources: { readonly flags: FlagValues; readonly io: CliIo; readonly caCert?: string },
): Promise<ClusterSpecJson> {
  const { flags } = sources
  const set = <T>(name: string, field: string, read: (text: string) => T): Record<string, T> => {
    const value = given(flags, name, read)
    return value === undefined ? {} : { [field]: value }
  }
  const labels = flags.isSet('offline-secrets')
    ? { ...spec.Labels, 'skep.offline-secrets': String(flags.isOn('offline-secrets')) }
    : spec.Labels
  return {
    ...spec,
    ...(labels === undefined ? {} : { Labels: labels }),
    Orchestration: {
      ...spec.Orchestration,
      ...set('task-history-limit', 'TaskHistoryRetentionLimit', readInt),
    },
    Raft: {
      ...spec.Raft,
      ...set('max-snapshots', 'KeepOldSnapshots', readUint),
      ...set('snapshot-interval', 'SnapshotInterval', readUint),
    },
    Dispatcher: {
      ...spec.Dispatcher,
      ...set('dispatcher-heartbeat', 'HeartbeatPeriod', parseDuration),
    },
    CAConfig: await caConfig(spec, sources),
    EncryptionConfig: {
      AutoLockManagers: flags.isSet('autolock')
        ? flags.isOn('autolock')
        : (spec.EncryptionConfig?.AutoLockManagers ?? false),
    },
  }
}

/** The settings of the certificate authority with --cert-expiry and --external-ca laid over them. */
export async function caConfig(
  spec: ClusterSpecJson,
  sources: { readonly flags: FlagValues; readonly io: CliIo; readonly caCert?: string },
) {
  const { flags, io, caCert } = sources
  const expiry = given(flags, 'cert-expiry', parseDuration)
  const authorities: ExternalCaJson[] = []
  for (const text of flags.all('external-ca')) {
    const { caFile, ...authority } = parseExternalCa(text)
    const cert = caFile === undefined ? caCert : await readPem(io, caFile)
    authorities.push(cert === undefined ? authority : { ...authority, CACert: cert })
  }
  return {
    ...spec.CAConfig,
    ...(expiry === undefined ? {} : { NodeCertExpiry: expiry }),
    ...(authorities.length === 0 ? {} : { ExternalCAs: authorities }),
  }
}

/** A file of certificates or keys. Throws when it is not PEM. */
export async function readPem(io: CliIo, path: string): Promise<string> {
  const text = new TextDecoder().decode(await io.readFile(path))
  if (/-----BEGIN [^-]+-----[\s\S]*-----END [^-]+-----/.test(text)) return text
  throw new CodedError('invalid-argument', 'file contents must be in PEM format')
}

/** swarm join */
export function joinSwarm(call: Call): Promise<undefined> {
  return join(call, { token: call.flags.text('token'), remotes: call.args })
}

/** join TOKEN [HOST:PORT]: our tokens name the addresses themselves. */
export function joinByToken(call: Call): Promise<undefined> {
  const flag = call.flags.text('token')
  const [token = '', ...remotes] = flag === '' ? call.args : [flag, ...call.args]
  if (token === '') {
    throw exitError(
      'a token is needed: run `agent token worker` on a manager and use the line that it prints',
      1,
    )
  }
  return join(call, { token, remotes })
}

async function join(
  { api, flags, io }: Call,
  to: { readonly token: string; readonly remotes: readonly string[] },
): Promise<undefined> {
  const answer = await api.post<WarningsJson | undefined>('/swarm/join', {
    body: {
      ListenAddr: parseNodeAddress(flags.text('listen-addr')),
      AdvertiseAddr: flags.text('advertise-addr'),
      DataPathAddr: flags.text('data-path-addr'),
      RemoteAddrs: to.remotes,
      JoinToken: to.token,
      Availability: availabilityOf(flags),
    },
  })
  writeWarnings(io, answer)
  const info = await api.get<InfoJson>('/info')
  const role = info.Swarm?.ControlAvailable === true ? 'manager' : 'worker'
  writeLine(io.stdout, `This node joined a swarm as a ${role}.`)
  return undefined
}

interface RecoveryJson {
  readonly Epoch?: number
  readonly Index?: number
  readonly Uncommitted?: number
  readonly Forgotten?: readonly string[]
  readonly Services?: number
  readonly Nodes?: number
}

/** recover: this manager goes on alone, or says what that would mean. */
export async function recoverSwarm({ api, flags, io }: Call): Promise<undefined> {
  const isDryRun = flags.isOn('dry-run')
  const isForced = flags.isSet('yes-the-others-are-gone') && flags.isOn('yes-the-others-are-gone')
  const plan = await api.post<RecoveryJson>('/skep/recover', {
    body: { DryRun: isDryRun, Force: isForced, AdvertiseAddr: flags.text('advertise-addr') },
  })
  const { Epoch = 0, Index = 0, Uncommitted = 0, Forgotten = [], Services = 0, Nodes = 0 } = plan
  const [goes, are] = isDryRun ? ['would go', 'would be'] : ['goes', 'are']
  const lines = [
    `This manager ${goes} on alone, in epoch ${Epoch}, with ${Services} services and ${Nodes} nodes.`,
    `Its log ends at entry ${Index}; ${Uncommitted} entries at its end are not known to be committed and ${are} kept. What only the lost managers had is lost.`,
    Forgotten.length === 0
      ? 'There is no other manager.'
      : `These ${are} managers no more, and have to leave and join again: ${Forgotten.join(', ')}.`,
    'Workers follow by themselves.',
  ]
  for (const line of lines) writeLine(io.stdout, line)
  if (isDryRun) writeLine(io.stdout, 'Nothing was changed: run it again without --dry-run.')
  return undefined
}

/** leave */
export async function leaveSwarm({ api, flags, io }: Call): Promise<undefined> {
  const query = { force: flags.isOn('force') ? '1' : undefined }
  await api.post('/swarm/leave', { query })
  writeLine(io.stdout, 'Node left the swarm.')
  return undefined
}

/** swarm update */
export async function updateSwarm(call: Call): Promise<undefined> {
  const { api, flags, io } = call
  const cluster = await getCluster(api)
  const caCert = cluster.TLSInfo?.TrustRoot ?? ''
  const spec = await clusterSpec(cluster.Spec ?? {}, { flags, io, caCert })
  await updateCluster(api, cluster, { spec })
  writeLine(io.stdout, 'Swarm updated.')
  const isNewlyLocked =
    spec.EncryptionConfig?.AutoLockManagers === true &&
    cluster.Spec?.EncryptionConfig?.AutoLockManagers !== true
  if (isNewlyLocked) await writeUnlockKey(call)
  return undefined
}

type Role = 'worker' | 'manager'

/** swarm join-token: the line in docker's form. */
export function showJoinToken(call: Call): Promise<undefined> {
  return showTokenLines(call, (role, nodeId) =>
    writeJoinLines(call, { role, nodeId, isDockerForm: true }),
  )
}

/** token: the line in our form. */
export function showToken(call: Call): Promise<undefined> {
  return showTokenLines(call, (role, nodeId) => writeJoinLines(call, { role, nodeId }))
}

async function showTokenLines(
  { api, args, flags, io }: Call,
  writeLines: (role: Role, nodeId: string) => Promise<void>,
): Promise<undefined> {
  const role = args[0] ?? ''
  if (role !== 'worker' && role !== 'manager') throw exitError(`unknown role ${role}`, 1)
  const isQuiet = flags.isOn('quiet')
  if (flags.isOn('rotate')) {
    const cluster = await getCluster(api)
    const rotate = role === 'worker' ? 'WorkerToken' : 'ManagerToken'
    await updateCluster(api, cluster, { spec: cluster.Spec ?? {}, rotate })
    if (!isQuiet) writeLine(io.stdout, `Successfully rotated ${role} join token.\n`)
  }
  const cluster = await getCluster(api)
  if (isQuiet) {
    writeLine(io.stdout, tokenOf(cluster, role))
    return undefined
  }
  const info = await api.get<InfoJson>('/info')
  await writeLines(role, info.Swarm?.NodeID ?? '')
  return undefined
}

function tokenOf(cluster: ClusterJson, role: Role): string {
  const tokens = cluster.JoinTokens ?? {}
  return (role === 'worker' ? tokens.Worker : tokens.Manager) ?? ''
}

/** How a node of a role joins. A token of ours names the addresses; one of Swarm's does not. */
async function writeJoinLines(
  { api, io }: Call,
  join: { readonly role: Role; readonly nodeId: string; readonly isDockerForm?: boolean },
): Promise<void> {
  const node = await api.get<NodeJson>(`/nodes/${join.nodeId}`)
  const cluster = await getCluster(api)
  const address = node.ManagerStatus?.Addr
  if (address === undefined) return
  const token = tokenOf(cluster, join.role)
  const hasAddress = /^SWMTKN-1-[^-]+-[^-]+-/.test(token)
  const command =
    join.isDockerForm === true
      ? `agent swarm join --token ${token} ${address}`
      : `agent join ${token}${hasAddress ? '' : ` ${address}`}`
  writeLine(
    io.stdout,
    `To add a ${join.role} to this swarm, run the following command:\n\n    ${command}\n`,
  )
}

/** swarm unlock-key */
export async function showUnlockKey(call: Call): Promise<undefined> {
  const { api, flags, io } = call
  const isQuiet = flags.isOn('quiet')
  if (flags.isOn('rotate')) {
    const cluster = await getCluster(api)
    if (cluster.Spec?.EncryptionConfig?.AutoLockManagers !== true) {
      throw exitError('cannot rotate because autolock is not turned on', 1)
    }
    await updateCluster(api, cluster, { spec: cluster.Spec, rotate: 'ManagerUnlockKey' })
    if (!isQuiet) writeLine(io.stdout, 'Successfully rotated manager unlock key.')
  }
  const key = await getUnlockKey(api)
  if (key === '') throw exitError('no unlock key is set', 1)
  if (isQuiet) writeLine(io.stdout, key)
  else writeUnlockText(io.stdout, key)
  return undefined
}

async function getUnlockKey(api: Api): Promise<string> {
  try {
    return (await api.get<{ readonly UnlockKey?: string }>('/swarm/unlockkey')).UnlockKey ?? ''
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    throw exitError(`could not fetch unlock key: ${error.message}`, 1)
  }
}

async function writeUnlockKey({ api, io }: Call): Promise<void> {
  const key = await getUnlockKey(api)
  if (key !== '') writeUnlockText(io.stdout, key)
}

function writeUnlockText(output: CliOutput, key: string): void {
  writeLine(
    output,
    `To unlock a swarm manager after it restarts, run the \`agent unlock\`\ncommand and provide the following key:\n\n    ${key}\n\nRemember to store this key in a password manager, since without it you\nwill not be able to restart the manager.`,
  )
}

/** unlock: asks for the key on a terminal, reads a line of it elsewhere. */
export async function unlockSwarm({ api, io }: Call): Promise<undefined> {
  const info = await api.get<InfoJson>('/info')
  const state = info.Swarm?.LocalNodeState ?? 'inactive'
  if (state === 'inactive') throw exitError('Error: This node is not part of a swarm', 1)
  if (state !== 'locked') throw exitError('Error: swarm is not locked', 1)
  let key: string
  if (io.stdin.isTty) {
    io.stdout.write('Enter unlock key: ')
    key = await io.stdin.readSecretLine()
    writeLine(io.stdout)
  } else key = await io.stdin.readLine()
  await api.post('/swarm/unlock', { body: { UnlockKey: key.trim() } })
  return undefined
}
