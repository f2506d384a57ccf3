// Draft: what a command or the controllers want to change, as a view one can write to. Nothing is
// real until its changes are proposed and committed; a draft that is dropped never was.

import type { ClusterObject, ObjectKind } from '../object/object.ts'
import { objectKinds } from '../object/object.ts'
import type { Change } from './change.ts'
import { Layer, viewOf } from './layer.ts'
import type { View } from './view.ts'

/** An object as a writer gives it: version and times are the draft's to set. */
type Unstamped<T> = T extends ClusterObject
  ? Omit<T, 'version' | 'createdAtMs' | 'updatedAtMs'> &
      Partial<Pick<T, 'version' | 'createdAtMs' | 'updatedAtMs'>>
  : never

export interface Draft extends View {
  /** The log index that this draft's entry will have: versions of its objects. */
  readonly index: number
  readonly nowMs: number
  /** Creates or replaces; returns the object with its version and times. */
  readonly put: <T extends ClusterObject>(object: Unstamped<T>) => T
  readonly remove: (kind: ObjectKind, id: string) => void
  /** What was written, in an order in which it can be applied. */
  readonly changes: () => readonly Change[]
}

/** A draft over a view that is made of layers, topmost first. */
export function draftOver(
  below: readonly Layer[],
  options: { readonly index: number; readonly nowMs: number },
): Draft {
  const { index, nowMs } = options
  const layer = new Layer()
  const view = viewOf([layer, ...below])
  const under = viewOf(below)
  return {
    ...view,
    index,
    nowMs,
    put: <T extends ClusterObject>(object: Unstamped<T>): T => {
      const before = view.get(object.kind, object.id)
      const createdAtMs = before?.createdAtMs ?? nowMs
      const stamped = { ...object, version: index, createdAtMs, updatedAtMs: nowMs } as unknown as T
      layer.put(stamped, index)
      return stamped
    },
    remove: (kind, id) => {
      if (under.get(kind, id) === undefined) layer.forget(kind, id)
      else layer.remove(kind, id, index)
    },
    changes: () =>
      objectKinds.flatMap((kind) =>
        [...layer.marks(kind)].map(
          ([id, mark]): Change =>
            mark.object === undefined
              ? { type: 'remove', kind, id }
              : { type: 'put', object: mark.object },
        ),
      ),
  }
}
