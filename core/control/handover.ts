// Handover: how a slot passes from one task to the next. A task that waits (desired ready) has its
// image and its container made; it is let go when nothing else lives in the slot and its time has
// come. Only when it is ready is the one before it told to end: an image that does not exist never
// costs a task that works.
//
//   stop-first:  old running ---------------> shutdown ... ended
//                new          ready(prepared)              running
//   start-first: old running --------------------> shutdown
//                new  running (and healthy) ----->

import type { Service } from '../object/service.ts'
import { isEnded, type Task } from '../object/task.ts'
import type { ControlPass } from './controller.ts'
import { isWanted, putShutdown, type Slot, slotsOf } from './slots.ts'

/** Moves the tasks of each slot on: ends those that are replaced, lets go those that wait. */
export function handOver(pass: ControlPass, service: Service): void {
  for (const slot of slotsOf(pass.draft.tasksOfService(service.id))) {
    const newest = slot.active.at(-1)
    if (newest === undefined) continue
    if (dropNeedless(pass, slot, newest)) continue
    if (newest.desiredState === 'ready') letGo(pass, slot, newest)
    else if (newest.status.state === 'running') endOlder(pass, slot, newest)
  }
}

function letGo(pass: ControlPass, slot: Slot, task: Task): void {
  const others = slot.tasks.filter((other) => other !== task && !isEnded(other.status.state))
  if (others.length > 0) {
    if (task.status.state === 'ready') endOlder(pass, slot, task)
    return
  }
  if (task.startAtMs !== undefined && task.startAtMs > pass.draft.nowMs) {
    pass.wake(task.startAtMs)
    return
  }
  const { startAtMs: _done, ...rest } = task
  pass.draft.put<Task>({ ...rest, desiredState: 'running' })
}

/** Also those of lost nodes: from now on they are to end when they are seen again. */
function endOlder(pass: ControlPass, slot: Slot, task: Task): void {
  for (const other of slot.tasks) if (other !== task && isWanted(other)) putShutdown(pass, other)
}

/** A replacement without a place is not needed when the task it was to replace is back, or coming. */
function dropNeedless(pass: ControlPass, slot: Slot, newest: Task): boolean {
  const { status, specVersion } = newest
  const isBack = (other: Task): boolean =>
    other !== newest && isPlaced(other) && other.specVersion === specVersion
  if (status.state !== 'pending' || !slot.active.some(isBack)) return false
  pass.draft.put<Task>({ ...newest, desiredState: 'remove' })
  return true
}

/** On its way to run on a node, or running. */
function isPlaced({ status: { state } }: Task): boolean {
  return state !== 'new' && state !== 'pending' && !isEnded(state)
}
