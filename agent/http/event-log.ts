// Event log: what changed in the cluster, in the words of `docker events`. Keeps the last 256 (as
// the engine does for its own) for `--since`, and tells listeners of each new one.

import type { Node } from '../../core/object/node.ts'
import type { ClusterObject } from '../../core/object/object.ts'
import type { Service } from '../../core/object/service.ts'
import type { Applied } from '../../core/store/change.ts'
import type { Filters } from '../../core/store/query.ts'
import { matchesExactly, matchesLabels, matchesPrefix } from '../../core/store/query.ts'
import type { Backend } from './backend.ts'

export type EventAction = 'create' | 'update' | 'remove'

export interface ClusterEvent {
  readonly type: 'service' | 'node' | 'network' | 'secret' | 'config'
  readonly action: EventAction
  readonly id: string
  readonly attributes: Readonly<Record<string, string>>
  readonly atMs: number
}

export interface EventLog {
  /** Begins to listen to the store. */
  readonly start: () => void
  readonly stop: () => void
  /** Those kept, oldest first. */
  readonly recent: () => readonly ClusterEvent[]
  /** Calls the listener with each new event; returns how to stop. */
  readonly listen: (listener: (event: ClusterEvent) => void) => () => void
}

/** Events kept for `--since`. */
const eventsKept = 256

/** A log of what the backend says has changed. */
export function createEventLog(backend: Pick<Backend, 'watch' | 'nowMs'>): EventLog {
  const kept: ClusterEvent[] = []
  const listeners = new Set<(event: ClusterEvent) => void>()
  let unwatch: (() => void) | undefined
  const take = (applied: readonly Applied[]): void => {
    for (const one of applied) {
      const event = eventOf(one, backend.nowMs())
      if (event === undefined) continue
      kept.push(event)
      if (kept.length > eventsKept) kept.shift()
      for (const listener of [...listeners]) listener(event)
    }
  }
  return {
    start: () => {
      unwatch ??= backend.watch(take)
    },
    stop: () => {
      unwatch?.()
      unwatch = undefined
    },
    recent: () => [...kept],
    listen: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

/** What a change is called; undefined for what Docker has no event for (tasks, the cluster). */
export function eventOf(applied: Applied, nowMs: number): ClusterEvent | undefined {
  const { before, after } = applied
  const object = after ?? before
  if (object === undefined || object.kind === 'task' || object.kind === 'cluster') return undefined
  const action = before === undefined ? 'create' : after === undefined ? 'remove' : 'update'
  const atMs = { create: object.createdAtMs, update: object.updatedAtMs, remove: nowMs }[action]
  const changes = action === 'update' ? changesOf(before, after) : {}
  return {
    type: object.kind,
    action,
    id: object.id,
    attributes: { name: nameOf(object), ...changes },
    atMs,
  }
}

function nameOf(object: Exclude<ClusterObject, { readonly kind: 'task' }>): string {
  if (object.kind !== 'node') return object.spec.name
  return object.spec.name ?? object.description?.hostname ?? ''
}

function changesOf(
  before: ClusterObject | undefined,
  after: ClusterObject | undefined,
): Readonly<Record<string, string>> {
  if (before?.kind === 'service' && after?.kind === 'service') return serviceChanges(before, after)
  if (before?.kind === 'node' && after?.kind === 'node') return nodeChanges(before, after)
  return {}
}

function serviceChanges(before: Service, after: Service): Readonly<Record<string, string>> {
  const replicas = (service: Service): string | undefined =>
    service.spec.mode.type === 'replicated' ? String(service.spec.mode.replicas) : undefined
  return {
    ...changed('image', before.spec.task.container.image, after.spec.task.container.image),
    ...changed('replicas', replicas(before), replicas(after)),
    ...(after.updateStatus === undefined
      ? {}
      : changed('updatestate', before.updateStatus?.state, after.updateStatus.state)),
  }
}

function nodeChanges(before: Node, after: Node): Readonly<Record<string, string>> {
  return {
    ...changed('availability', before.spec.availability, after.spec.availability),
    ...changed('role', before.spec.role, after.spec.role),
    ...changed('state', before.status.state, after.status.state),
  }
}

function changed(
  name: string,
  old: string | undefined,
  now: string | undefined,
): Readonly<Record<string, string>> {
  if (old === now) return {}
  return {
    ...(old === undefined ? {} : { [`${name}.old`]: old }),
    ...(now === undefined ? {} : { [`${name}.new`]: now }),
  }
}

/** Filters that are the start of an id or name, of whatever type the event is. */
const nameFilters = [
  'daemon',
  'container',
  'plugin',
  'volume',
  'network',
  'service',
  'node',
  'secret',
  'config',
]

/** True if the filters of `docker events` let the event through. */
export function isWanted(event: ClusterEvent, filters: Filters): boolean {
  const name = event.attributes['name'] ?? ''
  return (
    matchesExactly(filters, 'event', event.action) &&
    matchesExactly(filters, 'type', event.type) &&
    matchesExactly(filters, 'scope', 'swarm') &&
    nameFilters.every(
      (key) => matchesPrefix(filters, key, event.id) || matchesPrefix(filters, key, name),
    ) &&
    matchesExactly(filters, 'image', event.id) &&
    matchesLabels(filters, 'label', event.attributes)
  )
}

/** The event as a line of JSON, without line end. Nanoseconds do not fit a number of ours. */
export function formatEvent(event: ClusterEvent): string {
  const { type, action, id, attributes, atMs } = event
  const actor = JSON.stringify({ ID: id, Attributes: sorted(attributes) })
  const head = `"Type":${JSON.stringify(type)},"Action":${JSON.stringify(action)}`
  const seconds = Math.floor(atMs / 1000)
  const nanoseconds = `${Math.floor(atMs)}000000`
  return `{${head},"Actor":${actor},"scope":"swarm","time":${seconds},"timeNano":${nanoseconds}}`
}

/** Keys in order, as Go prints maps. */
function sorted(record: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)))
}
