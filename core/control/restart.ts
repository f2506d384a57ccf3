// Restart: what becomes of a slot whose task has ended by itself. The ended task is told to stay
// ended; a new one takes its slot if the policy allows, at once for a first failure, and later and
// later while it keeps failing.

import { formatDuration, nsPerMs, nsPerSecond } from '../base/time.ts'
import { fullRestart } from '../object/defaults.ts'
import type { Service } from '../object/service.ts'
import { isEnded, type Restarts, type Task } from '../object/task.ts'
import type { ControlPass } from './controller.ts'
import { isActive, isWanted, putShutdown, putTask, slotsOf } from './slots.ts'

/** A task that ran for so long counts as sound: its failure is a first one again. */
export const stableMs = 30_000
/** The delay does not grow beyond this (a policy's own delay may be longer). */
export const delayMsMax = 60_000

/** Ends tasks that ended by themselves, and refills their slots by the restart policy. */
export function restartTasks(pass: ControlPass, service: Service): void {
  for (const slot of slotsOf(pass.draft.tasksOfService(service.id))) {
    for (const task of slot.tasks) {
      if (!isWanted(task) || !isEnded(task.status.state)) continue
      // A lost task is told to end by the handover, once another one runs in its place.
      if (task.status.state !== 'orphaned') putShutdown(pass, task)
      if (slot.tasks.some((other) => other !== task && isActive(other))) continue
      if (task.slot === 0) {
        // A global service follows its nodes: while this one is away there is nothing to restart.
        const node = task.nodeId === undefined ? undefined : pass.draft.get('node', task.nodeId)
        if (node?.status.state !== 'ready') continue
      }
      replaceTask(pass, service, task)
    }
  }
}

/** Puts a new task into the slot of one that ended, if its policy says so. */
export function replaceTask(pass: ControlPass, service: Service, task: Task): void {
  const decision = decideRestart(task, pass.draft.nowMs)
  if (!decision.isAllowed) return
  const { delayMs, restarts } = decision
  putTask(pass, service, {
    slot: task,
    desiredState: 'ready',
    restarts,
    ...(keepsSpec(service) ? { from: task } : {}),
    ...(delayMs === 0
      ? {}
      : {
          startAtMs: pass.draft.nowMs + delayMs,
          error: `failed ${restarts.failures} times in a row: restarts after ${formatDuration(delayMs * nsPerMs)}`,
        }),
  })
}

/**
 * While an update is under way or paused, a crash is no way to get the new spec: the slot waits its
 * turn with what it had.
 */
function keepsSpec(service: Service): boolean {
  switch (service.updateStatus?.state) {
    case 'updating':
    case 'paused':
    case 'rollback_started':
    case 'rollback_paused':
      return true
    default:
      return false
  }
}

export interface RestartDecision {
  readonly isAllowed: boolean
  readonly delayMs: number
  readonly restarts: Restarts
}

/** Reads the policy of an ended task (Docker API RestartPolicy) against what its slot has seen. */
export function decideRestart(task: Task, nowMs: number): RestartDecision {
  const policy = fullRestart(task.spec.restart)
  const before = task.restarts ?? { count: 0, failures: 0 }
  const ranMs = task.status.atMs - (task.status.runningSinceMs ?? task.status.atMs)
  // Losing its node is no fault of the task; nor is its being stopped there when its lease was over.
  const isLost = task.status.state === 'orphaned' || task.status.state === 'shutdown'
  const failures = ranMs >= stableMs || isLost ? 0 : before.failures
  const windowMs = policy.windowNs / nsPerMs
  const timesMs = (before.timesMs ?? []).filter((atMs) => atMs > nowMs - windowMs)
  const used = windowMs > 0 ? timesMs.length : before.count
  const isWantedByCondition =
    policy.condition === 'any' ||
    (policy.condition === 'on-failure' && task.status.state !== 'complete')
  const isWithinAttempts = isLost || policy.maxAttempts === 0 || used < policy.maxAttempts
  return {
    isAllowed: isWantedByCondition && isWithinAttempts,
    delayMs: delayOf(policy.delayNs, failures),
    restarts: {
      count: isLost ? before.count : before.count + 1,
      failures: isLost ? before.failures : failures + 1,
      ...(windowMs > 0 && policy.maxAttempts > 0
        ? { timesMs: [...timesMs, nowMs].slice(-policy.maxAttempts) }
        : {}),
    },
  }
}

/**
 * The wait before a restart, in milliseconds: none the first time, then the policy's delay, then
 * twice that, and so on up to `delayMsMax`. A policy without delay waits from the fourth time on.
 */
function delayOf(delayNs: number, failures: number): number {
  if (failures === 0) return 0
  const delayMs = delayNs / nsPerMs
  const base = delayMs > 0 ? delayMs : failures < 3 ? 0 : nsPerSecond / nsPerMs
  return Math.max(delayMs, Math.min(delayMsMax, base * 2 ** Math.min(failures - 1, 20)))
}
