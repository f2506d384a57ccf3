// JSON of a service (Docker Engine API: ServiceSpec in and out, Service out). The defaults that the
// engine fills in when a service is created are filled in when we read a spec, so that what is
// stored, compared and given back is one form.

import { CodedError } from '../base/error.ts'
import {
  always,
  array,
  type Codec,
  choice,
  durationNs,
  type Field,
  given,
  labels,
  mapped,
  number,
  object,
  omitZero,
  parseAs,
  string,
  uint64,
  unlessZero,
  word,
} from '../base/schema.ts'
import { formatTime } from '../base/time.ts'
import type {
  EndpointSpec,
  JobStatus,
  NetworkAttachmentSpec,
  Service,
  ServiceMode,
  ServiceSpec,
  UpdateConfig,
  UpdateStatus,
} from '../object/service.ts'
import { compact, formatMeta, formatVersion, portJson } from './common-json.ts'
import { networkAttachmentsJson, taskTemplateJson } from './task-spec-json.ts'

type ModeCase<Type extends ServiceMode['type']> = Omit<
  Extract<ServiceMode, { readonly type: Type }>,
  'type'
>
type Nothing = Record<never, never>

const replicatedJob: Codec<ModeCase<'replicated-job'>> = mapped(
  object<{ readonly maxConcurrent: number; readonly totalCompletions?: number }>({
    maxConcurrent: always('MaxConcurrent', uint64, 1),
    totalCompletions: given('TotalCompletions', uint64),
  }),
  {
    parse: (job) => ({
      maxConcurrent: job.maxConcurrent,
      totalCompletions: job.totalCompletions ?? job.maxConcurrent,
    }),
    format: (job) => job,
  },
)

const modeJson: Codec<ServiceMode> = choice<ServiceMode>(
  {
    replicated: {
      name: 'Replicated',
      codec: object<ModeCase<'replicated'>>({ replicas: always('Replicas', uint64, 1) }),
    },
    global: { name: 'Global', codec: object<Nothing>({}) },
    'replicated-job': { name: 'ReplicatedJob', codec: replicatedJob },
    'global-job': { name: 'GlobalJob', codec: object<Nothing>({}) },
  },
  {
    none: () => ({ type: 'replicated', replicas: 1 }),
    several: 'must specify only one service mode',
  },
)

const updateJson = object<UpdateConfig>({
  parallelism: always('Parallelism', uint64, 0),
  delayNs: unlessZero('Delay', durationNs),
  failureAction: always(
    'FailureAction',
    word(['pause', 'continue', 'rollback'], {
      empty: 'pause',
      refuse: (text) => `unrecognized update failure action ${text}`,
    }),
    'pause',
  ),
  monitorNs: unlessZero('Monitor', durationNs),
  maxFailureRatio: always('MaxFailureRatio', number, 0),
  order: always(
    'Order',
    word(['stop-first', 'start-first'], {
      empty: 'stop-first',
      refuse: (text) => `unrecognized update order ${text}`,
    }),
    'stop-first',
  ),
})

const endpointSpecJson: Codec<EndpointSpec> = object<EndpointSpec>({
  mode: always(
    'Mode',
    word(['vip', 'dnsrr'], {
      empty: 'vip',
      refuse: (text) => `invalid resolution mode: "${text}"`,
    }),
    'vip',
  ),
  ports: omitZero('Ports', array(portJson), []),
})

interface Wire extends ServiceSpec {
  /** Before API 1.25 networks stood here; moved to the task's when read. */
  readonly networks?: readonly NetworkAttachmentSpec[]
}

const wireJson = object<Wire>({
  name: omitZero('Name', string, ''),
  labels: always('Labels', labels, {}),
  task: taskField(),
  mode: always('Mode', modeJson, { type: 'replicated', replicas: 1 }),
  update: given('UpdateConfig', updateJson),
  rollback: given('RollbackConfig', updateJson),
  networks: unlessZero('Networks', networkAttachmentsJson),
  endpoint: given('EndpointSpec', endpointSpecJson),
})

