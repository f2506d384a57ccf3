// Command: what a client asks of the leader. Each is checked against the leader's newest view,
// becomes changes, and is answered once these are committed.
//
// Bytes that must be secret (keys, token secrets, data keys) come inside the command, made by the
// host of the node that received it; core draws only ids and jitter.

import type { ClusterId, ConfigId, NodeId, SecretId, ServiceId } from '../base/id.ts'
import type { ClusterEpoch, ClusterKey, ClusterSpec, JoinSecrets } from '../object/cluster.ts'
import type { NodeDescription, NodeKeys, NodeRole, NodeSpec, NodeState } from '../object/node.ts'
import type { ConfigSpec, SecretSpec } from '../object/secret.ts'
import type { ServiceSpec } from '../object/service.ts'
import type { TaskReport } from '../object/task.ts'

export type Command =
  | {
      readonly type: 'cluster.init'
      readonly clusterId: ClusterId
      readonly spec: ClusterSpec
      readonly key: ClusterKey
      readonly joinSecrets: JoinSecrets
      readonly node: {
        readonly id: NodeId
        readonly keys: Required<NodeKeys>
        readonly managerAddress: string
        readonly address: string
        readonly availability: NodeSpec['availability']
      }
      /** Given with autolock only. */
      readonly unlockKey?: Uint8Array
      readonly defaultAddressPool: readonly string[]
      readonly subnetSize: number
      readonly dataPathPort: number
    }
  | {
      readonly type: 'cluster.update'
      readonly version: number
      readonly spec: ClusterSpec
      /** New secrets of the tokens that are to be rotated. */
      readonly rotate: Partial<JoinSecrets>
      /** A fresh unlock key: taken when locking is turned on, or when it is to be rotated. */
      readonly freshUnlockKey: Uint8Array
      readonly isUnlockKeyRotated: boolean
      /**
       * The key that follows the present one, and that one's signature over it. Without it nobody
       * but managers follows: the present key is in wrong hands.
       */
      readonly nextKey?: { readonly key: ClusterKey; readonly signature?: Uint8Array }
    }
  /** A manager goes on alone, in a new epoch; only its machine asks. */
  | {
      readonly type: 'cluster.recover'
      readonly epoch: ClusterEpoch
      /** Its id in Raft. */
      readonly memberId: string
    }
  /** Raft has let this member of a node go; only the leader's machine asks. */
  | { readonly type: 'node.retire'; readonly id: NodeId; readonly memberId: string }
  | {
      readonly type: 'node.update'
      readonly id: NodeId
      readonly version: number
      readonly spec: NodeSpec
    }
  /** A newcomer with a good token: which one it was says what it may become. */
  | {
      readonly type: 'node.join'
      readonly id: NodeId
      readonly role: NodeRole
      readonly keys: NodeKeys
      readonly managerAddress?: string
      readonly address: string
      readonly availability: NodeSpec['availability']
    }
  | { readonly type: 'node.remove'; readonly id: NodeId; readonly force: boolean }
  | {
      readonly type: 'node.describe'
      readonly id: NodeId
      readonly description: NodeDescription
      readonly address: string
      /** The cluster's key that its certificate is signed with. */
      readonly trustedKey?: Uint8Array
      /** Why it can run nothing at present. */
      readonly fault?: string
      /** Given by a node that is to be a manager and has made its key. */
      readonly manager?: { readonly key: Uint8Array; readonly address: string }
    }
  | {
      readonly type: 'node.state'
      readonly id: NodeId
      readonly state: NodeState
      readonly message: string
    }
  | { readonly type: 'service.create'; readonly spec: ServiceSpec; readonly registryAuth?: string }
  | {
      readonly type: 'service.update'
      readonly id: ServiceId
      readonly version: number
      readonly spec: ServiceSpec
      /** `?rollback=previous`: the spec in the request is ignored, the previous one taken. */
      readonly rollback: boolean
      readonly registryAuth?: string
      /** `?registryAuthFrom=previous-spec`. */
      readonly registryAuthFrom?: 'spec' | 'previous-spec'
    }
  | { readonly type: 'service.remove'; readonly id: ServiceId }
  | { readonly type: 'secret.create'; readonly spec: SecretSpec }
  /** Only labels may differ; absent data means the same data. */
  | {
      readonly type: 'secret.update'
      readonly id: SecretId
      readonly version: number
      readonly spec: SecretSpec
    }
  | { readonly type: 'secret.remove'; readonly id: SecretId }
  | { readonly type: 'config.create'; readonly spec: ConfigSpec }
  | {
      readonly type: 'config.update'
      readonly id: ConfigId
      readonly version: number
      readonly spec: ConfigSpec
    }
  | { readonly type: 'config.remove'; readonly id: ConfigId }
  | {
      readonly type: 'tasks.report'
      readonly nodeId: NodeId
      readonly reports: readonly TaskReport[]
    }

export type CommandType = Command['type']

/** What a command answers when it is committed: the id of what it made or changed. */
export interface CommandAnswer {
  readonly id: string
  readonly warnings: readonly string[]
}
