// What this build does not honour yet, in one table. A spec that asks for it is refused with the
// name of the flag and of the field, never taken and then ignored. To honour a field: delete its row.

import { CodedError } from '../base/error.ts'
import type { ContainerSpec, ServiceSpec } from '../object/service.ts'

interface Row {
  /** The flag of `service create` that asks for it. */
  readonly flag: string
  /** Path in the JSON of the spec. */
  readonly field: string
  /** Why, and what to do instead. */
  readonly sentence: string
  readonly isAsked: (spec: ServiceSpec) => boolean
}

const rows: readonly Row[] = [
  {
    flag: '--network',
    field: 'TaskTemplate.Networks',
    sentence:
      'networks of services are not available in this version of the agent; remove --network',
    isAsked: (spec) => spec.task.networks.length > 0,
  },
  {
    flag: '--mode replicated-job',
    field: 'Mode.ReplicatedJob',
    sentence:
      'jobs are not available in this version of the agent; use --replicas with --restart-condition on-failure',
    isAsked: (spec) => spec.mode.type === 'replicated-job',
  },
  {
    flag: '--mode global-job',
    field: 'Mode.GlobalJob',
    sentence:
      'jobs are not available in this version of the agent; use --replicas with --restart-condition on-failure',
    isAsked: (spec) => spec.mode.type === 'global-job',
  },
  {
    flag: '--generic-resource',
    field: 'TaskTemplate.Resources.Reservations.GenericResources',
    sentence:
      'generic resources are not available in this version of the agent; use node labels and --constraint',
    isAsked: (spec) => (spec.task.resources?.reservations?.generic ?? []).length > 0,
  },
  {
    flag: '--credential-spec',
    field: 'TaskTemplate.ContainerSpec.Privileges.CredentialSpec',
    sentence: 'credential specs are for Windows containers; remove --credential-spec',
    isAsked: (spec) => spec.task.container.privileges?.credentialSpec !== undefined,
  },
  {
    flag: '--env, --hostname, --mount',
    field: 'TaskTemplate.ContainerSpec',
    sentence:
      'templates ({{...}}) are not available in this version of the agent; write the value itself',
    isAsked: (spec) => templated(spec.task.container).some((text) => text.includes('{{')),
  },
  {
    flag: '--mount type=npipe',
    field: 'TaskTemplate.ContainerSpec.Mounts.Type',
    sentence: 'named pipes are for Windows containers; use type=bind, volume or tmpfs',
    isAsked: (spec) => hasMount(spec, 'npipe'),
  },
  {
    flag: '--mount type=cluster',
    field: 'TaskTemplate.ContainerSpec.Mounts.Type',
    sentence:
      'cluster volumes are not available in this version of the agent; use type=bind, volume or tmpfs',
    isAsked: (spec) => hasMount(spec, 'cluster'),
  },
  {
    flag: '--mount type=image',
    field: 'TaskTemplate.ContainerSpec.Mounts.Type',
    sentence:
      'image mounts are not available in this version of the agent; use type=bind, volume or tmpfs',
    isAsked: (spec) => hasMount(spec, 'image'),
  },
  {
    flag: '--isolation',
    field: 'TaskTemplate.ContainerSpec.Isolation',
    sentence: 'isolation is for Windows containers; remove --isolation',
    isAsked: ({ task }) => (task.container.isolation ?? 'default') !== 'default',
  },
  {
    flag: '--publish protocol=sctp',
    field: 'EndpointSpec.Ports.Protocol',
    sentence:
      'SCTP is not available in ingress mode in this version of the agent; use mode=host or another protocol',
    isAsked: (spec) =>
      (spec.endpoint?.ports ?? []).some(
        ({ protocol, publishMode }) => protocol === 'sctp' && publishMode === 'ingress',
      ),
  },
]

/**
 * Throws not-supported for the first thing asked for that this build does not honour; all of them
 * stand in `detail.problems`.
 */
export function checkSupported(spec: ServiceSpec): void {
  const asked = rows.filter((row) => row.isAsked(spec))
  const [first] = asked
  if (first === undefined) return
  throw new CodedError('not-supported', `${first.flag}: ${first.sentence}`, {
    detail: {
      path: `Spec.${first.field}`,
      problems: asked.map((row) => `Spec.${row.field}: ${row.sentence}`),
    },
  })
}

/** The error for a service of an engine plugin: such a spec has no container, so it is no object. */
export function refusePlugin(): CodedError {
  return new CodedError(
    'not-supported',
    'Runtime "plugin": engine plugins as services are not available in this version of the agent; install the plugin on each node',
    { detail: { path: 'Spec.TaskTemplate.Runtime' } },
  )
}

function hasMount(spec: ServiceSpec, type: string): boolean {
  return (spec.task.container.mounts ?? []).some((mount) => mount.type === type)
}

/** The texts in which Swarm looks for templates. */
function templated(container: ContainerSpec): readonly string[] {
  const mounts = (container.mounts ?? []).flatMap(({ source, target, volume }) => [
    source ?? '',
    target,
    ...Object.values(volume?.labels ?? {}),
    ...Object.values(volume?.driver?.options ?? {}),
  ])
  return [container.hostname ?? '', ...(container.env ?? []), ...mounts]
}
