// Global: one task on every node that may have one, also on nodes that join later.

import type { Node } from '../object/node.ts'
import type { Service } from '../object/service.ts'
import { slotKey } from '../object/task.ts'
import { matchesNode, parseConstraints } from '../spec/constraint.ts'
import type { ControlPass } from './controller.ts'
import { decideRestart } from './restart.ts'
import { isDirty, putTask, type Slot, slotsOf } from './slots.ts'

/** One pass for a service of mode global; others are left alone. Leaving nodes is enforce's part. */
export function coverNodes(pass: ControlPass, service: Service): void {
  if (service.spec.mode.type !== 'global') return
  const tasks = pass.draft.tasksOfService(service.id)
  const slots = new Map(slotsOf(tasks).map((slot) => [slot.key, slot]))
  const constraints = parseConstraints(service.spec.task.placement?.constraints ?? [])
  for (const node of pass.draft.all('node')) {
    if (!takesNewTasks(node) || !matchesNode(constraints, node)) continue
    const slot = slots.get(slotKey({ slot: 0, nodeId: node.id }))
    if (slot !== undefined && (slot.active.length > 0 || isDone(pass, service, slot))) continue
    putTask(pass, service, { slot: { slot: 0, nodeId: node.id }, desiredState: 'running' })
  }
}

function takesNewTasks(node: Node): boolean {
  return node.status.state === 'ready' && node.spec.availability === 'active'
}

/** True for a slot whose last task ended and whose policy wants no other. */
function isDone(pass: ControlPass, service: Service, slot: Slot): boolean {
  const last = slot.tasks.at(-1)
  if (last === undefined || isDirty(service, last)) return false
  const { state } = last.status
  const isByItself = state === 'complete' || state === 'failed' || state === 'rejected'
  return isByItself && !decideRestart(last, pass.draft.nowMs).isAllowed
}
