// Ids: 25 characters of base36, as Swarm's, branded so that a task's id cannot pass for a node's.

import { below, type Random } from './random.ts'

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

export type NodeId = Branded<'node'>
export type ServiceId = Branded<'service'>
export type TaskId = Branded<'task'>
export type NetworkId = Branded<'network'>
export type SecretId = Branded<'secret'>
export type ConfigId = Branded<'config'>
export type ClusterId = Branded<'cluster'>
export type SessionId = Branded<'session'>

const digits = '0123456789abcdefghijklmnopqrstuvwxyz'

/** Characters of an id. 36^25 is a little over 2^129. */
export const idLength = 25

/** A new id. The caller names the kind: `makeId<TaskId>(random)`. */
export function makeId<Id extends string>(random: Random): Id {
  let text = ''
  for (let at = 0; at < idLength; at++) text += digits[below(random, 36)]
  return text as Id
}

/** True for the form of an id: 25 characters of 0-9 and a-z. */
export function isId(text: string): boolean {
  return /^[0-9a-z]{25}$/.test(text)
}

/** Brands a text from outside (wire, disk, HTTP) that has been checked or looked up. */
export function asId<Id extends string>(text: string): Id {
  return text as Id
}
