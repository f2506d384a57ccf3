// `service update`: flags laid over the spec that a service has. `--x-add` and `--x-rm` change lists and
// maps one entry at a time; the rest replaces a field. Lists are sorted, so that an update that changes
// nothing starts no new tasks.

import { CodedError } from '../../core/base/error.ts'
import { parseDuration } from '../../core/base/time.ts'
import type {
  ContainerSpecJson,
  GenericResourceJson,
  HealthJson,
  MountJson,
  PlacementJson,
  PortJson,
  ResourcesJson,
  ServiceSpecJson,
  TaskSpecJson,
} from './api-json.ts'
import type { FlagValues } from './flags.ts'
import { compareText } from './natural.ts'
import { checkDnsSearch, checkIp, cut, recordOf } from './opts/list.ts'
import { parseMount } from './opts/mount.ts'
import { formatPort, parsePorts } from './opts/port.ts'
import {
  normalCapability,
  parseGenericResources,
  parsePlacementPreference,
  parseUlimit,
  splitWords,
} from './opts/process.ts'
import {
  envOf,
  given,
  logDriverOf,
  prune,
  pruneZeros,
  readInt,
  readUint,
  restartDefaults,
  restartFlags,
  swarmHost,
  tidyUpdateConfig,
  updateDefaults,
  updateFlags,
} from './service-spec.ts'
import { parseMemoryBytes, parseNanoCpus } from './units.ts'

/** What an update is made of, besides the spec. */
export interface UpdateSources {
  readonly flags: FlagValues
  readonly env: Readonly<Record<string, string | undefined>>
  readonly folder: string
}

/**
 * The spec that the flags make of `spec`; it is not changed itself. Networks, secrets, configs and
 * credential specs need ids and are the caller's. Throws invalid-argument.
 */
export function updateServiceSpec(spec: ServiceSpecJson, sources: UpdateSources): ServiceSpecJson {
  const { flags } = sources
  const task = spec.TaskTemplate ?? {}
  return {
    ...spec,
    ...labelsChange(flags, { name: 'label', field: 'Labels', old: spec.Labels }),
    TaskTemplate: updateTask(task, sources),
    ...modeChange(spec, flags),
    ...updateConfigChange(spec, flags),
    ...endpointChange(spec, flags),
  }
}

function updateTask(task: TaskSpecJson, sources: UpdateSources): TaskSpecJson {
  const { flags } = sources
  const restart = restartFlags(flags)
  const hasRestart = Object.keys(restart).length > 0
  const driver = flags.isSet('log-driver') ? logDriverOf(flags) : undefined
  return {
    ...task,
    ContainerSpec: updateContainer(task.ContainerSpec ?? {}, sources),
    ...resourcesChange(task.Resources, flags),
    ...(hasRestart
      ? { RestartPolicy: { ...(task.RestartPolicy ?? restartDefaults), ...restart } }
      : {}),
    ...placementChange(task.Placement, flags),
    ...(driver === undefined ? {} : { LogDriver: driver }),
    ...(flags.isOn('force') ? { ForceUpdate: (task.ForceUpdate ?? 0) + 1 } : {}),
  }
}

function updateContainer(container: ContainerSpecJson, sources: UpdateSources): ContainerSpecJson {
  const { flags } = sources
  const text = (flag: string): string | undefined => given(flags, flag, String)
  const switchOf = (flag: string): boolean | undefined =>
    flags.isSet(flag) ? flags.isOn(flag) : undefined
  const changes = {
    ...labelsChange(flags, { name: 'container-label', field: 'Labels', old: container.Labels }),
    ...labelsChange(flags, { name: 'sysctl', field: 'Sysctls', old: container.Sysctls }),
    ...defined({
      Image: text('image'),
      Args: given(flags, 'args', splitWords),
      Command: given(flags, 'entrypoint', splitWords),
      Dir: text('workdir'),
      User: text('user'),
      Hostname: text('hostname'),
      Isolation: text('isolation'),
      StopSignal: text('stop-signal'),
      TTY: switchOf('tty'),
      ReadOnly: switchOf('read-only'),
      OomScoreAdj: given(flags, 'oom-score-adj', readInt),
    }),
    Env: updateEnv(container.Env ?? [], sources),
    Mounts: updateMounts(container.Mounts ?? [], sources),
    Ulimits: updateUlimits(container, flags),
    ...groupsChange(container, flags),
    ...hostsChange(container, flags),
    ...capabilitiesChange(container, flags),
    ...healthChange(container, flags),
  }
  // As in the API's own JSON, what is empty is left out; these three say something even when empty.
  return {
    ...pruneZeros({ ...container, ...changes }),
    ...defined({
      Init: switchOf('init') ?? container.Init,
      StopGracePeriod:
        given(flags, 'stop-grace-period', parseDuration) ?? container.StopGracePeriod,
    }),
    ...dnsChange(container, flags),
  }
}

