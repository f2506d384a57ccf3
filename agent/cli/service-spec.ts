// `service create`: flags to the JSON of a service. What a flag was not given for is left out, so that
// the manager's defaults hold. Names of networks, secrets and configs are turned into ids by the caller.

import { CodedError } from '../../core/base/error.ts'
import { parseDuration } from '../../core/base/time.ts'
import type {
  ContainerSpecJson,
  CredentialSpecJson,
  HealthJson,
  ModeJson,
  ResourcesJson,
  RestartPolicyJson,
  ServiceSpecJson,
  UpdateConfigJson,
} from './api-json.ts'
import type { FlagValues } from './flags.ts'
import { compareText } from './natural.ts'
import { checkDnsSearch, checkEnv, checkExtraHost, checkIp, cut, recordOf } from './opts/list.ts'
import { parseMount } from './opts/mount.ts'
import { parseFloat32, parseInt64, parseUint } from './opts/number.ts'
import { parsePorts } from './opts/port.ts'
import {
  normalCapability,
  parseGenericResources,
  parsePlacementPreference,
  parseUlimit,
  splitWords,
} from './opts/process.ts'
import { parseCredentialSpec, parseNetwork } from './opts/reference.ts'
import { parseMemoryBytes, parseNanoCpus } from './units.ts'

/** What a spec is built from, besides flags. */
export interface SpecSources {
  readonly flags: FlagValues
  readonly image: string
  readonly args: readonly string[]
  /** Lines of all --env-file files, in order. */
  readonly envFile: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** The folder that relative paths start from. */
  readonly folder: string
}

/** Builds the spec of a new service. Throws invalid-argument when flags contradict each other. */
export function buildServiceSpec(sources: SpecSources): ServiceSpecJson {
  const { flags } = sources
  const env = mergeEnv([...sources.envFile, ...envOf(flags, 'env', sources.env)])
  const health = healthOf(flags)
  const mode = modeOf(flags)
  const update = updateConfigOf(flags, 'update')
  const rollback = updateConfigOf(flags, 'rollback')
  const isJob = mode.ReplicatedJob !== undefined || mode.GlobalJob !== undefined
  if (isJob && (update ?? rollback) !== undefined) {
    throw invalid('update and rollback configuration is not supported for jobs')
  }
  return prune({
    Name: flags.text('name'),
    Labels: recordOf(flags.all('label')),
    TaskTemplate: prune({
      ContainerSpec: containerOf(sources, { env, health }),
      Resources: resourcesOf(flags),
      RestartPolicy: restartPolicyOf(flags),
      Placement: placementOf(flags),
      Networks: flags.all('network').map(parseNetwork),
      LogDriver: logDriverOf(flags),
      ForceUpdate: 0,
    }),
    Mode: mode,
    UpdateConfig: update,
    RollbackConfig: rollback,
    EndpointSpec: prune({
      Mode: (flags.text('endpoint-mode') || 'vip').toLowerCase(),
      Ports: flags.all('publish').flatMap(parsePorts),
    }),
  })
}

/** Flag -> value, for a flag that may be given once and is else left out. */
export function given<T>(
  flags: FlagValues,
  name: string,
  read: (text: string) => T,
): T | undefined {
  return flags.isSet(name) ? read(flags.text(name)) : undefined
}

const decimal = { base: 0, bits: 64 } as const
/** Reads a whole number of a flag. */
export const readUint = (text: string): number => parseUint(text, decimal)
/** Reads a whole number with a sign. */
export const readInt = (text: string): number => parseInt64(text, decimal)

/** An object whose fields may be missing, but never undefined. */
export type Pruned<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

/**
 * Takes out fields that are undefined, '' or an empty list, as the API's own JSON leaves them out.
 * Numbers, switches and objects stay.
 */
export function prune<T extends object>(object: T): Pruned<T> {
  const kept = Object.entries(object).filter(
    ([, value]) =>
      value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0),
  )
  return Object.fromEntries(kept) as Pruned<T>
}

/** As `prune`, and without zeros and switches that are off. */
export function pruneZeros<T extends object>(object: T): Pruned<T> {
  const kept = Object.entries(prune(object)).filter(([, value]) => value !== 0 && value !== false)
  return Object.fromEntries(kept) as Pruned<T>
}

