// Service: what the user wants to run, and what the cluster says of it. The shapes follow the
// Docker Engine API (ServiceSpec, TaskSpec, ContainerSpec) in our names, so that any spec that
// Docker accepts can be kept and given back unchanged, also fields that no executor honours yet.
//
// A field that the user did not give is absent; core/object/defaults.ts says what absence means.

import type { ConfigId, NetworkId, SecretId, ServiceId } from '../base/id.ts'
import type { GenericResource, Platform } from './node.ts'
import type { Annotations, Labels, Meta } from './object.ts'
import type { Driver } from './secret.ts'

export interface ServiceSpec extends Annotations {
  readonly task: TaskSpec
  readonly mode: ServiceMode
  readonly update?: UpdateConfig
  readonly rollback?: UpdateConfig
  readonly endpoint?: EndpointSpec
}

export type ServiceMode =
  | { readonly type: 'replicated'; readonly replicas: number }
  | { readonly type: 'global' }
  | {
      readonly type: 'replicated-job'
      readonly maxConcurrent: number
      readonly totalCompletions: number
    }
  | { readonly type: 'global-job' }

export interface UpdateConfig {
  /** Tasks at a time; 0 is all at once. */
  readonly parallelism: number
  readonly delayNs?: number
  readonly failureAction?: 'pause' | 'continue' | 'rollback'
  readonly monitorNs?: number
  /** 0 to 1. */
  readonly maxFailureRatio?: number
  readonly order?: 'stop-first' | 'start-first'
}

export interface EndpointSpec {
  readonly mode?: 'vip' | 'dnsrr'
  readonly ports: readonly PortConfig[]
}

export type PortProtocol = 'tcp' | 'udp' | 'sctp'

export interface PortConfig {
  readonly name?: string
  readonly protocol: PortProtocol
  readonly targetPort: number
  /** 0 or absent: the cluster chooses one of 30000-32767. */
  readonly publishedPort?: number
  readonly publishMode: 'ingress' | 'host'
}

export interface TaskSpec {
  readonly container: ContainerSpec
  readonly resources?: {
    readonly limits?: ResourceLimits
    readonly reservations?: ResourceReservations
    readonly swapBytes?: number
    readonly memorySwappiness?: number
  }
  readonly restart?: RestartPolicy
  readonly placement?: Placement
  readonly networks: readonly NetworkAttachmentSpec[]
  readonly logDriver?: Driver
  /** Grows by one with `service update --force`: a new spec that says nothing new. */
  readonly forceUpdate: number
  readonly runtime?: string
}

export interface ResourceLimits {
  readonly nanoCpus?: number
  readonly memoryBytes?: number
  readonly pids?: number
}

export interface ResourceReservations {
  readonly nanoCpus?: number
  readonly memoryBytes?: number
  readonly generic?: readonly GenericResource[]
}

export interface RestartPolicy {
  readonly condition?: 'none' | 'on-failure' | 'any'
  readonly delayNs?: number
  /** 0 or absent: without end. */
  readonly maxAttempts?: number
  readonly windowNs?: number
}

export interface Placement {
  readonly constraints?: readonly string[]
  readonly preferences?: readonly { readonly spread: string }[]
  /** Tasks of the service on one node at the most; 0 or absent: no limit. */
  readonly maxReplicas?: number
  readonly platforms?: readonly Partial<Platform>[]
}

export interface NetworkAttachmentSpec {
  /** Id (names are resolved when the spec is accepted). */
  readonly target: NetworkId
  readonly aliases?: readonly string[]
  readonly driverOptions?: Readonly<Record<string, string>>
}

export interface ContainerSpec {
  readonly image: string
  readonly labels?: Labels
  /** Replaces the image's entrypoint. */
  readonly command?: readonly string[]
  /** Replaces the image's command. */
  readonly args?: readonly string[]
  readonly hostname?: string
  /** "KEY=value", or "KEY" to remove one of the image. */
  readonly env?: readonly string[]
  readonly dir?: string
  readonly user?: string
  readonly groups?: readonly string[]
  readonly privileges?: Privileges
  readonly tty?: boolean
  readonly openStdin?: boolean
  readonly readOnly?: boolean
  readonly mounts?: readonly Mount[]
  readonly stopSignal?: string
  readonly stopGraceNs?: number
  readonly health?: HealthConfig
  /** "IP canonical alias...": lines of /etc/hosts. */
  readonly hosts?: readonly string[]
  readonly dns?: {
    readonly nameservers?: readonly string[]
    readonly search?: readonly string[]
    readonly options?: readonly string[]
  }
  readonly secrets?: readonly SecretReference[]
  readonly configs?: readonly ConfigReference[]
  readonly isolation?: 'default' | 'process' | 'hyperv'
  readonly init?: boolean
  readonly sysctls?: Readonly<Record<string, string>>
  readonly capabilityAdd?: readonly string[]
  readonly capabilityDrop?: readonly string[]
  readonly ulimits?: readonly Ulimit[]
  readonly oomScoreAdj?: number
}

