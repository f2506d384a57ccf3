// What the JSON of all kinds shares: the head of an object, drivers, generic resources, ports.

import { CodedError } from '../base/error.ts'
import {
  always,
  type Codec,
  choice,
  int64,
  labels,
  object,
  omitZero,
  string,
  uint32,
  unlessZero,
  word,
} from '../base/schema.ts'
import { formatTime } from '../base/time.ts'
import type { GenericResource } from '../object/node.ts'
import type { Meta } from '../object/object.ts'
import type { Driver } from '../object/secret.ts'
import type { PortConfig } from '../object/service.ts'

export const driverJson: Codec<Driver> = object<Driver>({
  name: omitZero('Name', string, ''),
  options: omitZero('Options', labels, {}),
})

const countedJson = object<{ readonly kind: string; readonly value: number }>({
  kind: omitZero('Kind', string, ''),
  value: omitZero('Value', int64, 0),
})

const namedJson = object<{ readonly kind: string; readonly value: string }>({
  kind: omitZero('Kind', string, ''),
  value: omitZero('Value', string, ''),
})

export const genericResourceJson: Codec<GenericResource> = choice<GenericResource>(
  {
    named: { name: 'NamedResourceSpec', codec: namedJson },
    discrete: { name: 'DiscreteResourceSpec', codec: countedJson },
  },
  {
    none(path) {
      throw new CodedError(
        'bad-request',
        `${path.text}: needs a NamedResourceSpec or a DiscreteResourceSpec`,
        { detail: { path: path.text } },
      )
    },
    several: 'a generic resource is either named or discrete',
  },
)

export const portJson: Codec<PortConfig> = object<PortConfig>({
  name: unlessZero('Name', string),
  protocol: always(
    'Protocol',
    word(['tcp', 'udp', 'sctp'], {
      empty: 'tcp',
      isFolded: true,
      refuse: (text) => `invalid protocol: "${text}", must be "tcp", "udp" or "sctp"`,
    }),
    'tcp',
  ),
  targetPort: omitZero('TargetPort', uint32, 0),
  publishedPort: unlessZero('PublishedPort', uint32),
  publishMode: always(
    'PublishMode',
    word(['ingress', 'host'], {
      empty: 'ingress',
      isFolded: true,
      refuse: (text) => `invalid publish mode: "${text}", must be "ingress" or "host"`,
    }),
    'ingress',
  ),
})

/** The first keys of every object's JSON: ID, Version, CreatedAt, UpdatedAt. */
export function formatMeta(meta: Meta<string>): Readonly<Record<string, unknown>> {
  return {
    ID: meta.id,
    Version: formatVersion(meta.version),
    CreatedAt: formatTime(meta.createdAtMs),
    UpdatedAt: formatTime(meta.updatedAtMs),
  }
}

/** { "Index": 12 }, without Index for 0. */
export function formatVersion(index: number): Readonly<Record<string, unknown>> {
  return index === 0 ? {} : { Index: index }
}

/** The object without its undefined values, so that the keys are left out of the JSON. */
export function compact(
  value: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  // A loop, for this runs several times for each object of a list.
  const kept: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    const entry = value[key]
    if (entry !== undefined) kept[key] = entry
  }
  return kept
}
