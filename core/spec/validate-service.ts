// Every rule of a service spec, in Swarm's order and words. The first broken one is thrown and all
// are listed, so that a user who has three mistakes hears of three.
//
// What the daemon finds before Swarm sees the spec is bad-request (no "rpc error" in front); what
// Swarm finds is invalid-argument. Rules that need other objects (ports in use, secrets that
// must be there) stand in references.ts.

import { CodedError } from '../base/error.ts'
import { limits } from '../base/limits.ts'
import { quote } from '../base/schema.ts'
import { estimateSize } from '../base/size.ts'
import { formatDuration } from '../base/time.ts'
import type {
  ContainerSpec,
  EndpointSpec,
  FileTarget,
  Mount,
  ResourceLimits,
  ResourceReservations,
  RestartPolicy,
  ServiceMode,
  ServiceSpec,
  TaskSpec,
  UpdateConfig,
} from '../object/service.ts'
import { findHopeless, parseConstraints } from './constraint.ts'
import { parseImage } from './image.ts'
import { invalid, type Problem, throwFirst } from './problem.ts'
import { checkAnnotations, checkLabels } from './validate.ts'

type Problems = Generator<Problem, void, undefined>

const template = 'Spec.TaskTemplate'
const containerPath = `${template}.ContainerSpec`

/** Throws the first rule that the spec breaks; all stand in `detail.problems`. */
export function validateService(spec: ServiceSpec): void {
  throwFirst(findProblems(spec))
}

/** Every rule that the spec breaks, in the order in which they are looked at. */
export function* findProblems(spec: ServiceSpec): Problems {
  yield* checkRequest(spec.task)
  yield* checkAnnotations(spec)
  yield* checkTask(spec.task)
  yield* checkMode(spec.mode)
  if (isJob(spec.mode)) {
    if (spec.update !== undefined) {
      yield invalid('Spec.UpdateConfig', 'Jobs may not have an update config')
    }
  } else {
    yield* checkUpdate(spec.update, { path: 'Spec.UpdateConfig', word: 'update' })
  }
  yield* checkEndpoint(spec.endpoint)
  yield* checkUpdate(spec.rollback, { path: 'Spec.RollbackConfig', word: 'rollback' })
  yield* checkBounds(spec)
}

/**
 * Throws the first rule that the new spec of a service breaks, those of any spec first; then
 * unimplemented (501), as Swarm does, for what an update may not change.
 */
export function validateServiceChange(before: ServiceSpec, after: ServiceSpec): void {
  validateService(after)
  if (before.mode.type !== after.mode.type) {
    throw new CodedError('unimplemented', 'service mode change is not allowed', {
      detail: { path: 'Spec.Mode' },
    })
  }
  if (before.name !== after.name) {
    throw new CodedError('unimplemented', 'renaming services is not supported', {
      detail: { path: 'Spec.Name' },
    })
  }
}

function isJob(mode: ServiceMode): boolean {
  return mode.type === 'replicated-job' || mode.type === 'global-job'
}

/** What the daemon itself refuses, before Swarm sees the spec. */
function* checkRequest({ container, resources }: TaskSpec): Problems {
  const bad = (path: string, message: string): Problem => ({ code: 'bad-request', path, message })
  if (resources?.swapBytes !== undefined && (resources.limits?.memoryBytes ?? 0) === 0) {
    yield bad(
      `${template}.Resources.SwapBytes`,
      'memory swap provided, but no memory-limit was set',
    )
  }
  const credential = container.privileges?.credentialSpec
  if (credential !== undefined) {
    const path = `${containerPath}.Privileges.CredentialSpec`
    const message = credentialProblem(Object.keys(credential))
    if (message !== undefined) yield bad(path, `invalid CredentialSpec: ${message}`)
  }
  for (const [index, { file, isRuntime }] of (container.configs ?? []).entries()) {
    const path = `${containerPath}.Configs[${index}]`
    if (file === undefined && isRuntime === undefined) {
      yield bad(path, 'invalid Config: either File or Runtime should be set')
    }
    if (file !== undefined && isRuntime !== undefined) {
      yield bad(path, 'invalid Config: cannot specify both File and Runtime')
    }
  }
}

function credentialProblem(sources: readonly string[]): string | undefined {
  const names = ['config', 'file', 'registry'].filter((name) => sources.includes(name))
  const quoted = names.map((name) => `"${name}"`)
  const last = quoted.at(-1)
  if (last === undefined)
    return 'must either provide "file", "registry", or "config" for credential spec'
  if (quoted.length === 1) return undefined
  const comma = quoted.length > 2 ? ',' : ''
  const rest = quoted.slice(0, -1).join(', ')
  return `cannot specify both ${rest}${comma} and ${last} credential specs`
}

