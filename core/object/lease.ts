// Lease: how a service that wants no second copy anywhere (label skep.on-disconnect=stop) is kept to
// that while a node is cut off. Like a key card that is only good for a while after each visit to
// the desk: who cannot come by leaves the room in time, and the desk lets nobody else in before.
//
//   worker    last heartbeat that was answered     stops              kills
//               |sent --------- grace ------------->|-- stop grace --->|
//   manager       |heard --------- grace ------------->|Down -- stop grace + slack -->|replaces
//
// The worker counts from the sending, the manager from the hearing, which is later. Only a leader
// that has itself just heard of a quorum answers for a lease, so that none is given by one which
// has a successor already. What this cannot do: an agent that is dead, or stands still for longer
// than grace and stop grace, stops nothing.

import { nsPerMs } from '../base/time.ts'
import { defaultStopGraceNs } from './defaults.ts'
import type { Labels } from './object.ts'
import type { Task } from './task.ts'

/** Label of a service: `stop` wants no copy to run where no manager is reached. */
export const onDisconnectLabel = 'skep.on-disconnect'

/** Missed heartbeats that make the grace. */
export const graceHeartbeats = 3

/** For the kill itself, and for clocks that do not run alike. */
const slackMs = 1_000

/** True for what may run only on a lease. */
export function isLeased(of: { readonly serviceLabels: Labels }): boolean {
  return of.serviceLabels[onDisconnectLabel] === 'stop'
}

/** How long the task's container may take to end, in milliseconds. */
export function stopGraceMsOf({ spec }: Pick<Task, 'spec'>): number {
  return (spec.container.stopGraceNs ?? defaultStopGraceNs) / nsPerMs
}

/** When a leased task of a node that was called down may be replaced. */
export function replaceableAtMs(task: Pick<Task, 'spec'>, downAtMs: number): number {
  return downAtMs + stopGraceMsOf(task) + slackMs
}
