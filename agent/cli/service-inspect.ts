// service inspect, and its form for people: --pretty. The layout is docker's to the blank, tabs included.

import { hasCode } from '../../core/base/error.ts'
import { formatDuration } from '../../core/base/time.ts'
import type { Api } from './api.ts'
import type {
  ContainerSpecJson,
  NetworkJson,
  ResourcesJson,
  ServiceJson,
  TaskSpecJson,
  UpdateConfigJson,
} from './api-json.ts'
import { type Call, exitError } from './command.ts'
import { formatGo, formatNumber } from './go-print.ts'
import { type Inspected, inspectAll } from './output.ts'
import { formatBytes, formatHumanDuration } from './units.ts'

/** service inspect */
export async function inspectServices(call: Call): Promise<undefined> {
  const { api, args, flags, io } = call
  const format = flags.text('format')
  const isPretty = flags.isOn('pretty') || format === 'pretty'
  if (flags.isOn('pretty') && format !== '') {
    throw exitError('--format is incompatible with human friendly format', 1)
  }
  if (format.startsWith('pretty') && format !== 'pretty') {
    throw exitError('cannot supply extra formatting options to the pretty template', 1)
  }
  if (!isPretty) {
    await inspectAll(io.stdout, {
      names: args,
      format,
      type: 'swarm.Service',
      find: (name) => findService(api, name),
    })
    return undefined
  }
  let text = ''
  for (const name of args) {
    const { value } = await findService(api, name)
    text += formatService(value, { networks: await networkNames(api, value), nowMs: io.now() })
  }
  io.stdout.write(text)
  return undefined
}

async function findService(
  api: Api,
  name: string,
): Promise<Inspected & { readonly value: ServiceJson }> {
  try {
    return await api.getRaw<ServiceJson>(`/services/${encodeURIComponent(name)}`, {
      query: { insertDefaults: 'true' },
    })
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error
    throw exitError(`Error: no such service: ${name}`, 1)
  }
}

async function networkNames(api: Api, service: ServiceJson): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>()
  for (const { Target: id = '' } of service.Spec?.TaskTemplate?.Networks ?? []) {
    try {
      const network = await api.get<NetworkJson>(`/networks/${id}`, { query: { scope: 'swarm' } })
      names.set(network.Id, network.Name ?? '')
    } catch (error) {
      if (!hasCode(error, 'not-found')) throw error
    }
  }
  return names
}

/** A service for people. Starts with an empty line and ends with one, as docker's does. */
export function formatService(
  service: ServiceJson,
  context: { readonly networks: ReadonlyMap<string, string>; readonly nowMs: number },
): string {
  const spec = service.Spec ?? {}
  const task = spec.TaskTemplate ?? {}
  const container = task.ContainerSpec ?? {}
  const networks = (task.Networks ?? []).map(
    ({ Target: id = '' }) => context.networks.get(id) ?? id,
  )
  const parts = [
    `\nID:\t\t${service.ID}\nName:\t\t${spec.Name ?? ''}`,
    section('Labels', spec.Labels, (key, value) => ` ${key}${value === '' ? '' : `=${value}`}`),
    `\nService Mode:${formatMode(service)}`,
    formatUpdateStatus(service, context.nowMs),
    formatPlacement(task),
    formatUpdateConfig('Update', spec.UpdateConfig),
    formatUpdateConfig('Rollback', spec.RollbackConfig),
    formatContainer(container),
    formatFiles(container),
    formatLogDriver(task),
    formatResources(task.Resources),
    networks.length === 0 ? '' : `\nNetworks:${networks.map((name) => ` ${name}`).join('')} `,
    `\nEndpoint Mode:\t${spec.EndpointSpec?.Mode ?? ''}`,
    formatPorts(service),
    formatHealth(container),
    '\n\n',
  ]
  return parts.join('')
}

function line(label: string, value: string | undefined): string {
  return value === undefined || value === '' ? '' : `\n${label}${value}`
}

