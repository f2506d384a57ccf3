// Rules of a service spec that look at other objects: ports that are taken, secrets, configs and
// networks that must be there. Same order and words as Swarm. The caller says what there is.

import { CodedError } from '../base/error.ts'
import type { ConfigId, NetworkId, SecretId, ServiceId } from '../base/id.ts'
import type { Network } from '../object/network.ts'
import type { Annotations } from '../object/object.ts'
import type { PortConfig, Service, ServiceSpec } from '../object/service.ts'
import { invalid, type Problem, throwFirst } from './problem.ts'

type Problems = Generator<Problem, void, undefined>
type Named = { readonly spec: Pick<Annotations, 'name'> }

/** What the spec may refer to. */
export interface Referred {
  readonly services: Iterable<Service>
  readonly secret: (id: SecretId) => Named | undefined
  readonly config: (id: ConfigId) => Named | undefined
  readonly network: (id: NetworkId) => Network | undefined
}

/**
 * Throws the first reference that does not hold, all in `detail.problems`. `self` is the service
 * that the spec is for, when it is an update: its own ports are free to it.
 */
export function validateReferences(spec: ServiceSpec, referred: Referred, self?: ServiceId): void {
  throwFirst(findProblems(spec, referred, self))
}

function* findProblems(
  spec: ServiceSpec,
  referred: Referred,
  self: ServiceId | undefined,
): Problems {
  yield* checkNetworks(spec, referred)
  yield* checkPorts(spec, referred.services, self)
  const { secrets = [], configs = [] } = spec.task.container
  const path = 'Spec.TaskTemplate.ContainerSpec'
  const lostSecrets = secrets
    .filter(({ secretId, secretName }) => referred.secret(secretId)?.spec.name !== secretName)
    .map(({ secretName }) => secretName)
  if (lostSecrets.length > 0) yield invalid(`${path}.Secrets`, notFound('secret', lostSecrets))
  const lostConfigs = configs
    .filter(({ configId, configName }) => referred.config(configId)?.spec.name !== configName)
    .map(({ configName }) => configName)
  if (lostConfigs.length > 0) yield invalid(`${path}.Configs`, notFound('config', lostConfigs))
}

function notFound(word: string, names: readonly string[]): string {
  return `${word}${names.length === 1 ? '' : 's'} not found: ${names.join(', ')}`
}

function* checkNetworks(spec: ServiceSpec, referred: Referred): Problems {
  for (const [index, { target }] of spec.task.networks.entries()) {
    const network = referred.network(target)
    if (network?.spec.ingress !== true) continue
    yield invalid(
      `Spec.TaskTemplate.Networks[${index}]`,
      `Service cannot be explicitly attached to the ingress network "${network.spec.name}"`,
    )
  }
}

/**
 * An ingress port is taken on every node: no other service may publish it in either mode. Services
 * that publish a port in host mode may share it, the scheduler keeps their tasks apart.
 */
function* checkPorts(
  spec: ServiceSpec,
  services: Iterable<Service>,
  self: ServiceId | undefined,
): Problems {
  const wanted = new Map<
    string,
    { readonly mode: PortConfig['publishMode']; readonly at: number }
  >()
  for (const [at, port] of (spec.endpoint?.ports ?? []).entries()) {
    if ((port.publishedPort ?? 0) !== 0) wanted.set(portKey(port), { mode: port.publishMode, at })
  }
  if (wanted.size === 0) return
  for (const service of services) {
    if (service.id === self) continue
    const told = new Set<string>()
    for (const port of [...(service.spec.endpoint?.ports ?? []), ...service.endpoint.ports]) {
      const key = portKey(port)
      const want = wanted.get(key)
      if (want === undefined || told.has(key)) continue
      if (port.publishMode === 'host' && want.mode === 'host') continue
      told.add(key)
      const how = port.publishMode === 'host' ? 'a host-published port' : 'an ingress port'
      yield invalid(
        `Spec.EndpointSpec.Ports[${want.at}].PublishedPort`,
        `port '${port.publishedPort}' is already in use by service '${service.spec.name}' (${service.id}) as ${how}`,
      )
    }
  }
}

function portKey({ publishedPort, protocol }: PortConfig): string {
  return `${publishedPort}/${protocol}`
}

/** The error for a name that another object of the kind has: "service web already exists". */
export function nameConflict(kind: 'service' | 'secret' | 'config', name: string): CodedError {
  const prefix = kind === 'service' ? 'name conflicts with an existing object: ' : ''
  return new CodedError('already-exists', `${prefix}${kind} ${name} already exists`)
}
