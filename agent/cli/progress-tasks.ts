// What progress shows of a service's tasks: one line for all, and one for each slot or node. One such
// view for each mode of service. A view keeps what it has drawn, and says when the service is as asked.

import { CodedError } from '../../core/base/error.ts'
import type { ServiceJson, TaskJson } from './api-json.ts'
import type { ProgressWriter } from './progress-screen.ts'
import { truncateId } from './tasks.ts'

/** What is seen of a service at one moment: only tasks of its present version. */
export interface ServiceSight {
  readonly service: ServiceJson
  readonly tasks: readonly TaskJson[]
  /** Ids of the nodes that are not down. */
  readonly nodes: ReadonlySet<string>
  readonly isRollback: boolean
}

/** Draws a sight; true when the service is as asked. */
export type ProgressView = (sight: ServiceSight) => boolean

/** States in the order in which a task goes through them. */
const stateNumbers: Readonly<Record<string, number>> = {
  new: 1,
  allocated: 2,
  pending: 3,
  assigned: 4,
  accepted: 5,
  preparing: 6,
  ready: 7,
  starting: 8,
  running: 9,
  complete: 10,
  shutdown: 11,
  failed: 12,
  rejected: 13,
}
const stateWidth = 9
const serviceTotal = 9
const jobTotal = 10
/** More tasks than this get no line each. */
const linesMax = 20
/** A longer error would run over the end of a narrow terminal. */
const errorLengthMax = 75

/** The view for a service's mode. */
export function progressView(service: ServiceJson, write: ProgressWriter): ProgressView {
  const mode = service.Spec?.Mode
  if (mode?.Replicated?.Replicas !== undefined) return replicatedView(write)
  if (mode?.Global !== undefined) return globalView(write)
  if (mode?.ReplicatedJob !== undefined) return replicatedJobView(service, write)
  if (mode?.GlobalJob !== undefined) return globalJobView(service, write)
  throw new CodedError('invalid-argument', 'unrecognized service mode')
}

function numberOf(state: string | undefined): number {
  return stateNumbers[state ?? ''] ?? 0
}

function isEnded(state: string | undefined): boolean {
  return numberOf(state) > serviceTotal
}

function isKnown(task: TaskJson): boolean {
  return numberOf(task.DesiredState) > 0 && numberOf(task.Status?.State) > 0
}

function isRunning(task: TaskJson): boolean {
  return !isEnded(task.DesiredState) && task.Status?.State === 'running'
}

function replicatedView(write: ProgressWriter): ProgressView {
  const lines = new Map<number, number>()
  let isDrawn = false
  let isDone = false
  return ({ service, tasks, nodes, isRollback }) => {
    const replicas = service.Spec?.Mode?.Replicated?.Replicas
    if (replicas === undefined) throw new CodedError('invalid-argument', 'no replica count')
    if (!isDrawn) {
      writeOverall(write, { running: 0, total: replicas, isRollback })
      for (let at = 1; replicas <= linesMax && at <= replicas; at++) {
        write({ id: `${at}/${replicas}`, action: ' ' })
      }
      isDrawn = true
    }
    const bySlot = foremost(tasks, {
      keyOf: (task) => task.Slot ?? 0,
      isSeen: (task) => (task.NodeID ?? '') === '' || nodes.has(task.NodeID ?? ''),
    })
    if (isDone) isDone = bySlot.every((task) => task.Status?.State === 'running')
    for (const task of bySlot) {
      const line = lines.get(task.Slot ?? 0) ?? lines.size + 1
      lines.set(task.Slot ?? 0, line)
      if (isDone || replicas > linesMax || line > replicas) continue
      writeTask(write, { id: `${line}/${replicas}`, task, total: serviceTotal })
    }
    const running = bySlot.filter(isRunning).length
    if (!isDone) writeOverall(write, { running, total: replicas, isRollback })
    isDone ||= running === replicas
    return running === replicas
  }
}

function globalView(write: ProgressWriter): ProgressView {
  let isDrawn = false
  let isDone = false
  return ({ tasks, nodes, isRollback }) => {
    const byNode = foremost(tasks, { keyOf: (task) => task.NodeID ?? '', isSeen: () => true })
    const total = byNode.length
    if (!isDrawn) {
      if (total === 0) {
        write({ id: 'overall progress', action: 'waiting for new tasks' })
        return false
      }
      writeOverall(write, { running: 0, total, isRollback })
      isDrawn = true
    }
    if (isDone) isDone = byNode.every((task) => task.Status?.State === 'running')
    const seen = byNode.filter((task) => nodes.has(task.NodeID ?? ''))
    for (const task of isDone || total > linesMax ? [] : seen) {
      writeTask(write, { id: truncateId(task.NodeID ?? ''), task, total: serviceTotal })
    }
    const running = seen.filter(isRunning).length
    if (!isDone) writeOverall(write, { running, total, isRollback })
    isDone ||= running === total
    return running === total
  }
}

/**
 * One task for each slot or node: that with the lowest desired state, as after a restart the old task
 * is on its way out; among equals that with the lowest state, as with start-first.
 */
