// Secret and Config: bytes that tasks get as files. A secret's bytes never leave the managers but
// to a node that runs a task which needs them; a config's bytes may be read back by the API.

import type { ConfigId, SecretId } from '../base/id.ts'
import type { Annotations, Meta } from './object.ts'

export interface Driver {
  readonly name: string
  readonly options: Readonly<Record<string, string>>
}

export interface SecretSpec extends Annotations {
  readonly data: Uint8Array
  readonly driver?: Driver
  readonly templating?: Driver
}

export interface ConfigSpec extends Annotations {
  readonly data: Uint8Array
  readonly templating?: Driver
}

export interface Secret extends Meta<SecretId> {
  readonly kind: 'secret'
  readonly spec: SecretSpec
}

export interface Config extends Meta<ConfigId> {
  readonly kind: 'config'
  readonly spec: ConfigSpec
}