function containerOf(
  { flags, image, args, folder }: SpecSources,
  parts: { readonly env: readonly string[]; readonly health: HealthJson | undefined },
): ContainerSpecJson {
  const capabilities = capabilitiesOf(flags)
  const credentials = flags.text('credential-spec')
  const container = pruneZeros({
    Image: image,
    Labels: nonEmpty(recordOf(flags.all('container-label'))),
    Command: splitWords(flags.text('entrypoint')),
    Args: args,
    Hostname: flags.text('hostname'),
    Env: parts.env,
    Dir: flags.text('workdir'),
    User: flags.text('user'),
    Groups: flags.all('group'),
    Privileges: credentials === '' ? undefined : privilegesOf(parseCredentialSpec(credentials)),
    StopSignal: flags.text('stop-signal'),
    TTY: flags.isOn('tty'),
    ReadOnly: flags.isOn('read-only'),
    Mounts: flags.all('mount').map((text) => parseMount(text, folder)),
    Healthcheck: parts.health,
    Hosts: flags.all('host').map(swarmHost),
    DNSConfig: prune({
      Nameservers: flags.all('dns').map(checkIp),
      Search: flags.all('dns-search').map(checkDnsSearch),
      Options: flags.all('dns-option'),
    }),
    Isolation: flags.text('isolation'),
    Sysctls: nonEmpty(recordOf(flags.all('sysctl'))),
    CapabilityAdd: capabilities.add,
    CapabilityDrop: capabilities.drop,
    Ulimits: ulimitsOf(flags.all('ulimit')),
    OomScoreAdj: readInt(flags.text('oom-score-adj') || '0'),
  })
  // A grace period of 0 and an init that is off are said, for unsaid they are the daemon's to choose.
  return prune({
    ...container,
    Init: flags.isOn('init'),
    StopGracePeriod: given(flags, 'stop-grace-period', parseDuration),
  })
}

/** Privileges with nothing in them but a credential spec. */
export function privilegesOf(credentials: CredentialSpecJson) {
  return { CredentialSpec: credentials, SELinuxContext: null, NoNewPrivileges: false }
}

function nonEmpty<T extends object>(record: T): T | undefined {
  return Object.keys(record).length === 0 ? undefined : record
}

/** Variables of a flag; one without a value takes it from our own environment. */
export function envOf(
  flags: FlagValues,
  name: string,
  env: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  return flags.all(name).map((text) => checkEnv(text, env))
}

/** Variables in order, the last of each name kept where it stands. */
function mergeEnv(variables: readonly string[]): readonly string[] {
  let merged: string[] = []
  for (const variable of variables) {
    if (merged.includes(variable)) continue
    const name = `${cut(variable, '=').before}=`
    merged = [...merged.filter((one) => !one.startsWith(name)), variable]
  }
  return merged
}

/** `host:ip` as swarm wants it: `ip host`. */
export function swarmHost(text: string): string {
  const { before, after } = cut(checkExtraHost(text), ':')
  return `${after} ${before}`
}

/** Limits of --ulimit, the last of each name, by name. */
export function ulimitsOf(texts: readonly string[]) {
  const byName = new Map(texts.map(parseUlimit).map((limit) => [limit.Name, limit]))
  return [...byName.values()].toSorted((one, other) => compareText(one.Name, other.Name))
}

function capabilitiesOf(flags: FlagValues): {
  readonly add: readonly string[]
  readonly drop: readonly string[]
} {
  const [add, drop] = ['cap-add', 'cap-drop'].map((name) => {
    const all = new Set(flags.all(name).map(normalCapability))
    return all.has('ALL') ? ['ALL'] : [...all].toSorted()
  }) as [string[], string[]]
  return {
    add: add.filter((one) => one !== 'RESET'),
    drop: drop.filter((one) => one !== 'RESET' && !add.includes(one)),
  }
}

function resourcesOf(flags: FlagValues): ResourcesJson {
  return {
    Limits: pruneZeros({
      NanoCPUs: given(flags, 'limit-cpu', parseNanoCpus),
      MemoryBytes: given(flags, 'limit-memory', parseMemoryBytes),
      Pids: given(flags, 'limit-pids', readInt),
    }),
    Reservations: pruneZeros({
      NanoCPUs: given(flags, 'reserve-cpu', parseNanoCpus),
      MemoryBytes: given(flags, 'reserve-memory', parseMemoryBytes),
      GenericResources: parseGenericResources(flags.all('generic-resource')),
    }),
  }
}

/** Swarm's restart policy, which flags change. */
export const restartDefaults: RestartPolicyJson = {
  Condition: 'any',
  Delay: 5_000_000_000,
  MaxAttempts: 0,
}

/** Flags of the restart policy as its fields. */
export function restartFlags(flags: FlagValues): RestartPolicyJson {
  return prune({
    Condition: given(flags, 'restart-condition', String),
    Delay: given(flags, 'restart-delay', parseDuration),
    MaxAttempts: given(flags, 'restart-max-attempts', readUint),
    Window: given(flags, 'restart-window', parseDuration),
  })
}

function restartPolicyOf(flags: FlagValues): RestartPolicyJson | undefined {
  const set = restartFlags(flags)
  return Object.keys(set).length === 0 ? undefined : { ...restartDefaults, ...set }
}