function taskField(): Field<ServiceSpec['task'], never> {
  return {
    name: 'TaskTemplate',
    parse: (value, path) => taskTemplateJson.parse(value ?? {}, path),
    format: (task) => (task === undefined ? undefined : taskTemplateJson.format(task)),
  }
}

/** ServiceSpec: what POST /services/create takes, and what Service.Spec holds. */
export const serviceSpecJson: Codec<ServiceSpec> = mapped(wireJson, {
  parse({ networks, ...spec }) {
    if (networks === undefined || spec.task.networks.length > 0) return spec
    return { ...spec, task: { ...spec.task, networks } }
  },
  format: (spec) => spec,
})

/** Reads the body of a create or update request. Paths in messages begin with "Spec". */
export function parseServiceSpec(body: unknown, unknown?: string[]): ServiceSpec {
  return parseAs(serviceSpecJson, body, {
    name: 'Spec',
    ...(unknown === undefined ? {} : { unknown }),
  })
}

/** Counts of tasks, given back with `?status=true`. */
export interface ServiceStatus {
  readonly running: number
  readonly desired: number
  readonly completed: number
}

/** Service: what GET /services/{id} answers. */
export function formatService(service: Service, status?: ServiceStatus): unknown {
  return compact({
    ...formatMeta(service),
    Spec: serviceSpecJson.format(service.spec),
    PreviousSpec:
      service.previousSpec === undefined ? undefined : serviceSpecJson.format(service.previousSpec),
    Endpoint: formatEndpoint(service),
    UpdateStatus:
      service.updateStatus === undefined ? undefined : formatUpdate(service.updateStatus),
    ServiceStatus: status === undefined ? undefined : formatServiceStatus(status),
    JobStatus: service.job === undefined ? undefined : formatJob(service.job),
  })
}

/** The field ServiceStatus of a service. */
export function formatServiceStatus(status: ServiceStatus): unknown {
  return {
    RunningTasks: status.running,
    DesiredTasks: status.desired,
    CompletedTasks: status.completed,
  }
}

/**
 * What was allocated. Its Spec is empty for a service that needed nothing allocated (no port, and no
 * address on a network): tools tell by that whether there is an endpoint.
 */
function formatEndpoint({ spec, endpoint }: Service): unknown {
  const { mode = 'vip', ports = [] } = spec.endpoint ?? {}
  const isAllocated = ports.length > 0 || (mode === 'vip' && spec.task.networks.length > 0)
  return compact({
    Spec: spec.endpoint !== undefined && isAllocated ? endpointSpecJson.format(spec.endpoint) : {},
    Ports: endpoint.ports.length === 0 ? undefined : endpoint.ports.map(portJson.format),
    VirtualIPs:
      endpoint.virtualIps.length === 0
        ? undefined
        : endpoint.virtualIps.map(({ networkId, address }) =>
            compact({ NetworkID: networkId, Addr: address === '' ? undefined : address }),
          ),
  })
}

function formatUpdate(status: UpdateStatus): unknown {
  return compact({
    State: status.state,
    StartedAt: status.startedAtMs === undefined ? undefined : formatTime(status.startedAtMs),
    CompletedAt: status.completedAtMs === undefined ? undefined : formatTime(status.completedAtMs),
    Message: status.message === '' ? undefined : status.message,
  })
}

function formatJob(job: JobStatus): unknown {
  return {
    JobIteration: formatVersion(job.iteration),
    LastExecution: formatTime(job.lastExecutionMs ?? zeroTimeMs),
  }
}

/** Go's zero time, 0001-01-01T00:00:00Z. */
const zeroTimeMs = -62_135_596_800_000

/** Refuses anything but the words that `?rollback=` takes; true for "previous". */
export function parseRollback(text: string | undefined): boolean {
  if (text === undefined || text === '' || text === 'none') return false
  if (text === 'previous') return true
  throw new CodedError('bad-request', `unrecognized rollback option ${text}`)
}
