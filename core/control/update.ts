// Update: brings the tasks of a service to its newest spec, a few at a time, and stops, goes on or
// goes back when they fail. All it knows stands in the service and its tasks, so a new leader
// carries on in the middle.
//
//   (spec changed) -> updating -> completed
//                        |-> paused (failure action pause)
//                        |-> rollback_started -> rollback_completed
//                                     |-> rollback_paused

import { nsPerMs } from '../base/time.ts'
import { fullUpdate } from '../object/defaults.ts'
import type { Service, UpdateConfig, UpdateStatus } from '../object/service.ts'
import { isEnded, type Task } from '../object/task.ts'
import type { ControlPass } from './controller.ts'
import { delayMsMax } from './restart.ts'
import { isDirty, isTaskChange, putTask, type Slot, slotsOf } from './slots.ts'
import { putSpec } from './spec-change.ts'

interface Progress {
  /** Slots whose task is of an older spec and that no new one has taken yet. */
  readonly waiting: readonly Slot[]
  /** Slots with a task of the newest spec that has not proved itself for the delay. */
  readonly moving: readonly Slot[]
  /** A task of the newest spec that ended within the monitoring time, per slot. */
  readonly failed: readonly Task[]
  readonly slotCount: number
}

/** One pass of the roll-out. Reads the service from the draft: a controller before may have written. */
export function updateTasks(pass: ControlPass, service: Service): void {
  const status = service.updateStatus
  if (status?.state === 'paused' || status?.state === 'rollback_paused') return
  const isRollback = status?.state === 'rollback_started'
  const config = fullUpdate(isRollback ? service.spec.rollback : service.spec.update)
  const progress = progressOf(pass, service, config)
  if (isUnderWay(status) && isOverRatio(progress, config)) {
    if (config.failureAction !== 'continue') {
      stopUpdate(pass, service, progress)
      return
    }
  }
  if (progress.waiting.length === 0 && progress.moving.length === 0) {
    if (isUnderWay(status)) completeUpdate(pass, service, config)
    return
  }
  if (progress.waiting.length === 0) return
  const current = isUnderWay(status) ? service : startUpdate(pass, service)
  const room = config.parallelism === 0 ? Infinity : config.parallelism - progress.moving.length
  let begun = 0
  for (const slot of progress.waiting) {
    if (begun >= room) break
    if (isResting(pass, current, slot)) continue
    beginSlot(pass, current, slot, config)
    begun++
  }
}

function isUnderWay(status: UpdateStatus | undefined): boolean {
  return status?.state === 'updating' || status?.state === 'rollback_started'
}

function progressOf(pass: ControlPass, service: Service, config: Required<UpdateConfig>): Progress {
  const slots = slotsOf(pass.draft.tasksOfService(service.id))
  const waiting: Slot[] = []
  const moving: Slot[] = []
  const failed: Task[] = []
  const sinceMs = service.updateStatus?.startedAtMs ?? 0
  for (const slot of slots) {
    const newest = slot.active.at(-1) ?? slot.tasks.at(-1)
    if (newest === undefined) continue
    if (isDirty(service, newest)) waiting.push(slot)
    else if (isUnsettled(pass, newest, sinceMs, config)) moving.push(slot)
    const failure = slot.tasks.find(
      (task) => task.createdAtMs >= sinceMs && !isDirty(service, task) && hasFailed(task, config),
    )
    if (failure !== undefined) failed.push(failure)
  }
  return { waiting, moving, failed, slotCount: slots.length }
}

/** True for a task of this update that does not run yet, or not yet for as long as the delay. */
function isUnsettled(
  pass: ControlPass,
  task: Task,
  sinceMs: number,
  config: Required<UpdateConfig>,
): boolean {
  if (task.createdAtMs < sinceMs || isEnded(task.status.state)) return false
  if (task.status.state !== 'running') return true
  const settledAtMs = (task.status.runningSinceMs ?? task.status.atMs) + config.delayNs / nsPerMs
  if (settledAtMs <= pass.draft.nowMs) return false
  pass.wake(settledAtMs)
  return true
}

