// Cluster objects: what the store holds and Raft replicates. Every object is plain readonly data,
// made of strings, numbers, booleans, arrays, records and bytes; a change is a new object.
//
// Absence is an absent key (never null), so that an object means the same after a round trip
// through msgpack. Times are milliseconds since 1970, durations say their unit in the name.

import type { Cluster } from './cluster.ts'
import type { Network } from './network.ts'
import type { Node } from './node.ts'
import type { Config, Secret } from './secret.ts'
import type { Service } from './service.ts'
import type { Task } from './task.ts'

/** What every object carries. */
export interface Meta<Id extends string> {
  readonly id: Id
  /** Raft index of the last change: the API's optimistic lock ("update out of sequence"). */
  readonly version: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

/** Name and labels, as the API's Annotations. */
export interface Annotations {
  readonly name: string
  readonly labels: Labels
}

export type Labels = Readonly<Record<string, string>>

export type ClusterObject = Cluster | Node | Service | Task | Network | Secret | Config
export type ObjectKind = ClusterObject['kind']

/** The object type of a kind. */
export type ObjectOf<Kind extends ObjectKind> = Extract<ClusterObject, { readonly kind: Kind }>

/** All kinds, in the order of snapshots: those that others refer to come first. */
export const objectKinds = [
  'cluster',
  'node',
  'network',
  'secret',
  'config',
  'service',
  'task',
] as const satisfies readonly ObjectKind[]
