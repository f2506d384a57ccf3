// Names to ids: secrets, configs and networks that a service refers to by name, as the API wants ids.

import { CodedError } from '../../core/base/error.ts'
import { type Api, formatFilters } from './api.ts'
import type {
  ConfigReferenceJson,
  NetworkAttachmentJson,
  NetworkJson,
  ObjectJson,
  SecretReferenceJson,
} from './api-json.ts'
import { compareText } from './natural.ts'
import type { FileReference } from './opts/reference.ts'

/** The id of a network of the swarm, by name or id. */
export async function networkId(api: Api, name: string): Promise<string> {
  const query = { scope: 'swarm' }
  return (await api.get<NetworkJson>(`/networks/${encodeURIComponent(name)}`, { query })).Id
}

/** Networks with ids for names, sorted by id. */
export async function resolveNetworks(
  api: Api,
  networks: readonly NetworkAttachmentJson[],
): Promise<readonly NetworkAttachmentJson[]> {
  const resolved: NetworkAttachmentJson[] = []
  for (const network of networks) {
    resolved.push({ ...network, Target: await networkId(api, network.Target ?? '') })
  }
  return resolved.toSorted((one, other) => compareText(one.Target ?? '', other.Target ?? ''))
}

/** Secrets with their ids. Throws when a target is named twice or a secret does not exist. */
export async function resolveSecrets(
  api: Api,
  references: readonly FileReference[],
): Promise<readonly SecretReferenceJson[]> {
  checkTargets(references, 'secret')
  const ids = await idsByName(api, 'secret', references)
  return references.map(({ name, file }) => ({
    File: file,
    SecretID: ids.get(name) ?? '',
    SecretName: name,
  }))
}

/** Configs with their ids; `runtime` names a config that is no file but a credential spec. */
export async function resolveConfigs(
  api: Api,
  references: readonly FileReference[],
  runtime?: string,
): Promise<readonly ConfigReferenceJson[]> {
  checkTargets(references, 'config')
  const names = runtime === undefined ? references : [...references, { name: runtime }]
  const ids = await idsByName(api, 'config', names)
  const files = references.map(({ name, file }) => ({
    File: file,
    ConfigID: ids.get(name) ?? '',
    ConfigName: name,
  }))
  if (runtime === undefined) return files
  return [...files, { Runtime: {}, ConfigID: ids.get(runtime) ?? '', ConfigName: runtime }]
}

function checkTargets(references: readonly FileReference[], kind: 'secret' | 'config'): void {
  const targets = new Set<string>()
  for (const { name, file } of references) {
    if (targets.has(file.Name)) throw wrong(`duplicate ${kind} target for ${name} not allowed`)
    targets.add(file.Name)
  }
}

async function idsByName(
  api: Api,
  kind: 'secret' | 'config',
  references: readonly { readonly name: string }[],
): Promise<ReadonlyMap<string, string>> {
  if (references.length === 0) return new Map()
  const names = [...new Set(references.map(({ name }) => name))]
  const filters = formatFilters({ name: names })
  const objects = await api.get<readonly ObjectJson[]>(`/${kind}s`, { query: { filters } })
  const ids = new Map(objects.map((object) => [object.Spec?.Name ?? '', object.ID]))
  const missing = names.find((name) => !ids.has(name))
  if (missing !== undefined) throw wrong(`${kind} not found: ${missing}`)
  return ids
}

function wrong(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}
