// Waits until a service is as asked and stays so for the monitor time, and shows the way there. The
// service is looked at five times a second; Ctrl-C stops the looking, not the work.
//
//   looking --all tasks run--> verifying --monitor time over--> converged
//      ^------ a task fails ------'

import { nsPerMs } from '../../core/base/time.ts'
import { type Api, formatFilters } from './api.ts'
import type { NodeJson, ServiceJson, TaskJson } from './api-json.ts'
import { type Call, exitError } from './command.ts'
import { type Progress, type ProgressWriter, progressWriter } from './progress-screen.ts'
import { type ProgressView, progressView } from './progress-tasks.ts'

const lookEveryMs = 200
const monitorMsDefault = 5000

/** Waits for a service by id or name. Throws when its update pauses. */
export async function waitOnService(
  call: Call,
  name: string,
  options: { readonly isQuiet: boolean },
): Promise<void> {
  const write = progressWriter(call.io.stdout, options)
  const abort = new AbortController()
  const release = call.io.onInterrupt(() => abort.abort())
  try {
    await watch({ call, name, write, signal: abort.signal })
  } finally {
    release()
  }
}

interface Watch {
  readonly call: Call
  readonly name: string
  readonly write: ProgressWriter
  readonly signal: AbortSignal
}

interface WatchState {
  view: ProgressView | undefined
  monitorMs: number
  isConverged: boolean
  convergedAtMs: number | undefined
  isRollback: boolean
  /** Shown after the end. */
  message: Progress | undefined
}

async function watch({ call, name, write, signal }: Watch): Promise<void> {
  const { api, io } = call
  const state: WatchState = {
    view: undefined,
    monitorMs: monitorMsDefault,
    isConverged: false,
    convergedAtMs: undefined,
    isRollback: false,
    message: undefined,
  }
  for (;;) {
    const service = await api.get<ServiceJson>(`/services/${encodeURIComponent(name)}`)
    const monitorNs = service.Spec?.UpdateConfig?.Monitor ?? 0
    if (monitorNs !== 0) state.monitorMs = monitorNs / nsPerMs
    state.view ??= progressView(service, write)
    if (readUpdateStatus(service, state, write)) return
    const sinceMs = state.convergedAtMs === undefined ? 0 : io.now() - state.convergedAtMs
    if (state.isConverged && sinceMs >= state.monitorMs) {
      write({ id: 'verify', action: `Service ${name} converged` })
      if (state.message !== undefined) write(state.message)
      return
    }
    const tasks = await currentTasks(api, service)
    const nodes = await activeNodes(api)
    const sight = { service, tasks, nodes, isRollback: state.isRollback }
    state.isConverged = state.view(sight)
    if (state.isConverged && service.JobStatus !== undefined) {
      return write({ id: '', message: 'job complete' })
    }
    showVerification(state, write, io.now())
    await io.sleep(lookEveryMs, signal)
    if (!signal.aborted) continue
    if (!state.isConverged) {
      write({ id: '', message: 'Operation continuing in background.' })
      write({ id: '', message: `Use \`agent service ps ${name}\` to check progress.` })
    }
    return
  }
}

/** Takes in how the update stands; true when it was over before we looked. */
function readUpdateStatus(service: ServiceJson, state: WatchState, write: ProgressWriter): boolean {
  const { State: update = '', Message: message = '' } = service.UpdateStatus ?? {}
  switch (update) {
    case 'updating':
      state.isRollback = false
      return false
    case 'completed':
      return !state.isConverged
    case 'paused':
      throw exitError(`service update paused: ${message}`, 1)
    case 'rollback_started':
      if (!state.isRollback && message !== '') write({ id: 'rollback', action: message })
      state.isRollback = true
      return false
    case 'rollback_paused':
      throw exitError(`service rollback paused: ${message}`, 1)
    case 'rollback_completed':
      if (!state.isConverged) state.message = { id: 'rollback', message }
      state.isRollback = true
      return false
    default:
      return false
  }
}

function showVerification(state: WatchState, write: ProgressWriter, nowMs: number): void {
  if (!state.isConverged) {
    if (state.convergedAtMs !== undefined) {
      write({ id: 'verify', action: 'Detected task failure' })
    }
    state.convergedAtMs = undefined
    return
  }
  state.convergedAtMs ??= nowMs
  const leftMs = state.monitorMs - (nowMs - state.convergedAtMs)
  if (leftMs < 0) return
  const seconds = Math.max(1, Math.ceil(leftMs / 1000))
  write({
    id: 'verify',
    action: `Waiting ${seconds} seconds to verify that tasks are stable...`,
  })
}

function currentTasks(api: Api, service: ServiceJson): Promise<readonly TaskJson[]> {
  const filters = formatFilters({ service: [service.ID], '_up-to-date': ['true'] })
  return api.get<readonly TaskJson[]>('/tasks', { query: { filters } })
}

async function activeNodes(api: Api): Promise<ReadonlySet<string>> {
  const nodes = await api.get<readonly NodeJson[]>('/nodes')
  return new Set(nodes.filter((node) => node.Status?.State !== 'down').map((node) => node.ID))
}