function placementOf(flags: FlagValues) {
  return pruneZeros({
    Constraints: flags.all('constraint'),
    Preferences: flags.all('placement-pref').map(parsePlacementPreference),
    MaxReplicas: readUint(flags.text('replicas-max-per-node') || '0'),
  })
}

/** The log driver of --log-driver and --log-opt; none without a driver. */
export function logDriverOf(flags: FlagValues) {
  const name = flags.text('log-driver')
  if (name === '') return undefined
  return prune({ Name: name, Options: nonEmpty(recordOf(flags.all('log-opt'))) })
}

const healthFlags = [
  'health-cmd',
  'health-interval',
  'health-timeout',
  'health-retries',
  'health-start-period',
  'health-start-interval',
]

function healthOf(flags: FlagValues): HealthJson | undefined {
  const isSet = healthFlags.some((name) => flags.isSet(name) && flags.text(name) !== '')
  if (flags.isOn('no-healthcheck')) {
    if (isSet) throw invalid('--no-healthcheck conflicts with --health-* options')
    return { Test: ['NONE'] }
  }
  if (!isSet) return undefined
  const command = flags.text('health-cmd')
  return pruneZeros({
    Test: command === '' ? [] : ['CMD-SHELL', command],
    Interval: given(flags, 'health-interval', parseDuration),
    Timeout: given(flags, 'health-timeout', parseDuration),
    StartPeriod: given(flags, 'health-start-period', parseDuration),
    StartInterval: given(flags, 'health-start-interval', parseDuration),
    Retries: given(flags, 'health-retries', readInt),
  })
}

function modeOf(flags: FlagValues): ModeJson {
  const mode = flags.text('mode')
  const replicas = given(flags, 'replicas', readUint)
  const concurrent = given(flags, 'max-concurrent', readUint)
  const perNode = readUint(flags.text('replicas-max-per-node') || '0')
  const refuse = (name: string, isGiven: boolean, modes: string): void => {
    if (isGiven) throw invalid(`${name} can only be used with ${modes} mode`)
  }
  switch (mode) {
    case 'global':
      refuse('replicas', replicas !== undefined, 'replicated or replicated-job')
      refuse('replicas-max-per-node', perNode > 0, 'replicated or replicated-job')
      refuse('max-concurrent', concurrent !== undefined, 'replicated-job')
      return { Global: {} }
    case 'replicated':
      refuse('max-concurrent', concurrent !== undefined, 'replicated-job')
      return { Replicated: prune({ Replicas: replicas }) }
    case 'replicated-job':
      return {
        ReplicatedJob: prune({ MaxConcurrent: concurrent ?? replicas, TotalCompletions: replicas }),
      }
    case 'global-job':
      refuse('replicas-max-per-node', perNode > 0, 'replicated or replicated-job')
      refuse('max-concurrent', concurrent !== undefined, 'replicated-job')
      refuse('replicas', replicas !== undefined, 'replicated or replicated-job')
      return { GlobalJob: {} }
    default:
      throw invalid(`Unknown mode: ${mode}, only replicated and global supported`)
  }
}

/** Swarm's update and rollback configuration, which flags change. */
export const updateDefaults: UpdateConfigJson = {
  Parallelism: 1,
  FailureAction: 'pause',
  Monitor: 5_000_000_000,
  MaxFailureRatio: 0,
  Order: 'stop-first',
}

/** Flags `--update-*` or `--rollback-*` as fields. */
export function updateFlags(flags: FlagValues, kind: 'update' | 'rollback'): UpdateConfigJson {
  return prune({
    Parallelism: given(flags, `${kind}-parallelism`, readUint),
    Delay: given(flags, `${kind}-delay`, parseDuration),
    FailureAction: given(flags, `${kind}-failure-action`, String),
    Monitor: given(flags, `${kind}-monitor`, parseDuration),
    MaxFailureRatio: given(flags, `${kind}-max-failure-ratio`, parseFloat32),
    Order: given(flags, `${kind}-order`, String),
  })
}

/** An update configuration as the API's JSON leaves out its empty fields. */
export function tidyUpdateConfig(config: UpdateConfigJson): UpdateConfigJson {
  const { Delay, Monitor, ...others } = config
  return prune({
    ...others,
    Delay: Delay === 0 ? undefined : Delay,
    Monitor: Monitor === 0 ? undefined : Monitor,
  })
}

function updateConfigOf(
  flags: FlagValues,
  kind: 'update' | 'rollback',
): UpdateConfigJson | undefined {
  const set = updateFlags(flags, kind)
  if (Object.keys(set).length === 0) return undefined
  return tidyUpdateConfig({ ...updateDefaults, ...set })
}

function invalid(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}
