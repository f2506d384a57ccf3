// Rules of a service spec that look at other objects: the secrets, configs and networks that it
// names. Same order and words as Swarm. The caller says what there is; ports are core/allocate's.

import type { ConfigId, NetworkId, SecretId } from '../base/id.ts'
import type { Network } from '../object/network.ts'
import type { Annotations } from '../object/object.ts'
import type { ServiceSpec } from '../object/service.ts'
import { invalid, type Problem, throwFirst } from './problem.ts'

type Problems = Generator<Problem, void, undefined>
type Named = { readonly spec: Pick<Annotations, 'name'> }

/** What the spec may refer to. */
export interface Referred {
  readonly secret: (id: SecretId) => Named | undefined
  readonly config: (id: ConfigId) => Named | undefined
  readonly network: (id: NetworkId) => Network | undefined
}

/** Throws the first reference that does not hold, all in `detail.problems`. */
export function validateReferences(spec: ServiceSpec, referred: Referred): void {
  throwFirst(findProblems(spec, referred))
}

function* findProblems(spec: ServiceSpec, referred: Referred): Problems {
  yield* checkNetworks(spec, referred)
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
