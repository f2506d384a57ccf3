// JSON of secrets and configs. A secret's bytes come in and never go out again.

import {
  always,
  bytes,
  type Codec,
  given,
  labels,
  object,
  omitZero,
  parseAs,
  string,
} from '../base/schema.ts'
import type { Config, ConfigSpec, Secret, SecretSpec } from '../object/secret.ts'
import { driverJson, formatMeta } from './common-json.ts'

const nothing = new Uint8Array()

const secretSpecJson: Codec<SecretSpec> = object<SecretSpec>({
  name: omitZero('Name', string, ''),
  labels: always('Labels', labels, {}),
  data: omitZero('Data', bytes, nothing),
  driver: given('Driver', driverJson),
  templating: given('Templating', driverJson),
})

const configSpecJson: Codec<ConfigSpec> = object<ConfigSpec>({
  name: omitZero('Name', string, ''),
  labels: always('Labels', labels, {}),
  data: omitZero('Data', bytes, nothing),
  templating: given('Templating', driverJson),
})

/** The body of POST /secrets/create and /secrets/{id}/update. */
export function parseSecretSpec(body: unknown): SecretSpec {
  return parseAs(secretSpecJson, body, { name: 'Spec' })
}

/** The body of POST /configs/create and /configs/{id}/update. */
export function parseConfigSpec(body: unknown): ConfigSpec {
  return parseAs(configSpecJson, body, { name: 'Spec' })
}

/** What GET /secrets gives: everything but the bytes. */
export function formatSecret(secret: Secret): unknown {
  return {
    ...formatMeta(secret),
    Spec: secretSpecJson.format({ ...secret.spec, data: nothing }),
  }
}

/** What GET /configs gives, bytes included. */
export function formatConfig(config: Config): unknown {
  return { ...formatMeta(config), Spec: configSpecJson.format(config.spec) }
}
