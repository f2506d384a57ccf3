// Store: the objects of the cluster on a manager. Two layers: what is committed, and over it, on
// the leader only, what is proposed and not yet committed. Commands and controllers work on both
// (so that a second command need not wait for the first to be committed); readers see only what
// is committed.

import { assert } from '../base/assert.ts'
import type { ClusterObject, ObjectKind } from '../object/object.ts'
import { objectKinds } from '../object/object.ts'
import type { Applied, Change } from './change.ts'
import { type Draft, draftOver } from './draft.ts'
import { Layer, viewOf } from './layer.ts'
import type { View } from './view.ts'

export class Store {
  #committed = new Layer()
  #proposed = new Layer()
  #appliedIndex = 0

  /** Raft index of the last entry applied. */
  get appliedIndex(): number {
    return this.#appliedIndex
  }

  /** What is committed. */
  readonly committed: View = viewOf([this.#committed])

  /** What is committed and proposed: the leader's newest view. */
  readonly newest: View = viewOf([this.#proposed, this.#committed])

  /** A draft over the newest view for the entry that will have this index. */
  draft(options: { readonly index: number; readonly nowMs: number }): Draft {
    return draftOver([this.#proposed, this.#committed], options)
  }

  /** The leader has proposed these changes as the entry of this index. */
  propose(index: number, changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.type === 'put') this.#proposed.put(change.object, index)
      else this.#proposed.remove(change.kind, change.id, index)
    }
  }

  /** Proposals are void: leadership was lost. */
  dropProposed(): void {
    for (const kind of objectKinds) {
      for (const id of [...this.#proposed.marks(kind).keys()]) this.#proposed.forget(kind, id)
    }
  }

  /** The entry is committed. Entries come in order, each once; earlier ones are passed over. */
  apply(index: number, changes: readonly Change[]): readonly Applied[] {
    if (index <= this.#appliedIndex) return []
    assert(index > this.#appliedIndex, 'entries are applied in order')
    this.#appliedIndex = index
    return changes.map((change) => {
      const [kind, id] = keyOf(change)
      const before = this.#committed.mark(kind, id)?.object
      if (change.type === 'put') this.#committed.put(change.object, index)
      else this.#committed.forget(kind, id)
      if ((this.#proposed.mark(kind, id)?.index ?? Infinity) <= index) {
        this.#proposed.forget(kind, id)
      }
      return { index, before, after: change.type === 'put' ? change.object : undefined }
    })
  }

  /** All committed objects, in the order of kinds and ids: the same on every manager. */
  dump(): readonly ClusterObject[] {
    return objectKinds.flatMap((kind) =>
      [...this.committed.all(kind)].sort((a, b) => (a.id < b.id ? -1 : 1)),
    )
  }

  /** Replaces everything by a snapshot taken at this index; returns what is different now. */
  restore(index: number, objects: readonly ClusterObject[]): readonly Applied[] {
    this.dropProposed()
    const gone = new Map<string, ClusterObject>()
    for (const kind of objectKinds) {
      for (const [id, { object }] of [...this.#committed.marks(kind)]) {
        if (object !== undefined) gone.set(`${kind}/${id}`, object)
        this.#committed.forget(kind, id)
      }
    }
    const applied: Applied[] = []
    for (const object of objects) {
      this.#committed.put(object, index)
      const key = `${object.kind}/${object.id}`
      const before = gone.get(key)
      gone.delete(key)
      if (before?.version !== object.version) applied.push({ index, before, after: object })
    }
    for (const before of gone.values()) applied.push({ index, before, after: undefined })
    this.#appliedIndex = index
    return applied
  }
}

function keyOf(change: Change): [ObjectKind, string] {
  return change.type === 'put' ? [change.object.kind, change.object.id] : [change.kind, change.id]
}
