// Shapes of the Docker Engine API's JSON, as far as the commands read or write them. Field names and
// their order are the API's own. A daemon leaves out what is empty, so almost all is optional.

type Text = Readonly<Record<string, string>>

export interface VersionJson {
  readonly Index?: number
}

export interface PortJson {
  readonly Name?: string
  readonly Protocol?: string
  readonly TargetPort?: number
  readonly PublishedPort?: number
  readonly PublishMode?: string
}

export interface MountJson {
  readonly Type?: string
  readonly Source?: string
  readonly Target?: string
  readonly ReadOnly?: boolean
  readonly Consistency?: string
  readonly BindOptions?: {
    readonly Propagation?: string
    readonly NonRecursive?: boolean
    readonly CreateMountpoint?: boolean
    readonly ReadOnlyNonRecursive?: boolean
    readonly ReadOnlyForceRecursive?: boolean
  }
  readonly VolumeOptions?: {
    readonly NoCopy?: boolean
    readonly Labels?: Text
    readonly Subpath?: string
    readonly DriverConfig?: DriverJson
  }
  readonly ImageOptions?: { readonly Subpath?: string }
  readonly TmpfsOptions?: { readonly SizeBytes?: number; readonly Mode?: number }
}

export interface DriverJson {
  readonly Name?: string
  readonly Options?: Text
}

export interface UlimitJson {
  readonly Name: string
  readonly Hard: number
  readonly Soft: number
}

export interface FileTargetJson {
  readonly Name: string
  readonly UID: string
  readonly GID: string
  readonly Mode: number
}

export interface SecretReferenceJson {
  readonly File?: FileTargetJson
  readonly SecretID?: string
  readonly SecretName?: string
}

export interface ConfigReferenceJson {
  readonly File?: FileTargetJson
  readonly Runtime?: Readonly<Record<string, never>>
  readonly ConfigID?: string
  readonly ConfigName?: string
}

export interface CredentialSpecJson {
  readonly Config: string
  readonly File: string
  readonly Registry: string
}

export interface HealthJson {
  readonly Test?: readonly string[]
  readonly Interval?: number
  readonly Timeout?: number
  readonly StartPeriod?: number
  readonly StartInterval?: number
  readonly Retries?: number
}

export interface DnsJson {
  readonly Nameservers?: readonly string[]
  readonly Search?: readonly string[]
  readonly Options?: readonly string[]
}

export interface ContainerSpecJson {
  readonly Image?: string
  readonly Labels?: Text
  readonly Command?: readonly string[]
  readonly Args?: readonly string[]
  readonly Hostname?: string
  readonly Env?: readonly string[]
  readonly Dir?: string
  readonly User?: string
  readonly Groups?: readonly string[]
  readonly Privileges?: { readonly CredentialSpec?: CredentialSpecJson | null }
  readonly Init?: boolean
  readonly StopSignal?: string
  readonly TTY?: boolean
  readonly OpenStdin?: boolean
  readonly ReadOnly?: boolean
  readonly Mounts?: readonly MountJson[]
  readonly StopGracePeriod?: number
  readonly Healthcheck?: HealthJson
  readonly Hosts?: readonly string[]
  readonly DNSConfig?: DnsJson
  readonly Secrets?: readonly SecretReferenceJson[]
  readonly Configs?: readonly ConfigReferenceJson[]
  readonly Isolation?: string
  readonly Sysctls?: Text
  readonly CapabilityAdd?: readonly string[]
  readonly CapabilityDrop?: readonly string[]
  readonly Ulimits?: readonly UlimitJson[]
  readonly OomScoreAdj?: number
}

export interface GenericResourceJson {
  readonly NamedResourceSpec?: { readonly Kind?: string; readonly Value?: string }
  readonly DiscreteResourceSpec?: { readonly Kind?: string; readonly Value?: number }
}

export interface ResourcesJson {
  readonly Limits?: {
    readonly NanoCPUs?: number
    readonly MemoryBytes?: number
    readonly Pids?: number
  }
  readonly Reservations?: {
    readonly NanoCPUs?: number
    readonly MemoryBytes?: number
    readonly GenericResources?: readonly GenericResourceJson[]
  }
}

export interface RestartPolicyJson {
  readonly Condition?: string
  readonly Delay?: number
  readonly MaxAttempts?: number
  readonly Window?: number
}

export interface PlacementPreferenceJson {
  readonly Spread?: { readonly SpreadDescriptor?: string }
}

export interface PlatformJson {
  readonly Architecture?: string
  readonly OS?: string
}

