// Secrets: the routes of /secrets. A secret's bytes come in and never go out.

import { formatSecret, parseSecretSpec } from '../../core/spec/secret-json.ts'
import { findSecret, parseFilters, secretsOf } from '../../core/store/query.ts'
import { type Call, param, readJson, readObjectVersion, sendJson, sendNothing } from './call.ts'
import { readView } from './read-view.ts'

/** GET /secrets. */
export async function listSecrets(call: Call): Promise<void> {
  const filters = parseFilters(call.query.get('filters') ?? undefined)
  const view = await readView(call)
  sendJson(call, 200, secretsOf(view, filters).map(formatSecret))
}

/** GET /secrets/{id}. */
export async function inspectSecret(call: Call): Promise<void> {
  const view = await readView(call)
  sendJson(call, 200, formatSecret(findSecret(view, param(call))))
}

/** POST /secrets/create: answers the id. */
export async function createSecret(call: Call): Promise<void> {
  const { backend } = call.api
  const body = await readJson(call)
  await backend.read()
  const { id } = await backend.submit({ type: 'secret.create', spec: parseSecretSpec(body) })
  sendJson(call, 201, { ID: id })
}

/** POST /secrets/{id}/update?version=N: labels only. Throws out-of-sequence if it changed since. */
export async function updateSecret(call: Call): Promise<void> {
  const { backend } = call.api
  const body = await readJson(call)
  const version = readObjectVersion(call, 'secret')
  const view = await backend.read()
  const { id } = findSecret(view, param(call))
  await backend.submit({ type: 'secret.update', id, version, spec: parseSecretSpec(body) })
  sendNothing(call)
}

/** DELETE /secrets/{id}. */
export async function removeSecret(call: Call): Promise<void> {
  const { backend } = call.api
  const { id } = findSecret(await backend.read(), param(call))
  await backend.submit({ type: 'secret.remove', id })
  sendNothing(call, 204)
}
