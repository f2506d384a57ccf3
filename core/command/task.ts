// What workers report of their tasks.

import type { Task, TaskStatus } from '../object/task.ts'
import { isEnded, stateRank } from '../object/task.ts'
import type { Draft } from '../store/draft.ts'
import type { Command, CommandAnswer } from './command.ts'

/**
 * Takes over reported states. A report of a task that is gone, or is another node's, is passed
 * over: the node will be told by its assignments. A state never goes back.
 */
export function reportTasks(
  draft: Draft,
  command: Extract<Command, { type: 'tasks.report' }>,
): CommandAnswer {
  for (const { id, status } of command.reports) {
    const task = draft.get('task', id)
    if (task === undefined || task.nodeId !== command.nodeId) continue
    if (!isNewer(task.status, status)) continue
    draft.put<Task>({ ...task, status })
  }
  return { id: command.nodeId, warnings: [] }
}

/** True if the second status says more than the first, and nothing that lies behind it. */
function isNewer(had: TaskStatus, said: TaskStatus): boolean {
  // Given up for lost, and back: its word counts again.
  if (had.state === 'orphaned') return true
  if (isEnded(had.state)) return false
  if (stateRank(said.state) > stateRank(had.state)) return true
  return said.state === had.state && (said.message !== had.message || said.error !== had.error)
}
