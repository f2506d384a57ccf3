// Files: which secrets and configs a node must have. A node gets the bytes of those that its tasks
// refer to, once, and is told to forget them when the last such task has ended.
//
//   tasks of the node before -> ids --.
//                                      difference -> files, removedFiles
//   tasks of the node now ---> ids --'
//
// Nothing is kept between calls: what a node had is read from its tasks as they were.

import { equal } from '../base/equal.ts'
import type { NodeId, TaskId } from '../base/id.ts'
import type { ClusterObject } from '../object/object.ts'
import type { Config, Secret } from '../object/secret.ts'
import type { ServiceSpec } from '../object/service.ts'
import { isEnded, type Task } from '../object/task.ts'
import type { Applied } from '../store/change.ts'
import type { View } from '../store/view.ts'
import type { Assignments, FileContent, FileId } from './protocol.ts'

/** Label of a secret: `false` wants no copy of it on any disk of a worker. */
const offlineLabel = 'skep.offline'
/** Label of the cluster: `false` wants that for all secrets. */
const offlineSecretsLabel = 'skep.offline-secrets'

/** The secrets and configs that a spec wants as files, with their names for people. */
export function fileReferences(
  spec: ServiceSpec['task'],
): readonly { readonly id: FileId; readonly name: string }[] {
  const { secrets = [], configs = [] } = spec.container
  return [
    ...secrets.map(({ secretId, secretName }) => ({ id: secretId, name: `secret ${secretName}` })),
    ...configs.map(({ configId, configName }) => ({ id: configId, name: `config ${configName}` })),
  ]
}

/** What the tasks need that are on their way to run, or run. */
export function neededFiles(tasks: Iterable<Task>): ReadonlySet<FileId> {
  const needed = new Set<FileId>()
  for (const task of tasks) {
    if (!needsFiles(task)) continue
    for (const { id } of fileReferences(task.spec)) needed.add(id)
  }
  return needed
}

/** Where the object, if it is such a task, needs which files. */
function needOf(
  object: ClusterObject | undefined,
): { readonly node: NodeId; readonly ids: readonly FileId[] } | undefined {
  if (object?.kind !== 'task' || object.nodeId === undefined || !needsFiles(object))
    return undefined
  const ids = fileReferences(object.spec).map(({ id }) => id)
  return ids.length === 0 ? undefined : { node: object.nodeId, ids }
}

/** True from when the task has a node until its container has ended. */
function needsFiles({ nodeId, status }: Task): boolean {
  const isPlaced = nodeId !== undefined && status.state !== 'new' && status.state !== 'pending'
  return isPlaced && !isEnded(status.state)
}

/** The bytes of these, as far as they exist: who removed one in use knows what is missing. */
export function fileContents(view: View, ids: Iterable<FileId>): readonly FileContent[] {
  return [...ids].flatMap((id) => {
    const object = view.get('secret', id) ?? view.get('config', id)
    if (object === undefined) return []
    return [{ id, data: object.spec.data, isOffline: isOffline(view, object) }]
  })
}

/** True unless the cluster keeps no secrets offline, or this one is not to be. */
function isOffline(view: View, object: Secret | Config): boolean {
  if (object.kind === 'config') return true
  const isForbidden = view.cluster()?.spec.labels[offlineSecretsLabel] === 'false'
  return !isForbidden && object.spec.labels[offlineLabel] !== 'false'
}

/** True if these changes allow, or forbid, copies that nodes have been told of. */
export function changesOffline(applied: readonly Applied[]): boolean {
  const rule = (object: ClusterObject | undefined): string | undefined => {
    if (object?.kind === 'cluster') return object.spec.labels[offlineSecretsLabel]
    return object?.kind === 'secret' ? object.spec.labels[offlineLabel] : undefined
  }
  return applied.some(
    ({ before, after }) =>
      before !== undefined && after !== undefined && rule(before) !== rule(after),
  )
}

/** The difference that these changes, which `view` holds already, make to each node's files. */
export function fileChanges(
  view: View,
  applied: readonly Applied[],
): ReadonlyMap<NodeId, Pick<Assignments, 'files' | 'removedFiles'>> {
  const first = firstStates(applied)
  const nodes = new Set<NodeId>()
  for (const { before, after } of applied) {
    const [was, is] = [needOf(before), needOf(after)]
    // Most changes are a task's next state, and change nothing here.
    if (equal(was, is)) continue
    for (const need of [was, is]) if (need !== undefined) nodes.add(need.node)
  }
  const changes = new Map<NodeId, Pick<Assignments, 'files' | 'removedFiles'>>()
  for (const node of nodes) {
    const now = view.tasksOfNode(node)
    const kept = now.filter((task) => !first.has(task.id))
    const changed = [...first.values()].filter((task) => task?.nodeId === node)
    const had = neededFiles([...kept, ...changed.filter((task) => task !== undefined)])
    const needed = neededFiles(now)
    const files = fileContents(view, without(needed, had))
    const removedFiles = without(had, needed)
    if (files.length > 0 || removedFiles.length > 0) changes.set(node, { files, removedFiles })
  }
  return changes
}

function without(ids: ReadonlySet<FileId>, others: ReadonlySet<FileId>): readonly FileId[] {
  return [...ids].filter((id) => !others.has(id))
}

/** The changed tasks as they were before all of these changes; undefined for those that were not. */
function firstStates(applied: readonly Applied[]): ReadonlyMap<TaskId, Task | undefined> {
  const first = new Map<TaskId, Task | undefined>()
  for (const { before, after } of applied) {
    const task = after ?? before
    if (task?.kind !== 'task' || first.has(task.id)) continue
    first.set(task.id, before?.kind === 'task' ? before : undefined)
  }
  return first
}
