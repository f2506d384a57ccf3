// service create, update, rollback, scale, rm: what changes services.

import { CodedError } from '../../core/base/error.ts'
import type { Api } from './api.ts'
import type { ConfigReferenceJson, ServiceJson, ServiceSpecJson } from './api-json.ts'
import { writeLine } from './cli-io.ts'
import { type Call, exitError, messageOf, throwAll } from './command.ts'
import { readEnvFiles } from './env-file.ts'
import { resolveImage } from './image.ts'
import { cut } from './opts/list.ts'
import { parseUint } from './opts/number.ts'
import { parseCredentialSpec, parseFileReference, parseNetwork } from './opts/reference.ts'
import { waitOnService } from './progress.ts'
import { networkId, resolveConfigs, resolveNetworks, resolveSecrets } from './references.ts'
import { registryAuth } from './registry-auth.ts'
import { buildServiceSpec, privilegesOf } from './service-spec.ts'
import { updateServiceSpec } from './service-update.ts'

interface ServiceAnswer {
  readonly ID?: string
  readonly Warnings?: readonly string[] | null
}

/** One service, by id, name, or the start of an id. */
export function getService(api: Api, name: string): Promise<ServiceJson> {
  return api.get<ServiceJson>(`/services/${encodeURIComponent(name)}`)
}

/** service create */
export async function createService(call: Call): Promise<undefined> {
  const { api, flags, io } = call
  const [image = '', ...args] = call.args
  const built = buildServiceSpec({
    flags,
    image,
    args,
    envFile: await readEnvFiles(io, flags.all('env-file')),
    env: io.env,
    folder: io.folder,
  })
  const task = built.TaskTemplate ?? {}
  const networks = await resolveNetworks(api, flags.all('network').map(parseNetwork))
  const secrets = await resolveSecrets(api, fileReferences(call, 'secret'))
  const credentials = parseCredentialSpec(flags.text('credential-spec'))
  const runtime = credentials.Config === '' ? undefined : credentials.Config
  const configs = await resolveConfigs(api, fileReferences(call, 'config'), runtime)
  const container = {
    ...task.ContainerSpec,
    ...(secrets.length === 0 ? {} : { Secrets: secrets }),
    ...(configs.length === 0 ? {} : { Configs: configs }),
    ...(runtime === undefined ? {} : credentialsChange(credentials, configs)),
  }
  const auth = flags.isOn('with-registry-auth') ? await registryAuth(io, image) : ''
  const { spec, warnings } = await resolveImage(
    api,
    {
      ...built,
      TaskTemplate: {
        ...task,
        ContainerSpec: container,
        ...(networks.length === 0 ? {} : { Networks: networks }),
      },
    },
    { isResolving: !flags.isOn('no-resolve-image'), auth },
  )
  const answer = await api.post<ServiceAnswer>('/services/create', {
    body: spec,
    headers: auth === '' ? {} : { 'X-Registry-Auth': auth },
  })
  for (const warning of [...warnings, ...(answer.Warnings ?? [])]) writeLine(io.stderr, warning)
  writeLine(io.stdout, answer.ID)
  if (!flags.isOn('detach')) {
    await waitOnService(call, answer.ID ?? '', { isQuiet: flags.isOn('quiet') })
  }
  return undefined
}

function fileReferences({ flags }: Call, kind: 'secret' | 'config', suffix = '') {
  return flags.all(`${kind}${suffix}`).map((text) => parseFileReference(text, kind))
}

/** Privileges with the id of the config that holds the credential spec. */
function credentialsChange(
  credentials: ReturnType<typeof parseCredentialSpec>,
  configs: readonly ConfigReferenceJson[],
) {
  const config = configs.find((one) => one.ConfigName === credentials.Config)
  const id = config?.ConfigID ?? credentials.Config
  return { Privileges: privilegesOf({ ...credentials, Config: id }) }
}

