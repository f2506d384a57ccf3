// Nodes: the routes of /nodes.

import type { Node } from '../../core/object/node.ts'
import { formatNode, parseNodeSpec } from '../../core/spec/node-json.ts'
import { findNode, nodesOf, parseFilters } from '../../core/store/query.ts'
import type { View } from '../../core/store/view.ts'
import {
  type Call,
  isOn,
  param,
  readJson,
  readObjectVersion,
  sendJson,
  sendNothing,
  sendWarnings,
} from './call.ts'
import { readView } from './read-view.ts'
import { nodeTls } from './tls.ts'

/** GET /nodes. */
export async function listNodes(call: Call): Promise<void> {
  const filters = parseFilters(call.query.get('filters') ?? undefined)
  const view = await readView(call)
  sendJson(
    call,
    200,
    nodesOf(view, filters).map((node) => format(call, view, node)),
  )
}

/** GET /nodes/{id}. */
export async function inspectNode(call: Call): Promise<void> {
  const view = await readView(call)
  sendJson(call, 200, format(call, view, findNode(view, param(call))))
}

function format(call: Call, view: View, node: Node): unknown {
  const { backend } = call.api
  const manager = backend.managerStatus(node.id)
  const cluster = view.cluster()
  return formatNode(node, {
    ...(manager === undefined ? {} : { manager }),
    ...(cluster === undefined ? {} : { tls: nodeTls(backend, cluster, node) }),
  })
}

/** POST /nodes/{id}/update?version=N. */
export async function updateNode(call: Call): Promise<void> {
  const { backend } = call.api
  const body = await readJson(call)
  const version = readObjectVersion(call, 'node')
  const view = await backend.read()
  const spec = parseNodeSpec(body)
  const { id } = findNode(view, param(call))
  const { warnings } = await backend.submit({ type: 'node.update', id, version, spec })
  for (const warning of warnings) call.api.log('warn', 'node.warning', { node: id, warning })
  sendWarnings(call, warnings)
}

/** DELETE /nodes/{id}?force=1. */
export async function removeNode(call: Call): Promise<void> {
  const { backend } = call.api
  const { id } = findNode(await backend.read(), param(call))
  await backend.submit({ type: 'node.remove', id, force: isOn(call, 'force') })
  sendNothing(call)
}
