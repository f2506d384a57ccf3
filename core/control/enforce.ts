// Enforce: takes tasks off nodes where they may no longer be, because the node is drained or does
// not meet their constraints any more, and gives up those of nodes that are down.
//
// A task of a lost node is an orphan, not stopped: nobody knows what it does. Its slot gets a new
// task; the old one is told to end only when the new one runs, so that a node that comes back
// with a working copy has not lost it for nothing.

import { isLeased, replaceableAtMs } from '../object/lease.ts'
import type { Service } from '../object/service.ts'
import { isEnded, type Task } from '../object/task.ts'
import { matchesNode, parseConstraints } from '../spec/constraint.ts'
import type { ControlPass } from './controller.ts'
import { putShutdown, putTask, slotsOf } from './slots.ts'

/** Moves the active tasks of a service away from nodes that may not have them. */
export function evictTasks(pass: ControlPass, service: Service): void {
  orphanLost(pass, service)
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

/** Tasks of nodes that are down, or gone from the cluster, count as ended from here on. */
function orphanLost(pass: ControlPass, service: Service): void {
  for (const task of pass.draft.tasksOfService(service.id)) {
    if (task.nodeId === undefined || isEnded(task.status.state)) continue
    if (task.status.state === 'pending') continue
    const node = pass.draft.get('node', task.nodeId)
    if (node !== undefined && node.status.state !== 'down') continue
    if (node !== undefined && isLeased(task)) {
      // A node that is heard of and cannot stop anything keeps it: nobody knows what it runs.
      if (node.status.downAtMs === undefined) continue
      const dueMs = replaceableAtMs(task, node.status.downAtMs)
      if (pass.draft.nowMs < dueMs) {
        pass.wake(dueMs)
        continue
      }
    }
    const { runningSinceMs } = task.status
    pass.draft.put<Task>({
      ...task,
      status: {
        ...task.status,
        state: 'orphaned',
        atMs: pass.draft.nowMs,
        message: 'node lost',
        ...(runningSinceMs === undefined ? {} : { runningSinceMs }),
      },
    })
  }
}

function isWelcome(pass: ControlPass, task: Task): boolean {
  const node = task.nodeId === undefined ? undefined : pass.draft.get('node', task.nodeId)
  if (node === undefined) return true
  if (node.spec.availability === 'drain') return false
  return matchesNode(parseConstraints(task.spec.placement?.constraints ?? []), node)
}
