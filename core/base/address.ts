// Addresses: IPv4 and IPv6 as one number with its width, subnets, MACs. All pure arithmetic.
//
//   10.0.1.7/24   ->  { ip: { version: 4, value: 0x0a000107n }, prefix: 24 }
//
// IPv6 texts of the form ::ffff:1.2.3.4 mean the IPv4 address, as everywhere in Go.

/** An address. `value` is the address as a number, the first byte the highest. */
export interface Ip {
  readonly version: 4 | 6
  readonly value: bigint
}

/** An address and how many of its leading bits name the network. */
export interface Cidr {
  readonly ip: Ip
  readonly prefix: number
}

/** Bits of an address. */
export function ipBits(version: Ip['version']): number {
  return version === 4 ? 32 : 128
}

/** Parses an address without port or zone; undefined for any other text. */
export function parseIp(text: string): Ip | undefined {
  return text.includes(':') ? parseIp6(text) : parseIp4(text)
}

function parseIp4(text: string): Ip | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let value = 0n
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined
    value = (value << 8n) | BigInt(part)
  }
  return { version: 4, value }
}

function parseIp6(text: string): Ip | undefined {
  const sides = text.split('::')
  if (sides.length > 2) return undefined
  const [head, tail] = sides.map((side) => (side === '' ? [] : side.split(':')))
  const left = groups(head ?? [], { mayEndInIp4: tail === undefined })
  const right = groups(tail ?? [], { mayEndInIp4: true })
  if (left === undefined || right === undefined) return undefined
  const missing = 8 - left.length - right.length
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined
  const all = [...left, ...Array<number>(missing).fill(0), ...right]
  const value = all.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n)
  const isMapped = value >> 32n === 0xffffn
  return isMapped ? { version: 4, value: value & 0xffffffffn } : { version: 6, value }
}

/** Groups of four hex digits; the last may be an IPv4 address, which makes two. */
function groups(
  parts: readonly string[],
  options: { readonly mayEndInIp4: boolean },
): readonly number[] | undefined {
  const result: number[] = []
  for (const [index, part] of parts.entries()) {
    if (options.mayEndInIp4 && index === parts.length - 1 && part.includes('.')) {
      const ip = parseIp4(part)
      if (ip === undefined) return undefined
      result.push(Number(ip.value >> 16n), Number(ip.value & 0xffffn))
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined
      result.push(Number.parseInt(part, 16))
    }
  }
  return result
}

/** The usual text: dotted, or RFC 5952 (lower case, the longest run of zeros as "::"). */
export function formatIp(ip: Ip): string {
  if (ip.version === 4) return bytesOf(ip, 4).join('.')
  const parts = Array.from({ length: 8 }, (_, index) =>
    Number((ip.value >> BigInt(112 - 16 * index)) & 0xffffn),
  )
  const { start, length } = longestZeros(parts)
  const hex = (list: readonly number[]): string => list.map((part) => part.toString(16)).join(':')
  if (length < 2) return hex(parts)
  return `${hex(parts.slice(0, start))}::${hex(parts.slice(start + length))}`
}

function longestZeros(parts: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let start = 0
  for (const [index, part] of parts.entries()) {
    if (part !== 0) start = index + 1
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start }
  }
  return best
}

function bytesOf(ip: Ip, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) =>
    Number((ip.value >> BigInt(8 * (count - 1 - index))) & 0xffn),
  )
}

/** Parses "address/prefix"; undefined for any other text. Host bits are kept. */
export function parseCidr(text: string): Cidr | undefined {
  const [address, length, ...rest] = text.split('/')
  if (address === undefined || length === undefined || rest.length > 0) return undefined
  const ip = parseIp(address)
  if (ip === undefined || !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined
  const isMapped = ip.version === 4 && address.includes(':')
  const prefix = isMapped ? Number(length) - 96 : Number(length)
  return prefix < 0 || prefix > ipBits(ip.version) ? undefined : { ip, prefix }
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIp(cidr.ip)}/${cidr.prefix}`
}

/** The subnet with its host bits zero: its first address. */
export function subnetOf(cidr: Cidr): Cidr {
  return { ...cidr, ip: firstIp(cidr) }
}

/** The first address of a subnet. */
export function firstIp({ ip, prefix }: Cidr): Ip {
  const hostBits = BigInt(ipBits(ip.version) - prefix)
  return { ...ip, value: (ip.value >> hostBits) << hostBits }
}

/** The last address of a subnet (the broadcast address in IPv4). */
export function lastIp(cidr: Cidr): Ip {
  const first = firstIp(cidr)
  return { ...first, value: first.value + subnetSize(cidr) - 1n }
}

/** How many addresses a subnet has, first and last included. */
export function subnetSize({ ip, prefix }: Cidr): bigint {
  return 1n << BigInt(ipBits(ip.version) - prefix)
}

/** True if the address lies in the subnet. */
export function containsIp(subnet: Cidr, ip: Ip): boolean {
  if (subnet.ip.version !== ip.version) return false
  const hostBits = BigInt(ipBits(ip.version) - subnet.prefix)
  return subnet.ip.value >> hostBits === ip.value >> hostBits
}

/** True if the two subnets share an address. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  return a.prefix <= b.prefix ? containsIp(a, b.ip) : containsIp(b, a.ip)
}

export function sameIp(a: Ip, b: Ip): boolean {
  return a.version === b.version && a.value === b.value
}

/** The address `count` further on; undefined beyond either end of all addresses. */
export function offsetIp(ip: Ip, count: number | bigint): Ip | undefined {
  const value = ip.value + BigInt(count)
  return value < 0n || value >> BigInt(ipBits(ip.version)) !== 0n ? undefined : { ...ip, value }
}

/** Parses six bytes of hex with ":" or "-" between; undefined for any other text. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}([:-])[0-9a-f]{2}(\1[0-9a-f]{2}){4}$/i.test(text)) return undefined
  return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16))
}

/** "02:42:0a:00:01:07". */
export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':')
}
