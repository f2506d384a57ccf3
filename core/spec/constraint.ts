// Constraints: which nodes may run a service's tasks. "node.labels.zone==east", "node.role!=manager".
// Every one must hold. Keys and values are compared without regard to case, names of labels with.
//
//   node.id  node.hostname  node.ip  node.role  node.platform.os  node.platform.arch
//   node.labels.NAME  engine.labels.NAME

import { containsIp, parseCidr, parseIp, sameIp } from '../base/address.ts'
import { CodedError } from '../base/error.ts'
import type { Node } from '../object/node.ts'
import type { Labels } from '../object/object.ts'

export interface Constraint {
  readonly key: string
  readonly operator: '==' | '!='
  readonly value: string
}

const operators = ['==', '!='] as const

/**
 * Parses "KEY==VALUE" and "KEY!=VALUE". Throws invalid-argument in Swarm's words. A key that no node
 * has is no error here: it matches no node, as in Swarm (see `isKnownKey`).
 */
export function parseConstraints(list: readonly string[]): readonly Constraint[] {
  return list.map(parseConstraint)
}

function parseConstraint(text: string): Constraint {
  const operator = operators.find((candidate) => text.includes(candidate))
  if (operator === undefined) {
    throw new CodedError(
      'invalid-argument',
      `constraint expected one operator from ${operators.join(', ')}`,
    )
  }
  const at = text.indexOf(operator)
  const key = text.slice(0, at).trim()
  const value = text.slice(at + operator.length).trim()
  if (!/^[a-z_][a-z0-9\-_.]+$/i.test(key)) {
    throw new CodedError('invalid-argument', `key '${key}' is invalid`)
  }
  // Everything but the characters that operators are or could once be made of.
  if (!/^[a-z0-9:\-_\s.*()?+[\]\\^$|/]+$/i.test(value)) {
    throw new CodedError('invalid-argument', `value '${value}' is invalid`)
  }
  return { key, operator, value }
}

/** Key -> what a node has for it. Labels are looked up by prefix. */
const readerOf: Readonly<Record<string, (node: Node) => string>> = {
  'node.id': (node) => node.id,
  'node.hostname': (node) => node.description?.hostname ?? '',
  'node.role': (node) => node.spec.role,
  'node.platform.os': (node) => node.description?.platform.os ?? '',
  'node.platform.arch': (node) => node.description?.platform.architecture ?? '',
}

const labelsOf: Readonly<Record<string, (node: Node) => Labels>> = {
  'node.labels.': (node) => node.spec.labels,
  'engine.labels.': (node) => node.description?.engine.labels ?? {},
}

/**
 * Why no node at all can match, with `==` as with `!=`: a key that nodes do not have, an address
 * that is none. Swarm takes these and lets the tasks wait for ever.
 */
export function findHopeless({ key, value }: Constraint): string | undefined {
  const folded = key.toLowerCase()
  if (folded === 'node.ip') {
    const isAddress = parseIp(value) !== undefined || parseCidr(value) !== undefined
    return isAddress ? undefined : `'${value}' is neither an address nor a subnet`
  }
  if (Object.hasOwn(readerOf, folded) || labelPrefix(key) !== undefined) return undefined
  const known = ['node.ip', ...Object.keys(readerOf), ...Object.keys(labelsOf)].map((name) =>
    name.endsWith('.') ? `${name}NAME` : name,
  )
  return `no node has '${key}'; nodes have ${known.sort().join(', ')}`
}

/** True if all constraints hold on the node. */
export function matchesNode(constraints: readonly Constraint[], node: Node): boolean {
  return constraints.every((constraint) => holds(constraint, node))
}

/** True if the one constraint holds on the node. */
export function holds(constraint: Constraint, node: Node): boolean {
  const { key, operator, value } = constraint
  if (key.toLowerCase() === 'node.ip') {
    const isThere = isAddressIn(value, node.status.address ?? '')
    return isThere !== undefined && isThere === (operator === '==')
  }
  const actual = actualValue(key, node)
  if (actual === undefined) return false
  return (actual.toLowerCase() === value.toLowerCase()) === (operator === '==')
}

/** What the node has for a key, '' for a label that is not there; undefined for an unknown key. */
function actualValue(key: string, node: Node): string | undefined {
  const folded = key.toLowerCase()
  if (Object.hasOwn(readerOf, folded)) return readerOf[folded]?.(node)
  const prefix = labelPrefix(key)
  if (prefix === undefined) return undefined
  const labels = labelsOf[prefix]?.(node) ?? {}
  const name = key.slice(prefix.length)
  return Object.hasOwn(labels, name) ? labels[name] : ''
}

function labelPrefix(key: string): string | undefined {
  const folded = key.toLowerCase()
  return Object.keys(labelsOf).find(
    (prefix) => folded.startsWith(prefix) && key.length > prefix.length,
  )
}

/** Whether the address is, or lies in, what the value says; undefined for a value that is neither. */
function isAddressIn(value: string, address: string): boolean | undefined {
  const ip = parseIp(address)
  const wanted = parseIp(value)
  if (wanted !== undefined) return ip !== undefined && sameIp(wanted, ip)
  const subnet = parseCidr(value)
  if (subnet === undefined) return undefined
  return ip !== undefined && containsIp(subnet, ip)
}
