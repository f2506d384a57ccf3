// Layer: a set of puts and removals with the indexes that reading needs. The committed store is
// one layer at the bottom; what the leader has proposed lies over it, and a draft over that, as
// sheets of tracing paper: what is drawn on a higher sheet hides what is under it.

import { unreachable } from '../base/assert.ts'
import type { ServiceId } from '../base/id.ts'
import type { ClusterObject, ObjectKind, ObjectOf } from '../object/object.ts'
import { objectKinds } from '../object/object.ts'
import type { Task } from '../object/task.ts'
import type { NamedKind, View } from './view.ts'

/** What a layer says of one id: an object, or that it is gone; `index` is the log entry. */
interface Mark {
  readonly index: number
  readonly object: ClusterObject | undefined
}

type IdSets = Map<string, Set<string>>

/** By what tasks can be found: their service, their node, their state. */
export type TaskIndex = 'service' | 'node' | 'state'

export class Layer {
  readonly #marks = new Map<ObjectKind, Map<string, Mark>>(
    objectKinds.map((kind) => [kind, new Map()]),
  )
  readonly #names = new Map<string, string>()
  readonly #tasksOfService: IdSets = new Map()
  readonly #tasksOfNode: IdSets = new Map()
  readonly #tasksOfState: IdSets = new Map()

  marks(kind: ObjectKind): ReadonlyMap<string, Mark> {
    return this.#table(kind)
  }

  mark(kind: ObjectKind, id: string): Mark | undefined {
    return this.#table(kind).get(id)
  }

  idNamed(kind: NamedKind, name: string): string | undefined {
    return this.#names.get(`${kind}/${name}`)
  }

  taskIds(of: TaskIndex, id: string): ReadonlySet<string> | undefined {
    return this.#index(of).get(id)
  }

  /** Says that the object is as given from that log index on. */
  put(object: ClusterObject, index: number): void {
    this.#unindex(this.mark(object.kind, object.id)?.object)
    this.#table(object.kind).set(object.id, { index, object })
    const name = nameOf(object)
    if (name !== undefined) this.#names.set(name, object.id)
    if (object.kind === 'task') {
      addTo(this.#tasksOfService, object.serviceId, object.id)
      addTo(this.#tasksOfNode, object.nodeId ?? '', object.id)
      addTo(this.#tasksOfState, object.status.state, object.id)
    }
  }

  /** Says that the object is gone. In the bottom layer call `forget` instead. */
  remove(kind: ObjectKind, id: string, index: number): void {
    this.#unindex(this.mark(kind, id)?.object)
    this.#table(kind).set(id, { index, object: undefined })
  }

  /** Takes back whatever this layer says of the id. */
  forget(kind: ObjectKind, id: string): void {
    this.#unindex(this.mark(kind, id)?.object)
    this.#table(kind).delete(id)
  }

  #index(of: TaskIndex): IdSets {
    switch (of) {
      case 'service':
        return this.#tasksOfService
      case 'node':
        return this.#tasksOfNode
      case 'state':
        return this.#tasksOfState
      default:
        return unreachable(of)
    }
  }

  #table(kind: ObjectKind): Map<string, Mark> {
    return this.#marks.get(kind) as Map<string, Mark>
  }

  #unindex(object: ClusterObject | undefined): void {
    if (object === undefined) return
    const name = nameOf(object)
    if (name !== undefined && this.#names.get(name) === object.id) this.#names.delete(name)
    if (object.kind === 'task') {
      removeFrom(this.#tasksOfService, object.serviceId, object.id)
      removeFrom(this.#tasksOfNode, object.nodeId ?? '', object.id)
      removeFrom(this.#tasksOfState, object.status.state, object.id)
    }
  }
}

/** A view through layers, the topmost first. The layers may change; the view then shows it. */
export function viewOf(layers: readonly Layer[]): View {
  const objectsOf = (
    kind: ObjectKind,
    ids: (layer: Layer) => Iterable<string>,
  ): ClusterObject[] => {
    const found: ClusterObject[] = []
    layers.forEach((layer, depth) => {
      for (const id of ids(layer)) {
        if (layers.some((above, at) => at < depth && above.mark(kind, id) !== undefined)) continue
        const object = layer.mark(kind, id)?.object
        if (object !== undefined) found.push(object)
      }
    })
    return found
  }
  const get = (kind: ObjectKind, id: string): ClusterObject | undefined => {
    for (const layer of layers) {
      const mark = layer.mark(kind, id)
      if (mark !== undefined) return mark.object
    }
    return undefined
  }
  const all = (kind: ObjectKind): ClusterObject[] =>
    objectsOf(kind, (layer) => layer.marks(kind).keys())
  const tasks = (of: TaskIndex, id: string): readonly Task[] =>
    objectsOf('task', (layer) => layer.taskIds(of, id) ?? []) as Task[]
  return {
    get: <Kind extends ObjectKind>(kind: Kind, id: string) =>
      get(kind, id) as ObjectOf<Kind> | undefined,
    all: <Kind extends ObjectKind>(kind: Kind) => all(kind) as ObjectOf<Kind>[],
    named: <Kind extends NamedKind>(kind: Kind, name: string) => {
      for (const layer of layers) {
        const id = layer.idNamed(kind, name)
        const object = id === undefined ? undefined : get(kind, id)
        if (object !== undefined && nameOf(object) === `${kind}/${name}`) {
          return object as ObjectOf<Kind>
        }
      }
      return undefined
    },
    tasksOfService: (id: ServiceId) => tasks('service', id),
    tasksOfNode: (id) => tasks('node', id),
    pendingTasks: () => tasks('state', 'pending'),
    cluster: () => all('cluster')[0] as ObjectOf<'cluster'> | undefined,
    count: (kind) => all(kind).length,
  }
}

/** Key of an object's unique name, if its kind has one. */
function nameOf(object: ClusterObject): string | undefined {
  switch (object.kind) {
    case 'service':
    case 'network':
    case 'secret':
    case 'config':
      return `${object.kind}/${object.spec.name}`
    default:
      return undefined
  }
}

function addTo(sets: IdSets, key: string, id: string): void {
  const set = sets.get(key)
  if (set === undefined) sets.set(key, new Set([id]))
  else set.add(id)
}

function removeFrom(sets: IdSets, key: string, id: string): void {
  const set = sets.get(key)
  set?.delete(id)
  if (set?.size === 0) sets.delete(key)
}
