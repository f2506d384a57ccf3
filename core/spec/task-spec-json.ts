// JSON of a TaskSpec: the template of a service's tasks, and what each task carries of it.

import { CodedError } from '../base/error.ts'
import type { NetworkId } from '../base/id.ts'
import {
  always,
  array,
  type Codec,
  durationNs,
  type Field,
  given,
  idText,
  int64,
  labels,
  mapped,
  object,
  omitZero,
  rootPath,
  string,
  strings,
  uint64,
  unlessZero,
  word,
} from '../base/schema.ts'
import type { Platform } from '../object/node.ts'
import type {
  ContainerSpec,
  NetworkAttachmentSpec,
  Placement,
  ResourceLimits,
  ResourceReservations,
  RestartPolicy,
  TaskSpec,
} from '../object/service.ts'
import { driverJson, genericResourceJson } from './common-json.ts'
import { containerJson } from './container-json.ts'
import { refusePlugin } from './supported.ts'

const limitsJson = object<ResourceLimits>({
  nanoCpus: unlessZero('NanoCPUs', int64),
  memoryBytes: unlessZero('MemoryBytes', int64),
  pids: unlessZero('Pids', int64),
})

const reservationsJson = object<ResourceReservations>({
  nanoCpus: unlessZero('NanoCPUs', int64),
  memoryBytes: unlessZero('MemoryBytes', int64),
  generic: unlessZero('GenericResources', array(genericResourceJson)),
})

const resourcesJson = object<Exclude<TaskSpec['resources'], undefined>>({
  limits: given('Limits', limitsJson),
  reservations: given('Reservations', reservationsJson),
  swapBytes: given('SwapBytes', int64),
  memorySwappiness: given('MemorySwappiness', int64),
})

const restartJson = object<RestartPolicy>({
  condition: always(
    'Condition',
    word(['none', 'on-failure', 'any'], {
      empty: 'any',
      refuse: (text) => `invalid RestartCondition: "${text}"`,
    }),
    'any',
  ),
  delayNs: given('Delay', durationNs),
  maxAttempts: always('MaxAttempts', uint64, 0),
  windowNs: given('Window', durationNs),
})

interface Preference {
  readonly spread: string
}

const preferenceJson = object<{ readonly spread?: Preference }>({
  spread: given('Spread', object<Preference>({ spread: always('SpreadDescriptor', string, '') })),
})

/** Preferences that name no strategy are dropped, as the engine does. */
const preferencesJson: Codec<readonly Preference[]> = mapped(array(preferenceJson), {
  parse: (list): readonly Preference[] =>
    list.flatMap(({ spread }) => (spread === undefined ? [] : [spread])),
  format: (list) => list.map((spread) => ({ spread })),
})

const platformJson = object<Partial<Platform>>({
  architecture: unlessZero('Architecture', string),
  os: unlessZero('OS', string),
})

const placementJson = object<Placement>({
  constraints: unlessZero('Constraints', strings),
  preferences: unlessZero('Preferences', preferencesJson),
  maxReplicas: unlessZero('MaxReplicas', uint64),
  platforms: unlessZero('Platforms', array(platformJson)),
})

const networkAttachmentJson = object<NetworkAttachmentSpec>({
  target: omitZero('Target', idText<NetworkId>(), '' as NetworkId),
  aliases: unlessZero('Aliases', strings),
  driverOptions: unlessZero('DriverOpts', labels),
})

/** Exported for the deprecated ServiceSpec.Networks. */
export const networkAttachmentsJson: Codec<readonly NetworkAttachmentSpec[]> =
  array(networkAttachmentJson)

const containerField: Field<ContainerSpec, never> = {
  name: 'ContainerSpec',
  parse(value, path) {
    if (value === undefined) {
      throw new CodedError('bad-request', 'mismatched Runtime and *Spec fields', {
        detail: { path: path.text, problems: [`${path.text} is missing`] },
      })
    }
    return containerJson.parse(value, path)
  },
  format: (value) => (value === undefined ? undefined : containerJson.format(value)),
}

/** Absent for containers, the only runtime there is; `written` is what stands in the JSON then. */
function runtimeField(written: string | undefined): Field<string> {
  return {
    name: 'Runtime',
    parse(value, path) {
      const runtime = value === undefined ? '' : string.parse(value, path)
      if (runtime === '' || runtime === 'container') return undefined
      if (runtime === 'plugin') throw refusePlugin()
      throw new CodedError('bad-request', 'unsupported runtime', {
        detail: { path: path.text, problems: [`${path.text}: "${runtime}" is not a runtime`] },
      })
    },
    format: (runtime) => runtime ?? written,
  }
}

function taskSpec(written: string | undefined): Codec<TaskSpec> {
  const codec = object<TaskSpec>({
    container: containerField,
    resources: given('Resources', resourcesJson),
    restart: given('RestartPolicy', restartJson),
    placement: given('Placement', placementJson),
    networks: omitZero('Networks', networkAttachmentsJson, []),
    logDriver: given('LogDriver', driverJson),
    forceUpdate: always('ForceUpdate', uint64, 0),
    runtime: runtimeField(written),
  })
  const runtimeOnly = object<{ readonly runtime?: string }>({ runtime: runtimeField(written) })
  return {
    parse(value, path) {
      // The runtime first: a plugin has no ContainerSpec, and should not be told that it needs one.
      runtimeOnly.parse(value, rootPath(path.text))
      return codec.parse(value, path)
    },
    format: codec.format,
  }
}

/** The template in a service: names its runtime. */
export const taskTemplateJson: Codec<TaskSpec> = taskSpec('container')

/** The spec of one task: the engine leaves the runtime out here. */
export const taskSpecJson: Codec<TaskSpec> = taskSpec(undefined)
