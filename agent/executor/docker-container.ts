// Task -> the container that Docker is asked to create. Pure: the same task gives the same JSON.
//
// One table of fields would hide what belongs together, so there is one function for each part of
// the request: labels, configuration, host configuration, mounts, resources, privileges. A field
// that the engine's API version does not know is refused by name, never dropped in silence.
// Templates ({{.Node.Hostname}}) are expanded before; networks other than Docker's own bridge are
// attached elsewhere.

import { CodedError } from '../../core/base/error.ts'
import type { NodeId, TaskId } from '../../core/base/id.ts'
import { nsPerSecond } from '../../core/base/time.ts'
import { defaultStopGraceNs } from '../../core/object/defaults.ts'
import type { Labels } from '../../core/object/object.ts'
import type {
  ContainerSpec,
  HealthConfig,
  Mount,
  PortConfig,
  Privileges,
  TaskSpec,
} from '../../core/object/service.ts'
import { type Task, taskName } from '../../core/object/task.ts'
import { parseImage } from '../../core/spec/image.ts'
import { compareVersions } from './docker-client.ts'
import type { JsonRecord } from './engine-json.ts'

/** Label with the id of the node whose agent made the container: it touches no others. */
export const nodeLabel = 'skep.node'
/** Label with the id of the container's task, by the name that Swarm's tools read. */
export const taskLabel = 'com.docker.swarm.task.id'

/** A file of the node that is put into the container, read-only: a secret or a config. */
export interface PlacedFile {
  readonly source: string
  readonly target: string
}

/** Where the secrets and configs of tasks lie on this node, for containers to be given them. */
export interface TaskFiles {
  /** Writes the task's files unless they are there, and says where. Leaves none when it throws. */
  readonly place: (task: Task) => Promise<readonly PlacedFile[]>
  /** The task's container has ended. Fine when there are none. */
  readonly remove: (id: TaskId) => Promise<void>
  /** Removes what an earlier agent left, but for the tasks named and those placed since. */
  readonly sweep: (kept: ReadonlySet<TaskId>) => Promise<void>
}

export interface ContainerContext {
  readonly nodeId: NodeId
  /** Newest API version of the engine. */
  readonly engineVersion: string
  readonly files: readonly PlacedFile[]
}

export interface ContainerRequest {
  readonly name: string
  /** API version that the request needs, when it is above what the agent usually speaks. */
  readonly version?: string
  readonly body: JsonRecord
}

/**
 * POST /containers/create of a task. Throws `not-supported` for a field that this engine is too
 * old for, `invalid-argument` for one that cannot be meant.
 */
export function containerOf(task: Task, context: ContainerContext): ContainerRequest {
  const spec = task.spec.container
  requireVersions(spec, context.engineVersion)
  const needsSubpath = spec.mounts?.some((mount) => mount.volume?.subpath !== undefined) === true
  return {
    name: taskName(task),
    ...(needsSubpath ? { version: '1.45' } : {}),
    body: {
      ...configOf(task, context),
      HostConfig: hostConfigOf(task, context),
    },
  }
}

/**
 * The image as Docker shows it: `docker.io/library/nginx` is `nginx:latest`. What is no reference
 * (an image's own id) stays as it is.
 */
