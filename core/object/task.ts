// Task: one try to run one container of a service on one node. A task is never restarted; a new
// one takes its slot.
//
//   new -> pending -> assigned -> accepted -> preparing -> ready -> starting -> running
//   (manager)        |  (worker) ........................................|       |
//                    v                                                   v       v
//             rejected (could not be prepared)                        failed  complete
//             shutdown (stopped when asked)    orphaned (its node was lost)
//
// `status.state` is what is, and only the worker moves it from assigned on; `desiredState` is what
// should be, only managers move it, and only forward.

import type { NodeId, ServiceId, TaskId } from '../base/id.ts'
import type { NetworkAttachment } from './network.ts'
import type { GenericResource } from './node.ts'
import type { Labels, Meta } from './object.ts'
import type { PortConfig, TaskSpec } from './service.ts'

/** In order: a later state never goes back to an earlier one. */
export const taskStates = [
  'new',
  'pending',
  'assigned',
  'accepted',
  'preparing',
  'ready',
  'starting',
  'running',
  'complete',
  'shutdown',
  'failed',
  'rejected',
  'remove',
  'orphaned',
] as const

export type TaskState = (typeof taskStates)[number]

const rankOf = new Map<TaskState, number>(taskStates.map((state, rank) => [state, rank]))

/** Place of a state in the order above, from 0. */
export function stateRank(state: TaskState): number {
  return rankOf.get(state) ?? 0
}

/** True for a state from which no container will ever run again. */
export function isEnded(state: TaskState): boolean {
  return stateRank(state) > stateRank('running')
}

export interface ContainerStatus {
  readonly id: string
  readonly pid: number
  readonly exitCode: number
}

export interface TaskStatus {
  readonly state: TaskState
  readonly atMs: number
  /** What happened, e.g. "started". */
  readonly message: string
  /** Why it went wrong, as `service ps` shows it in ERROR. */
  readonly error?: string
  readonly container?: ContainerStatus
  /** Since when it has been running, as its worker saw it; kept when it has ended. */
  readonly runningSinceMs?: number
  /** Host-mode ports as this task's node has bound them. */
  readonly ports?: readonly PortConfig[]
  /** Addresses of the container on this node, where ingress reaches it. Absent before it runs. */
  readonly addresses?: readonly string[]
}

/** A worker's word on one of its tasks. */
export interface TaskReport {
  readonly id: TaskId
  readonly status: TaskStatus
}

/** How often the slot of a task was restarted before it: what a restart policy counts. */
export interface Restarts {
  /** Restarts since the spec last changed. */
  readonly count: number
  /** Failures one after another, each soon after its start: what makes the delay grow. */
  readonly failures: number
  /** When the last restarts were, at most `maxAttempts` of them; only kept with a window. */
  readonly timesMs?: readonly number[]
}

export type DesiredState = 'ready' | 'running' | 'complete' | 'shutdown' | 'remove'

export interface Task extends Meta<TaskId> {
  readonly kind: 'task'
  readonly serviceId: ServiceId
  readonly serviceName: string
  readonly serviceLabels: Labels
  /** 1 and up for replicated services; 0 for global ones, whose slot is the node. */
  readonly slot: number
  readonly nodeId?: NodeId
  readonly spec: TaskSpec
  /** `specVersion` of the service that this task was made from. */
  readonly specVersion: number
  readonly ports: readonly PortConfig[]
  readonly networks: readonly NetworkAttachment[]
  /** What the scheduler took of the node's generic resources for this task. */
  readonly genericResources?: readonly GenericResource[]
  readonly status: TaskStatus
  readonly desiredState: DesiredState
  /** Set on a task that waits (desired ready) to be let go: when it may run. */
  readonly startAtMs?: number
  /** What restarting this slot has come to; absent on a slot's first task. */
  readonly restarts?: Restarts
  readonly jobIteration?: number
  readonly registryAuth?: string
}

/** The container's name on its node, as Swarm makes it: service.slot.id. */
export function taskName(task: Pick<Task, 'serviceName' | 'slot' | 'nodeId' | 'id'>): string {
  return `${slotName(task)}.${task.id}`
}

/** How `service ps` calls a slot: service.1, or service.NODE for a global service. */
export function slotName(task: Pick<Task, 'serviceName' | 'slot' | 'nodeId'>): string {
  return `${task.serviceName}.${task.slot === 0 ? (task.nodeId ?? '') : task.slot}`
}

/** Key of a slot within its service. */
export function slotKey(task: Pick<Task, 'slot' | 'nodeId'>): string {
  return task.slot === 0 ? `node:${task.nodeId ?? ''}` : `slot:${task.slot}`
}