export interface PlacementJson {
  readonly Constraints?: readonly string[]
  readonly Preferences?: readonly PlacementPreferenceJson[]
  readonly MaxReplicas?: number
  readonly Platforms?: readonly PlatformJson[]
}

export interface NetworkAttachmentJson {
  readonly Target?: string
  readonly Aliases?: readonly string[]
  readonly DriverOpts?: Text
}

export interface TaskSpecJson {
  readonly ContainerSpec?: ContainerSpecJson
  readonly Resources?: ResourcesJson
  readonly RestartPolicy?: RestartPolicyJson
  readonly Placement?: PlacementJson
  readonly Networks?: readonly NetworkAttachmentJson[]
  readonly LogDriver?: DriverJson
  readonly ForceUpdate?: number
  readonly Runtime?: string
}

export interface ModeJson {
  readonly Replicated?: { readonly Replicas?: number }
  readonly Global?: Readonly<Record<string, never>>
  readonly ReplicatedJob?: { readonly MaxConcurrent?: number; readonly TotalCompletions?: number }
  readonly GlobalJob?: Readonly<Record<string, never>>
}

export interface UpdateConfigJson {
  readonly Parallelism?: number
  readonly Delay?: number
  readonly FailureAction?: string
  readonly Monitor?: number
  readonly MaxFailureRatio?: number
  readonly Order?: string
}

export interface EndpointSpecJson {
  readonly Mode?: string
  readonly Ports?: readonly PortJson[]
}

export interface ServiceSpecJson {
  readonly Name?: string
  readonly Labels?: Text
  readonly TaskTemplate?: TaskSpecJson
  readonly Mode?: ModeJson
  readonly UpdateConfig?: UpdateConfigJson
  readonly RollbackConfig?: UpdateConfigJson
  readonly EndpointSpec?: EndpointSpecJson
}

export interface ServiceJson {
  readonly ID: string
  readonly Version?: VersionJson
  readonly Spec?: ServiceSpecJson
  readonly Endpoint?: { readonly Ports?: readonly PortJson[] }
  readonly UpdateStatus?: {
    readonly State?: string
    readonly StartedAt?: string
    readonly CompletedAt?: string
    readonly Message?: string
  }
  readonly ServiceStatus?: {
    readonly RunningTasks?: number
    readonly DesiredTasks?: number
    readonly CompletedTasks?: number
  }
  readonly JobStatus?: { readonly JobIteration?: VersionJson }
}

export interface TaskJson {
  readonly ID: string
  readonly CreatedAt?: string
  readonly Spec?: TaskSpecJson
  readonly ServiceID?: string
  readonly Slot?: number
  readonly NodeID?: string
  readonly DesiredState?: string
  readonly Status?: {
    readonly Timestamp?: string
    readonly State?: string
    readonly Message?: string
    readonly Err?: string
    readonly PortStatus?: { readonly Ports?: readonly PortJson[] }
  }
  readonly JobIteration?: VersionJson
}

export interface TlsInfoJson {
  readonly TrustRoot?: string
  readonly CertIssuerSubject?: string
  readonly CertIssuerPublicKey?: string
}

export interface NodeSpecJson {
  readonly Name?: string
  readonly Labels?: Text
  readonly Role?: string
  readonly Availability?: string
}

export interface NodeJson {
  readonly ID: string
  readonly Version?: VersionJson
  readonly CreatedAt?: string
  readonly Spec?: NodeSpecJson
  readonly Description?: {
    readonly Hostname?: string
    readonly Platform?: PlatformJson
    readonly Resources?: { readonly NanoCPUs?: number; readonly MemoryBytes?: number }
    readonly Engine?: {
      readonly EngineVersion?: string
      readonly Labels?: Text
      readonly Plugins?: readonly { readonly Type: string; readonly Name: string }[]
    }
    readonly TLSInfo?: TlsInfoJson
  }
  readonly Status?: {
    readonly State?: string
    readonly Message?: string
    readonly Addr?: string
  }
  readonly ManagerStatus?: {
    readonly Leader?: boolean
    readonly Reachability?: string
    readonly Addr?: string
  }
}

export interface ExternalCaJson {
  readonly Protocol?: string
  readonly URL?: string
  readonly Options?: Text
  readonly CACert?: string
}

export interface ClusterSpecJson {
  readonly Name?: string
  readonly Labels?: Text
  readonly Orchestration?: { readonly TaskHistoryRetentionLimit?: number }
  readonly Raft?: {
    readonly SnapshotInterval?: number
    readonly KeepOldSnapshots?: number
    readonly LogEntriesForSlowFollowers?: number
    readonly ElectionTick?: number
    readonly HeartbeatTick?: number
  }
  readonly Dispatcher?: { readonly HeartbeatPeriod?: number }
  readonly CAConfig?: {
    readonly NodeCertExpiry?: number
    readonly ExternalCAs?: readonly ExternalCaJson[]
    readonly SigningCACert?: string
    readonly SigningCAKey?: string
    readonly ForceRotate?: number
  }
  readonly EncryptionConfig?: { readonly AutoLockManagers?: boolean }
}

