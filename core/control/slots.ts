// Slots: a service's tasks grouped by the place they fill. A slot is one of n replicas, or a node
// for a global service. At most times it has one task that should live and a few that have ended;
// during a restart or an update it has two.

import { equal } from '../base/equal.ts'
import { makeId, type TaskId } from '../base/id.ts'
import type { PortConfig, Service, ServiceSpec, TaskSpec } from '../object/service.ts'
import { isEnded, type Restarts, slotKey, type Task } from '../object/task.ts'
import type { ControlPass } from './controller.ts'

export interface Slot {
  readonly key: string
  /** 1 and up; 0 for a slot that is a node. */
  readonly number: number
  /** Oldest first. */
  readonly tasks: readonly Task[]
  /** Those that should live and have not ended, oldest first. */
  readonly active: readonly Task[]
}

/** The slots of these tasks, by number; tasks that are to vanish are not counted. */
export function slotsOf(tasks: readonly Task[]): readonly Slot[] {
  const byKey = new Map<string, Task[]>()
  for (const task of tasks) {
    if (task.desiredState === 'remove') continue
    const key = slotKey(task)
    const list = byKey.get(key)
    if (list === undefined) byKey.set(key, [task])
    else list.push(task)
  }
  return [...byKey]
    .map(([key, list]) => {
      const sorted = list.sort(byAge)
      return { key, number: sorted[0]?.slot ?? 0, tasks: sorted, active: sorted.filter(isActive) }
    })
    .sort((a, b) => a.number - b.number || (a.key < b.key ? -1 : 1))
}

/** Oldest first. */
export function byAge(a: Task, b: Task): number {
  return a.createdAtMs - b.createdAtMs || a.specVersion - b.specVersion || (a.id < b.id ? -1 : 1)
}

/** True for a task that should live and has not ended. */
export function isActive(task: Task): boolean {
  return isWanted(task) && !isEnded(task.status.state)
}

/** True for a task that nobody has told to end. */
export function isWanted(task: Task): boolean {
  return task.desiredState === 'running' || task.desiredState === 'ready'
}

/** True if the task is not what the service's spec would make today. */
export function isDirty(service: Service, task: Task): boolean {
  if (task.specVersion === service.specVersion) return false
  return (
    !equal(task.spec, service.spec.task) ||
    !equal(hostPorts(task.ports), hostPorts(service.endpoint.ports))
  )
}

/** True if going from one spec to the other means new tasks. */
export function isTaskChange(from: ServiceSpec, to: ServiceSpec): boolean {
  return (
    !equal(from.task, to.task) ||
    !equal(hostPorts(from.endpoint?.ports ?? []), hostPorts(to.endpoint?.ports ?? []))
  )
}

/** Ports that are bound with the container; ingress ports are the node's and may change under it. */
export function hostPorts(ports: readonly PortConfig[]): readonly PortConfig[] {
  return ports.filter((port) => port.publishMode === 'host')
}

/** Writes a new task for a slot. It has no node yet. */
export function putTask(
  pass: ControlPass,
  service: Service,
  options: {
    readonly slot: Pick<Task, 'slot' | 'nodeId'>
    readonly desiredState: 'ready' | 'running'
    /** The spec to run instead of the service's own, with its version. */
    readonly from?: Pick<Task, 'spec' | 'specVersion'>
    readonly restarts?: Restarts
    readonly startAtMs?: number
    readonly error?: string
  },
): Task {
  const { slot, desiredState, from, restarts, startAtMs, error } = options
  const spec: TaskSpec = from?.spec ?? service.spec.task
  return pass.draft.put<Task>({
    kind: 'task',
    id: makeId<TaskId>(pass.random),
    serviceId: service.id,
    serviceName: service.spec.name,
    serviceLabels: service.spec.labels,
    slot: slot.slot,
    ...(slot.slot === 0 && slot.nodeId !== undefined ? { nodeId: slot.nodeId } : {}),
    spec,
    specVersion: from?.specVersion ?? service.specVersion,
    ports: service.endpoint.ports,
    networks: [],
    status: {
      state: 'pending',
      atMs: pass.draft.nowMs,
      message: 'pending task scheduling',
      ...(error === undefined ? {} : { error }),
    },
    desiredState,
    ...(restarts === undefined ? {} : { restarts }),
    ...(startAtMs === undefined ? {} : { startAtMs }),
    ...(service.registryAuth === undefined ? {} : { registryAuth: service.registryAuth }),
  })
}

/** Tells a task to end. */
export function putShutdown(pass: ControlPass, task: Task): void {
  if (isWanted(task)) pass.draft.put<Task>({ ...task, desiredState: 'shutdown' })
}