function* checkTask(task: TaskSpec): Problems {
  yield* checkResources(task.resources?.limits, `${template}.Resources.Limits`)
  yield* checkResources(task.resources?.reservations, `${template}.Resources.Reservations`)
  yield* checkRestart(task.restart)
  yield* checkConstraints(task.placement?.constraints ?? [])
  yield* checkSecrets(task.container)
  yield* checkConfigs(task.container)
  yield* checkContainer(task.container)
}

function* checkResources(
  resources: ResourceLimits | ResourceReservations | undefined,
  path: string,
): Problems {
  const { nanoCpus = 0, memoryBytes = 0 } = resources ?? {}
  if (nanoCpus !== 0 && nanoCpus < limits.nanoCpusMin) {
    const given = formatFloat(nanoCpus / 1e9)
    const least = formatFloat(limits.nanoCpusMin / 1e9)
    yield invalid(`${path}.NanoCPUs`, `invalid cpu value ${given}: Must be at least ${least}`)
  }
  if (memoryBytes !== 0 && memoryBytes < limits.memoryBytesMin) {
    yield invalid(
      `${path}.MemoryBytes`,
      `invalid memory value ${memoryBytes}: Must be at least 4MiB`,
    )
  }
}

/** As Go's %g: an exponent of two digits beyond 1e-04 and 1e+06. */
function formatFloat(value: number): string {
  const [mantissa, power] = value.toExponential().split('e')
  const exponent = Number(power)
  if (exponent >= -4 && exponent < 6) return String(value)
  const digits = String(Math.abs(exponent)).padStart(2, '0')
  return `${mantissa}e${exponent < 0 ? '-' : '+'}${digits}`
}

function* checkRestart(restart: RestartPolicy | undefined): Problems {
  const path = `${template}.RestartPolicy`
  if ((restart?.delayNs ?? 0) < 0) {
    yield invalid(`${path}.Delay`, 'TaskSpec: restart-delay cannot be negative')
  }
  if ((restart?.windowNs ?? 0) < 0) {
    yield invalid(`${path}.Window`, 'TaskSpec: restart-window cannot be negative')
  }
}

function* checkConstraints(constraints: readonly string[]): Problems {
  for (const [index, text] of constraints.entries()) {
    try {
      const why = parseConstraints([text]).map(findHopeless)[0]
      if (why !== undefined) {
        yield invalid(`${template}.Placement.Constraints[${index}]`, `constraint ${text}: ${why}`)
      }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      yield invalid(`${template}.Placement.Constraints[${index}]`, error.message)
    }
  }
}

interface Reference {
  readonly id: string
  readonly name: string
  readonly file?: FileTarget
  readonly hasTarget: boolean
}

function* checkSecrets(container: ContainerSpec): Problems {
  const references = (container.secrets ?? []).map(({ secretId, secretName, file }) => ({
    id: secretId,
    name: secretName,
    ...(file === undefined ? {} : { file }),
    hasTarget: file !== undefined,
  }))
  yield* checkReferences(references, { word: 'secret', path: `${containerPath}.Secrets` })
}

function* checkConfigs(container: ContainerSpec): Problems {
  const configs = container.configs ?? []
  const references = configs.map(({ configId, configName, file, isRuntime }) => ({
    id: configId,
    name: configName,
    ...(file === undefined ? {} : { file }),
    hasTarget: file !== undefined || isRuntime === true,
  }))
  yield* checkReferences(references, { word: 'config', path: `${containerPath}.Configs` })
  const wanted = container.privileges?.credentialSpec?.['config']
  if (wanted === undefined) return
  if (!configs.some(({ configId, isRuntime }) => configId === wanted && isRuntime === true)) {
    yield invalid(
      `${containerPath}.Privileges.CredentialSpec.Config`,
      `CredentialSpec references config '${wanted}', but that config isn't in config references with RuntimeTarget`,
    )
  }
}

