// Task driver: takes one task from accepted to its end, one executor operation at a time.
//
//   assigned -> accepted -> preparing -> ready -> starting -> running -> complete | failed
//                             |  prepare           start, health          exit
//                             v
//                          rejected                    any of them -> shutdown (when told to)
//
// It is a plain object and pure functions: the worker machine feeds it what happened and asks it
// what to do next. It never forgets a container: what it does not know it learns from the list
// that the executor gives after every (re)connection.

import { unreachable } from '../base/assert.ts'
import type { TaskId } from '../base/id.ts'
import type { PortConfig } from '../object/service.ts'
import {
  type ContainerStatus,
  isEnded,
  type Restarts,
  stateRank,
  type Task,
  type TaskState,
  type TaskStatus,
} from '../object/task.ts'

/** What the executor says of a container that was started. */
export interface StartedFacts {
  readonly container: ContainerStatus
  readonly ports: readonly PortConfig[]
  readonly addresses: readonly string[]
  readonly hasHealthCheck: boolean
}

export interface ExitFacts {
  readonly exitCode: number
  readonly isOomKilled: boolean
  readonly error?: string
}

export type HealthFacts = 'none' | 'starting' | 'healthy' | 'unhealthy'

export type OperationName = 'prepare' | 'start' | 'stop' | 'remove'

export type OperationResult =
  | { readonly type: 'prepared'; readonly containerId: string }
  | { readonly type: 'started'; readonly started: StartedFacts }
  | { readonly type: 'stopped' }
  | { readonly type: 'removed' }
  /** `isEngineLost`: the engine does not answer; nothing is known of the task. */
  | { readonly type: 'failed'; readonly message: string; readonly isEngineLost: boolean }

export interface Driver {
  /** As last assigned. */
  readonly task: Task
  readonly status: TaskStatus
  /** The operation that runs now. */
  readonly operation?: OperationName
  readonly isPrepared: boolean
  readonly started?: StartedFacts
  readonly exit?: ExitFacts
  readonly health: HealthFacts
  /** Why we are stopping it, if it was not told to end. */
  readonly fault?: string
  /** True once the manager has taken the task away: stop it, remove it, forget it. */
  readonly isUnassigned: boolean
  /** Cut off, it is started anew: its ended container goes first. */
  readonly isRenewed?: boolean
  /** What restarting it here, without a manager, has come to. */
  readonly restarts?: Restarts
  /** It runs on the node's lease, which is over. */
  readonly isFenced?: boolean
}

/** A driver for a task that was just assigned. */
export function newDriver(task: Task): Driver {
  return {
    task,
    status: task.status,
    isPrepared: stateRank(task.status.state) >= stateRank('ready') && !isEnded(task.status.state),
    health: 'none',
    isUnassigned: false,
  }
}

export type NextStep =
  | { readonly type: 'none' }
  | { readonly type: 'run'; readonly operation: OperationName }
  /** Give up the operation that runs: the task is to end. */
  | { readonly type: 'cancel' }

/** What to do next with a driver while the engine answers. */
export function nextStep(driver: Driver): NextStep {
  const none = { type: 'none' } as const
  const isToEnd = mustEnd(driver)
  if (driver.isRenewed === true && driver.operation === undefined && !isToEnd) {
    return { type: 'run', operation: 'remove' }
  }
  if (driver.operation !== undefined) {
    return isToEnd && driver.operation === 'prepare' ? { type: 'cancel' } : none
  }
  if (isToEnd) {
    if (isRunning(driver)) return { type: 'run', operation: 'stop' }
    return driver.isUnassigned ? { type: 'run', operation: 'remove' } : none
  }
  if (isEnded(driver.status.state)) return none
  if (!driver.isPrepared) return { type: 'run', operation: 'prepare' }
  if (driver.task.desiredState === 'running' && driver.started === undefined) {
    return { type: 'run', operation: 'start' }
  }
  return none
}

/** True while a container of the task runs, as far as we know. */
export function isRunning(driver: Driver): boolean {
  return driver.started !== undefined && driver.exit === undefined
}

