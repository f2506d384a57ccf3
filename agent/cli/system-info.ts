// info: what a daemon says of itself, its engine, its cluster.

import { hasCode } from '../../core/base/error.ts'
import { nsPerMs } from '../../core/base/time.ts'
import { version as programVersion } from '../base/version.ts'
import type { InfoJson, SwarmInfoJson } from './api-json.ts'
import { type CliOutput, writeLine } from './cli-io.ts'
import { type Call, exitError, messageOf } from './command.ts'
import { compactJson } from './json-text.ts'
import { cut } from './opts/list.ts'
import { compileTemplate, runTemplate } from './template.ts'
import { formatBytes, formatHumanDuration } from './units.ts'

/** info */
export async function showInfo({ api, flags, io }: Call): Promise<undefined> {
  const format = flags.text('format')
  const client = { Version: programVersion, Host: api.host }
  if (format !== '') {
    const template = format === 'json' ? undefined : infoTemplate(format)
    const { text, value } = await api.getRaw<InfoJson>('/info')
    if (template === undefined) {
      const inner = compactJson(text).slice(1, -1)
      writeLine(io.stdout, `{${inner},"ClientInfo":${JSON.stringify(client)}}`)
    } else {
      const data = { ...value, ClientInfo: client, ServerErrors: [], ClientErrors: [] }
      writeLine(io.stdout, runTemplate(template, data, { isStrict: true }))
    }
    return undefined
  }
  io.stdout.write(
    `Client:\n Version:    ${client.Version}\n Host:       ${client.Host}\n\nServer:\n`,
  )
  try {
    const info = await api.get<InfoJson>('/info')
    io.stdout.write(formatInfo(info))
    writeWarnings(io.stderr, info)
  } catch (error) {
    if (hasCode(error, 'unavailable') && error.detail['isConnect'] === true) throw error
    writeLine(io.stderr, `ERROR: ${messageOf(error)}`)
    throw exitError('errors pretty printing info', 1)
  }
  return undefined
}

function infoTemplate(format: string) {
  try {
    return compileTemplate(format)
  } catch (error) {
    throw exitError(`template parsing error: ${messageOf(error)}`, 64)
  }
}

function writeWarnings(output: CliOutput, info: InfoJson): void {
  for (const warning of info.Warnings ?? []) writeLine(output, warning)
}

/** A line when there is something to say. */
function line(label: string, value: string | number | boolean | undefined): readonly string[] {
  return value === undefined || value === '' ? [] : [` ${label}: ${value}`]
}

function list(values: readonly string[] | null | undefined): string {
  return (values ?? []).join(' ')
}

/** The half of `info` that tells of the daemon. */
export function formatInfo(info: InfoJson): string {
  const plugins = info.Plugins ?? {}
  const authorization = list(plugins.Authorization)
  const lines = [
    ` Containers: ${info.Containers ?? 0}`,
    `  Running: ${info.ContainersRunning ?? 0}`,
    `  Paused: ${info.ContainersPaused ?? 0}`,
    `  Stopped: ${info.ContainersStopped ?? 0}`,
    ` Images: ${info.Images ?? 0}`,
    ...line('Server Version', info.ServerVersion),
    ...line('Storage Driver', info.Driver),
    ...(info.DriverStatus ?? []).map(([name, value]) => `  ${name}: ${value}`),
    ...line('Logging Driver', info.LoggingDriver),
    ...line('Cgroup Driver', info.CgroupDriver),
    ...line('Cgroup Version', info.CgroupVersion),
    ' Plugins:',
    `  Volume: ${list(plugins.Volume)}`,
    `  Network: ${list(plugins.Network)}`,
    ...(authorization === '' ? [] : [`  Authorization: ${authorization}`]),
    `  Log: ${list(plugins.Log)}`,
    ...titled('CDI spec directories', info.CDISpecDirs ?? []),
    ` Swarm: ${info.Swarm?.LocalNodeState ?? 'inactive'}`,
    ...formatSwarm(info.Swarm ?? {}),
    ...formatRuntimes(info),
    ...line('Kernel Version', info.KernelVersion),
    ...line('Operating System', info.OperatingSystem),
    ...line('OSType', info.OSType),
    ...line('Architecture', info.Architecture),
    ` CPUs: ${info.NCPU ?? 0}`,
    ` Total Memory: ${formatBytes(info.MemTotal ?? 0)}`,
    ...line('Name', info.Name),
    ...line('ID', info.ID),
    ` Docker Root Dir: ${info.DockerRootDir ?? ''}`,
    ` Debug Mode: ${info.Debug ?? false}`,
    ...formatDebug(info),
    ...line('HTTP Proxy', info.HttpProxy),
    ...line('HTTPS Proxy', info.HttpsProxy),
    ...line('No Proxy', info.NoProxy),
    ...titled('Labels', info.Labels ?? []),
    ` Experimental: ${info.ExperimentalBuild ?? false}`,
    ...formatRegistries(info),
    ` Live Restore Enabled: ${info.LiveRestoreEnabled ?? false}`,
    ...line('Product License', info.ProductLicense),
    ...formatPools(info),
    '',
  ]
  return `${lines.join('\n')}\n`
}

function titled(title: string, rows: readonly string[]): readonly string[] {
  return rows.length === 0 ? [] : [` ${title}:`, ...rows.map((row) => `  ${row}`)]
}

