// Addresses: which address of this machine others should use, when nobody says.

import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { CodedError } from '../../core/base/error.ts'

export const defaultPort = 2377

/** Interfaces that lead to containers or nowhere, never to other machines. */
const inward = /^(lo|docker|br-|veth|virbr|cni|flannel|sk-|tap|tun)/

export interface HostPort {
  readonly host: string
  readonly port: number
}

/**
 * Parses "host:port", "[v6]:port", "host" or "interface" (then `port` is the default's). Throws
 * invalid-argument with the value and what is wrong.
 */
export function parseHostPort(text: string, port: number = defaultPort): HostPort {
  const match = /^\[([^\]]+)\](?::(\d+))?$/.exec(text) ?? /^([^:]*)(?::(\d+))?$/.exec(text)
  const bare = match === null && /^[0-9a-fA-F:]+$/.test(text) ? text : undefined
  if (match === null && bare === undefined) {
    throw new CodedError('invalid-argument', `invalid address ${text}: must be HOST[:PORT]`)
  }
  const given = match?.[2] === undefined ? port : Number(match[2])
  if (given < 1 || given > 65_535) {
    throw new CodedError('invalid-argument', `invalid address ${text}: port must be 1 to 65535`)
  }
  return { host: resolveInterface(bare ?? match?.[1] ?? ''), port: given }
}

/** "host:port", with brackets around IPv6. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** The first IPv4 (else IPv6) address of an interface of that name; any other text as it is. */
function resolveInterface(name: string): string {
  // Asking the kernel for all interfaces takes as long as a request, and more with each container.
  if (/^[\d.]+$|:/.test(name)) return name
  const addresses = networkInterfaces()[name]
  if (addresses === undefined) return name
  const first = addresses.find((each) => each.family === 'IPv4') ?? addresses[0]
  return first?.address ?? name
}

/**
 * The address to advertise: that of the interface with the default route, else the only one that
 * leads outward, else loopback (a machine without a network is a cluster of one).
 */
export function defaultAddress(): string {
  const outward = Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    inward.test(name)
      ? []
      : addresses
          .filter((each) => !each.internal && !each.address.startsWith('fe80:'))
          .map((each) => ({ name, ...each })),
  )
  const byRoute = outward.find(
    (each) => each.name === defaultRouteInterface() && each.family === 'IPv4',
  )
  const chosen = byRoute ?? outward.find((each) => each.family === 'IPv4') ?? outward[0]
  return chosen?.address ?? '127.0.0.1'
}

/** Name of the interface of the IPv4 default route (proc(5), /proc/net/route), if there is one. */
function defaultRouteInterface(): string | undefined {
  try {
    const lines = readFileSync('/proc/net/route', 'utf8').split('\n').slice(1)
    const route = lines.map((line) => line.split('\t')).find((cells) => cells[1] === '00000000')
    return route?.[0]
  } catch {
    return undefined
  }
}
