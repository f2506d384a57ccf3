// Assignments: what each node must have, and the difference after a change. A node that has just
// opened its session gets everything; after that it hears only of what is new to it.

import { equal } from '../base/equal.ts'
import type { NodeId, TaskId } from '../base/id.ts'
import type { Task } from '../object/task.ts'
import type { Applied } from '../store/change.ts'
import type { View } from '../store/view.ts'
import { fileChanges, fileContents, neededFiles } from './files.ts'
import type { Assignments } from './protocol.ts'

/** Everything that a node must have. */
export function completeAssignments(view: View, node: NodeId): Assignments {
  const tasks = view.tasksOfNode(node).filter(isAssigned)
  const files = fileContents(view, neededFiles(tasks))
  return { isComplete: true, tasks, removed: [], files, removedFiles: [] }
}

/**
 * The differences that these changes, which `view` holds already, make, by node, for the nodes that
 * are listening.
 */
export function assignmentChanges(
  view: View,
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
  const files = fileChanges(view, applied)
  const nodes = new Set([...tasks.keys(), ...files.keys()].filter(isListening))
  return new Map(
    [...nodes].map((node) => {
      const list = [...(tasks.get(node) ?? [])]
      return [
        node,
        {
          isComplete: false,
          tasks: list.map(([, task]) => task).filter((task) => task !== undefined),
          removed: list.filter(([, task]) => task === undefined).map(([id]) => id),
          ...(files.get(node) ?? { files: [], removedFiles: [] }),
        },
      ]
    }),
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