function section(
  title: string,
  record: Readonly<Record<string, string>> | undefined,
  row: (key: string, value: string) => string,
): string {
  const keys = Object.keys(record ?? {}).toSorted()
  if (keys.length === 0) return ''
  return `\n${title}:${keys.map((key) => `\n${row(key, record?.[key] ?? '')}`).join('')}`
}

function formatMode(service: ServiceJson): string {
  const mode = service.Spec?.Mode ?? {}
  if (mode.Global !== undefined) return '\tGlobal'
  if (mode.Replicated === undefined) return ''
  const replicas = mode.Replicated.Replicas
  return `\tReplicated${replicas === undefined ? '' : `\n Replicas:\t${replicas}`}`
}

function formatUpdateStatus(service: ServiceJson, nowMs: number): string {
  const status = service.UpdateStatus
  const state = status?.State ?? ''
  if (state === '') return ''
  const ago = (time: string): string => `${formatHumanDuration(nowMs - Date.parse(time))} ago`
  return [
    '\nUpdateStatus:',
    `\n State:\t\t${state}`,
    status?.StartedAt === undefined ? '' : `\n Started:\t${ago(status.StartedAt)}`,
    state === 'completed' && status?.CompletedAt !== undefined
      ? `\n Completed:\t${ago(status.CompletedAt)}`
      : '',
    `\n Message:\t${status?.Message ?? ''}`,
  ].join('')
}

function formatPlacement(task: TaskSpecJson): string {
  const placement = task.Placement ?? {}
  const constraints = placement.Constraints ?? []
  const preferences = (placement.Preferences ?? []).flatMap((one) =>
    one.Spread === undefined ? [] : [`spread=${one.Spread.SpreadDescriptor ?? ''}`],
  )
  const perNode = placement.MaxReplicas ?? 0
  return [
    '\nPlacement:',
    constraints.length === 0 ? '' : `\n Constraints:\t${formatGo(constraints)}`,
    preferences.length === 0 ? '' : `\n Preferences:   ${formatGo(preferences)}`,
    perNode === 0 ? '' : `\n Max Replicas Per Node:   ${perNode}`,
  ].join('')
}

function formatUpdateConfig(
  kind: 'Update' | 'Rollback',
  config: UpdateConfigJson | undefined,
): string {
  if (config === undefined) return ''
  const { Delay: delay = 0, Monitor: monitor = 0 } = config
  return [
    `\n${kind}Config:`,
    `\n Parallelism:\t${config.Parallelism ?? 0}`,
    delay > 0 ? `\n Delay:\t\t${formatDuration(delay)}` : '',
    `\n On failure:\t${config.FailureAction ?? ''}`,
    monitor > 0 ? `\n Monitoring Period: ${formatDuration(monitor)}` : '',
    `\n Max failure ratio: ${formatNumber(config.MaxFailureRatio ?? 0)}`,
    `\n ${`${kind} order:`.padEnd(18)} ${config.Order ?? ''}`,
  ].join('')
}

function formatContainer(container: ContainerSpecJson): string {
  const words = (list: readonly string[] | undefined): string =>
    (list ?? []).map((word) => `${word} `).join('')
  const { CapabilityAdd: added = [], CapabilityDrop: dropped = [] } = container
  const limits = (container.Ulimits ?? []).map(
    (limit) => [limit.Name, `${limit.Soft}:${limit.Hard}`] as const,
  )
  return [
    `\nContainerSpec:\n Image:\t\t${container.Image ?? ''}`,
    line(' Args:\t\t', words(container.Args)),
    line(' Env:\t\t', words(container.Env)),
    line(' Dir:\t\t', container.Dir),
    container.Init === undefined ? '' : `\n Init:\t\t${container.Init}`,
    line(' User: ', container.User),
    added.length + dropped.length === 0 ? '' : '\nCapabilities:',
    line(' Add: ', added.join(', ')),
    line(' Drop: ', dropped.join(', ')),
    section('SysCtls', container.Sysctls, (key, value) =>
      value === '' ? ` ${key}` : ` ${key}: ${value}`,
    ),
    section('Ulimits', Object.fromEntries(limits), (key, value) => ` ${key}: ${value}`),
  ].join('')
}

