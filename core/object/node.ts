// Node: a machine of the cluster, as its administrator wants it (spec), as it describes itself
// (description) and as the manager sees it (status).

import type { NodeId } from '../base/id.ts'
import type { Labels, Meta } from './object.ts'

export type NodeRole = 'worker' | 'manager'
export type NodeAvailability = 'active' | 'pause' | 'drain'

/**
 *   (created) -> unknown -> ready <-> down (silent, or left in good order)
 *
 * `disconnected` is a word of Swarm's that clients know.
 */
export type NodeState = 'unknown' | 'down' | 'ready' | 'disconnected'

export interface NodeSpec {
  /** Mostly empty; a node is known by its hostname. */
  readonly name?: string
  readonly labels: Labels
  readonly role: NodeRole
  readonly availability: NodeAvailability
}

export interface Platform {
  /** As uname prints it: x86_64, aarch64. */
  readonly architecture: string
  readonly os: string
}

/** A countable or named resource beyond CPU and memory. */
export type GenericResource =
  | { readonly type: 'discrete'; readonly kind: string; readonly value: number }
  | { readonly type: 'named'; readonly kind: string; readonly value: string }

export interface NodeResources {
  readonly nanoCpus: number
  readonly memoryBytes: number
  readonly generic: readonly GenericResource[]
}

export interface EnginePlugin {
  readonly type: string
  readonly name: string
}

/** What a node says of itself when its session opens, and again when it changes. */
export interface NodeDescription {
  readonly hostname: string
  readonly platform: Platform
  readonly resources: NodeResources
  readonly engine: {
    readonly version: string
    readonly labels: Labels
    readonly plugins: readonly EnginePlugin[]
  }
  /** Which executor runs its containers. */
  readonly runtime: 'docker' | 'embedded'
  /** Version of the agent. */
  readonly agentVersion: string
}

export interface NodeStatus {
  readonly state: NodeState
  readonly message?: string
  /** Address without port, as the session saw it. */
  readonly address?: string
  /** While it is down: since when it has been called so, by the clock of the leader. */
  readonly downAtMs?: number
}

export interface ManagerStatus {
  readonly isLeader: boolean
  readonly reachability: 'unknown' | 'unreachable' | 'reachable'
  /** host:port for other nodes. */
  readonly address: string
}

/** X25519 public keys, 32 bytes each: what a node is known by, whatever its address. */
export interface NodeKeys {
  readonly worker: Uint8Array
  /** Its other half, once it is to be a manager; sealed on its disk when managers lock. */
  readonly manager?: Uint8Array
}

export interface Node extends Meta<NodeId> {
  readonly kind: 'node'
  readonly spec: NodeSpec
  readonly keys: NodeKeys
  /** Grows with every demotion: older keys and members of this node count no more. */
  readonly generation: number
  readonly description?: NodeDescription
  readonly status: NodeStatus
  /** The cluster's public key that its certificate is signed with, as its session has said. */
  readonly trustedKey?: Uint8Array
  /** host:port where this manager is reached; absent on workers. */
  readonly managerAddress?: string
  /** Its id in Raft. A node that is demoted and promoted again comes back as another member. */
  readonly memberId?: string
}

/** A node's id in Raft: another one each time that it becomes a manager again. */
export function memberIdOf(node: Pick<Node, 'id' | 'generation'>): string {
  return node.generation === 1 ? node.id : `${node.id}.${node.generation}`
}

/** The node that a member of Raft is. */
export function nodeOfMember(memberId: string): NodeId {
  return memberId.split('.', 1)[0] as NodeId
}