/** True for a task that answers requests: it runs, is healthy, and is not about to be stopped. */
export function isServing(driver: Driver): boolean {
  return driver.status.state === 'running' && isRunning(driver) && !mustEnd(driver)
}

function mustEnd(driver: Driver): boolean {
  const { desiredState } = driver.task
  return (
    driver.isUnassigned ||
    driver.isFenced === true ||
    driver.fault !== undefined ||
    desiredState === 'shutdown' ||
    desiredState === 'remove'
  )
}

/** The task was assigned anew: mostly its desired state has changed. */
export function reassign(driver: Driver, task: Task, nowMs: number): Driver {
  return settle({ ...driver, task, isUnassigned: false }, nowMs)
}

/** An operation begins: the state moves on. */
export function begin(driver: Driver, operation: OperationName, nowMs: number): Driver {
  const next = { ...driver, operation }
  switch (operation) {
    case 'prepare':
      return move(next, 'preparing', 'preparing', nowMs)
    case 'start':
      return move(next, 'starting', 'starting', nowMs)
    case 'stop':
    case 'remove':
      return next
    default:
      return unreachable(operation)
  }
}

const waiting = 'waiting for '

/**
 * The task cannot go on before these secrets and configs have come, and its status says so. Called
 * with '' once they have: that error is then taken back.
 */
export function waitForFiles(driver: Driver, missing: string): Driver {
  const { error, ...status } = driver.status
  if (missing !== '') {
    const text = `${waiting}${missing}`
    return error === text ? driver : { ...driver, status: { ...status, error: text } }
  }
  return error?.startsWith(waiting) === true ? { ...driver, status } : driver
}

/** An operation has ended. */
export function end(driver: Driver, result: OperationResult, nowMs: number): Driver {
  const { operation, ...idle } = driver
  switch (result.type) {
    case 'prepared':
      return settle(move({ ...idle, isPrepared: true }, 'ready', 'prepared', nowMs), nowMs)
    case 'started':
      return settle(
        {
          ...idle,
          started: result.started,
          health:
            idle.health === 'none' && result.started.hasHealthCheck ? 'starting' : idle.health,
        },
        nowMs,
      )
    case 'stopped':
      return settle({ ...idle, exit: idle.exit ?? { exitCode: 0, isOomKilled: false } }, nowMs)
    case 'removed':
      return idle
    case 'failed':
      if (result.isEngineLost) return idle
      if (operation === 'stop' || operation === 'remove') return idle
      return settle(fail(idle, result.message, nowMs), nowMs)
    default:
      return unreachable(result)
  }
}

/** The container has ended. */
export function exited(driver: Driver, exit: ExitFacts, nowMs: number): Driver {
  if (driver.exit !== undefined) return driver
  return settle({ ...driver, exit }, nowMs)
}

/** The health check has a new verdict. */
export function healthChanged(driver: Driver, health: HealthFacts, nowMs: number): Driver {
  const fault = health === 'unhealthy' ? { fault: 'dockerexec: unhealthy container' } : {}
  return settle({ ...driver, health, ...fault }, nowMs)
}

/** What the executor's list says of the task's container; undefined: there is none. */
export interface ContainerFacts {
  readonly state: 'created' | 'running' | 'ended'
  readonly health: HealthFacts
  readonly started?: StartedFacts
  readonly exit?: ExitFacts
}

/** Takes over what the executor knows of the container after a (re)connection. */
export function adopt(driver: Driver, found: ContainerFacts | undefined, nowMs: number): Driver {
  if (isEnded(driver.status.state)) return driver
  if (found === undefined) {
    const wasThere =
      driver.started !== undefined || stateRank(driver.status.state) >= stateRank('starting')
    if (wasThere)
      return fail(driver, 'the container is gone: it was removed behind the agent', nowMs)
    return settle({ ...driver, isPrepared: false }, nowMs)
  }
  if (found.state === 'created') return settle({ ...driver, isPrepared: true }, nowMs)
  const seen: Driver = {
    ...driver,
    isPrepared: true,
    health: found.health,
    ...(found.started === undefined ? {} : { started: found.started }),
    ...(found.exit === undefined ? {} : { exit: found.exit }),
  }
  return settle(
    found.health === 'unhealthy' ? healthChanged(seen, 'unhealthy', nowMs) : seen,
    nowMs,
  )
}

