// --mount: `type=bind,src=/a,dst=/b,readonly` and its relatives for volumes, tmpfs and images.

import { CodedError } from '../../../core/base/error.ts'
import type { MountJson } from '../api-json.ts'
import { parseCsv } from '../csv.ts'
import { parseMemoryBytes } from '../units.ts'
import { cut } from './list.ts'
import { parseBool, parseUint } from './number.ts'

/** Reads one --mount value; a source that starts with `.` is taken from `folder`. */
export function parseMount(text: string, folder: string): MountJson {
  let mount: MountJson = { Type: 'volume' }
  for (const field of parseCsv(text)) {
    const { before, after: value, isCut } = cut(field, '=')
    const key = before.toLowerCase()
    const read = Object.hasOwn(fields, key) ? fields[key] : undefined
    if (!isCut && !switches.includes(key)) {
      throw invalid(`invalid field '${field}' must be a key=value pair`)
    }
    if (read === undefined) throw invalid(`unexpected key '${key}' in '${field}'`)
    mount = read(mount, { key, value, hasValue: isCut, folder })
  }
  checkOptions(mount)
  return mount
}

interface FieldText {
  readonly key: string
  readonly value: string
  readonly hasValue: boolean
}
type FieldReader = (mount: MountJson, field: FieldText & { readonly folder: string }) => MountJson

const switches = ['readonly', 'ro', 'volume-nocopy', 'bind-nonrecursive']

const source: FieldReader = (mount, { value, folder }) => ({
  ...mount,
  Source: value.startsWith('.') ? normalPath(`${folder}/${value}`) : value,
})
const target: FieldReader = (mount, { value }) => ({ ...mount, Target: value })
const readOnly: FieldReader = (mount, field) => ({ ...mount, ReadOnly: switchOf(field) })

/** Every key of --mount. */
const fields: Readonly<Record<string, FieldReader>> = {
  type: (mount, { value }) => ({ ...mount, Type: value.toLowerCase() }),
  source,
  src: source,
  target,
  dst: target,
  destination: target,
  readonly: readOnly,
  ro: readOnly,
  consistency: (mount, { value }) => ({ ...mount, Consistency: value.toLowerCase() }),
  'bind-propagation': (mount, { value }) => bind(mount, { Propagation: value.toLowerCase() }),
  'bind-nonrecursive': (mount, field) => bind(mount, { NonRecursive: switchOf(field) }),
  'bind-recursive': (mount, { key, value }) => {
    const options = recursion[value]
    if (options !== undefined) return options === null ? mount : bind(mount, options)
    throw invalid(
      `invalid value for ${key}: ${value} (must be "enabled", "disabled", "writable", or "readonly")`,
    )
  },
  'bind-create-src': (mount, field) => bind(mount, { CreateMountpoint: switchOf(field) }),
  'volume-subpath': (mount, { value }) => volume(mount, { Subpath: value }),
  'volume-nocopy': (mount, field) => volume(mount, { NoCopy: switchOf(field) }),
  'volume-label': (mount, { value }) =>
    volume(mount, { Labels: withPair(mount.VolumeOptions?.Labels, value) }),
  'volume-driver': (mount, { value }) =>
    volume(mount, { DriverConfig: { ...mount.VolumeOptions?.DriverConfig, Name: value } }),
  'volume-opt': (mount, { value }) => {
    const driver = mount.VolumeOptions?.DriverConfig
    return volume(mount, { DriverConfig: { ...driver, Options: withPair(driver?.Options, value) } })
  },
  'image-subpath': (mount, { value }) => ({ ...mount, ImageOptions: { Subpath: value } }),
  'tmpfs-size': (mount, { key, value }) => {
    const sizeBytes = attempt(() => parseMemoryBytes(value), `invalid value for ${key}: ${value}`)
    return { ...mount, TmpfsOptions: { ...mount.TmpfsOptions, SizeBytes: sizeBytes } }
  },
  'tmpfs-mode': (mount, { key, value }) => {
    const mode = attempt(
      () => parseUint(value, { base: 8, bits: 32 }),
      `invalid value for ${key}: ${value}`,
    )
    return { ...mount, TmpfsOptions: { ...mount.TmpfsOptions, Mode: mode } }
  },
}

const recursion: Readonly<Record<string, MountJson['BindOptions'] | null>> = {
  enabled: null,
  disabled: { NonRecursive: true },
  writable: { ReadOnlyNonRecursive: true },
  readonly: { ReadOnlyForceRecursive: true },
}

function bind(mount: MountJson, options: MountJson['BindOptions']): MountJson {
  return { ...mount, BindOptions: { ...mount.BindOptions, ...options } }
}

function volume(mount: MountJson, options: MountJson['VolumeOptions']): MountJson {
  return { ...mount, VolumeOptions: { ...mount.VolumeOptions, ...options } }
}

function withPair(record: Readonly<Record<string, string>> | undefined, pair: string) {
  const { before, after } = cut(pair, '=')
  return before === '' ? { ...record } : { ...record, [before]: after }
}

function switchOf(field: FieldText): boolean {
  if (!field.hasValue) return true
  try {
    return parseBool(field.value)
  } catch {
    throw invalid(`invalid value for ${field.key}: ${field.value}`)
  }
}

/** Kind of mount -> the name its options start with, and where they stand. */
const optionKinds = [
  { type: 'bind', field: 'BindOptions' },
  { type: 'volume', field: 'VolumeOptions' },
  { type: 'image', field: 'ImageOptions' },
  { type: 'tmpfs', field: 'TmpfsOptions' },
] as const

function checkOptions(mount: MountJson): void {
  if (mount.Type === '') throw invalid('type is required')
  if ((mount.Target ?? '') === '') throw invalid('target is required')
  for (const { type, field } of optionKinds) {
    if (mount.Type !== type && mount[field] !== undefined) {
      throw invalid(`cannot mix '${type}-*' options with mount type '${mount.Type ?? ''}'`)
    }
  }
  const options = mount.BindOptions
  if (options?.ReadOnlyNonRecursive === true && mount.ReadOnly !== true) {
    throw invalid(
      "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
    )
  }
  if (options?.ReadOnlyForceRecursive !== true) return
  if (mount.ReadOnly !== true) {
    throw invalid(
      "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
    )
  }
  if (options.Propagation !== 'rprivate') {
    throw invalid(
      "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
    )
  }
}

function normalPath(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return `/${parts.join('/')}`
}

function attempt(read: () => number, message: string): number {
  try {
    return read()
  } catch {
    throw invalid(message)
  }
}

function invalid(message: string): CodedError {
  return new CodedError('invalid-argument', message)
}