/** service update */
export async function updateService(call: Call): Promise<undefined> {
  const { api, flags, io } = call
  const name = call.args[0] ?? ''
  const service = await getService(api, name)
  const isRollback = flags.isOn('rollback')
  const apart = ['rollback', 'detach', 'quiet']
  if (isRollback && flags.given().some((flag) => !apart.includes(flag.name))) {
    throw exitError('other flags may not be combined with --rollback', 1)
  }
  const sources = { flags, env: io.env, folder: io.folder }
  let spec = updateServiceSpec(service.Spec ?? {}, sources)
  spec = await changeNetworks(call, spec)
  spec = await changeFiles(call, spec)
  const image = spec.TaskTemplate?.ContainerSpec?.Image ?? ''
  const isWithAuth = flags.isOn('with-registry-auth')
  const auth = isWithAuth ? await registryAuth(io, image) : ''
  const isResolving = flags.isSet('image') && !flags.isOn('no-resolve-image')
  const resolved = await resolveImage(api, spec, { isResolving, auth })
  await sendUpdate(call, {
    service,
    spec: resolved.spec,
    warnings: resolved.warnings,
    auth,
    query: {
      ...(isWithAuth ? {} : { registryAuthFrom: 'spec' }),
      ...(isRollback ? { rollback: 'previous' } : {}),
    },
  })
  writeLine(io.stdout, name)
  if (!flags.isOn('detach')) await waitOnService(call, name, { isQuiet: flags.isOn('quiet') })
  return undefined
}

interface Update {
  readonly service: ServiceJson
  readonly spec: ServiceSpecJson
  readonly warnings?: readonly string[]
  readonly auth?: string
  readonly query?: Readonly<Record<string, string>>
}

/** Sends a spec for a service as it was read, and writes the warnings. */
async function sendUpdate({ api, io }: Call, update: Update): Promise<void> {
  const { auth = '' } = update
  const answer = await api.post<ServiceAnswer | undefined>(
    `/services/${encodeURIComponent(update.service.ID)}/update`,
    {
      body: update.spec,
      query: { ...update.query, version: String(update.service.Version?.Index ?? 0) },
      headers: auth === '' ? {} : { 'X-Registry-Auth': auth },
    },
  )
  for (const warning of [...(update.warnings ?? []), ...(answer?.Warnings ?? [])]) {
    writeLine(io.stderr, warning)
  }
}

async function changeNetworks(
  { api, flags }: Call,
  spec: ServiceSpecJson,
): Promise<ServiceSpecJson> {
  if (!flags.isSet('network-add', 'network-rm')) return spec
  const removed: string[] = []
  for (const name of flags.all('network-rm')) removed.push(await networkId(api, name))
  const old = spec.TaskTemplate?.Networks ?? []
  let networks = old.filter((network) => !removed.includes(network.Target ?? ''))
  for (const added of flags.all('network-add').map(parseNetwork)) {
    const id = await networkId(api, added.Target ?? '')
    if (networks.some((network) => network.Target === id)) {
      throw new CodedError(
        'invalid-argument',
        `service is already attached to network ${added.Target}`,
      )
    }
    networks = [...networks, { ...added, Target: id }]
  }
  const sorted = networks.toSorted((one, other) =>
    (one.Target ?? '') < (other.Target ?? '') ? -1 : 1,
  )
  const { Networks: _, ...task } = spec.TaskTemplate ?? {}
  return {
    ...spec,
    TaskTemplate: { ...task, ...(sorted.length === 0 ? {} : { Networks: sorted }) },
  }
}

