// Tasks: the routes of /tasks but their logs.

import { isDirty } from '../../core/control/slots.ts'
import type { Task } from '../../core/object/task.ts'
import { formatTask } from '../../core/spec/task-json.ts'
import { findTask, parseFilters, tasksOf } from '../../core/store/query.ts'
import type { View } from '../../core/store/view.ts'
import { type Call, param, sendJson } from './call.ts'
import { readView } from './read-view.ts'

/** GET /tasks. */
export async function listTasks(call: Call): Promise<void> {
  const filters = parseFilters(call.query.get('filters') ?? undefined)
  const view = await readView(call)
  sendJson(
    call,
    200,
    tasksOf(view, filters, (task) => isUpToDate(view, task)).map((task) => format(view, task)),
  )
}

function isUpToDate(view: View, task: Task): boolean {
  const service = view.get('service', task.serviceId)
  return service !== undefined && !isDirty(service, task)
}

/** GET /tasks/{id}. */
export async function inspectTask(call: Call): Promise<void> {
  const view = await readView(call)
  sendJson(call, 200, format(view, findTask(view, param(call))))
}

function format(view: View, task: Task): unknown {
  return formatTask(task, (id) => view.get('network', id))
}
