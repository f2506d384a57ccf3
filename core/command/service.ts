// Commands on services: create, update, roll back, remove. They only write the service; making and
// ending tasks is the controllers' business, in the same step.

import { allocatePorts } from '../allocate/ports.ts'
import { CodedError } from '../base/error.ts'
import { makeId, type ServiceId } from '../base/id.ts'
import { isHealthy, putSpec } from '../control/spec-change.ts'
import type { Service, ServiceSpec } from '../object/service.ts'
import type { Task } from '../object/task.ts'
import { validateReferences } from '../spec/references.ts'
import { makeServiceName } from '../spec/service-name.ts'
import { checkSupported } from '../spec/supported.ts'
import { validateService, validateServiceChange } from '../spec/validate-service.ts'
import type { Draft } from '../store/draft.ts'
import type { Command, CommandAnswer } from './command.ts'
import type { CommandContext } from './context.ts'
import { checkVersion } from './version.ts'

export function createService(
  draft: Draft,
  command: Extract<Command, { type: 'service.create' }>,
  context: CommandContext,
): CommandAnswer {
  const spec = named(draft, command.spec, context)
  validateService(spec)
  checkSupported(spec)
  checkReferences(draft, spec)
  checkName(draft, spec.name)
  const id = makeId<ServiceId>(context.random)
  draft.put<Service>({
    kind: 'service',
    id,
    spec,
    specVersion: draft.index,
    endpoint: {
      ports: allocatePorts(draft, { serviceId: id, wanted: spec.endpoint?.ports ?? [] }),
      virtualIps: [],
    },
    ...(command.registryAuth === undefined ? {} : { registryAuth: command.registryAuth }),
  })
  return { id, warnings: [] }
}

export function updateService(
  draft: Draft,
  command: Extract<Command, { type: 'service.update' }>,
): CommandAnswer {
  const service = serviceOf(draft, command.id)
  checkVersion(service, command.version)
  if (command.rollback) return rollBack(draft, service)
  const { spec } = command
  validateServiceChange(service.spec, spec)
  checkSupported(spec)
  checkReferences(draft, spec)
  if (spec.name !== service.spec.name) checkName(draft, spec.name)
  const registryAuth = command.registryAuth ?? service.registryAuth
  const healthySpec = isHealthy(service, draft.tasksOfService(service.id), draft.nowMs)
    ? service.spec
    : service.healthySpec
  putSpec(draft, {
    service: {
      ...service,
      ...(registryAuth === undefined ? {} : { registryAuth }),
      ...(healthySpec === undefined ? {} : { healthySpec }),
    },
    spec,
    previousSpec: service.spec,
  })
  return { id: service.id, warnings: [] }
}

/** `service rollback`: the previous spec becomes the present one; there is then none before it. */
function rollBack(draft: Draft, service: Service): CommandAnswer {
  if (service.previousSpec === undefined) {
    throw new CodedError(
      'failed-precondition',
      `service ${service.id} does not have a previous spec`,
    )
  }
  checkReferences(draft, service.previousSpec)
  const rolled = putSpec(draft, { service, spec: service.previousSpec, previousSpec: undefined })
  draft.put<Service>({
    ...rolled,
    updateStatus: {
      state: 'rollback_started',
      startedAtMs: draft.nowMs,
      message: 'manually requested rollback',
    },
  })
  return { id: service.id, warnings: [] }
}

/** Forgets the service; its tasks are told to stop and to vanish. */
export function removeService(
  draft: Draft,
  command: Extract<Command, { type: 'service.remove' }>,
): CommandAnswer {
  const service = serviceOf(draft, command.id)
  draft.remove('service', service.id)
  for (const task of draft.tasksOfService(service.id)) {
    if (task.desiredState !== 'remove') draft.put<Task>({ ...task, desiredState: 'remove' })
  }
  return { id: service.id, warnings: [] }
}

/** The spec with a name made for it, if the user gave none. */
function named(draft: Draft, spec: ServiceSpec, context: CommandContext): ServiceSpec {
  if (spec.name !== '') return spec
  const isTaken = (name: string): boolean => draft.named('service', name) !== undefined
  return { ...spec, name: makeServiceName(context.random, isTaken) }
}

/** Throws for secrets, configs and networks that are not there (any more). */
function checkReferences(draft: Draft, spec: ServiceSpec): void {
  validateReferences(spec, {
    secret: (id) => draft.get('secret', id),
    config: (id) => draft.get('config', id),
    network: (id) => draft.get('network', id),
  })
}

function checkName(draft: Draft, name: string): void {
  if (draft.named('service', name) === undefined) return
  throw new CodedError(
    'already-exists',
    `name conflicts with an existing object: service ${name} already exists`,
  )
}

function serviceOf(draft: Draft, id: ServiceId): Service {
  const service = draft.get('service', id)
  if (service === undefined) throw new CodedError('not-found', `service ${id} not found`)
  return service
}