export function imageOf(spec: Pick<ContainerSpec, 'image'>): string {
  const image = parseImage(spec.image)
  if (image === undefined) return spec.image
  const { domain, path, digest } = image
  const name = domain === 'docker.io' ? path.replace(/^library\//, '') : `${domain}/${path}`
  const tag = image.tag ?? (digest === undefined ? 'latest' : undefined)
  return `${name}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
}

/** The user's labels under Swarm's and ours, which win. */
export function labelsOf(task: Task, nodeId: NodeId): Labels {
  return {
    ...task.spec.container.labels,
    'com.docker.swarm.node.id': nodeId,
    'com.docker.swarm.service.id': task.serviceId,
    'com.docker.swarm.service.name': task.serviceName,
    'com.docker.swarm.task': '',
    [taskLabel]: task.id,
    'com.docker.swarm.task.name': taskName(task),
    [nodeLabel]: nodeId,
    'skep.slot': String(task.slot),
    'skep.spec-version': String(task.specVersion),
  }
}

function configOf(task: Task, { nodeId }: ContainerContext): JsonRecord {
  const spec = task.spec.container
  const ports = hostPorts(task)
  return defined({
    Image: imageOf(spec),
    Labels: labelsOf(task, nodeId),
    // A command replaces the whole invocation; arguments alone go to the image's entrypoint.
    Entrypoint: filled(spec.command),
    Cmd: filled(spec.args),
    Env: filled(spec.env),
    WorkingDir: spec.dir,
    User: spec.user,
    Hostname: spec.hostname,
    Tty: spec.tty,
    OpenStdin: spec.openStdin,
    StopSignal: spec.stopSignal,
    StopTimeout: wholeSeconds(spec.stopGraceNs ?? defaultStopGraceNs),
    Healthcheck: spec.health === undefined ? undefined : healthOf(spec.health),
    ExposedPorts:
      ports.length === 0 ? undefined : Object.fromEntries(ports.map((p) => [p.key, {}])),
  })
}

function hostConfigOf(task: Task, context: ContainerContext): JsonRecord {
  const spec = task.spec.container
  const ports = hostPorts(task)
  const driver = task.spec.logDriver
  return defined({
    // The worker restarts tasks; an engine that did so too would run two.
    RestartPolicy: { Name: 'no' },
    NetworkMode: 'bridge',
    PortBindings:
      ports.length === 0
        ? undefined
        : Object.fromEntries(ports.map((p) => [p.key, [{ HostPort: p.published }]])),
    Mounts: filled([...(spec.mounts ?? []).map(mountOf), ...context.files.map(fileMount)]),
    GroupAdd: filled(spec.groups),
    ReadonlyRootfs: spec.readOnly,
    Isolation: spec.isolation === 'default' ? undefined : spec.isolation,
    Init: spec.init,
    Sysctls: spec.sysctls,
    CapAdd: filled(spec.capabilityAdd),
    CapDrop: filled(spec.capabilityDrop),
    OomScoreAdj: spec.oomScoreAdj,
    Ulimits: filled(
      spec.ulimits?.map((limit) => ({ Name: limit.name, Soft: limit.soft, Hard: limit.hard })),
    ),
    Dns: filled(spec.dns?.nameservers),
    DnsSearch: filled(spec.dns?.search),
    DnsOptions: filled(spec.dns?.options),
    ExtraHosts: filled(spec.hosts?.flatMap(extraHosts)),
    SecurityOpt: filled(securityOf(spec.privileges ?? {})),
    LogConfig: driver === undefined ? undefined : { Type: driver.name, Config: driver.options },
    ...resourcesOf(task.spec.resources),
  })
}

type Resources = NonNullable<TaskSpec['resources']>

function resourcesOf(resources: Resources = {}): JsonRecord {
  const { limits = {}, reservations = {}, swapBytes, memorySwappiness } = resources
  const memory = positive(limits.memoryBytes)
  return defined({
    NanoCpus: positive(limits.nanoCpus),
    Memory: memory,
    MemoryReservation: reservedMemory(positive(reservations.memoryBytes), memory),
    // The engine's figure is memory and swap together; -1 is swap without end.
    MemorySwap:
      memory === undefined || swapBytes === undefined
        ? undefined
        : swapBytes < 0
          ? -1
          : memory + swapBytes,
    MemorySwappiness:
      memorySwappiness !== undefined && memorySwappiness >= 0 ? memorySwappiness : undefined,
    PidsLimit: positive(limits.pids),
  })
}

/**
 * What the scheduler set aside is a soft limit here: the kernel takes back what is above it first.
 * The engine refuses one that is above the hard limit, or below 6 MiB.
 */
function reservedMemory(
  reserved: number | undefined,
  limit: number | undefined,
): number | undefined {
  const least = 6 * 1024 * 1024
  if (reserved === undefined || reserved < least) return undefined
  return limit === undefined ? reserved : Math.min(reserved, limit)
}

function healthOf(health: HealthConfig): JsonRecord {
  return defined({
    Test: filled(health.test),
    Interval: positive(health.intervalNs),
    Timeout: positive(health.timeoutNs),
    StartPeriod: positive(health.startPeriodNs),
    StartInterval: positive(health.startIntervalNs),
    Retries: positive(health.retries),
  })
}

function mountOf(mount: Mount): JsonRecord {
  const { bind, volume, tmpfs } = mount
  return defined({
    Type: mount.type,
    Source: mount.source,
    Target: mount.target,
    ReadOnly: mount.readOnly,
    Consistency: mount.consistency,
    BindOptions:
      bind &&
      defined({
        Propagation: bind.propagation,
        NonRecursive: bind.nonRecursive,
        CreateMountpoint: bind.createMountpoint,
        ReadOnlyNonRecursive: bind.readOnlyNonRecursive,
        ReadOnlyForceRecursive: bind.readOnlyForceRecursive,
      }),
    VolumeOptions:
      volume &&
      defined({
        NoCopy: volume.noCopy,
        Labels: volume.labels,
        Subpath: volume.subpath,
        DriverConfig: volume.driver && { Name: volume.driver.name, Options: volume.driver.options },
      }),
    TmpfsOptions: tmpfs && defined({ SizeBytes: tmpfs.sizeBytes, Mode: tmpfs.mode }),
  })
}

function fileMount(file: PlacedFile): JsonRecord {
  return { Type: 'bind', Source: file.source, Target: file.target, ReadOnly: true }
}

/** "IP canonical alias..." of a hosts file to "name:IP" for each of its names. */
function extraHosts(line: string): readonly string[] {
  const [address, ...names] = line.trim().split(/\s+/)
  return names.map((name) => `${name}:${address}`)
}

function securityOf(privileges: Privileges): readonly string[] {
  const { credentialSpec = {}, seLinux, seccomp, appArmor } = privileges
  const options: string[] = []
  for (const [source, value] of Object.entries(credentialSpec)) {
    options.push(`credentialspec=${source.toLowerCase()}://${value}`)
  }
  if (seLinux?.disable === true) options.push('label=disable')
  for (const part of ['user', 'role', 'level', 'type'] as const) {
    const value = seLinux?.[part]
    if (value !== undefined && value !== '') options.push(`label=${part}:${value}`)
  }
  if (seccomp?.mode === 'unconfined') options.push('seccomp=unconfined')
  if (seccomp?.mode === 'custom') options.push(`seccomp=${seccomp.profile ?? ''}`)
  if (appArmor?.mode === 'disabled') options.push('apparmor=unconfined')
  if (privileges.noNewPrivileges === true) options.push('no-new-privileges=true')
  return options
}