/** Moves the status to what the facts say. */
function settle(driver: Driver, nowMs: number): Driver {
  if (isEnded(driver.status.state)) return driver
  if (driver.exit !== undefined) return finish(driver, driver.exit, nowMs)
  if (mustEnd(driver)) {
    return isRunning(driver) || driver.operation !== undefined
      ? driver
      : move(driver, 'shutdown', 'shutdown', nowMs)
  }
  if (driver.started === undefined) return driver
  if (driver.started.hasHealthCheck && driver.health !== 'healthy') {
    return move(driver, 'starting', 'starting', nowMs)
  }
  return move(driver, 'running', 'started', nowMs)
}

function finish(driver: Driver, exit: ExitFacts, nowMs: number): Driver {
  const { desiredState } = driver.task
  if (
    driver.fault === undefined &&
    (driver.isUnassigned ||
      driver.isFenced === true ||
      desiredState === 'shutdown' ||
      desiredState === 'remove')
  ) {
    return move(driver, 'shutdown', 'shutdown', nowMs)
  }
  if (driver.fault === undefined && exit.exitCode === 0 && exit.error === undefined) {
    return move(driver, 'complete', 'finished', nowMs)
  }
  const why =
    driver.fault ??
    exit.error ??
    (exit.isOomKilled ? 'out of memory: killed by the kernel' : undefined)
  const text = `task: non-zero exit (${exit.exitCode})${why === undefined ? '' : `: ${why}`}`
  return move(driver, 'failed', 'started', nowMs, text)
}

/** A task that could not be prepared is rejected; one that could not be started has failed. */
function fail(driver: Driver, error: string, nowMs: number): Driver {
  if (mustEnd(driver)) return move(driver, 'shutdown', 'shutdown', nowMs)
  const isStarted = stateRank(driver.status.state) >= stateRank('starting')
  return move(driver, isStarted ? 'failed' : 'rejected', driver.status.message, nowMs, error)
}

/** The status with a later state; an earlier one changes nothing. */
function move(
  driver: Driver,
  state: TaskState,
  message: string,
  nowMs: number,
  error?: string,
): Driver {
  const before = driver.status
  if (stateRank(state) <= stateRank(before.state)) return driver
  const { started, exit } = driver
  const runningSinceMs = before.runningSinceMs ?? (state === 'running' ? nowMs : undefined)
  const keptError = error ?? (stateRank(state) < stateRank('starting') ? before.error : undefined)
  return {
    ...driver,
    status: {
      state,
      atMs: nowMs,
      message,
      ...(keptError === undefined ? {} : { error: keptError }),
      ...(runningSinceMs === undefined ? {} : { runningSinceMs }),
      ...(started === undefined
        ? {}
        : {
            container: {
              ...started.container,
              exitCode: exit?.exitCode ?? started.container.exitCode,
              ...(exit === undefined ? {} : { pid: 0 }),
            },
            ports: started.ports,
            addresses: started.addresses,
          }),
    },
  }
}

/** The same task begun anew on this node, after its container was removed. */
export function renew(driver: Driver, nowMs: number): Driver {
  const fresh = newDriver(driver.task)
  return {
    ...fresh,
    isPrepared: false,
    status: { state: 'assigned', atMs: nowMs, message: 'restarted while no manager was reached' },
    ...(driver.restarts === undefined ? {} : { restarts: driver.restarts }),
  }
}

/** The node's lease is over, and the task runs on it: it is to stop, once the engine is there. */
export function fence(driver: Driver): Driver {
  return { ...driver, isFenced: true }
}

/** The task's id, for maps. */
export function driverId(driver: Driver): TaskId {
  return driver.task.id
}