export interface Ulimit {
  readonly name: string
  readonly soft: number
  readonly hard: number
}

/** Security settings; kept as given, each honoured by the executor or refused by name. */
export interface Privileges {
  readonly credentialSpec?: Readonly<Record<string, string>>
  readonly seLinux?: {
    readonly disable?: boolean
    readonly user?: string
    readonly role?: string
    readonly type?: string
    readonly level?: string
  }
  /** `profile` is the JSON text of a custom profile. */
  readonly seccomp?: { readonly mode?: string; readonly profile?: string }
  readonly appArmor?: { readonly mode?: string }
  readonly noNewPrivileges?: boolean
}

export interface Mount {
  readonly type: 'bind' | 'volume' | 'tmpfs' | 'npipe' | 'cluster' | 'image'
  readonly source?: string
  readonly target: string
  readonly readOnly?: boolean
  readonly consistency?: string
  readonly bind?: {
    readonly propagation?: string
    readonly nonRecursive?: boolean
    readonly createMountpoint?: boolean
    readonly readOnlyNonRecursive?: boolean
    readonly readOnlyForceRecursive?: boolean
  }
  readonly volume?: {
    readonly noCopy?: boolean
    readonly labels?: Labels
    readonly subpath?: string
    readonly driver?: Driver
  }
  readonly tmpfs?: {
    readonly sizeBytes?: number
    readonly mode?: number
    /** Options of mount(8), each a key or a key and its value. */
    readonly options?: readonly (readonly string[])[]
  }
  readonly image?: { readonly subpath?: string }
}

export interface HealthConfig {
  /** [] inherits, ["NONE"] disables, ["CMD", args...], ["CMD-SHELL", command]. */
  readonly test?: readonly string[]
  readonly intervalNs?: number
  readonly timeoutNs?: number
  readonly startPeriodNs?: number
  readonly startIntervalNs?: number
  readonly retries?: number
}

export interface FileTarget {
  readonly name: string
  readonly uid: string
  readonly gid: string
  readonly mode: number
}

export interface SecretReference {
  readonly secretId: SecretId
  readonly secretName: string
  readonly file?: FileTarget
}

export interface ConfigReference {
  readonly configId: ConfigId
  readonly configName: string
  readonly file?: FileTarget
  /** Used as the credential spec of the container (Windows); refused on Linux. */
  readonly isRuntime?: boolean
}

export type UpdateState =
  | 'updating'
  | 'paused'
  | 'completed'
  | 'rollback_started'
  | 'rollback_paused'
  | 'rollback_completed'

export interface UpdateStatus {
  readonly state: UpdateState
  readonly startedAtMs?: number
  readonly completedAtMs?: number
  readonly message: string
}

/** What was allocated for a service's endpoint. */
export interface Endpoint {
  readonly ports: readonly PortConfig[]
  readonly virtualIps: readonly { readonly networkId: NetworkId; readonly address: string }[]
}

export interface JobStatus {
  readonly iteration: number
  readonly lastExecutionMs?: number
}

export interface Service extends Meta<ServiceId> {
  readonly kind: 'service'
  readonly spec: ServiceSpec
  /** Raft index of the last change of `spec`: tasks made from it carry the same number. */
  readonly specVersion: number
  readonly previousSpec?: ServiceSpec
  /** The last spec whose tasks were all seen healthy: where an automatic rollback goes. */
  readonly healthySpec?: ServiceSpec
  readonly endpoint: Endpoint
  readonly updateStatus?: UpdateStatus
  readonly job?: JobStatus
  /** X-Registry-Auth as the client sent it with the spec, for pulls on the nodes. */
  readonly registryAuth?: string
}
