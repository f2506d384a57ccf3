// Flags that name other objects: --secret, --config, --network, --credential-spec. The names are
// turned into ids later, by asking the API.

import { CodedError } from '../../../core/base/error.ts'
import type { CredentialSpecJson, FileTargetJson, NetworkAttachmentJson } from '../api-json.ts'
import { parseCsv } from '../csv.ts'
import { cut } from './list.ts'
import { parseUint } from './number.ts'

/** A secret or config by name, and the file it shall be. */
export interface FileReference {
  readonly name: string
  readonly file: FileTargetJson
}

/** Reads one --secret or --config value: `name`, or `source=name,target=file,uid=0,mode=0400`. */
export function parseFileReference(text: string, kind: 'secret' | 'config'): FileReference {
  const fields = parseCsv(text)
  let file: FileTargetJson = { Name: '', UID: '0', GID: '0', Mode: 0o444 }
  const only = fields.length === 1 ? fields[0] : undefined
  if (only !== undefined && !only.includes('='))
    return { name: only, file: { ...file, Name: only } }
  let name = ''
  for (const field of fields) {
    const { before: key, after: value, isCut } = cut(field, '=')
    if (!isCut || key === '') throw invalid(`invalid field '${field}' must be a key=value pair`)
    const lower = key.toLowerCase()
    if (lower === 'source' || lower === 'src') name = value
    else file = { ...file, ...fileField({ key, lower, value, kind }) }
  }
  if (name === '') throw invalid('source is required')
  return { name, file: file.Name === '' ? { ...file, Name: name } : file }
}

function fileField(field: {
  readonly key: string
  readonly lower: string
  readonly value: string
  readonly kind: 'secret' | 'config'
}): Partial<FileTargetJson> {
  switch (field.lower) {
    case 'target':
      return { Name: field.value }
    case 'uid':
      return { UID: field.value }
    case 'gid':
      return { GID: field.value }
    case 'mode':
      return { Mode: fileMode(field.value) }
    default:
      throw invalid(`invalid field in ${field.kind} request: ${field.key}`)
  }
}

function fileMode(text: string): number {
  try {
    return parseUint(text, { base: 0, bits: 32 })
  } catch (error) {
    throw invalid(`invalid mode specified: ${error instanceof Error ? error.message : error}`)
  }
}

/** Reads one --network value: `name`, or `name=net,alias=a,driver-opt=k=v`. */
export function parseNetwork(text: string): NetworkAttachmentJson {
  if (!/\w+=\w+(,\w+=\w+)*/.test(text)) return { Target: text }
  let network: NetworkAttachmentJson = { Target: '' }
  for (const field of parseCsv(text)) {
    const { before, after, isCut } = cut(field.toLowerCase(), '=')
    if (!isCut || before === '') throw invalid(`invalid field ${field}`)
    network = networkField(network, { key: before.trim(), value: after.trim() })
  }
  if (network.Target === '') throw invalid('network name/id is not specified')
  return network
}

/** Keys of --network that docker takes for containers; a service has no use for them. */
const containerOnly = ['ip', 'ip6', 'mac-address', 'link-local-ip', 'gw-priority']

function networkField(
  network: NetworkAttachmentJson,
  field: { readonly key: string; readonly value: string },
): NetworkAttachmentJson {
  const { key, value } = field
  if (key === 'name') return { ...network, Target: value }
  if (key === 'alias') return { ...network, Aliases: [...(network.Aliases ?? []), value] }
  if (key === 'driver-opt') {
    const { before, after, isCut } = cut(value, '=')
    if (!isCut || before === '') throw invalid('invalid key value pair format in driver options')
    return { ...network, DriverOpts: { ...network.DriverOpts, [before.trim()]: after.trim() } }
  }
  if (containerOnly.includes(key)) return network
  throw invalid(`invalid field key ${key}`)
}

/** Reads --credential-spec: `config://`, `file://` or `registry://`; empty text removes it. */
export function parseCredentialSpec(text: string): CredentialSpecJson {
  const { before, after, isCut } = cut(text, '://')
  if (text === '') return { Config: '', File: '', Registry: '' }
  const field = isCut ? credentialFields[before] : undefined
  if (field === undefined) {
    throw invalid(
      'invalid credential spec: value must be prefixed with "config://", "file://", or "registry://"',
    )
  }
  return { Config: '', File: '', Registry: '', [field]: after }
}

const credentialFields: Readonly<Record<string, keyof CredentialSpecJson>> = {
  config: 'Config',
  file: 'File',
  registry: 'Registry',
}

function invalid(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}