function* checkReferences(
  references: readonly Reference[],
  { word, path }: { readonly word: string; readonly path: string },
): Problems {
  const nameOf = new Map<string, string>()
  for (const [index, { id, name, file, hasTarget }] of references.entries()) {
    const at = `${path}[${index}]`
    if (id === '' || name === '') yield invalid(at, `malformed ${word} reference`)
    else if (!hasTarget) yield invalid(at, `malformed ${word} reference, no target provided`)
    else if (file?.name === '') {
      yield invalid(at, `malformed file ${word} reference, invalid target file name provided`)
    } else if (file !== undefined) {
      const other = nameOf.get(file.name)
      if (other !== undefined) {
        yield invalid(
          at,
          `${word} references '${other}' and '${name}' have a conflicting target: '${file.name}'`,
        )
      }
      nameOf.set(file.name, name)
      yield* checkFile(file, { at, what: `${word} ${name}` })
    }
  }
}

/** Swarm takes names of users too, and then no task ever starts: only numbers can be meant. */
function* checkFile(
  file: FileTarget,
  { at, what }: { readonly at: string; readonly what: string },
): Problems {
  for (const [field, value] of [
    ['UID', file.uid],
    ['GID', file.gid],
  ] as const) {
    if (/^\d{1,10}$/.test(value) && Number(value) <= limits.userIdMax) continue
    yield invalid(
      `${at}.File.${field}`,
      `${what}: ${field} ${quote(value)} must be a number from 0 to ${limits.userIdMax}; names of users are not known outside the container`,
    )
  }
  const most = limits.fileModeMax
  if (file.mode < 0 || file.mode > most) {
    const [mode, bound] = [file.mode, most].map((bits) => bits.toString(8))
    yield invalid(`${at}.File.Mode`, `${what}: Mode 0${mode} must be from 0 to 0${bound}`)
  }
}

function* checkContainer(container: ContainerSpec): Problems {
  const { image, mounts = [] } = container
  if (image === '') {
    yield invalid(`${containerPath}.Image`, 'ContainerSpec: image reference must be provided')
  } else if (parseImage(image) === undefined) {
    yield invalid(
      `${containerPath}.Image`,
      `ContainerSpec: ${quote(image)} is not a valid repository/tag`,
    )
  }
  const seen = new Set<string>()
  for (const [index, { target }] of mounts.entries()) {
    if (seen.has(target)) {
      yield invalid(
        `${containerPath}.Mounts[${index}].Target`,
        `ContainerSpec: duplicate mount point: ${target}`,
      )
    }
    seen.add(target)
  }
  yield* checkHealth(container)
  for (const [index, mount] of mounts.entries()) {
    yield* checkMount(mount, `${containerPath}.Mounts[${index}]`)
  }
}

function* checkHealth({ health }: ContainerSpec): Problems {
  if (health === undefined) return
  const path = `${containerPath}.Healthcheck`
  const durations = {
    Interval: health.intervalNs,
    Timeout: health.timeoutNs,
    StartPeriod: health.startPeriodNs,
    StartInterval: health.startIntervalNs,
  }
  for (const [name, ns = 0] of Object.entries(durations)) {
    if (ns !== 0 && ns < limits.healthDurationNsMin) {
      const least = formatDuration(limits.healthDurationNsMin)
      yield invalid(
        `${path}.${name}`,
        `ContainerSpec: ${name} in HealthConfig cannot be less than ${least}`,
      )
    }
  }
  if ((health.retries ?? 0) < 0) {
    yield invalid(`${path}.Retries`, 'ContainerSpec: Retries in HealthConfig cannot be negative')
  }
}

/** Swarm finds these only on the node, task after task; here the user hears of them at once. */
function* checkMount({ type, source = '', target }: Mount, path: string): Problems {
  if (type !== 'npipe' && !isAbsolute(target)) {
    yield invalid(`${path}.Target`, `invalid mount target, must be an absolute path: ${target}`)
  }
  const message = sourceProblem(type, source)
  if (message !== undefined) yield invalid(`${path}.Source`, message)
}

function sourceProblem(type: Mount['type'], source: string): string | undefined {
  if (type === 'bind' && !isAbsolute(source)) {
    return `invalid bind mount source, must be an absolute path: ${source}`
  }
  if (type === 'volume' && source.startsWith('/')) {
    return `invalid volume mount source, must not be an absolute path: ${source}`
  }
  if (type === 'tmpfs' && source !== '') return 'invalid tmpfs source, source must be empty'
  if (type === 'npipe' && source === '') return 'invalid npipe source, source must not be empty'
  return undefined
}

/** A path that starts with a template is judged when it is filled in. */
function isAbsolute(path: string): boolean {
  return path.startsWith('/') || path.startsWith('{{')
}

/** Replicas above this are a negative number that lost its sign on the way. */
const signBit = 2 ** 63

