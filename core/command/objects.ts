// Commands on secrets and configs: made once, never changed but for their labels, and not removed
// while a service refers to them. Both kinds have the same life, so that one table serves both.

import { CodedError } from '../base/error.ts'
import { type ConfigId, makeId, type SecretId } from '../base/id.ts'
import type { Config, ConfigSpec, Secret, SecretSpec } from '../object/secret.ts'
import type { Service, ServiceSpec } from '../object/service.ts'
import { validateConfig, validateSecret, validateSecretChange } from '../spec/validate.ts'
import type { Draft } from '../store/draft.ts'
import type { View } from '../store/view.ts'
import type { Command, CommandAnswer } from './command.ts'
import type { CommandContext } from './context.ts'
import { checkVersion } from './version.ts'

type Kind = 'secret' | 'config'

export function createSecret(
  draft: Draft,
  command: Extract<Command, { type: 'secret.create' }>,
  context: CommandContext,
): CommandAnswer {
  const { spec } = command
  validateSecret(spec)
  if (spec.driver !== undefined) {
    throw new CodedError(
      'not-supported',
      `--driver ${spec.driver.name}: secret drivers are not available in this version of the agent; create the secret from a file or standard input`,
      { detail: { path: 'Spec.Driver' } },
    )
  }
  checkTemplating(spec)
  checkName(draft, 'secret', spec.name)
  const { id } = draft.put<Secret>({ kind: 'secret', id: makeId<SecretId>(context.random), spec })
  return { id, warnings: [] }
}

export function createConfig(
  draft: Draft,
  command: Extract<Command, { type: 'config.create' }>,
  context: CommandContext,
): CommandAnswer {
  const { spec } = command
  validateConfig(spec)
  checkTemplating(spec)
  checkName(draft, 'config', spec.name)
  const { id } = draft.put<Config>({ kind: 'config', id: makeId<ConfigId>(context.random), spec })
  return { id, warnings: [] }
}

function checkTemplating({ templating }: SecretSpec | ConfigSpec): void {
  if (templating === undefined) return
  throw new CodedError(
    'not-supported',
    `--template-driver ${templating.name}: templates are not available in this version of the agent; write the value itself`,
    { detail: { path: 'Spec.Templating' } },
  )
}

function checkName(draft: Draft, kind: Kind, name: string): void {
  if (draft.named(kind, name) === undefined) return
  throw new CodedError('already-exists', `${kind} ${name} already exists`)
}

export function updateSecret(
  draft: Draft,
  command: Extract<Command, { type: 'secret.update' }>,
): CommandAnswer {
  const secret = objectOf(draft, 'secret', command.id)
  validateSecretChange(secret.spec, command.spec)
  checkVersion(secret, command.version)
  draft.put<Secret>({ ...secret, spec: { ...secret.spec, labels: command.spec.labels } })
  return { id: secret.id, warnings: [] }
}

export function updateConfig(
  draft: Draft,
  command: Extract<Command, { type: 'config.update' }>,
): CommandAnswer {
  const config = objectOf(draft, 'config', command.id)
  validateSecretChange(config.spec, command.spec)
  checkVersion(config, command.version)
  draft.put<Config>({ ...config, spec: { ...config.spec, labels: command.spec.labels } })
  return { id: config.id, warnings: [] }
}

/** Forgets a secret that no service refers to. Throws in-use, which names those that do. */
export function removeSecret(
  draft: Draft,
  command: Extract<Command, { type: 'secret.remove' }>,
): CommandAnswer {
  return remove(draft, 'secret', command.id)
}

/** Forgets a config that no service refers to. Throws in-use, which names those that do. */
export function removeConfig(
  draft: Draft,
  command: Extract<Command, { type: 'config.remove' }>,
): CommandAnswer {
  return remove(draft, 'config', command.id)
}

function remove(draft: Draft, kind: Kind, id: string): CommandAnswer {
  const object = objectOf(draft, kind, id)
  const users = draft
    .all('service')
    .filter((service) => specsInUse(service).some((spec) => refersTo(spec, kind, id)))
    .map((service) => service.spec.name)
    .sort()
  if (users.length > 0) {
    const word = users.length === 1 ? 'service' : 'services'
    throw new CodedError(
      'in-use',
      `${kind} '${object.spec.name}' is in use by the following ${word}: ${users.join(', ')}`,
    )
  }
  draft.remove(kind, id)
  return { id, warnings: [] }
}

/** The specs that tasks may still be made from: while an update runs, also those it may go back to. */
function specsInUse(service: Service): readonly ServiceSpec[] {
  const { spec, previousSpec, healthySpec, updateStatus } = service
  const isMoving = updateStatus?.state === 'updating' || updateStatus?.state === 'rollback_started'
  if (!isMoving) return [spec]
  return [spec, previousSpec, healthySpec].filter((each) => each !== undefined)
}

function refersTo(spec: ServiceSpec, kind: Kind, id: string): boolean {
  const { secrets = [], configs = [] } = spec.task.container
  return kind === 'secret'
    ? secrets.some(({ secretId }) => secretId === id)
    : configs.some(({ configId }) => configId === id)
}

function objectOf<K extends Kind>(
  view: View,
  kind: K,
  id: string,
): NonNullable<ReturnType<typeof view.get<K>>> {
  const object = view.get(kind, id)
  if (object === undefined) throw new CodedError('not-found', `${kind} ${id} not found`)
  return object as NonNullable<ReturnType<typeof view.get<K>>>
}
