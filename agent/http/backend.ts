// Backend: what the HTTP API needs of the daemon, and nothing more. The daemon implements it; the
// routes know neither Raft nor executors.

import type { NodeId, TaskId } from '../../core/base/id.ts'
import type { Command, CommandAnswer } from '../../core/command/command.ts'
import type { Cluster } from '../../core/object/cluster.ts'
import type { ManagerStatus } from '../../core/object/node.ts'
import type { Applied } from '../../core/store/change.ts'
import type { View } from '../../core/store/view.ts'
import type { LogEntry, LogOptions } from '../executor/executor.ts'

export interface Backend {
  /** How this node stands to a cluster, for /info and for refusing calls. */
  readonly state: () => LocalState
  /**
   * A view that holds all that was committed when the call was made (ReadIndex). Throws
   * `not-in-swarm`, `not-a-manager`, `locked`, `no-leader`.
   */
  readonly read: () => Promise<View>
  /**
   * What this manager knows without asking anybody, and for how long it has known of no leader.
   * Throws `not-in-swarm`, `not-a-manager`, `locked`.
   */
  readonly stale: () => { readonly view: View; readonly ageMs: number }
  /** Resolves when committed. Throws the same, and whatever the command breaks. */
  readonly submit: (command: Command) => Promise<CommandAnswer>
  /** POST /swarm/init. Resolves to the node's id. */
  readonly init: (request: InitRequest) => Promise<NodeId>
  /** POST /swarm/join. Resolves when the node takes part, with remarks. */
  readonly join: (request: JoinCall) => Promise<readonly string[]>
  /** POST /skep/recover: this manager goes on alone. Throws failed-precondition while a leader is heard. */
  readonly recover: (request: RecoverCall) => Promise<RecoveryPlan>
  /** POST /swarm/leave. */
  readonly leave: (request: { readonly force: boolean }) => Promise<void>
  /** POST /swarm/unlock. Throws bad-request in Swarm's words, conflict if it is not locked. */
  readonly unlock: (key: string) => Promise<void>
  /** The text of the unlock key; '' while managers do not lock. */
  readonly unlockKey: () => Promise<string>
  /** The two join tokens, as of the last read. */
  readonly joinTokens: () => Promise<{ readonly worker: string; readonly manager: string }>
  /** What Raft says of a manager now; undefined for workers and while nobody knows. */
  readonly managerStatus: (id: NodeId) => ManagerStatus | undefined
  /** Calls the listener with each committed batch of changes; returns how to stop. */
  readonly watch: (listener: (applied: readonly Applied[]) => void) => () => void
  /**
   * Logs of tasks, wherever they run, each entry with its task, lines with their line end. Ends
   * when all have ended (without `follow`) or the signal aborts. Nodes that cannot be read are told
   * of; an error that it throws is shown to the client at the end of what came before.
   */
  readonly logs: (
    tasks: readonly TaskId[],
    options: LogOptions,
    reader: LogReader,
  ) => AsyncIterable<TaskLogEntry>
  /** A new secret for one of the join tokens. */
  readonly makeJoinSecret: () => string
  /** A new key for managers to lock with, 32 bytes. */
  readonly makeUnlockKey: () => Uint8Array
  /** The cluster's key as a certificate. */
  readonly trustRoot: (cluster: Cluster) => TrustRoot
  /** DER of a public key of the cluster, as such a certificate has it. */
  readonly issuerKey: (publicKey: Uint8Array) => Uint8Array
  /** A new key of the cluster, signed by the present one if nodes are to follow by themselves. */
  readonly makeClusterKey: (
    cluster: Cluster,
    how: { readonly isSigned: boolean },
  ) => Required<Extract<Command, { type: 'cluster.update' }>>['nextKey']
  readonly nowMs: () => number
}

export interface TrustRoot {
  /** PEM. */
  readonly certificate: string
  /** DER of the issuer's name and of its key. */
  readonly subject: Uint8Array
  readonly publicKey: Uint8Array
}

export interface LocalState {
  readonly state: 'inactive' | 'pending' | 'active' | 'locked' | 'error'
  readonly nodeId?: NodeId
  /** Address without port that others use. */
  readonly nodeAddress: string
  readonly isManager: boolean
  readonly error?: string
  readonly remoteManagers: readonly { readonly nodeId: string; readonly address: string }[]
  /** Version of the agent and of the engine behind it (absent without Docker). */
  readonly agentVersion: string
  readonly runtime: 'docker' | 'embedded'
}

export interface InitRequest {
  readonly listenAddress?: string
  readonly advertiseAddress?: string
  readonly dataPathAddress?: string
  readonly dataPathPort?: number
  readonly defaultAddressPool: readonly string[]
  readonly subnetSize?: number
  readonly forceNewCluster: boolean
  readonly availability: 'active' | 'pause' | 'drain'
  readonly autoLockManagers: boolean
  /** ClusterSpec of the request, as it came; absent fields take defaults. */
  readonly spec: import('../../core/object/cluster.ts').ClusterSpec
}

export interface JoinCall {
  readonly token: string
  /** host[:port] of managers; empty: those that the token names. */
  readonly remoteAddresses: readonly string[]
  readonly listenAddress?: string
  readonly advertiseAddress?: string
  readonly dataPathAddress?: string
  readonly availability: 'active' | 'pause' | 'drain'
}

export interface LogReader {
  readonly signal: AbortSignal
  readonly onMissed: (missed: MissedLog) => void
}

/** A node whose logs could not be had, or not to the end. */
export interface MissedLog {
  readonly nodeId: NodeId
  /** One of its tasks, to speak for all. */
  readonly taskId: TaskId
  readonly reason: string
}

export interface RecoverCall {
  /** Only says what would be done. */
  readonly isDryRun: boolean
  /** Also while a leader is heard; and nodes of any epoch may follow. */
  readonly isForced: boolean
  /** ip[:port]; absent: as before. */
  readonly advertiseAddress?: string
}

/** What recovering does, or would do. */
export interface RecoveryPlan {
  /** Counter of the new epoch. */
  readonly epoch: number
  /** The last entry of the log, and how many before it may not have been committed. */
  readonly index: number
  readonly uncommitted: number
  /** Nodes whose managers are forgotten. */
  readonly forgotten: readonly NodeId[]
  readonly services: number
  readonly nodes: number
}

export interface TaskLogEntry extends LogEntry {
  readonly taskId: TaskId
  readonly nodeId: NodeId
}

/** Refusals of a node that cannot do what was asked, in the words users and scripts know. */
export const swarmTexts = {
  /** bad-request, for init. */
  badListen:
    'listen address must be an IP address or network interface (with optional port number)',
  badAdvertise:
    'advertise address must be a non-zero IP address or network interface (with optional port number)',
  /** not-in-swarm, when leaving. */
  notPart: 'This node is not part of a swarm',
  /** not-in-swarm, for everything else. */
  notManager:
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
  /** not-a-manager, on a worker. */
  isWorker:
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.",
  /** not-a-manager, on a manager that is not ready yet. */
  isPreparing:
    'This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster.',
  /** unavailable (status 503), for init and join. */
  isPart:
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.',
  isLocked:
    'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.',
  leaveLocked:
    'Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.',
} as const