/** Fields that are not undefined. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> }
}

/** `--NAME-add key=value` and `--NAME-rm key` on a record; nothing when neither is given. */
function labelsChange<Field extends string>(
  flags: FlagValues,
  labels: {
    readonly name: string
    readonly field: Field
    readonly old: Readonly<Record<string, string>> | undefined
  },
): { [K in Field]?: Record<string, string> } {
  const [add, remove] = [`${labels.name}-add`, `${labels.name}-rm`]
  if (!flags.isSet(add, remove)) return {}
  const removed = new Set(flags.all(remove).map((text) => cut(text, '=').before))
  const kept = Object.entries(labels.old ?? {}).filter(([key]) => !removed.has(key))
  const record = { ...Object.fromEntries(kept), ...recordOf(flags.all(add)) }
  const isMissing = labels.field !== 'Labels' || labels.name !== 'label'
  if (isMissing && Object.keys(record).length === 0) {
    return { [labels.field]: undefined } as { [K in Field]?: Record<string, string> }
  }
  return { [labels.field]: record } as { [K in Field]?: Record<string, string> }
}

function updateEnv(old: readonly string[], { flags, env }: UpdateSources): readonly string[] {
  const removed = flags.all('env-rm')
  const variables = new Map<string, string>()
  for (const variable of [
    ...old.filter((one) => !removed.includes(cut(one, '=').before)),
    ...envOf(flags, 'env-add', env),
  ]) {
    variables.set(cut(variable, '=').before, variable)
  }
  return [...variables.values()]
}

function updateMounts(
  old: readonly MountJson[],
  { flags, folder }: UpdateSources,
): readonly MountJson[] {
  const byTarget = new Map<string, MountJson>()
  for (const text of flags.all('mount-add')) {
    const mount = parseMount(text, folder)
    if (byTarget.has(mount.Target ?? '')) throw invalid('duplicate mount target')
    byTarget.set(mount.Target ?? '', mount)
  }
  for (const mount of old) {
    if (!byTarget.has(mount.Target ?? '')) byTarget.set(mount.Target ?? '', mount)
  }
  for (const target of flags.all('mount-rm')) byTarget.delete(target)
  return [...byTarget.values()].toSorted(
    (one, other) =>
      compareText(one.Source ?? '', other.Source ?? '') ||
      compareText(one.Target ?? '', other.Target ?? ''),
  )
}

function updateUlimits(container: ContainerSpecJson, flags: FlagValues) {
  const byName = new Map((container.Ulimits ?? []).map((limit) => [limit.Name, limit]))
  for (const text of flags.all('ulimit-rm')) byName.delete(cut(text, '=').before)
  for (const limit of flags.all('ulimit-add').map(parseUlimit)) byName.set(limit.Name, limit)
  return [...byName.values()].toSorted((one, other) => compareText(one.Name, other.Name))
}

function groupsChange(container: ContainerSpecJson, flags: FlagValues) {
  if (!flags.isSet('group-add', 'group-rm')) return {}
  const groups = [...(container.Groups ?? []), ...flags.all('group-add')]
  return { Groups: without(groups, flags.all('group-rm')).toSorted() }
}

function without(list: readonly string[], removed: readonly string[]): readonly string[] {
  return list.filter((one) => !removed.includes(one))
}

function dnsChange(container: ContainerSpecJson, flags: FlagValues) {
  const names = ['dns-add', 'dns-rm', 'dns-option-add', 'dns-option-rm', 'dns-search-add']
  if (!flags.isSet(...names, 'dns-search-rm')) return {}
  const old = container.DNSConfig ?? {}
  const list = (name: string, before: readonly string[], read: (text: string) => string) => {
    const all = [...new Set([...before, ...flags.all(`${name}-add`).map(read)])]
    return without(all, flags.all(`${name}-rm`)).toSorted()
  }
  return {
    DNSConfig: prune({
      Nameservers: list('dns', old.Nameservers ?? [], checkIp),
      Search: list('dns-search', old.Search ?? [], checkDnsSearch),
      Options: list('dns-option', old.Options ?? [], String),
    }),
  }
}

