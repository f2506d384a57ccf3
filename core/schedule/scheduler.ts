// Scheduler: gives tasks that have no node a node, or says why there is none.

import type { NodeId } from '../base/id.ts'
import type { Node } from '../object/node.ts'
import type { Task } from '../object/task.ts'
import type { Draft } from '../store/draft.ts'
import { filters } from './filters.ts'
import { forTask, type NodeUsage, tasksOf, usageOf, withTask } from './node-usage.ts'

/** Places the pending tasks of the draft, oldest first; one that has a node gets that or none. */
export function scheduleTasks(draft: Draft): void {
  const waiting = draft
    .pendingTasks()
    .filter((task) => task.desiredState === 'running' || task.desiredState === 'ready')
  if (waiting.length === 0) return
  const usages = new Map<NodeId, NodeUsage>(
    draft.all('node').map((node) => [node.id, usageOf(draft, node)]),
  )
  waiting.sort((a, b) => a.createdAtMs - b.createdAtMs || a.slot - b.slot || (a.id < b.id ? -1 : 1))
  for (const task of waiting) {
    const chosen = chooseNode(candidates(usages, task), task)
    if (typeof chosen === 'string') {
      explain(draft, task, chosen)
      continue
    }
    const placed = draft.put<Task>({
      ...task,
      nodeId: chosen.id,
      status: {
        ...task.status,
        state: 'assigned',
        atMs: draft.nowMs,
        message: 'scheduler assigned task to node',
      },
    })
    usages.set(chosen.id, withTask(usages.get(chosen.id) as NodeUsage, placed))
  }
}

function candidates(usages: ReadonlyMap<NodeId, NodeUsage>, task: Task): readonly NodeUsage[] {
  if (task.nodeId === undefined) return [...usages.values()]
  const own = usages.get(task.nodeId)
  return own === undefined ? [] : [own]
}

/** The best node for the task, or the sentence that says why there is none. */
export function chooseNode(usages: readonly NodeUsage[], task: Task): Node | string {
  const seen = usages.map((usage) => forTask(usage, task))
  let left = seen
  const reasons: { readonly count: number; readonly text: string; readonly advice: string }[] = []
  for (const filter of filters) {
    const out = left.filter((usage) => !filter.passes(usage, task))
    if (out.length === 0) continue
    left = left.filter((usage) => !out.includes(usage))
    reasons.push({
      count: out.length,
      text: filter.explain(out.length),
      advice: filter.advise(out, task),
    })
  }
  const best = [...left].sort((a, b) => compare(a, b, task))[0]
  if (best !== undefined) return best.node
  reasons.sort((a, b) => b.count - a.count)
  const why = reasons.map((reason) => reason.text).join('; ')
  const advice = reasons
    .map((reason) => reason.advice)
    .filter((text) => text !== '')
    .join('; ')
  return `no suitable node${why === '' ? '' : ` (${why})`}${advice === '' ? '' : `: ${advice}`}`
}

/** Fewest tasks of the service first, then fewest tasks at all, then a fixed order. */
function compare(a: NodeUsage, b: NodeUsage, task: Task): number {
  return (
    tasksOf(a, task.serviceId) - tasksOf(b, task.serviceId) ||
    a.tasks.length - b.tasks.length ||
    (a.node.id < b.node.id ? -1 : 1)
  )
}

function explain(draft: Draft, task: Task, why: string): void {
  if (task.status.state === 'pending' && task.status.error === why) return
  draft.put<Task>({
    ...task,
    status: { ...task.status, state: 'pending', message: 'pending task scheduling', error: why },
  })
}
