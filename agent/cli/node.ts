// node ls, ps, inspect, update, promote, demote, rm.

import { type Api, formatFilters } from './api.ts'
import type { NodeJson, NodeSpecJson, SwarmInfoJson, TaskJson, TlsInfoJson } from './api-json.ts'
import { type WarningsJson, writeLine, writeWarnings } from './cli-io.ts'
import { type Call, exitError, messageOf, throwAll } from './command.ts'
import { compareNatural } from './natural.ts'
import { formatNode } from './node-pretty.ts'
import { nodeReference } from './node-reference.ts'
import { recordOf } from './opts/list.ts'
import { capitalize, inspectAll, type ListForm, listFormat, writeList } from './output.ts'
import { filtersOf } from './service-list.ts'
import { printTasks } from './tasks.ts'

const nodeForm: ListForm = {
  typeName: '*node.nodeContext',
  headings: {
    ID: 'ID',
    Self: '',
    Hostname: 'HOSTNAME',
    Status: 'STATUS',
    Availability: 'AVAILABILITY',
    ManagerStatus: 'MANAGER STATUS',
    EngineVersion: 'ENGINE VERSION',
    TLSStatus: 'TLS STATUS',
  },
  table:
    'table {{.ID}} {{if .Self}}*{{else}} {{ end }}\t{{.Hostname}}\t{{.Status}}\t{{.Availability}}\t{{.ManagerStatus}}\t{{.EngineVersion}}',
  raw: {
    full: 'node_id: {{.ID}}\nhostname: {{.Hostname}}\nstatus: {{.Status}}\navailability: {{.Availability}}\nmanager_status: {{.ManagerStatus}}\n',
    quiet: 'node_id: {{.ID}}',
  },
}

/** node ls */
export async function listNodes({ api, flags, io }: Call): Promise<undefined> {
  const isQuiet = flags.isOn('quiet')
  const filters = formatFilters(filtersOf(flags.all('filter')))
  const nodes = await api.get<readonly NodeJson[]>('/nodes', { query: { filters } })
  const isInfoNeeded = nodes.length > 0 && !isQuiet
  const swarm = isInfoNeeded ? await ownSwarm(api, flags.text('format')) : {}
  const sorted = nodes.toSorted((one, other) =>
    compareNatural(one.Description?.Hostname ?? '', other.Description?.Hostname ?? ''),
  )
  writeList(io.stdout, {
    form: nodeForm,
    format: listFormat(nodeForm, { format: flags.text('format'), isQuiet }),
    rows: sorted.map((node) => ({ fields: nodeFields(node, swarm) })),
  })
  return undefined
}

/** What the table says of the node that answers; only other formats can ask for more than its id. */
async function ownSwarm(api: Api, format: string): Promise<SwarmInfoJson> {
  const nodeId = format === '' ? await api.nodeId() : undefined
  if (nodeId !== undefined) return { NodeID: nodeId }
  const info = await api.get<{ readonly Swarm?: SwarmInfoJson }>('/info')
  return info.Swarm ?? {}
}

function nodeFields(node: NodeJson, swarm: SwarmInfoJson): Readonly<Record<string, unknown>> {
  const manager = node.ManagerStatus
  return {
    ID: node.ID,
    Self: node.ID === swarm.NodeID,
    Hostname: node.Description?.Hostname ?? '',
    Status: capitalize(node.Status?.State ?? ''),
    Availability: capitalize(node.Spec?.Availability ?? ''),
    ManagerStatus: capitalize(manager?.Leader === true ? 'leader' : (manager?.Reachability ?? '')),
    EngineVersion: node.Description?.Engine?.EngineVersion ?? '',
    TLSStatus: tlsStatus(node.Description?.TLSInfo ?? {}, swarm.Cluster?.TLSInfo ?? {}),
  }
}

function tlsStatus(node: TlsInfoJson, cluster: TlsInfoJson): string {
  const textOf = (info: TlsInfoJson): string =>
    [info.TrustRoot, info.CertIssuerSubject, info.CertIssuerPublicKey].join('\n').trim()
  if (textOf(node) === '' || textOf(cluster) === '') return 'Unknown'
  return textOf(node) === textOf(cluster) ? 'Ready' : 'Needs Rotation'
}