/** True if the task ended, not at our wish, before it had run for the monitoring time. */
function hasFailed(task: Task, config: Required<UpdateConfig>): boolean {
  const { state, atMs, runningSinceMs } = task.status
  const isFailure =
    state === 'failed' ||
    state === 'rejected' ||
    (state === 'complete' && (task.spec.restart?.condition ?? 'any') === 'any')
  return isFailure && atMs - (runningSinceMs ?? atMs) <= config.monitorNs / nsPerMs
}

function isOverRatio(progress: Progress, config: Required<UpdateConfig>): boolean {
  if (progress.failed.length === 0) return false
  return progress.failed.length / Math.max(1, progress.slotCount) > config.maxFailureRatio
}

function startUpdate(pass: ControlPass, service: Service): Service {
  return pass.draft.put<Service>({
    ...service,
    updateStatus: {
      state: 'updating',
      startedAtMs: pass.draft.nowMs,
      message: 'update in progress',
    },
  })
}

/** A slot whose new task failed (failure action continue) is tried again, later and later. */
function isResting(pass: ControlPass, service: Service, slot: Slot): boolean {
  const sinceMs = service.updateStatus?.startedAtMs ?? 0
  const tries = slot.tasks.filter((task) => task.createdAtMs >= sinceMs && !isDirty(service, task))
  const last = tries.at(-1)
  if (last === undefined || !isEnded(last.status.state)) return false
  const again = last.status.atMs + Math.min(delayMsMax, retryMs * 2 ** (tries.length - 1))
  if (again <= pass.draft.nowMs) return false
  pass.wake(again)
  return true
}

const retryMs = 5_000

function beginSlot(
  pass: ControlPass,
  service: Service,
  slot: Slot,
  config: Required<UpdateConfig>,
): void {
  const last = slot.tasks.at(-1)
  putTask(pass, service, {
    slot: { slot: slot.number, ...(last?.nodeId === undefined ? {} : { nodeId: last.nodeId }) },
    desiredState: config.order === 'start-first' ? 'running' : 'ready',
  })
}

/** Completes the update once the last new task has been watched for the monitoring time. */
function completeUpdate(pass: ControlPass, service: Service, config: Required<UpdateConfig>): void {
  const sinceMs = service.updateStatus?.startedAtMs ?? 0
  const tasks = pass.draft.tasksOfService(service.id).filter((task) => task.createdAtMs >= sinceMs)
  const lastMs = Math.max(sinceMs, ...tasks.map((task) => task.status.runningSinceMs ?? sinceMs))
  const doneMs = lastMs + config.monitorNs / nsPerMs
  if (doneMs > pass.draft.nowMs) {
    pass.wake(doneMs)
    return
  }
  const isRollback = service.updateStatus?.state === 'rollback_started'
  pass.draft.put<Service>({
    ...service,
    updateStatus: {
      ...service.updateStatus,
      state: isRollback ? 'rollback_completed' : 'completed',
      completedAtMs: pass.draft.nowMs,
      message: isRollback ? 'rollback completed' : 'update completed',
    },
  })
}

/** Pauses, or goes back to the last spec that was healthy. */
function stopUpdate(pass: ControlPass, service: Service, progress: Progress): void {
  const cause = `due to failure or early termination of task ${progress.failed[0]?.id ?? ''}`
  const isRollback = service.updateStatus?.state === 'rollback_started'
  const target = rollbackTarget(service)
  const action = fullUpdate(service.spec.update).failureAction
  if (isRollback || action !== 'rollback' || target === undefined) {
    pass.draft.put<Service>({
      ...service,
      updateStatus: {
        ...service.updateStatus,
        state: isRollback ? 'rollback_paused' : 'paused',
        message: `update paused ${cause}`,
      },
    })
    return
  }
  const rolled = putSpec(pass.draft, { service, spec: target, previousSpec: undefined })
  pass.draft.put<Service>({
    ...rolled,
    updateStatus: {
      state: 'rollback_started',
      startedAtMs: pass.draft.nowMs,
      message: `update rolled back ${cause}`,
    },
  })
  pass.wake(pass.draft.nowMs)
}

/** The last spec that was healthy, else the previous one; never the one that is failing. */
function rollbackTarget(service: Service): Service['spec'] | undefined {
  return [service.healthySpec, service.previousSpec].find(
    (spec) => spec !== undefined && isTaskChange(service.spec, spec),
  )
}
