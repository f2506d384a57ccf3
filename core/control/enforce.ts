// Enforce: takes tasks off nodes where they may no longer be, because the node is drained or does
// not meet their constraints any more.

import type { Service } from '../object/service.ts'
import type { Task } from '../object/task.ts'
import { matchesNode, parseConstraints } from '../spec/constraint.ts'
import type { ControlPass } from './controller.ts'
import { putShutdown, putTask, slotsOf } from './slots.ts'

/** Moves the active tasks of a service away from nodes that may not have them. */
export function evictTasks(pass: ControlPass, service: Service): void {
  for (const slot of slotsOf(pass.draft.tasksOfService(service.id))) {
    const unwelcome = slot.active.filter((task) => !isWelcome(pass, task))
    const last = unwelcome.at(-1)
    if (last === undefined) continue
    for (const task of unwelcome) putShutdown(pass, task)
    if (unwelcome.length < slot.active.length || slot.number === 0) continue
    putTask(pass, service, {
      slot: { slot: slot.number },
      desiredState: 'ready',
      from: last,
      ...(last.restarts === undefined ? {} : { restarts: last.restarts }),
    })
  }
}

function isWelcome(pass: ControlPass, task: Task): boolean {
  const node = task.nodeId === undefined ? undefined : pass.draft.get('node', task.nodeId)
  if (node === undefined) return true
  if (node.spec.availability === 'drain') return false
  return matchesNode(parseConstraints(task.spec.placement?.constraints ?? []), node)
}