function* checkMode(mode: ServiceMode): Problems {
  if (mode.type === 'replicated' && mode.replicas >= signBit) {
    yield invalid('Spec.Mode.Replicated.Replicas', 'Number of replicas must be non-negative')
  }
  if (mode.type !== 'replicated-job') return
  const path = 'Spec.Mode.ReplicatedJob'
  if (mode.maxConcurrent >= signBit) {
    yield invalid(`${path}.MaxConcurrent`, 'Maximum concurrent jobs must not be negative')
  }
  if (mode.totalCompletions >= signBit) {
    yield invalid(`${path}.TotalCompletions`, 'Total completed jobs must not be negative')
  }
}

function* checkUpdate(
  update: UpdateConfig | undefined,
  { path, word }: { readonly path: string; readonly word: 'update' | 'rollback' },
): Problems {
  const { delayNs = 0, monitorNs = 0, maxFailureRatio = 0 } = update ?? {}
  if (delayNs < 0) yield invalid(`${path}.Delay`, `TaskSpec: ${word}-delay cannot be negative`)
  if (monitorNs < 0) {
    yield invalid(`${path}.Monitor`, `TaskSpec: ${word}-monitor cannot be negative`)
  }
  if (maxFailureRatio < 0 || maxFailureRatio > 1) {
    yield invalid(
      `${path}.MaxFailureRatio`,
      `TaskSpec: ${word}-maxfailureratio cannot be less than 0 or bigger than 1`,
    )
  }
}

function* checkEndpoint(endpoint: EndpointSpec | undefined): Problems {
  const { mode = 'vip', ports = [] } = endpoint ?? {}
  const taken = new Set<string>()
  for (const [index, port] of ports.entries()) {
    const path = `Spec.EndpointSpec.Ports[${index}]`
    if (mode === 'dnsrr' && port.publishMode === 'ingress') {
      yield invalid(
        path,
        "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
      )
    }
    const { publishedPort = 0, protocol } = port
    if (publishedPort === 0) continue
    const key = `${publishedPort}/${protocol}`
    if (taken.has(key)) yield invalid(path, 'EndpointSpec: duplicate published ports provided')
    taken.add(key)
  }
}

/** Bounds that Swarm does not have: see core/base/limits.ts for their reasons. */
function* checkBounds(spec: ServiceSpec): Problems {
  const { container } = spec.task
  const mode = spec.mode
  if (mode.type === 'replicated') {
    yield* checkCount(mode.replicas, 'Spec.Mode.Replicated.Replicas')
  }
  if (mode.type === 'replicated-job') {
    yield* checkCount(mode.maxConcurrent, 'Spec.Mode.ReplicatedJob.MaxConcurrent')
    yield* checkCount(mode.totalCompletions, 'Spec.Mode.ReplicatedJob.TotalCompletions')
  }
  const ports = spec.endpoint?.ports ?? []
  yield* checkLength(ports, { path: 'Spec.EndpointSpec.Ports', most: limits.portsMax })
  for (const [index, { targetPort, publishedPort = 0 }] of ports.entries()) {
    const path = `Spec.EndpointSpec.Ports[${index}]`
    if (targetPort < 1 || targetPort > limits.portMax) {
      yield invalid(`${path}.TargetPort`, portProblem('target', targetPort, 1))
    }
    if (publishedPort > limits.portMax) {
      yield invalid(`${path}.PublishedPort`, portProblem('published', publishedPort, 0))
    }
  }
  const size = estimateSize(spec)
  if (size > limits.serviceSpecBytesMax) {
    const message = `the spec has about ${size} bytes, at most ${limits.serviceSpecBytesMax} are taken; put large texts in configs`
    yield { code: 'too-large', path: 'Spec', message }
  }
  yield* checkLabels(container.labels ?? {}, `${containerPath}.Labels`)
  for (const [name, list] of Object.entries(container)) {
    const path = `${containerPath}: ${name}`
    if (Array.isArray(list)) yield* checkLength(list, { path, most: limits.listItemsMax })
  }
}

function portProblem(word: string, port: number, least: number): string {
  return `${word} port ${port} is no port: give one of ${least} to ${limits.portMax}`
}

function* checkCount(count: number, path: string): Problems {
  if (count > limits.replicasMax && count < signBit) {
    yield invalid(
      path,
      `${count} tasks asked, one service may have ${limits.replicasMax}: use several services`,
    )
  }
}

function* checkLength(
  list: readonly unknown[],
  { path, most }: { readonly path: string; readonly most: number },
): Problems {
  if (list.length > most) {
    yield invalid(path, `${path} has ${list.length} items, at most ${most} are taken`)
  }
}
