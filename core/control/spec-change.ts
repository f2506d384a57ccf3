// Spec change: how a service takes on a new spec, whoever asks: a user, or a failed update that
// goes back.

import { allocatePorts } from '../allocate/ports.ts'
import { nsPerMs } from '../base/time.ts'
import { fullUpdate } from '../object/defaults.ts'
import type { Service, ServiceSpec } from '../object/service.ts'
import type { Task } from '../object/task.ts'
import type { Draft } from '../store/draft.ts'
import { isDirty, isTaskChange, slotsOf } from './slots.ts'

/** Writes a new spec; the update controller sees by `specVersion` that there is work. */
export function putSpec(
  draft: Draft,
  change: {
    readonly service: Service
    readonly spec: ServiceSpec
    readonly previousSpec: ServiceSpec | undefined
  },
): Service {
  const { service, spec, previousSpec } = change
  const { previousSpec: _before, updateStatus: _status, ...rest } = service
  return draft.put<Service>({
    ...rest,
    spec,
    specVersion: draft.index,
    endpoint: {
      ...service.endpoint,
      ports: allocatePorts(draft, {
        serviceId: service.id,
        wanted: spec.endpoint?.ports ?? [],
        had: service.endpoint.ports,
      }),
    },
    ...(previousSpec === undefined ? {} : { previousSpec }),
    // A change that touches no task (labels, replicas) leaves the story of the last update alone.
    ...(!isTaskChange(service.spec, spec) && service.updateStatus !== undefined
      ? { updateStatus: service.updateStatus }
      : {}),
  })
}

/** True if every slot has run its newest spec for the monitoring time: fit to roll back to. */
export function isHealthy(service: Service, tasks: readonly Task[], nowMs: number): boolean {
  const { monitorNs } = fullUpdate(service.spec.update)
  const slots = slotsOf(tasks)
  return (
    slots.length > 0 &&
    slots.every((slot) =>
      slot.active.some(
        (task) =>
          !isDirty(service, task) &&
          task.status.state === 'running' &&
          nowMs - (task.status.runningSinceMs ?? nowMs) >= monitorNs / nsPerMs,
      ),
    )
  )
}