/** Entries are `ip name alias...`; a name is removed with its address, or wherever it stands. */
function hostsChange(container: ContainerSpecJson, flags: FlagValues) {
  if (!flags.isSet('host-add', 'host-rm')) return {}
  const removals = flags.all('host-rm').map((text) => cut(text, ':'))
  const kept = (container.Hosts ?? []).flatMap((entry) => {
    const [ip = '', ...names] = entry.trim().split(/\s+/)
    const left = names.filter(
      (name) =>
        !removals.some(({ before, after }) => before === name && (after === '' || after === ip)),
    )
    return left.length === 0 ? [] : [`${ip} ${left.join(' ')}`]
  })
  return { Hosts: [...new Set([...kept, ...flags.all('host-add').map(swarmHost)])] }
}

/**
 * A capability that was dropped and is added, or the other way, goes back to the default: it leaves
 * one list and does not enter the other. RESET empties a list first.
 */
function capabilitiesChange(container: ContainerSpecJson, flags: FlagValues) {
  if (!flags.isSet('cap-add', 'cap-drop')) return {}
  let [added, dropped] = [container.CapabilityAdd, container.CapabilityDrop].map(
    (list) => new Set((list ?? []).map(normalCapability)),
  ) as [Set<string>, Set<string>]
  const [toAdd, toDrop] = ['cap-add', 'cap-drop'].map(
    (name) => new Set(flags.all(name).map(normalCapability)),
  ) as [Set<string>, Set<string>]
  if (toAdd.delete('RESET')) added = new Set()
  if (toDrop.delete('RESET')) dropped = new Set()
  for (const one of toDrop) {
    if (!toAdd.has(one) && !added.delete(one)) dropped.add(one)
  }
  for (const one of toAdd) if (!dropped.delete(one)) added.add(one)
  const listOf = (set: ReadonlySet<string>): readonly string[] =>
    set.has('ALL') ? ['ALL'] : [...set].toSorted()
  return { CapabilityAdd: listOf(added), CapabilityDrop: listOf(dropped) }
}

const healthFlags = [
  'health-cmd',
  'health-interval',
  'health-retries',
  'health-timeout',
  'health-start-period',
  'health-start-interval',
]

function healthChange(
  container: ContainerSpecJson,
  flags: FlagValues,
): { Healthcheck?: HealthJson } {
  if (!flags.isSet('no-healthcheck', ...healthFlags)) return {}
  if (flags.isOn('no-healthcheck')) {
    if (flags.isSet(...healthFlags)) {
      throw invalid('--no-healthcheck conflicts with --health-* options')
    }
    return { Healthcheck: { Test: ['NONE'] } }
  }
  const old = container.Healthcheck ?? {}
  const test = old.Test?.[0] === 'NONE' ? [] : (old.Test ?? [])
  const command = flags.text('health-cmd')
  const changed = defined({
    Test: flags.isSet('health-cmd') ? (command === '' ? [] : ['CMD-SHELL', command]) : test,
    Interval: given(flags, 'health-interval', parseDuration),
    Timeout: given(flags, 'health-timeout', parseDuration),
    StartPeriod: given(flags, 'health-start-period', parseDuration),
    StartInterval: given(flags, 'health-start-interval', parseDuration),
    Retries: given(flags, 'health-retries', readInt),
  })
  return { Healthcheck: pruneZeros({ ...old, ...changed }) }
}

function resourcesChange(
  old: ResourcesJson | undefined,
  flags: FlagValues,
): { Resources?: ResourcesJson } {
  const limits = defined({
    NanoCPUs: given(flags, 'limit-cpu', parseNanoCpus),
    MemoryBytes: given(flags, 'limit-memory', parseMemoryBytes),
    Pids: given(flags, 'limit-pids', readInt),
  })
  const reservations = defined({
    NanoCPUs: given(flags, 'reserve-cpu', parseNanoCpus),
    MemoryBytes: given(flags, 'reserve-memory', parseMemoryBytes),
    GenericResources: genericChange(old?.Reservations?.GenericResources ?? [], flags),
  })
  if (Object.keys(limits).length + Object.keys(reservations).length === 0) return {}
  return {
    Resources: {
      ...old,
      Limits: pruneZeros({ ...old?.Limits, ...limits }),
      Reservations: pruneZeros({ ...old?.Reservations, ...reservations }),
    },
  }
}

