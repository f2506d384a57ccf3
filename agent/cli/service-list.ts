// service ls, service ps, and ps.

import { CodedError } from '../../core/base/error.ts'
import { type Api, type Filters, formatFilters } from './api.ts'
import type { ModeJson, PortJson, ServiceJson, TaskJson } from './api-json.ts'
import { type Call, exitError } from './command.ts'
import { displayImage } from './image.ts'
import { compareNatural, compareText } from './natural.ts'
import { nodeReference } from './node-reference.ts'
import { parseFilter } from './opts/list.ts'
import { type ListForm, listFormat, writeList } from './output.ts'
import { printTasks, truncateId } from './tasks.ts'

const serviceForm: ListForm = {
  typeName: '*service.serviceContext',
  headings: {
    ID: 'ID',
    Name: 'NAME',
    Mode: 'MODE',
    Replicas: 'REPLICAS',
    Image: 'IMAGE',
    Ports: 'PORTS',
  },
  table: 'table {{.ID}}\t{{.Name}}\t{{.Mode}}\t{{.Replicas}}\t{{.Image}}\t{{.Ports}}',
  raw: {
    full: 'id: {{.ID}}\nname: {{.Name}}\nmode: {{.Mode}}\nreplicas: {{.Replicas}}\nimage: {{.Image}}\nports: {{.Ports}}\n',
    quiet: 'id: {{.ID}}',
  },
}

/** --filter flags as the API's filters. */
export function filtersOf(texts: readonly string[]): Filters {
  const filters: Record<string, string[]> = {}
  for (const filter of texts.map(parseFilter)) {
    if (filter === undefined) continue
    const values = filters[filter.name] ?? []
    filters[filter.name] = values.includes(filter.value) ? values : [...values, filter.value]
  }
  return filters
}

/** service ls */
export async function listServices({ api, flags, io }: Call): Promise<undefined> {
  const isQuiet = flags.isOn('quiet')
  const filters = formatFilters(filtersOf(flags.all('filter')))
  const services = await api.get<readonly ServiceJson[]>('/services', {
    query: { filters, status: isQuiet ? undefined : 'true' },
  })
  const sorted = services.toSorted((one, other) =>
    compareNatural(one.Spec?.Name ?? '', other.Spec?.Name ?? ''),
  )
  writeList(io.stdout, {
    form: serviceForm,
    format: listFormat(serviceForm, { format: flags.text('format'), isQuiet }),
    rows: sorted.map((service) => ({ fields: serviceFields(service) })),
  })
  return undefined
}

/** What a list shows of a service. */
export function serviceFields(service: ServiceJson): Readonly<Record<string, unknown>> {
  return {
    ID: truncateId(service.ID),
    Name: service.Spec?.Name ?? '',
    Mode: modeName(service.Spec?.Mode ?? {}),
    Replicas: replicas(service),
    Image: displayImage(service.Spec?.TaskTemplate?.ContainerSpec?.Image ?? ''),
    Ports: formatPorts(service.Endpoint?.Ports ?? []),
  }
}

function modeName(mode: ModeJson): string {
  if (mode.Global !== undefined) return 'global'
  if (mode.Replicated !== undefined) return 'replicated'
  if (mode.ReplicatedJob !== undefined) return 'replicated job'
  return mode.GlobalJob === undefined ? '' : 'global job'
}

function replicas(service: ServiceJson): string {
  const {
    RunningTasks: running = 0,
    DesiredTasks: desired = 0,
    CompletedTasks: completed = 0,
  } = service.ServiceStatus ?? {}
  const mode = service.Spec?.Mode ?? {}
  if (mode.ReplicatedJob !== undefined) {
    const total = mode.ReplicatedJob.TotalCompletions ?? 0
    return `${running}/${desired} (${completed}/${total} completed)`
  }
  if (mode.GlobalJob !== undefined) {
    return `${running}/${desired} (${completed}/${desired + completed} completed)`
  }
  const perNode = service.Spec?.TaskTemplate?.Placement?.MaxReplicas ?? 0
  const limit = perNode > 0 && mode.Replicated !== undefined ? ` (max ${perNode} per node)` : ''
  return `${running}/${desired}${limit}`
}