interface HostPort {
  readonly key: string
  /** '' lets the engine choose. */
  readonly published: string
}

function hostPorts(task: Task): readonly HostPort[] {
  return task.ports
    .filter((port) => port.publishMode === 'host')
    .map((port) => ({ key: portKey(port), published: String(port.publishedPort || '') }))
}

function portKey(port: PortConfig): string {
  return `${port.targetPort}/${port.protocol}`
}

interface VersionRule {
  readonly field: string
  readonly version: string
  readonly isUsed: (spec: ContainerSpec) => boolean
}

/** Fields that came to the API after 1.24, the oldest version we speak to. */
const versionRules: readonly VersionRule[] = [
  { field: 'Init', version: '1.25', isUsed: (spec) => spec.init !== undefined },
  { field: 'Mounts', version: '1.25', isUsed: (spec) => (spec.mounts?.length ?? 0) > 0 },
  {
    field: 'Healthcheck.StartPeriod',
    version: '1.29',
    isUsed: (spec) => (spec.health?.startPeriodNs ?? 0) > 0,
  },
  {
    field: 'BindOptions.NonRecursive',
    version: '1.40',
    isUsed: (spec) => spec.mounts?.some((mount) => mount.bind?.nonRecursive === true) === true,
  },
  {
    field: 'BindOptions.CreateMountpoint',
    version: '1.42',
    isUsed: (spec) => spec.mounts?.some((mount) => mount.bind?.createMountpoint === true) === true,
  },
  {
    field: 'BindOptions.ReadOnlyNonRecursive',
    version: '1.44',
    isUsed: (spec) =>
      spec.mounts?.some((mount) => mount.bind?.readOnlyNonRecursive === true) === true,
  },
  {
    field: 'BindOptions.ReadOnlyForceRecursive',
    version: '1.44',
    isUsed: (spec) =>
      spec.mounts?.some((mount) => mount.bind?.readOnlyForceRecursive === true) === true,
  },
  {
    field: 'Healthcheck.StartInterval',
    version: '1.44',
    isUsed: (spec) => (spec.health?.startIntervalNs ?? 0) > 0,
  },
  {
    field: 'VolumeOptions.Subpath',
    version: '1.45',
    isUsed: (spec) => spec.mounts?.some((mount) => mount.volume?.subpath !== undefined) === true,
  },
]

function requireVersions(spec: ContainerSpec, engineVersion: string): void {
  const broken = versionRules.filter(
    (rule) => rule.isUsed(spec) && compareVersions(engineVersion, rule.version) < 0,
  )
  if (broken.length === 0) return
  const needs = broken.map((rule) => `${rule.field} needs API ${rule.version}`).join(', ')
  throw new CodedError(
    'not-supported',
    `${needs}; this node's engine speaks ${engineVersion}: upgrade it, or leave the field out`,
  )
}

/** Seconds, rounded up: a task never gets less time than it was promised. */
export function wholeSeconds(ns: number): number {
  return Math.ceil(Math.max(ns, 0) / nsPerSecond)
}

function positive(value: number | undefined): number | undefined {
  return value !== undefined && value > 0 ? value : undefined
}

function filled<T>(values: readonly T[] | undefined): readonly T[] | undefined {
  return values === undefined || values.length === 0 ? undefined : values
}

/** Leaves out the fields that are undefined. */
function defined(fields: JsonRecord): JsonRecord {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
