// node inspect --pretty, in docker's layout.

import type { NodeJson, TlsInfoJson } from './api-json.ts'
import { formatGoTime } from './go-print.ts'
import { capitalize } from './output.ts'
import { formatBytes } from './units.ts'

/** A node for people. */
export function formatNode(node: NodeJson): string {
  const { Spec: spec = {}, Description: description = {}, Status: status = {} } = node
  const { Resources: resources = {}, Engine: engine = {}, Platform: platform = {} } = description
  const memory = resources.MemoryBytes ?? 0
  const parts = [
    `ID:\t\t\t${node.ID}`,
    spec.Name === undefined || spec.Name === '' ? '' : `\nName:\t\t\t${spec.Name}`,
    labels('Labels', spec.Labels),
    `\nHostname:              \t${description.Hostname ?? ''}`,
    `\nJoined at:             \t${formatJoined(node.CreatedAt ?? '')}`,
    `\nStatus:\n State:\t\t\t${capitalize(status.State ?? '')}`,
    status.Message === undefined || status.Message === ''
      ? ''
      : `\n Message:              \t${capitalize(status.Message)}`,
    `\n Availability:         \t${capitalize(spec.Availability ?? '')}`,
    status.Addr === undefined || status.Addr === '' ? '' : `\n Address:\t\t${status.Addr}`,
    formatManager(node),
    `\nPlatform:\n Operating System:\t${platform.OS ?? ''}\n Architecture:\t\t${platform.Architecture ?? ''}`,
    `\nResources:\n CPUs:\t\t\t${Math.trunc((resources.NanoCPUs ?? 0) / 1e9)}`,
    `\n Memory:\t\t${memory === 0 ? '' : formatBytes(memory)}`,
    formatPlugins(engine.Plugins ?? []),
    `\nEngine Version:\t\t${engine.EngineVersion ?? ''}`,
    labels('Engine Labels', engine.Labels),
    formatTls(description.TLSInfo ?? {}),
    '\n',
  ]
  return parts.join('')
}

function labels(title: string, record: Readonly<Record<string, string>> | undefined): string {
  const keys = Object.keys(record ?? {}).toSorted()
  if (keys.length === 0) return ''
  const rows = keys.map((key) => {
    const value = record?.[key] ?? ''
    return `\n - ${key}${value === '' ? '' : `=${value}`}`
  })
  return `\n${title}:${rows.join('')}`
}

/** A time as Go prints it, in lower case as docker shows it. */
export function formatJoined(time: string): string {
  return formatGoTime(time).toLowerCase()
}

function formatManager(node: NodeJson): string {
  const manager = node.ManagerStatus
  if (manager === undefined || manager === null) return ''
  return [
    `\nManager Status:\n Address:\t\t${manager.Addr ?? ''}`,
    `\n Raft Status:\t\t${capitalize(manager.Reachability ?? '')}`,
    `\n Leader:\t\t${manager.Leader === true ? 'Yes' : 'No'}`,
  ].join('')
}

function formatPlugins(
  plugins: readonly { readonly Type: string; readonly Name: string }[],
): string {
  if (plugins.length === 0) return ''
  const types = [...new Set(plugins.map((plugin) => plugin.Type))].toSorted()
  const rows = types.map((type) => {
    const names = plugins.filter((plugin) => plugin.Type === type).map((plugin) => plugin.Name)
    return `\n ${type}:\t\t${names.join(', ')}`
  })
  return `\nPlugins:${rows.join('')}`
}

function formatTls(info: TlsInfoJson): string {
  const { TrustRoot: root = '', CertIssuerSubject: subject = '' } = info
  const key = info.CertIssuerPublicKey ?? ''
  if (root + subject + key === '') return ''
  return `\nTLS Info:\n TrustRoot:\n${root}\n Issuer Subject:\t${subject}\n Issuer Public Key:\t${key}`
}
