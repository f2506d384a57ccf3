// The list of tasks that service ps, node ps and ps print: tasks of one slot together, the newest first,
// its predecessors indented under it.

import { hasCode } from '../../core/base/error.ts'
import type { Api } from './api.ts'
import type { NodeJson, PortJson, ServiceJson, TaskJson } from './api-json.ts'
import type { Call } from './command.ts'
import { displayImage } from './image.ts'
import { compareNatural } from './natural.ts'
import { capitalize, isTableFormat, type ListForm, listFormat, writeList } from './output.ts'
import { ellipsis } from './table.ts'
import { formatHumanDuration } from './units.ts'

const taskForm: ListForm = {
  typeName: '*task.taskContext',
  headings: {
    ID: 'ID',
    Name: 'NAME',
    Image: 'IMAGE',
    Node: 'NODE',
    DesiredState: 'DESIRED STATE',
    CurrentState: 'CURRENT STATE',
    Error: 'ERROR',
    Ports: 'PORTS',
  },
  table:
    'table {{.ID}}\t{{.Name}}\t{{.Image}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}\t{{.Ports}}',
  raw: {
    full: 'id: {{.ID}}\nname: {{.Name}}\nimage: {{.Image}}\nnode: {{.Node}}\ndesired_state: {{.DesiredState}}\ncurrent_state: {{.CurrentState}}\nerror: {{.Error}}\nports: {{.Ports}}\n',
    quiet: 'id: {{.ID}}',
  },
}

const errorWidthMax = 30

/** The first twelve characters of an id. */
export function truncateId(id: string): string {
  return id.replace(/^.*:/, '').slice(0, 12)
}

/** Prints tasks by the flags --format, --quiet, --no-trunc and --no-resolve. */
export async function printTasks(
  call: Call,
  tasks: readonly TaskJson[],
  options: { readonly isQuietTruncated?: boolean } = {},
): Promise<void> {
  const { flags, io } = call
  const isQuiet = flags.isOn('quiet')
  // service ps -q prints whole ids, node ps -q does not: so docker has it.
  const isWhole = isQuiet && options.isQuietTruncated !== true
  const isTruncated = !flags.isOn('no-trunc') && !isWhole
  const format = listFormat(taskForm, { format: flags.text('format'), isQuiet })
  const names = nameResolver(call.api, { isResolving: !flags.isOn('no-resolve') })
  const named: { readonly task: TaskJson; readonly name: string }[] = []
  for (const task of tasks) named.push({ task, name: await taskName(names, task) })
  named.sort(
    (one, other) =>
      compareNatural(one.name, other.name) ||
      (other.task.CreatedAt ?? '').localeCompare(one.task.CreatedAt ?? ''),
  )
  const indent = isTableFormat(format) ? ' \\_ ' : ''
  const rows: { readonly fields: Readonly<Record<string, unknown>> }[] = []
  let previous = ''
  for (const { task, name } of named) {
    const shownName = name === previous ? indent + name : name
    const node = await names.node(task.NodeID ?? '')
    rows.push({
      fields: taskFields(task, { name: shownName, node, isTruncated, nowMs: io.now() }),
    })
    previous = name
  }
  writeList(io.stdout, { form: taskForm, format, rows })
}

async function taskName(names: NameResolver, task: TaskJson): Promise<string> {
  const service = await names.service(task.ServiceID ?? '')
  const place = task.Slot === undefined || task.Slot === 0 ? (task.NodeID ?? '') : task.Slot
  return `${service}.${place}`
}

function taskFields(
  task: TaskJson,
  shown: {
    readonly name: string
    readonly node: string
    readonly isTruncated: boolean
    readonly nowMs: number
  },
): Readonly<Record<string, unknown>> {
  const image = task.Spec?.ContainerSpec?.Image ?? ''
  const error = task.Status?.Err ?? ''
  const cut = shown.isTruncated ? ellipsis(error, errorWidthMax) : error
  const ageMs = shown.nowMs - Date.parse(task.Status?.Timestamp ?? '')
  return {
    ID: shown.isTruncated ? truncateId(task.ID) : task.ID,
    Name: shown.name,
    Image: shown.isTruncated ? displayImage(image) : image,
    Node: shown.node,
    DesiredState: capitalize(task.DesiredState ?? ''),
    CurrentState: `${capitalize(task.Status?.State ?? '')} ${formatHumanDuration(ageMs).toLowerCase()} ago`,
    Error: cut === '' ? '' : `"${cut}"`,
    Ports: (task.Status?.PortStatus?.Ports ?? []).map(formatTaskPort).join(','),
  }
}

function formatTaskPort(port: PortJson): string {
  return `*:${port.PublishedPort ?? 0}->${port.TargetPort ?? 0}/${port.Protocol ?? ''}`
}

/** Names for ids of services and nodes, each asked for once. */
export interface NameResolver {
  readonly service: (id: string) => Promise<string>
  readonly node: (id: string) => Promise<string>
}

/** Makes a resolver; without resolving, an id is its own name, as it is when the object is gone. */
export function nameResolver(api: Api, options: { isResolving: boolean }): NameResolver {
  const cache = new Map<string, string>()
  const resolve = async (id: string, find: () => Promise<string>): Promise<string> => {
    if (!options.isResolving || id === '') return id
    const known = cache.get(id)
    if (known !== undefined) return known
    let name = id
    try {
      name = (await find()) || id
    } catch (error) {
      if (!hasCode(error, 'not-found', 'bad-request', 'internal', 'unavailable')) throw error
    }
    cache.set(id, name)
    return name
  }
  return {
    service: (id) =>
      resolve(id, async () => (await api.get<ServiceJson>(`/services/${id}`)).Spec?.Name ?? ''),
    node: (id) =>
      resolve(id, async () => {
        const node = await api.get<NodeJson>(`/nodes/${id}`)
        return node.Spec?.Name || node.Description?.Hostname || ''
      }),
  }
}
