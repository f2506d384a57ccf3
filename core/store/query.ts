// Query: how the API asks for objects: filters (`filters={"name":["web"]}`), and references, which
// are a full id, else a name, else the start of an id that fits one object only.
//
// The values of one filter are alternatives; the filters of a request must all fit. Labels are the
// exception: every label asked for must be there.

import { CodedError } from '../base/error.ts'
import type { Node } from '../object/node.ts'
import type { Labels } from '../object/object.ts'
import type { Config, Secret } from '../object/secret.ts'
import type { Service } from '../object/service.ts'
import { type Task, taskName, taskStates } from '../object/task.ts'
import type { View } from './view.ts'

/** Filter name -> values asked for. */
export type Filters = ReadonlyMap<string, ReadonlySet<string>>

/**
 * Reads the `filters` parameter in both forms of the API, {"a":["x"]} and {"a":{"x":true}}.
 * Throws bad-request `invalid filter`.
 */
export function parseFilters(text: string | undefined): Filters {
  const filters = new Map<string, ReadonlySet<string>>()
  if (text === undefined || text === '') return filters
  const parsed = parseJson(text)
  if (parsed === null) return filters
  if (typeof parsed !== 'object' || Array.isArray(parsed)) throw invalidFilter()
  for (const [name, values] of Object.entries(parsed)) filters.set(name, filterValues(values))
  return filters
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw invalidFilter()
  }
}

function filterValues(values: unknown): ReadonlySet<string> {
  if (values === null) return new Set()
  if (Array.isArray(values)) {
    if (!values.every((value) => typeof value === 'string')) throw invalidFilter()
    return new Set(values)
  }
  if (typeof values !== 'object') throw invalidFilter()
  const entries = Object.entries(values as object)
  if (!entries.every(([, isOn]) => typeof isOn === 'boolean')) throw invalidFilter()
  return new Set(entries.map(([value]) => value))
}

function invalidFilter(name?: string): CodedError {
  return new CodedError(
    'bad-request',
    name === undefined ? 'invalid filter' : `invalid filter '${name}'`,
  )
}

/** Throws bad-request, in Docker's words, if a filter is not one of the accepted. */
export function checkFilters(filters: Filters, accepted: readonly string[]): void {
  for (const name of filters.keys()) if (!accepted.includes(name)) throw invalidFilter(name)
}

/** True if the filter is absent or holds the value. */
export function matchesExactly(filters: Filters, name: string, value: string): boolean {
  const values = filters.get(name)
  return values === undefined || values.size === 0 || values.has(value)
}

/** True if the filter is absent or one of its values starts the text. */
export function matchesPrefix(filters: Filters, name: string, text: string): boolean {
  const values = filters.get(name)
  if (values === undefined || values.size === 0) return true
  return [...values].some((prefix) => text.startsWith(prefix))
}

/** True if every label asked for (`key` or `key=value`) is there. */
export function matchesLabels(filters: Filters, name: string, labels: Labels): boolean {
  for (const wanted of filters.get(name) ?? []) {
    const at = wanted.indexOf('=')
    const key = at < 0 ? wanted : wanted.slice(0, at)
    const value = at < 0 ? '' : wanted.slice(at + 1)
    const found = Object.hasOwn(labels, key) ? labels[key] : undefined
    if (found === undefined || (value !== '' && value !== found)) return false
  }
  return true
}

/** Filters of GET /nodes. `name` is the hostname; `label` is of the engine, `node.label` ours. */
export function nodesOf(view: View, filters: Filters): readonly Node[] {
  checkFilters(filters, ['name', 'id', 'label', 'role', 'membership', 'node.label'])
  checkWords(filters, 'role', ['worker', 'manager'])
  checkWords(filters, 'membership', ['accepted', 'pending'])
  const roles = lowered(filters, 'role')
  const isPendingOnly = [...lowered(filters, 'membership')].join() === 'pending'
  return inOrder(view.all('node')).filter(
    (node) =>
      !isPendingOnly &&
      matchesPrefix(filters, 'name', node.description?.hostname ?? '') &&
      matchesPrefix(filters, 'id', node.id) &&
      matchesLabels(filters, 'label', node.description?.engine.labels ?? {}) &&
      matchesLabels(filters, 'node.label', node.spec.labels) &&
      (roles.size === 0 || roles.has(node.spec.role)),
  )
}