function formatRuntimes(info: InfoJson): readonly string[] {
  const names = Object.keys(info.Runtimes ?? {}).toSorted()
  const options = (info.SecurityOptions ?? []).flatMap(formatSecurityOption)
  return [
    ...(names.length === 0
      ? []
      : [` Runtimes: ${names.join(' ')}`, ` Default Runtime: ${info.DefaultRuntime ?? ''}`]),
    ...(info.OSType === 'linux'
      ? [
          ` Init Binary: ${info.InitBinary ?? ''}`,
          ` containerd version: ${info.ContainerdCommit?.ID ?? ''}`,
          ` runc version: ${info.RuncCommit?.ID ?? ''}`,
          ` init version: ${info.InitCommit?.ID ?? ''}`,
          ...(options.length === 0 ? [] : [' Security Options:', ...options]),
        ]
      : []),
  ]
}

/** "name=seccomp,profile=default" as its name and profile. */
function formatSecurityOption(option: string): readonly string[] {
  const pairs = option.split(',').map((pair) => cut(pair, '='))
  const name = pairs.find((pair) => pair.before === 'name')?.after ?? option
  const profiles = pairs.filter((pair) => pair.before === 'profile')
  return [`  ${name}`, ...profiles.map((profile) => `   Profile: ${profile.after}`)]
}

function formatDebug(info: InfoJson): readonly string[] {
  if (info.Debug !== true) return []
  return [
    `  File Descriptors: ${info.NFd ?? 0}`,
    `  Goroutines: ${info.NGoroutines ?? 0}`,
    `  System Time: ${info.SystemTime ?? ''}`,
    `  EventsListeners: ${info.NEventsListener ?? 0}`,
  ]
}

function formatRegistries(info: InfoJson): readonly string[] {
  const config = info.RegistryConfig ?? {}
  const indexes = Object.values(config.IndexConfigs ?? {})
  const cidrs = config.InsecureRegistryCIDRs ?? []
  const insecure = indexes.filter((index) => index.Secure !== true).map((index) => index.Name ?? '')
  const hasAny = indexes.length > 0 || cidrs.length > 0
  return [
    ...(hasAny
      ? [' Insecure Registries:', ...[...insecure, ...cidrs].map((one) => `  ${one}`)]
      : []),
    ...titled('Registry Mirrors', config.Mirrors ?? []),
  ]
}

function formatPools(info: InfoJson): readonly string[] {
  const pools = info.DefaultAddressPools ?? []
  if (pools.length === 0) return []
  const rows = pools.map((pool) => `   Base: ${pool.Base ?? ''}, Size: ${pool.Size ?? 0}`)
  return [' Default Address Pools:', ...rows]
}

function formatSwarm(swarm: SwarmInfoJson): readonly string[] {
  const state = swarm.LocalNodeState ?? 'inactive'
  if (state === 'inactive' || state === 'locked') return []
  const error = swarm.Error ?? ''
  const isManager = swarm.ControlAvailable === true
  const managers = (swarm.RemoteManagers ?? []).map((one) => one.Addr ?? '').toSorted()
  return [
    `  NodeID: ${swarm.NodeID ?? ''}`,
    ...(error === '' ? [] : [`  Error: ${error}`]),
    `  Is Manager: ${isManager}`,
    ...(isManager && error === '' && state !== 'error' ? formatCluster(swarm) : []),
    `  Node Address: ${swarm.NodeAddr ?? ''}`,
    ...(managers.length === 0
      ? []
      : ['  Manager Addresses:', ...managers.map((one) => `   ${one}`)]),
  ]
}

function formatCluster(swarm: SwarmInfoJson): readonly string[] {
  const cluster = swarm.Cluster
  if (cluster === undefined) return []
  const spec = cluster.Spec ?? {}
  const { Raft: raft = {}, CAConfig: ca = {} } = spec
  const duration = (ns: number | undefined): string => formatHumanDuration((ns ?? 0) / nsPerMs)
  const pools = cluster.DefaultAddrPool
  const cert = (ca.SigningCACert ?? '').trim()
  const authorities = ca.ExternalCAs ?? []
  return [
    `  ClusterID: ${cluster.ID ?? ''}`,
    `  Managers: ${swarm.Managers ?? 0}`,
    `  Nodes: ${swarm.Nodes ?? 0}`,
    ...(pools === undefined || pools === null
      ? []
      : [
          `  Default Address Pool: ${pools.map((pool) => `${pool}  `).join('')}`,
          `  SubnetSize: ${cluster.SubnetSize ?? 0}`,
        ]),
    ...((cluster.DataPathPort ?? 0) > 0 ? [`  Data Path Port: ${cluster.DataPathPort}`] : []),
    '  Orchestration:',
    `   Task History Retention Limit: ${spec.Orchestration?.TaskHistoryRetentionLimit ?? 0}`,
    '  Raft:',
    `   Snapshot Interval: ${raft.SnapshotInterval ?? 0}`,
    ...(raft.KeepOldSnapshots === undefined
      ? []
      : [`   Number of Old Snapshots to Retain: ${raft.KeepOldSnapshots}`]),
    `   Heartbeat Tick: ${raft.HeartbeatTick ?? 0}`,
    `   Election Tick: ${raft.ElectionTick ?? 0}`,
    '  Dispatcher:',
    `   Heartbeat Period: ${duration(spec.Dispatcher?.HeartbeatPeriod)}`,
    '  CA Configuration:',
    `   Expiry Duration: ${duration(ca.NodeCertExpiry)}`,
    `   Force Rotate: ${ca.ForceRotate ?? 0}`,
    ...(cert === '' ? [] : [`   Signing CA Certificate: \n${cert}\n`]),
    ...(authorities.length === 0 ? [] : ['   External CAs:']),
    ...authorities.map((one) => `     ${one.Protocol ?? ''}: ${one.URL ?? ''}`),
    `  Autolock Managers: ${spec.EncryptionConfig?.AutoLockManagers ?? false}`,
    `  Root Rotation In Progress: ${cluster.RootRotationInProgress ?? false}`,
  ]
}