function formatFiles(container: ContainerSpecJson): string {
  const mounts = (container.Mounts ?? []).map(
    (mount) =>
      `\n Target:\t${mount.Target ?? ''}\n  Source:\t${mount.Source ?? ''}` +
      `\n  ReadOnly:\t${mount.ReadOnly ?? false}\n  Type:\t\t${mount.Type ?? ''}`,
  )
  const file = (target: string | undefined, source: string | undefined): string =>
    `\n Target:\t${target ?? ''}\n  Source:\t${source ?? ''}`
  const configs = (container.Configs ?? []).map((one) => file(one.File?.Name, one.ConfigName))
  const secrets = (container.Secrets ?? []).map((one) => file(one.File?.Name, one.SecretName))
  const titled = (title: string, rows: readonly string[]): string =>
    rows.length === 0 ? '' : `\n${title}:${rows.join('')}`
  return titled('Mounts', mounts) + titled('Configs', configs) + titled('Secrets', secrets)
}

function formatLogDriver(task: TaskSpecJson): string {
  const driver = task.LogDriver
  if (driver === undefined) return ''
  const options = section(' LogOpts', driver.Options, (key, value) =>
    value === '' ? `  ${key}` : `  ${key}:       ${value}`,
  )
  return `\nLog Driver:${line(' Name:\t\t', driver.Name)}${options}\n`
}

function formatResources(resources: ResourcesJson | undefined): string {
  if (resources === undefined) return ''
  const { Limits: limits = {}, Reservations: reservations = {} } = resources
  const pids = limits.Pids ?? 0
  const hasLimits = (limits.NanoCPUs ?? 0) > 0 || (limits.MemoryBytes ?? 0) > 0 || pids > 0
  return [
    '\nResources:',
    amounts('Reservations', reservations),
    hasLimits ? amounts('Limits', limits) || '\n Limits:' : '',
    pids > 0 ? `\n  PIDs:\t\t${pids}` : '',
  ].join('')
}

function amounts(
  title: string,
  { NanoCPUs: cpus = 0, MemoryBytes: memory = 0 }: { NanoCPUs?: number; MemoryBytes?: number },
): string {
  if (cpus <= 0 && memory <= 0) return ''
  return [
    `\n ${title}:`,
    cpus > 0 ? `\n  CPU:\t\t${formatNumber(cpus / 1e9)}` : '',
    memory > 0 ? `\n  Memory:\t${formatBytes(memory)}` : '',
  ].join('')
}

function formatPorts(service: ServiceJson): string {
  const ports = service.Endpoint?.Ports ?? []
  if (ports.length === 0) return ''
  const rows = ports.map(
    (port) =>
      `\n PublishedPort = ${port.PublishedPort ?? 0}\n  Protocol = ${port.Protocol ?? ''}` +
      `\n  TargetPort = ${port.TargetPort ?? 0}\n  PublishMode = ${port.PublishMode ?? ''}`,
  )
  return `\nPorts:${rows.join('')} `
}

function formatHealth(container: ContainerSpecJson): string {
  const health = container.Healthcheck
  if (health === undefined) return ''
  const tests = (health.Test ?? []).map((word) => `\n\t Test = ${word}`)
  return [
    '\n Healthcheck:',
    `\n  Interval = ${formatDuration(health.Interval ?? 0)}`,
    `\n  Retries = ${health.Retries ?? 0}`,
    `\n  StartPeriod =\t${formatDuration(health.StartPeriod ?? 0)}`,
    `\n  Timeout =\t${formatDuration(health.Timeout ?? 0)}`,
    tests.length === 0 ? '' : `\n  Tests:${tests.join('')} `,
  ].join('')
}