function genericChange(
  old: readonly GenericResourceJson[],
  flags: FlagValues,
): readonly GenericResourceJson[] | undefined {
  if (!flags.isSet('generic-resource-add', 'generic-resource-rm')) return undefined
  const kindOf = (one: GenericResourceJson): string => one.DiscreteResourceSpec?.Kind ?? ''
  const byKind = new Map(old.map((one) => [kindOf(one), one]))
  for (const one of parseGenericResources(flags.all('generic-resource-add'))) {
    byKind.set(kindOf(one), one)
  }
  for (const kind of flags.all('generic-resource-rm')) {
    if (!byKind.delete(kind)) {
      throw invalid(`could not find generic-resource \`${kind}\` to remove it`)
    }
  }
  return [...byKind.values()]
}

function placementChange(
  old: PlacementJson | undefined,
  flags: FlagValues,
): { Placement?: PlacementJson } {
  const hasConstraints = flags.isSet('constraint-add', 'constraint-rm')
  const hasPreferences = flags.isSet('placement-pref-add', 'placement-pref-rm')
  const perNode = given(flags, 'replicas-max-per-node', readUint)
  if (!hasConstraints && !hasPreferences && perNode === undefined) return {}
  const constraints = [...(old?.Constraints ?? []), ...flags.all('constraint-add')]
  const removed = flags.all('placement-pref-rm').map(parsePlacementPreference)
  const preferences = (old?.Preferences ?? []).filter(
    (one) =>
      !removed.some((other) => other.Spread?.SpreadDescriptor === one.Spread?.SpreadDescriptor),
  )
  return {
    Placement: pruneZeros({
      ...old,
      ...(hasConstraints
        ? { Constraints: without(constraints, flags.all('constraint-rm')).toSorted() }
        : {}),
      ...(hasPreferences
        ? {
            Preferences: [
              ...preferences,
              ...flags.all('placement-pref-add').map(parsePlacementPreference),
            ],
          }
        : {}),
      ...(perNode === undefined ? {} : { MaxReplicas: perNode }),
    }),
  }
}

function modeChange(spec: ServiceSpecJson, flags: FlagValues): Pick<ServiceSpecJson, 'Mode'> {
  if (!flags.isSet('replicas')) return {}
  if (spec.Mode?.Replicated === undefined) {
    throw invalid('replicas can only be used with replicated mode')
  }
  return { Mode: { Replicated: { Replicas: readUint(flags.text('replicas')) } } }
}

function updateConfigChange(
  spec: ServiceSpecJson,
  flags: FlagValues,
): Pick<ServiceSpecJson, 'UpdateConfig' | 'RollbackConfig'> {
  const [update, rollback] = [updateFlags(flags, 'update'), updateFlags(flags, 'rollback')]
  return {
    ...(Object.keys(update).length === 0
      ? {}
      : {
          UpdateConfig: tidyUpdateConfig({ ...(spec.UpdateConfig ?? updateDefaults), ...update }),
        }),
    ...(Object.keys(rollback).length === 0
      ? {}
      : {
          RollbackConfig: tidyUpdateConfig({
            ...(spec.RollbackConfig ?? updateDefaults),
            ...rollback,
          }),
        }),
  }
}

function endpointChange(
  spec: ServiceSpecJson,
  flags: FlagValues,
): Pick<ServiceSpecJson, 'EndpointSpec'> {
  const hasPorts = flags.isSet('publish-add', 'publish-rm')
  if (!hasPorts && !flags.isSet('endpoint-mode')) return {}
  const old = spec.EndpointSpec ?? {}
  return {
    EndpointSpec: prune({
      ...old,
      ...defined({ Mode: given(flags, 'endpoint-mode', String) }),
      ...(hasPorts ? { Ports: updatePorts(old.Ports ?? [], flags) } : {}),
    }),
  }
}

/** A port is removed by its target, protocol and mode, whatever it is published as. */
function updatePorts(old: readonly PortJson[], flags: FlagValues): readonly PortJson[] {
  const removed = flags.all('publish-rm').flatMap(parsePorts)
  const isRemoved = (port: PortJson): boolean =>
    removed.some(
      (one) =>
        one.TargetPort === port.TargetPort &&
        one.Protocol === (port.Protocol || 'tcp') &&
        one.PublishMode === (port.PublishMode || 'ingress'),
    )
  const before = new Map(old.map((port) => [formatPort(port), port]))
  const added = flags.all('publish-add').flatMap(parsePorts)
  return [
    ...[...before.values()].filter((port) => !isRemoved(port)),
    ...added.filter((port) => !before.has(formatPort(port))),
  ].toSorted((one, other) => compareText(formatPort(one), formatPort(other)))
}

function invalid(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}
