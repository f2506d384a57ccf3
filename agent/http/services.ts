// Services: the routes of /services but their logs.

import { CodedError } from '../../core/base/error.ts'
import { asId, type NetworkId } from '../../core/base/id.ts'
import { defaultRestart, defaultStopGraceNs, fullUpdate } from '../../core/object/defaults.ts'
import type { Service, ServiceSpec } from '../../core/object/service.ts'
import {
  formatService,
  formatServiceStatus,
  parseRollback,
  parseServiceSpec,
} from '../../core/spec/service-json.ts'
import {
  countTasks,
  findNetworkId,
  findService,
  parseFilters,
  type ServiceCounts,
  servicesOf,
} from '../../core/store/query.ts'
import type { View } from '../../core/store/view.ts'
import {
  type Call,
  param,
  readFlag,
  readJson,
  readObjectVersion,
  sendJson,
  sendJsonText,
  sendNothing,
} from './call.ts'
import { pinImage } from './digest.ts'
import { readView } from './read-view.ts'
import { isOlder } from './version.ts'

/** GET /services, with counts of tasks if `status=true` (API 1.41). */
export async function listServices(call: Call): Promise<void> {
  const filters = parseFilters(call.query.get('filters') ?? undefined)
  const isCounted = !isOlder(call.version, '1.41') && readFlag(call, 'status')
  const view = await readView(call)
  const toText = isOlder(call.version, '1.25')
    ? (service: Service) => JSON.stringify(format(call, service))
    : (service: Service) => formatText(service, isCounted ? countTasks(view, service) : undefined)
  const texts = servicesOf(view, filters).map(toText)
  sendJsonText(call, 200, `[${texts.join(',')}]`)
}

/** GET /services/{id}, with what absent fields mean if `insertDefaults=true`. */
export async function inspectService(call: Call): Promise<void> {
  const isFull = readFlag(call, 'insertDefaults')
  const view = await readView(call)
  const service = findService(view, param(call))
  sendJson(call, 200, format(call, isFull ? withDefaults(service) : service))
}

/** An object of the store never changes, so its JSON is made once for all lists that it stands in. */
const jsonOf = new WeakMap<Service, string>()

/** The JSON of `formatService`. */
function formatText(service: Service, counts: ServiceCounts | undefined): string {
  // Docker's order of the fields: only a job has one behind the counts.
  if (counts !== undefined && service.job !== undefined) {
    return JSON.stringify(formatService(service, counts))
  }
  let json = jsonOf.get(service)
  if (json === undefined) {
    json = JSON.stringify(formatService(service))
    jsonOf.set(service, json)
  }
  if (counts === undefined) return json
  return `${json.slice(0, -1)},"ServiceStatus":${JSON.stringify(formatServiceStatus(counts))}}`
}

/** As the client's version of the API has it: before 1.25 networks stood in the spec itself. */
function format(call: Call, service: Service): unknown {
  const document = formatService(service)
  const { networks } = service.spec.task
  if (networks.length === 0 || !isOlder(call.version, '1.25')) return document
  const { Spec, ...rest } = document as { readonly Spec: Readonly<Record<string, unknown>> }
  const Networks = networks.map(({ target, aliases }) => ({ Target: target, Aliases: aliases }))
  return { ...rest, Spec: { ...Spec, Networks } }
}

/** The service with each default filled in that Docker fills in. */
function withDefaults(service: Service): Service {
  const { spec } = service
  const { task } = spec
  const { windowNs: _, ...restart } = defaultRestart // No window is no field, not one of length 0.
  const filled: ServiceSpec = {
    ...spec,
    task: {
      ...task,
      container: { stopGraceNs: defaultStopGraceNs, ...task.container },
      resources: task.resources ?? {},
      restart: { ...restart, ...task.restart },
      placement: task.placement ?? {},
    },
    update: fullUpdate(spec.update),
    rollback: fullUpdate(spec.rollback),
  }
  return { ...service, spec: filled }
}

/** POST /services/create: answers the id, and warnings if any. */
export async function createService(call: Call): Promise<void> {
  const { backend } = call.api
  const body = await readJson(call)
  const view = await backend.read()
  const spec = withNetworkIds(view, parseServiceSpec(body))
  const registryAuth = readAuth(call)
  const pinned = await pin(call, spec, registryAuth)
  const answer = await backend.submit({
    type: 'service.create',
    spec: pinned.spec,
    ...(registryAuth === undefined ? {} : { registryAuth }),
  })
  const warnings = [...pinned.warnings, ...answer.warnings]
  sendJson(call, 201, { ID: answer.id, ...(warnings.length === 0 ? {} : { Warnings: warnings }) })
}

/** POST /services/{id}/update?version=N. Throws out-of-sequence if it changed since. */
export async function updateService(call: Call): Promise<void> {
  const { backend } = call.api
  const body = await readJson(call)
  const version = readObjectVersion(call, 'service')
  const registryAuthFrom = readAuthFrom(call)
  const view = await backend.read()
  const service = findService(view, param(call))
  const rollback = parseRollback(call.query.get('rollback') ?? undefined)
  const spec = withNetworkIds(view, parseServiceSpec(body))
  const registryAuth = readAuth(call)
  const pinned = await pin(call, spec, registryAuth ?? service.registryAuth)
  const answer = await backend.submit({
    type: 'service.update',
    id: service.id,
    version,
    spec: pinned.spec,
    rollback,
    ...(registryAuth === undefined ? {} : { registryAuth }),
    ...(registryAuthFrom === undefined ? {} : { registryAuthFrom }),
  })
  const warnings = [...pinned.warnings, ...answer.warnings]
  sendJson(call, 200, { Warnings: warnings.length === 0 ? null : warnings })
}

/** DELETE /services/{id}. */
export async function removeService(call: Call): Promise<void> {
  const { backend } = call.api
  const { id } = findService(await backend.read(), param(call))
  await backend.submit({ type: 'service.remove', id })
  sendNothing(call)
}

function readAuth(call: Call): string | undefined {
  const value = call.request.headers['x-registry-auth']
  return typeof value === 'string' && value !== '' ? value : undefined
}

function readAuthFrom(call: Call): 'spec' | 'previous-spec' | undefined {
  const value = call.query.get('registryAuthFrom') ?? ''
  if (value === '') return undefined
  if (value === 'spec' || value === 'previous-spec') return value
  throw new CodedError('bad-request', `invalid registryAuthFrom '${value}'`)
}

/** Networks may be named by id, name or the start of an id; the cluster keeps ids. */
function withNetworkIds(view: View, spec: ServiceSpec): ServiceSpec {
  if (spec.task.networks.length === 0) return spec
  const networks = spec.task.networks.map((network) => ({
    ...network,
    target: asId<NetworkId>(findNetworkId(view, network.target)),
  }))
  return { ...spec, task: { ...spec.task, networks } }
}

/** Clients from API 1.30 on ask the registry themselves; for older ones we do. */
async function pin(
  call: Call,
  spec: ServiceSpec,
  registryAuth: string | undefined,
): Promise<{ readonly spec: ServiceSpec; readonly warnings: readonly string[] }> {
  if (!isOlder(call.version, '1.30')) return { spec, warnings: [] }
  const { container } = spec.task
  const pinned = await pinImage(call.api.engine, {
    image: container.image,
    registryAuth,
    signal: call.signal,
  })
  const task = { ...spec.task, container: { ...container, image: pinned.image } }
  return { spec: { ...spec, task }, warnings: pinned.warnings }
}
