// --publish: `8080:80`, `8080-8082:80/udp`, or `published=8080,target=80,protocol=tcp,mode=host`.

import { CodedError } from '../../../core/base/error.ts'
import type { PortJson } from '../api-json.ts'
import { parseCsv } from '../csv.ts'
import { checkIp, cut } from './list.ts'
import { parseUint } from './number.ts'

/** Reads one --publish value; a range gives several ports. Throws invalid-argument. */
export function parsePorts(text: string): readonly PortJson[] {
  return /\w+=\w+(,\w+=\w+)*/.test(text) ? [longForm(text)] : shortForm(text)
}

function longForm(text: string): PortJson {
  let port: PortJson = { Protocol: 'tcp', PublishMode: 'ingress' }
  for (const field of parseCsv(text)) {
    const { before: key, after: value, isCut } = cut(field.toLowerCase(), '=')
    if (!isCut || key === '') throw invalid(`invalid field: ${field}`)
    port = { ...port, ...longField(key, value) }
  }
  if ((port.TargetPort ?? 0) === 0) throw invalid("missing mandatory field 'target'")
  return port
}

function longField(key: string, value: string): PortJson {
  switch (key) {
    case 'protocol':
      if (!protocols.includes(value)) throw invalid(`invalid protocol value '${value}'`)
      return { Protocol: value }
    case 'mode':
      if (value !== 'ingress' && value !== 'host') {
        throw invalid(`invalid publish mode value (${value}): must be either 'ingress' or 'host'`)
      }
      return { PublishMode: value }
    case 'target':
      return { TargetPort: portNumber(value, 'target') }
    case 'published':
      return { PublishedPort: portNumber(value, 'published') }
    default:
      throw invalid(`invalid field key: ${key}`)
  }
}

const protocols = ['tcp', 'udp', 'sctp']

function portNumber(text: string, what: string): number {
  try {
    return parseUint(text, { base: 10, bits: 16 })
  } catch (error) {
    const why = error instanceof Error ? error.message.split(': ').at(-1) : ''
    throw invalid(`invalid ${what} port (${text}): value must be an integer: ${why}`)
  }
}

function shortForm(text: string): readonly PortJson[] {
  const parts = text.split(':')
  const container = parts.at(-1) ?? ''
  const hostPorts = parts.at(-2) ?? ''
  const ip = parts
    .slice(0, -2)
    .join(':')
    .replace(/^\[(.*)\]$/, '$1')
  const { before: targets, after } = cut(container, '/')
  if (targets === '') throw invalid(`no port specified: ${text}<empty>`)
  const protocol = (after === '' ? 'tcp' : after).toLowerCase()
  if (!protocols.includes(protocol)) throw invalid(`invalid proto: ${after.toLowerCase()}`)
  if (ip !== '') checkHostIp(ip)
  const target = portRange(targets, 'containerPort')
  const published = hostPorts === '' ? undefined : portRange(hostPorts, 'hostPort')
  checkRanges({ target, published, targets, hostPorts })
  if (ip !== '') throw invalid('hostip is not supported')
  const count = Math.max(target.count, published?.count ?? 0)
  return Array.from({ length: count }, (_, at) => ({
    Protocol: protocol,
    TargetPort: target.first + (target.count === 1 ? 0 : at),
    ...(published === undefined ? {} : { PublishedPort: published.first + at }),
    PublishMode: 'ingress',
  }))
}

interface Range {
  readonly first: number
  readonly count: number
}

function checkHostIp(ip: string): void {
  try {
    checkIp(ip)
  } catch {
    throw invalid(`invalid IP address: ${ip}`)
  }
}

function checkRanges(ranges: {
  readonly target: Range
  readonly published: Range | undefined
  readonly targets: string
  readonly hostPorts: string
}): void {
  const { target, published } = ranges
  if (published === undefined || published.count === target.count || target.count === 1) return
  throw invalid(
    `invalid ranges specified for container and host Ports: ${ranges.targets} and ${ranges.hostPorts}`,
  )
}

function portRange(text: string, what: 'containerPort' | 'hostPort'): Range {
  const { before, after, isCut } = cut(text, '-')
  const [first, last] = [before, isCut ? after : before].map((port) =>
    /^[-+]?\d+$/.test(port) ? Number(port) : -1,
  ) as [number, number]
  if (first < 0 || last > 65535 || last < first) throw invalid(`invalid ${what}: ${text}`)
  return { first, count: last - first + 1 }
}

/** A port as docker compares ports: "8080:80/tcp/ingress". */
export function formatPort(port: PortJson): string {
  return `${port.PublishedPort ?? 0}:${port.TargetPort ?? 0}/${port.Protocol ?? ''}/${port.PublishMode ?? ''}`
}

function invalid(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}
