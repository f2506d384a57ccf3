// Replicated: makes and drops slots until there are as many as replicas are wanted.

import type { NodeId } from '../base/id.ts'
import type { Service } from '../object/service.ts'
import type { Task } from '../object/task.ts'
import type { ControlPass } from './controller.ts'
import { putTask, type Slot, slotsOf } from './slots.ts'

/** One pass for a service of mode replicated; others are left alone. */
export function scaleReplicas(pass: ControlPass, service: Service): void {
  if (service.spec.mode.type !== 'replicated') return
  const { replicas } = service.spec.mode
  const slots = slotsOf(pass.draft.tasksOfService(service.id))
  for (const slot of excess(slots, slots.length - replicas)) dropSlot(pass, slot)
  const taken = new Set(slots.map((slot) => slot.number))
  let missing = replicas - slots.length
  for (let number = 1; missing > 0; number++) {
    if (taken.has(number)) continue
    putTask(pass, service, { slot: { slot: number }, desiredState: 'running' })
    missing--
  }
}

function dropSlot(pass: ControlPass, slot: Slot): void {
  for (const task of slot.tasks) pass.draft.put<Task>({ ...task, desiredState: 'remove' })
}

/**
 * Which slots go: those that do not run, then those on the nodes with most tasks of the service
 * (so that the rest stays spread), then the highest numbers.
 */
function excess(slots: readonly Slot[], count: number): readonly Slot[] {
  if (count <= 0) return []
  const left = new Set(slots)
  const onNode = new Map<NodeId | undefined, number>()
  for (const slot of slots) count1(onNode, nodeOf(slot), 1)
  const dropped: Slot[] = []
  while (dropped.length < count) {
    const worst = [...left].reduce((a, b) => (isWorse(b, a, onNode) ? b : a))
    left.delete(worst)
    count1(onNode, nodeOf(worst), -1)
    dropped.push(worst)
  }
  return dropped
}

function isWorse(a: Slot, b: Slot, onNode: ReadonlyMap<NodeId | undefined, number>): boolean {
  const [runsA, runsB] = [isRunning(a), isRunning(b)]
  if (runsA !== runsB) return runsB
  const crowd = (onNode.get(nodeOf(a)) ?? 0) - (onNode.get(nodeOf(b)) ?? 0)
  return crowd !== 0 ? crowd > 0 : a.number > b.number
}

function isRunning(slot: Slot): boolean {
  return slot.active.some((task) => task.status.state === 'running')
}

function nodeOf(slot: Slot): NodeId | undefined {
  return slot.active.at(-1)?.nodeId
}

function count1(
  counts: Map<NodeId | undefined, number>,
  key: NodeId | undefined,
  by: number,
): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}