/** Filters of GET /services. */
export function servicesOf(view: View, filters: Filters): readonly Service[] {
  checkFilters(filters, ['name', 'id', 'label', 'mode', 'runtime'])
  return inOrder(view.all('service')).filter(
    (service) =>
      matchesPrefix(filters, 'name', service.spec.name) &&
      matchesPrefix(filters, 'id', service.id) &&
      matchesLabels(filters, 'label', service.spec.labels) &&
      matchesExactly(filters, 'mode', service.spec.mode.type) &&
      matchesExactly(filters, 'runtime', service.spec.task.runtime ?? 'container'),
  )
}

/**
 * Filters of GET /tasks. Services and nodes are references; throws not-found or bad-request for
 * one that fits none or many. `_up-to-date` is the CLI's own: tasks of the newest spec.
 */
export function tasksOf(
  view: View,
  filters: Filters,
  isUpToDate: (task: Task) => boolean,
): readonly Task[] {
  checkFilters(filters, [
    'name',
    'id',
    'label',
    'service',
    'node',
    'desired-state',
    '_up-to-date',
    'runtime',
  ])
  const services = [...(filters.get('service') ?? [])].map((at) => findService(view, at).id)
  const nodes = [...(filters.get('node') ?? [])].map((at) => findNode(view, at).id)
  checkWords(filters, 'desired-state', taskStates)
  const states = lowered(filters, 'desired-state')
  const candidates =
    services.length > 0
      ? services.flatMap((id) => view.tasksOfService(id))
      : nodes.length > 0
        ? nodes.flatMap((id) => view.tasksOfNode(id))
        : view.all('task')
  const isUpToDateOnly = (filters.get('_up-to-date')?.size ?? 0) > 0
  return inOrder(candidates).filter(
    (task) =>
      matchesPrefix(filters, 'name', taskName(task)) &&
      matchesPrefix(filters, 'id', task.id) &&
      matchesLabels(filters, 'label', task.serviceLabels) &&
      (nodes.length === 0 || (task.nodeId !== undefined && nodes.includes(task.nodeId))) &&
      (states.size === 0 || states.has(task.desiredState)) &&
      matchesExactly(filters, 'runtime', task.spec.runtime ?? 'container') &&
      (!isUpToDateOnly || isUpToDate(task)),
  )
}

/** Filters of GET /secrets. */
export function secretsOf(view: View, filters: Filters): readonly Secret[] {
  return filesOf(view.all('secret'), filters)
}

/** Filters of GET /configs. */
export function configsOf(view: View, filters: Filters): readonly Config[] {
  return filesOf(view.all('config'), filters)
}

/** Whole names, starts of names and starts of ids are alternatives, also to each other. */
function filesOf<Item extends Secret | Config>(
  items: readonly Item[],
  filters: Filters,
): readonly Item[] {
  checkFilters(filters, ['names', 'name', 'id', 'label'])
  const isAsked = (key: string): boolean => (filters.get(key)?.size ?? 0) > 0
  const isAny = !isAsked('names') && !isAsked('name') && !isAsked('id')
  return inOrder(items).filter(
    ({ id, spec }) =>
      (isAny ||
        (isAsked('names') && matchesExactly(filters, 'names', spec.name)) ||
        (isAsked('name') && matchesPrefix(filters, 'name', spec.name)) ||
        (isAsked('id') && matchesPrefix(filters, 'id', id))) &&
      matchesLabels(filters, 'label', spec.labels),
  )
}

/** Throws bad-request unless each value is one of the words, in any case. */
function checkWords(filters: Filters, name: string, words: readonly string[]): void {
  for (const value of filters.get(name) ?? []) {
    if (value !== '' && !words.includes(value.toLowerCase())) {
      throw new CodedError('bad-request', `Invalid ${name} filter: '${value}'`)
    }
  }
}