/** Secrets, configs and the credential spec, which may itself be a config. */
async function changeFiles(call: Call, spec: ServiceSpecJson): Promise<ServiceSpecJson> {
  const { api, flags } = call
  const {
    Secrets: oldSecrets = [],
    Configs: oldConfigs = [],
    ...container
  } = spec.TaskTemplate?.ContainerSpec ?? {}
  const secrets = [
    ...oldSecrets.filter((one) => !flags.all('secret-rm').includes(one.SecretName ?? '')),
    ...(await resolveSecrets(api, fileReferences(call, 'secret', '-add'))),
  ]
  const hasCredentials = flags.isSet('credential-spec')
  const credentials = parseCredentialSpec(flags.text('credential-spec'))
  const usedId = hasCredentials ? '' : (container.Privileges?.CredentialSpec?.Config ?? '')
  const kept = oldConfigs.filter((one) =>
    one.Runtime === undefined
      ? !flags.all('config-rm').includes(one.ConfigName ?? '')
      : one.ConfigName === credentials.Config || one.ConfigID === usedId,
  )
  const runtime = hasCredentials && credentials.Config !== '' ? credentials.Config : undefined
  const added = await resolveConfigs(api, fileReferences(call, 'config', '-add'), runtime)
  const configs = [...kept, ...added]
  return {
    ...spec,
    TaskTemplate: {
      ...spec.TaskTemplate,
      ContainerSpec: {
        ...container,
        ...(secrets.length === 0 ? {} : { Secrets: secrets }),
        ...(configs.length === 0 ? {} : { Configs: configs }),
        ...(hasCredentials ? changedCredentials(call, { container, credentials, configs }) : {}),
      },
    },
  }
}

function changedCredentials(
  { flags }: Call,
  change: {
    readonly container: { readonly Privileges?: object }
    readonly credentials: ReturnType<typeof parseCredentialSpec>
    readonly configs: readonly ConfigReferenceJson[]
  },
) {
  const old = change.container.Privileges
  if (flags.text('credential-spec') === '') {
    return old === undefined ? {} : { Privileges: { ...old, CredentialSpec: null } }
  }
  const { Privileges: changed } = credentialsChange(change.credentials, change.configs)
  return { Privileges: { ...old, ...changed } }
}

/** service rollback */
export async function rollbackService(call: Call): Promise<undefined> {
  const name = call.args[0] ?? ''
  const service = await getService(call.api, name)
  await sendUpdate(call, { service, spec: service.Spec ?? {}, query: { rollback: 'previous' } })
  writeLine(call.io.stdout, name)
  if (!call.flags.isOn('detach')) {
    await waitOnService(call, name, { isQuiet: call.flags.isOn('quiet') })
  }
  return undefined
}

/** service scale: each service by itself; the errors of all are told at the end. */
export async function scaleServices(call: Call): Promise<undefined> {
  const errors: string[] = []
  const scaled: string[] = []
  for (const arg of call.args) {
    const { before: name, after: count } = cut(arg, '=')
    try {
      await scaleService(call, name, count)
      scaled.push(name)
    } catch (error) {
      errors.push(`${name}: ${messageOf(error)}`)
    }
  }
  for (const name of call.flags.isOn('detach') ? [] : scaled) {
    try {
      await waitOnService(call, name, { isQuiet: false })
    } catch (error) {
      errors.push(`${name}: ${messageOf(error)}`)
    }
  }
  throwAll(errors)
  return undefined
}

async function scaleService(call: Call, name: string, count: string): Promise<void> {
  const replicas = replicaCount(count)
  const service = await getService(call.api, name)
  const spec = service.Spec ?? {}
  const { Replicated: replicated, ReplicatedJob: job } = spec.Mode ?? {}
  if (replicated === undefined && job === undefined) {
    throw exitError('scale can only be used with replicated or replicated-job mode', 1)
  }
  const mode =
    replicated === undefined
      ? { ReplicatedJob: { ...job, TotalCompletions: replicas } }
      : { Replicated: { ...replicated, Replicas: replicas } }
  await sendUpdate(call, { service, spec: { ...spec, Mode: mode } })
  writeLine(call.io.stdout, `${name} scaled to ${replicas}`)
}

function replicaCount(text: string): number {
  try {
    return parseUint(text, { base: 10, bits: 64 })
  } catch (error) {
    throw exitError(`invalid replicas value ${text}: ${messageOf(error)}`, 1)
  }
}

/** service rm */
export async function removeServices({ api, args, io }: Call): Promise<undefined> {
  const errors: string[] = []
  for (const name of args) {
    try {
      await api.delete(`/services/${encodeURIComponent(name)}`)
      writeLine(io.stdout, name)
    } catch (error) {
      errors.push(messageOf(error))
    }
  }
  throwAll(errors)
  return undefined
}
