// Reap: takes ended tasks out of the store. Those that were to vanish go as soon as their node has
// said that they ended; of the rest each slot keeps a history.

import type { ServiceId } from '../base/id.ts'
import { isEnded, type Task } from '../object/task.ts'
import type { ControlPass } from './controller.ts'
import { isActive, slotsOf } from './slots.ts'

/** One pass for a service, also for one that is gone and whose tasks are still ending. */
export function reapTasks(pass: ControlPass, serviceId: ServiceId): void {
  const tasks = pass.draft.tasksOfService(serviceId)
  for (const task of tasks) {
    if (task.desiredState === 'remove' && isGone(task)) pass.draft.remove('task', task.id)
  }
  const limit = pass.draft.cluster()?.spec.orchestration.taskHistoryLimit ?? 0
  if (limit < 0) return
  for (const slot of slotsOf(tasks)) {
    const old = slot.tasks.filter((task) => !isActive(task) && isGone(task))
    const excess = Math.min(old.length, slot.tasks.length - Math.max(limit, slot.active.length, 1))
    for (const task of old.slice(0, Math.max(0, excess))) pass.draft.remove('task', task.id)
  }
}

/** True if no node runs it: it ended, or never had a node. */
function isGone(task: Task): boolean {
  return isEnded(task.status.state) || task.nodeId === undefined
}