export interface ClusterJson {
  readonly ID?: string
  readonly Version?: VersionJson
  readonly Spec?: ClusterSpecJson
  readonly TLSInfo?: TlsInfoJson
  readonly RootRotationInProgress?: boolean
  readonly DefaultAddrPool?: readonly string[] | null
  readonly SubnetSize?: number
  readonly DataPathPort?: number
  readonly JoinTokens?: { readonly Worker?: string; readonly Manager?: string }
}

export interface SwarmInfoJson {
  readonly NodeID?: string
  readonly NodeAddr?: string
  readonly LocalNodeState?: string
  readonly ControlAvailable?: boolean
  readonly Error?: string
  readonly RemoteManagers?: readonly { readonly Addr?: string }[] | null
  readonly Nodes?: number
  readonly Managers?: number
  readonly Cluster?: ClusterJson
}

export interface ObjectJson {
  readonly ID: string
  readonly Version?: VersionJson
  readonly CreatedAt?: string
  readonly UpdatedAt?: string
  readonly Spec?: {
    readonly Name?: string
    readonly Labels?: Text | null
    readonly Data?: string
    readonly Driver?: DriverJson
    readonly Templating?: DriverJson
  }
}

export interface NetworkJson {
  readonly Id: string
  readonly Name?: string
  readonly Created?: string
  readonly Scope?: string
  readonly Driver?: string
  readonly EnableIPv4?: boolean
  readonly EnableIPv6?: boolean
  readonly Internal?: boolean
  readonly Ingress?: boolean
  readonly Labels?: Text | null
}

export interface EventJson {
  readonly Type?: string
  readonly Action?: string
  readonly Actor?: { readonly ID?: string; readonly Attributes?: Text | null }
  readonly scope?: string
  readonly time?: number
  readonly timeNano?: number
  readonly status?: string
  readonly id?: string
  readonly from?: string
}

export interface InfoJson {
  readonly ID?: string
  readonly Containers?: number
  readonly ContainersRunning?: number
  readonly ContainersPaused?: number
  readonly ContainersStopped?: number
  readonly Images?: number
  readonly ServerVersion?: string
  readonly Driver?: string
  readonly DriverStatus?: readonly (readonly [string, string])[] | null
  readonly LoggingDriver?: string
  readonly CgroupDriver?: string
  readonly CgroupVersion?: string
  readonly Plugins?: {
    readonly Volume?: readonly string[] | null
    readonly Network?: readonly string[] | null
    readonly Authorization?: readonly string[] | null
    readonly Log?: readonly string[] | null
  }
  readonly CDISpecDirs?: readonly string[] | null
  readonly Swarm?: SwarmInfoJson
  readonly Runtimes?: Readonly<Record<string, unknown>> | null
  readonly DefaultRuntime?: string
  readonly OSType?: string
  readonly InitBinary?: string
  readonly ContainerdCommit?: { readonly ID?: string }
  readonly RuncCommit?: { readonly ID?: string }
  readonly InitCommit?: { readonly ID?: string }
  readonly SecurityOptions?: readonly string[] | null
  readonly KernelVersion?: string
  readonly OperatingSystem?: string
  readonly Architecture?: string
  readonly NCPU?: number
  readonly MemTotal?: number
  readonly Name?: string
  readonly DockerRootDir?: string
  readonly Debug?: boolean
  readonly NFd?: number
  readonly NGoroutines?: number
  readonly SystemTime?: string
  readonly NEventsListener?: number
  readonly HttpProxy?: string
  readonly HttpsProxy?: string
  readonly NoProxy?: string
  readonly Labels?: readonly string[] | null
  readonly ExperimentalBuild?: boolean
  readonly RegistryConfig?: {
    readonly InsecureRegistryCIDRs?: readonly string[] | null
    readonly IndexConfigs?: Readonly<
      Record<string, { readonly Name?: string; readonly Secure?: boolean }>
    > | null
    readonly Mirrors?: readonly string[] | null
  }
  readonly LiveRestoreEnabled?: boolean
  readonly ProductLicense?: string
  readonly DefaultAddressPools?:
    | readonly { readonly Base?: string; readonly Size?: number }[]
    | null
  readonly Warnings?: readonly string[] | null
}
