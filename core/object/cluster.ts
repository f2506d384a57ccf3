// Cluster: the one object that holds what all nodes share: settings, join secrets, root keys.

import type { ClusterId } from '../base/id.ts'
import type { Annotations, Meta } from './object.ts'

export interface ClusterSpec extends Annotations {
  readonly orchestration: { readonly taskHistoryLimit: number }
  readonly raft: {
    readonly snapshotInterval: number
    readonly keepOldSnapshots: number
    readonly logEntriesForSlowFollowers: number
    readonly electionTick: number
    readonly heartbeatTick: number
  }
  readonly dispatcher: { readonly heartbeatPeriodNs: number }
  readonly ca: {
    readonly nodeCertExpiryNs: number
    /** Grows with each `swarm ca --rotate`. */
    readonly forceRotate?: number
  }
  readonly taskDefaults: {
    readonly logDriver?: {
      readonly name: string
      readonly options: Readonly<Record<string, string>>
    }
  }
  readonly encryption: { readonly autoLockManagers: boolean }
}

/** Secrets of the two join tokens: 25 characters of base36 each. */
export interface JoinSecrets {
  readonly worker: string
  readonly manager: string
}

/** The Ed25519 key pair that signs the table of members. Lives only in the sealed store. */
export interface ClusterKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** 32-byte seed (RFC 8032). */
  readonly privateKey: Uint8Array
}

/** A key that was in use before, and its word for the one that followed it. */
export interface FormerKey {
  readonly publicKey: Uint8Array
  /** Ed25519, 64 bytes, over the public key that came next. */
  readonly signature: Uint8Array
}

/** The line of descent that the cluster's state is in; see core/raft's epochs. */
export interface ClusterEpoch {
  readonly counter: number
  /** Nodes may follow it also from an epoch that is not its parent. */
  readonly isForced: boolean
}

export interface Cluster extends Meta<ClusterId> {
  readonly kind: 'cluster'
  readonly spec: ClusterSpec
  readonly joinSecrets: JoinSecrets
  readonly key: ClusterKey
  /** The keys before it, the oldest first; absent while there was no other. */
  readonly formerKeys?: readonly FormerKey[]
  /** 32 bytes under which managers seal their keys; absent while they do not lock. */
  readonly unlockKey?: Uint8Array
  /** CIDRs that networks are cut from. */
  readonly defaultAddressPool: readonly string[]
  /** Prefix length of a network cut from the pool. */
  readonly subnetSize: number
  readonly dataPathPort: number
  /** Absent in the first epoch. */
  readonly epoch?: ClusterEpoch
}