/** Ports of one protocol in a row: published from..to, target from..to. */
interface PortRun {
  readonly protocol: string
  readonly published: readonly [number, number]
  readonly target: readonly [number, number]
}

/** Ports of the ingress network, runs of them as one: "*:80-82->8080-8082/tcp". */
function formatPorts(ports: readonly PortJson[]): string {
  const sorted = ports
    .filter((port) => port.PublishMode === 'ingress')
    .toSorted(
      (one, other) =>
        compareText(one.Protocol ?? '', other.Protocol ?? '') ||
        (one.PublishedPort ?? 0) - (other.PublishedPort ?? 0),
    )
  const runs: PortRun[] = []
  for (const port of sorted) {
    const { Protocol: protocol = '', PublishedPort: published = 0, TargetPort: target = 0 } = port
    const last = runs.at(-1)
    if (last !== undefined && joins(last, { protocol, published, target })) {
      runs[runs.length - 1] = {
        protocol,
        published: [last.published[0], published],
        target: [last.target[0], target],
      }
    } else runs.push({ protocol, published: [published, published], target: [target, target] })
  }
  return runs.map(formatRun).join(', ')
}

function joins(
  run: PortRun,
  port: { readonly protocol: string; readonly published: number; readonly target: number },
): boolean {
  const [first, last] = run.target
  if (port.protocol !== run.protocol || port.published - run.published[1] > 1) return false
  // Published ports may run over one target, or each over its own; a run does one of the two.
  if (port.target < last || port.target - last > 1) return false
  return first === last || port.target > last
}

function formatRun({ published, target, protocol }: PortRun): string {
  const [from, to] = [published, target].map(([first, last]) =>
    last > first ? `${first}-${last}` : `${first}`,
  )
  return `*:${from}->${to}/${protocol}`
}

/** service ps: services by id, by name, then by the start of an id. */
export async function listServiceTasks(call: Call): Promise<undefined> {
  const { api, args, flags } = call
  const found = await findServices(api, args)
  if (found.ids.length === 0) throw exitError(found.missing.join('\n'), 1)
  await printFiltered(call, { ...filtersOf(flags.all('filter')), service: found.ids })
  if (found.missing.length > 0) throw exitError(found.missing.join('\n'), 1)
  return undefined
}

/** ps: the tasks of all services. */
export async function listTasks(call: Call): Promise<undefined> {
  await printFiltered(call, filtersOf(call.flags.all('filter')))
  return undefined
}

async function printFiltered(call: Call, filters: Filters): Promise<void> {
  const nodes: string[] = []
  for (const node of filters['node'] ?? []) nodes.push(await nodeReference(call.api, node))
  const resolved = nodes.length === 0 ? filters : { ...filters, node: nodes }
  const tasks = await call.api.get<readonly TaskJson[]>('/tasks', {
    query: { filters: formatFilters(resolved) },
  })
  await printTasks(call, tasks)
}

async function findServices(
  api: Api,
  names: readonly string[],
): Promise<{ readonly ids: readonly string[]; readonly missing: readonly string[] }> {
  const list = (filters: Filters): Promise<readonly ServiceJson[]> =>
    api.get('/services', { query: { filters: formatFilters(filters) } })
  const byId = await list({ id: names })
  const byName = await list({ name: names })
  const ids: string[] = []
  const missing: string[] = []
  for (const name of names) {
    const exact =
      byId.find((service) => service.ID === name) ??
      byName.find((service) => service.Spec?.Name === name)
    const prefixed = byId.filter((service) => service.ID.startsWith(name))
    if (exact === undefined && prefixed.length > 1) {
      throw new CodedError(
        'invalid-argument',
        `multiple services found with provided prefix: ${name}`,
      )
    }
    const service = exact ?? prefixed[0]
    if (service === undefined) missing.push(`no such service: ${name}`)
    else ids.push(service.ID)
  }
  return { ids, missing }
}