/** node ps: tasks of the named nodes, or of this one. */
export async function listNodeTasks(call: Call): Promise<undefined> {
  const { api, flags } = call
  const errors: string[] = []
  const tasks: TaskJson[] = []
  for (const name of call.args.length === 0 ? ['self'] : call.args) {
    try {
      const node = await getNode(api, await nodeReference(api, name))
      const filters = { ...filtersOf(flags.all('filter')), node: [node.ID] }
      const query = { filters: formatFilters(filters) }
      tasks.push(...(await api.get<readonly TaskJson[]>('/tasks', { query })))
    } catch (error) {
      errors.push(messageOf(error))
    }
  }
  if (errors.length === 0 || tasks.length > 0) {
    await printTasks(call, tasks, { isQuietTruncated: true })
  }
  throwAll(errors)
  return undefined
}

function getNode(api: Api, name: string): Promise<NodeJson> {
  return api.get<NodeJson>(`/nodes/${encodeURIComponent(name)}`)
}

/** node inspect */
export async function inspectNodes({ api, args, flags, io }: Call): Promise<undefined> {
  const format = flags.isOn('pretty') ? 'pretty' : flags.text('format')
  if (format.startsWith('pretty') && format !== 'pretty') {
    throw exitError('cannot supply extra formatting options to the pretty template', 1)
  }
  const find = async (name: string) =>
    api.getRaw<NodeJson>(`/nodes/${encodeURIComponent(await nodeReference(api, name))}`)
  if (format !== 'pretty') {
    await inspectAll(io.stdout, { names: args, format, type: 'swarm.Node', find })
    return undefined
  }
  let text = ''
  for (const name of args) text += formatNode((await find(name)).value)
  io.stdout.write(text)
  return undefined
}

/** node update */
export async function updateNode(call: Call): Promise<undefined> {
  const name = call.args[0] ?? ''
  await changeNode(call, name, (node) => changedSpec(call, node.Spec ?? {}))
  writeLine(call.io.stdout, name)
  return undefined
}

function changedSpec({ flags }: Call, spec: NodeSpecJson): NodeSpecJson {
  const labels: Record<string, string> = {
    ...spec.Labels,
    ...recordOf(flags.all('label-add')),
  }
  for (const key of flags.all('label-rm')) {
    if (!Object.hasOwn(labels, key)) {
      throw exitError(`key ${key} doesn't exist in node's labels`, 1)
    }
    delete labels[key]
  }
  return {
    ...spec,
    Labels: labels,
    ...(flags.isSet('role') ? { Role: flags.text('role') } : {}),
    ...(flags.isSet('availability') ? { Availability: flags.text('availability') } : {}),
  }
}

/** Updates a node by what `change` makes of its spec; nothing happens when it makes nothing. */
async function changeNode(
  { api, io }: Call,
  name: string,
  change: (node: NodeJson) => NodeSpecJson | undefined,
): Promise<boolean> {
  const node = await getNode(api, name)
  const spec = change(node)
  if (spec === undefined) return false
  const path = `/nodes/${encodeURIComponent(node.ID)}/update`
  const answer = await api.post<WarningsJson | undefined>(path, {
    query: { version: String(node.Version?.Index ?? 0) },
    body: spec,
  })
  writeWarnings(io, answer)
  return true
}

/** node promote */
export async function promoteNodes(call: Call): Promise<undefined> {
  for (const name of call.args) {
    if (await setRole(call, name, 'manager')) {
      writeLine(call.io.stdout, `Node ${name} promoted to a manager in the swarm.`)
    }
  }
  return undefined
}

/** node demote */
export async function demoteNodes(call: Call): Promise<undefined> {
  for (const name of call.args) {
    if (await setRole(call, name, 'worker')) {
      writeLine(call.io.stdout, `Manager ${name} demoted in the swarm.`)
    }
  }
  return undefined
}

function setRole(call: Call, name: string, role: 'manager' | 'worker'): Promise<boolean> {
  const { io } = call
  return changeNode(call, name, (node) => {
    if (node.Spec?.Role !== role) return { ...node.Spec, Role: role }
    writeLine(io.stdout, `Node ${node.ID} is already a ${role}.`)
    return undefined
  })
}

/** node rm */
export async function removeNodes({ api, args, flags, io }: Call): Promise<undefined> {
  const errors: string[] = []
  const query = { force: flags.isOn('force') ? '1' : undefined }
  for (const name of args) {
    try {
      await api.delete(`/nodes/${encodeURIComponent(name)}`, { query })
      writeLine(io.stdout, name)
    } catch (error) {
      errors.push(messageOf(error))
    }
  }
  throwAll(errors)
  return undefined
}