function lowered(filters: Filters, name: string): ReadonlySet<string> {
  return new Set([...(filters.get(name) ?? [])].map((value) => value.toLowerCase()).filter(Boolean))
}

/** By id, as Swarm lists: the same each time. */
function inOrder<Item extends { readonly id: string }>(items: Iterable<Item>): readonly Item[] {
  return [...items].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
}

/** The service of that id, name or start of an id. Throws not-found, bad-request (ambiguous). */
export function findService(view: View, reference: string): Service {
  const exact = view.get('service', reference)
  if (exact !== undefined) return exact
  return find({ kind: 'service', reference }, view.all('service'), (service) => service.spec.name)
}

/** The node of that id, hostname or start of an id. Throws not-found, bad-request (ambiguous). */
export function findNode(view: View, reference: string): Node {
  const exact = view.get('node', reference)
  if (exact !== undefined) return exact
  return find({ kind: 'node', reference }, view.all('node'), (node) => node.description?.hostname)
}

/** The task of that id, name (service.slot.id) or start of an id. Throws as findService. */
export function findTask(view: View, reference: string): Task {
  const exact = view.get('task', reference)
  if (exact !== undefined) return exact
  return find({ kind: 'task', reference }, view.all('task'), taskName)
}

/** The secret of that id, name or start of an id. Throws as findService. */
export function findSecret(view: View, reference: string): Secret {
  const exact = view.get('secret', reference)
  if (exact !== undefined) return exact
  return find({ kind: 'secret', reference }, view.all('secret'), (secret) => secret.spec.name)
}

/** The config of that id, name or start of an id. Throws as findService. */
export function findConfig(view: View, reference: string): Config {
  const exact = view.get('config', reference)
  if (exact !== undefined) return exact
  return find({ kind: 'config', reference }, view.all('config'), (config) => config.spec.name)
}

/** The id of the network of that id, name or start of an id. Throws as findService. */
export function findNetworkId(view: View, reference: string): string {
  const exact = view.get('network', reference)
  if (exact !== undefined) return exact.id
  const networks = view.all('network')
  return find({ kind: 'network', reference }, networks, (network) => network.spec.name).id
}

function find<Item extends { readonly id: string }>(
  asked: { readonly kind: string; readonly reference: string },
  items: readonly Item[],
  nameOf: (item: Item) => string | undefined,
): Item {
  const { kind, reference } = asked
  const named = items.filter((item) => nameOf(item) === reference)
  const fitting = named.length > 0 ? named : items.filter((item) => item.id.startsWith(reference))
  if (fitting.length > 1) {
    throw new CodedError(
      'bad-request',
      `${kind} ${reference} is ambiguous (${fitting.length} matches found)`,
    )
  }
  const [only] = fitting
  if (only === undefined) throw new CodedError('not-found', `${kind} ${reference} not found`)
  return only
}

/** `ServiceStatus` of a service in lists (`status=true`). */
export interface ServiceCounts {
  readonly running: number
  readonly desired: number
  readonly completed: number
}

/** Counts a service's tasks as `service ls` shows them in REPLICAS. */
export function countTasks(view: View, service: Service): ServiceCounts {
  const { mode } = service.spec
  const isGlobal = mode.type === 'global' || mode.type === 'global-job'
  let running = 0
  let completed = 0
  let desiredGlobal = 0
  for (const task of view.tasksOfService(service.id)) {
    const { state } = task.status
    if (service.job !== undefined) {
      if (task.jobIteration !== service.job.iteration) continue
      if (state === 'complete') completed++
    }
    if (state === 'running') running++
    const isAwaited = task.desiredState === 'complete' && state !== 'complete'
    if (task.desiredState === 'running' || isAwaited) desiredGlobal++
  }
  if (isGlobal) return { running, desired: desiredGlobal, completed }
  const desired = mode.type === 'replicated' ? mode.replicas : mode.maxConcurrent
  return { running, desired, completed }
}
