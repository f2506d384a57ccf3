// Assignments: what each node must have, and the difference after a change. A node that has just
// opened its session gets everything; after that it hears only of what is new to it.

import { equal } from '../base/equal.ts'
import type { NodeId, TaskId } from '../base/id.ts'
import type { Task } from '../object/task.ts'
import type { Applied } from '../store/change.ts'
import type { View } from '../store/view.ts'
import type { Assignments } from './protocol.ts'

/** Everything that a node must have. */
export function completeAssignments(view: View, node: NodeId): Assignments {
  return { isComplete: true, tasks: view.tasksOfNode(node).filter(isAssigned), removed: [] }
}

/** The differences that these changes make, by node, for the nodes that are listening. */
export function assignmentChanges(
  applied: readonly Applied[],
  isListening: (node: NodeId) => boolean,
): ReadonlyMap<NodeId, Assignments> {
  const tasks = new Map<NodeId, Map<TaskId, Task | undefined>>()
  const tell = (node: NodeId | undefined, id: TaskId, task: Task | undefined): void => {
    if (node === undefined || !isListening(node)) return
    const list = tasks.get(node) ?? new Map<TaskId, Task | undefined>()
    tasks.set(node, list.set(id, task))
  }
  for (const { before, after } of applied) {
    const was = before?.kind === 'task' ? before : undefined
    const is = after?.kind === 'task' ? after : undefined
    if (was !== undefined && was.nodeId !== is?.nodeId) tell(was.nodeId, was.id, undefined)
    if (is !== undefined && isAssigned(is) && isNews(was, is)) tell(is.nodeId, is.id, is)
  }
  return new Map(
    [...tasks].map(([node, list]) => [
      node,
      {
        isComplete: false,
        tasks: [...list.values()].filter((task) => task !== undefined),
        removed: [...list].filter(([, task]) => task === undefined).map(([id]) => id),
      },
    ]),
  )
}

function isAssigned(task: Task): boolean {
  return task.nodeId !== undefined && task.status.state !== 'new' && task.status.state !== 'pending'
}

/** True unless only the status has changed, which the node itself has said. */
function isNews(was: Task | undefined, is: Task): boolean {
  return (
    was === undefined ||
    !isAssigned(was) ||
    was.nodeId !== is.nodeId ||
    was.desiredState !== is.desiredState ||
    !equal(was.ports, is.ports)
  )
}
