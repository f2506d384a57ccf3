// Dirty: which services the controllers must look at after some changes, so that a pass costs what
// has changed and not what there is.

import { equal } from '../base/equal.ts'
import type { ServiceId } from '../base/id.ts'
import type { Node } from '../object/node.ts'
import type { ClusterObject } from '../object/object.ts'
import type { Service } from '../object/service.ts'
import { isEnded } from '../object/task.ts'
import type { Change } from '../store/change.ts'
import type { View } from '../store/view.ts'

/** The services that these changes concern; call it before the changes are laid over `view`. */
export function dirtyServices(view: View, changes: readonly Change[]): ReadonlySet<ServiceId> {
  const dirty = new Set<ServiceId>()
  for (const change of changes) {
    if (change.type === 'put') mark(view, change.object, dirty)
    else {
      const object = view.get(change.kind, change.id)
      if (object !== undefined) mark(view, object, dirty)
    }
  }
  return dirty
}

function mark(view: View, object: ClusterObject, dirty: Set<ServiceId>): void {
  switch (object.kind) {
    case 'service':
      dirty.add(object.id)
      return
    case 'task':
      dirty.add(object.serviceId)
      // What it held is free: others may have waited for it.
      if (isEnded(object.status.state)) markPending(view, dirty)
      return
    case 'cluster':
      for (const service of view.all('service')) dirty.add(service.id)
      return
    case 'node':
      if (concernsTasks(view.get('node', object.id), object)) {
        for (const task of view.tasksOfNode(object.id)) dirty.add(task.serviceId)
        for (const service of view.all('service')) if (isGlobal(service)) dirty.add(service.id)
        markPending(view, dirty)
      }
      return
    default:
      return
  }
}

/** Tasks without a place may find one now. */
function markPending(view: View, dirty: Set<ServiceId>): void {
  for (const task of view.pendingTasks()) dirty.add(task.serviceId)
}

function isGlobal(service: Service): boolean {
  return service.spec.mode.type === 'global' || service.spec.mode.type === 'global-job'
}

/** True if the change of a node may move tasks: its spec, its state, or what it has. */
function concernsTasks(before: Node | undefined, after: Node): boolean {
  return (
    before === undefined ||
    !equal(before.spec, after.spec) ||
    before.status.state !== after.status.state ||
    !equal(before.description, after.description)
  )
}
