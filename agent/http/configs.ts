// Configs: the routes of /configs. A config's bytes may be read back.

import { formatConfig, parseConfigSpec } from '../../core/spec/secret-json.ts'
import { configsOf, findConfig, parseFilters } from '../../core/store/query.ts'
import { type Call, param, readJson, readObjectVersion, sendJson, sendNothing } from './call.ts'
import { readView } from './read-view.ts'

/** GET /configs. */
export async function listConfigs(call: Call): Promise<void> {
  const filters = parseFilters(call.query.get('filters') ?? undefined)
  const view = await readView(call)
  sendJson(call, 200, configsOf(view, filters).map(formatConfig))
}

/** GET /configs/{id}. */
export async function inspectConfig(call: Call): Promise<void> {
  const view = await readView(call)
  sendJson(call, 200, formatConfig(findConfig(view, param(call))))
}

/** POST /configs/create: answers the id. */
export async function createConfig(call: Call): Promise<void> {
  const { backend } = call.api
  const body = await readJson(call)
  await backend.read()
  const { id } = await backend.submit({ type: 'config.create', spec: parseConfigSpec(body) })
  sendJson(call, 201, { ID: id })
}

/** POST /configs/{id}/update?version=N: labels only. Throws out-of-sequence if it changed since. */
export async function updateConfig(call: Call): Promise<void> {
  const { backend } = call.api
  const body = await readJson(call)
  const version = readObjectVersion(call, 'config')
  const view = await backend.read()
  const { id } = findConfig(view, param(call))
  await backend.submit({ type: 'config.update', id, version, spec: parseConfigSpec(body) })
  sendNothing(call)
}

/** DELETE /configs/{id}. */
export async function removeConfig(call: Call): Promise<void> {
  const { backend } = call.api
  const { id } = findConfig(await backend.read(), param(call))
  await backend.submit({ type: 'config.remove', id })
  sendNothing(call, 204)
}