function foremost<Key extends string | number>(
  tasks: readonly TaskJson[],
  choice: {
    readonly keyOf: (task: TaskJson) => Key
    readonly isSeen: (task: TaskJson) => boolean
  },
): readonly TaskJson[] {
  const byKey = new Map<Key, TaskJson>()
  for (const task of tasks.filter(isKnown)) {
    const other = byKey.get(choice.keyOf(task))
    if (other !== undefined) {
      const order = numberOf(other.DesiredState) - numberOf(task.DesiredState)
      const stateOrder = numberOf(other.Status?.State) - numberOf(task.Status?.State)
      if (order < 0 || (order === 0 && stateOrder <= 0)) continue
    }
    if (choice.isSeen(task)) byKey.set(choice.keyOf(task), task)
  }
  return [...byKey].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, task]) => task)
}

function writeOverall(
  write: ProgressWriter,
  overall: { readonly running: number; readonly total: number; readonly isRollback: boolean },
): void {
  const what = overall.isRollback ? 'rolling back update: ' : ''
  const action = `${what}${overall.running} out of ${overall.total} tasks`
  write({ id: 'overall progress', action })
}

function writeTask(
  write: ProgressWriter,
  line: {
    readonly id: string
    readonly task: TaskJson
    readonly total: number
    /** A job's tasks are shown to their end. */
    readonly isJob?: boolean
  },
): void {
  const { id, task, total } = line
  const state = task.Status?.State ?? ''
  const error = task.Status?.Err ?? ''
  if (error !== '') {
    write({ id, action: shortError(error) })
    return
  }
  if (line.isJob !== true && (isEnded(task.DesiredState) || isEnded(state))) return
  write({ id, action: state.padEnd(stateWidth), current: numberOf(state), total })
}

function shortError(error: string): string {
  const line = error.replaceAll('\n', ' ')
  return line.length > errorLengthMax ? `${line.slice(0, errorLengthMax - 1)}…` : line
}

function isOfIteration(task: TaskJson, iteration: number): boolean {
  return task.JobIteration !== undefined && (task.JobIteration.Index ?? 0) === iteration
}

/** Of two tasks in one place, the one that has come less far. */
function earlier(one: TaskJson | undefined, other: TaskJson): TaskJson {
  return one !== undefined && numberOf(one.Status?.State) <= numberOf(other.Status?.State)
    ? one
    : other
}

function replicatedJobView(job: ServiceJson, write: ProgressWriter): ProgressView {
  const { MaxConcurrent: concurrent = 1, TotalCompletions: total = 1 } =
    job.Spec?.Mode?.ReplicatedJob ?? {}
  const iteration = job.JobStatus?.JobIteration?.Index ?? 0
  let isDrawn = false
  const writeJob = (active: number, complete: number): void => {
    writeComplete(write, { complete, total })
    const width = String(concurrent).length
    const wanted = Math.min(total - complete, concurrent)
    const counts = [active, wanted].map((count) => String(count).padStart(width))
    write({ id: 'active tasks', action: `${counts[0]} out of ${counts[1]} tasks` })
  }
  return ({ tasks }) => {
    if (!isDrawn) {
      writeJob(0, 0)
      for (let at = 1; total <= linesMax && at <= total; at++) {
        write({ id: `${at}/${total}`, action: ' ' })
      }
      isDrawn = true
    }
    const bySlot = new Map<number, TaskJson>()
    for (const task of tasks) {
      const slot = task.Slot ?? 0
      if (isOfIteration(task, iteration) && isKnown(task)) {
        bySlot.set(slot, earlier(bySlot.get(slot), task))
      }
    }
    const sorted = [...bySlot].toSorted(([one], [other]) => one - other)
    for (const [slot, task] of total > linesMax ? [] : sorted) {
      writeTask(write, { id: `${slot + 1}/${total}`, task, total: jobTotal, isJob: true })
    }
    const states = sorted.map(([, task]) => numberOf(task.Status?.State))
    const complete = states.filter((state) => state === jobTotal).length
    writeJob(states.filter((state) => state < jobTotal).length, complete)
    return complete === total
  }
}

function globalJobView(job: ServiceJson, write: ProgressWriter): ProgressView {
  const iteration = job.JobStatus?.JobIteration?.Index ?? 0
  // Nodes that join later run the job too; here only those of the start are waited for.
  let jobNodes: ReadonlySet<string> | undefined
  return ({ tasks, nodes }) => {
    if (jobNodes === undefined) {
      if (tasks.length === 0 && nodes.size !== 0) {
        write({ id: 'job progress', action: 'waiting for tasks' })
        return false
      }
      const first = tasks.filter((task) => isOfIteration(task, iteration))
      jobNodes = new Set(first.map((task) => task.NodeID ?? ''))
      writeComplete(write, { complete: 0, total: jobNodes.size })
    }
    const byNode = new Map<string, TaskJson>()
    for (const task of tasks) {
      const node = task.NodeID ?? ''
      if (isOfIteration(task, iteration) && jobNodes.has(node)) {
        byNode.set(node, earlier(byNode.get(node), task))
      }
    }
    for (const [node, task] of jobNodes.size > linesMax ? [] : byNode) {
      writeTask(write, { id: node, task, total: jobTotal, isJob: true })
    }
    const complete = [...byNode.values()].filter((task) => task.Status?.State === 'complete').length
    writeComplete(write, { complete, total: jobNodes.size })
    return complete === jobNodes.size
  }
}

function writeComplete(
  write: ProgressWriter,
  job: { readonly complete: number; readonly total: number },
): void {
  const complete = String(job.complete).padStart(String(job.total).length)
  const action = `${complete} out of ${job.total} complete`
  write({ id: 'job progress', action, current: job.complete, total: job.total })
}
