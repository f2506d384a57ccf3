// View: how everybody reads cluster objects. The store is a view of what is committed; a draft is
// a view of the same with changes laid over it. Readers cannot tell, and must not.

import type {
  ClusterId,
  ConfigId,
  NetworkId,
  NodeId,
  SecretId,
  ServiceId,
  TaskId,
} from '../base/id.ts'
import type { Cluster } from '../object/cluster.ts'
import type { ObjectKind, ObjectOf } from '../object/object.ts'
import type { Task } from '../object/task.ts'

export interface View {
  /** The object of that kind and id. */
  readonly get: <Kind extends ObjectKind>(kind: Kind, id: string) => ObjectOf<Kind> | undefined
  /** All objects of a kind, in no order that means anything. */
  readonly all: <Kind extends ObjectKind>(kind: Kind) => readonly ObjectOf<Kind>[]
  /** The object of that kind with this name (annotations; a node's hostname is not a name). */
  readonly named: <Kind extends NamedKind>(kind: Kind, name: string) => ObjectOf<Kind> | undefined
  readonly tasksOfService: (id: ServiceId) => readonly Task[]
  readonly tasksOfNode: (id: NodeId) => readonly Task[]
  /** Tasks that wait for a node, or for the node they belong to. */
  readonly pendingTasks: () => readonly Task[]
  /** The cluster object, once there is one. */
  readonly cluster: () => Cluster | undefined
  readonly count: (kind: ObjectKind) => number
}

/** Kinds whose names are unique. */
export type NamedKind = 'service' | 'network' | 'secret' | 'config'

/** Id type of a kind, for callers that brand what they looked up. */
export interface IdOf {
  readonly cluster: ClusterId
  readonly node: NodeId
  readonly network: NetworkId
  readonly secret: SecretId
  readonly config: ConfigId
  readonly service: ServiceId
  readonly task: TaskId
}
