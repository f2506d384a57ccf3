// Node usage: what a node has left for a task that is to be placed, and how crowded it is.

import type { ServiceId } from '../base/id.ts'
import type { Node } from '../object/node.ts'
import type { PortConfig } from '../object/service.ts'
import { isEnded, slotKey, type Task } from '../object/task.ts'
import type { View } from '../store/view.ts'

export interface NodeUsage {
  readonly node: Node
  /** Tasks that live on the node or are on their way to it. */
  readonly tasks: readonly Task[]
  readonly nanoCpusFree: number
  readonly memoryBytesFree: number
}

/** Usage of a node as the view has it. */
export function usageOf(view: View, node: Node): NodeUsage {
  return withTasks(node, view.tasksOfNode(node.id).filter(isPresent))
}

/** The same node with one task more. */
export function withTask(usage: NodeUsage, task: Task): NodeUsage {
  return withTasks(usage.node, [...usage.tasks, task])
}

/**
 * The same node as a task sees it that will follow another in its slot: that one's ports and
 * resources count as free, since it ends before this one starts.
 */
export function forTask(usage: NodeUsage, task: Task): NodeUsage {
  const isBefore = (other: Task): boolean =>
    other.serviceId === task.serviceId && slotKey(other) === slotKey(task)
  if (task.desiredState !== 'ready' || !usage.tasks.some(isBefore)) return usage
  return withTasks(
    usage.node,
    usage.tasks.filter((other) => !isBefore(other)),
  )
}

/** How many of its tasks are of this service. */
export function tasksOf(usage: NodeUsage, service: ServiceId): number {
  return usage.tasks.filter((task) => task.serviceId === service).length
}

/** Host-mode ports that are taken on the node. */
export function takenPorts(usage: NodeUsage): readonly PortConfig[] {
  return usage.tasks.flatMap((task) => task.ports.filter((port) => port.publishMode === 'host'))
}

function isPresent(task: Task): boolean {
  return (
    task.status.state !== 'pending' &&
    !isEnded(task.status.state) &&
    (task.desiredState === 'running' || task.desiredState === 'ready')
  )
}

function withTasks(node: Node, tasks: readonly Task[]): NodeUsage {
  const has = node.description?.resources
  const reserved = tasks.map((task) => task.spec.resources?.reservations)
  const sum = (
    pick: (each: NonNullable<(typeof reserved)[number]>) => number | undefined,
  ): number =>
    reserved.reduce((total, each) => total + (each === undefined ? 0 : (pick(each) ?? 0)), 0)
  return {
    node,
    tasks,
    nanoCpusFree: (has?.nanoCpus ?? 0) - sum((each) => each.nanoCpus),
    memoryBytesFree: (has?.memoryBytes ?? 0) - sum((each) => each.memoryBytes),
  }
}
