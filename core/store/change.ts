// Change: what one log entry does to the store. Applying a change is deterministic and cannot
// fail: all checks were made by the leader before it was proposed.

import type { ClusterObject, ObjectKind } from '../object/object.ts'

export type Change =
  | { readonly type: 'put'; readonly object: ClusterObject }
  | { readonly type: 'remove'; readonly kind: ObjectKind; readonly id: string }

/** What happened to an object, for watchers (events, assignments, dirty sets). */
export interface Applied {
  readonly index: number
  readonly before: ClusterObject | undefined
  readonly after: ClusterObject | undefined
}
