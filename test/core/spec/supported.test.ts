// What this build refuses by name, and what it does not.

import t from 'tap'
import { CodedError } from '../../../core/base/error.ts'
import { parseServiceSpec } from '../../../core/spec/service-json.ts'
import { checkSupported } from '../../../core/spec/supported.ts'

function refusal(
  container: object,
  task: object = {},
  service: object = {},
): CodedError | undefined {
  const spec = {
    Name: 'a',
    TaskTemplate: { ContainerSpec: { Image: 'a', ...container }, ...task },
    ...service,
  }
  try {
    checkSupported(parseServiceSpec(spec))
  } catch (error) {
    if (error instanceof CodedError) return error
    throw error
  }
  return undefined
}

t.test('what is asked for and not honoured is refused by its flag', async (t) => {
  const cases: readonly (readonly [string, CodedError | undefined])[] = [
    ['--network', refusal({}, { Networks: [{ Target: 'n' }] })],
    ['--mode replicated-job', refusal({}, {}, { Mode: { ReplicatedJob: {} } })],
    ['--mode global-job', refusal({}, {}, { Mode: { GlobalJob: {} } })],
    [
      '--generic-resource',
      refusal(
        {},
        {
          Resources: {
            Reservations: {
              GenericResources: [{ DiscreteResourceSpec: { Kind: 'x', Value: 1 } }],
            },
          },
        },
      ),
    ],
    ['--credential-spec', refusal({ Privileges: { CredentialSpec: { File: 'x' } } })],
    ['--env', refusal({ Env: ['A={{.Task.Slot}}'] })],
    ['--env', refusal({ Hostname: '{{.Node.Hostname}}' })],
    ['--env', refusal({ Mounts: [{ Source: '/{{.Task.Slot}}', Target: '/a' }] })],
    ['--mount type=npipe', refusal({ Mounts: [{ Type: 'npipe', Source: 'a', Target: 'a' }] })],
    ['--mount type=cluster', refusal({ Mounts: [{ Type: 'cluster', Target: '/a' }] })],
    ['--mount type=image', refusal({ Mounts: [{ Type: 'image', Source: 'a', Target: '/a' }] })],
    ['--isolation', refusal({ Isolation: 'hyperv' })],
    [
      '--publish protocol=sctp',
      refusal({}, {}, { EndpointSpec: { Ports: [{ Protocol: 'sctp', TargetPort: 1 }] } }),
    ],
  ]
  for (const [flag, error] of cases) {
    t.equal(error?.code, 'not-supported', flag)
    t.ok(error?.message.startsWith(flag), `${flag} comes first`)
    t.match(error?.detail['path'], /^Spec\./)
  }
})

t.test('all that is asked for and not honoured is listed', async (t) => {
  const error = refusal({ Isolation: 'hyperv', Env: ['{{x}}=y'] }, { Networks: [{ Target: 'n' }] })
  t.equal((error?.detail['problems'] as readonly string[] | undefined)?.length, 3)
})

t.test('the rest is taken', async (t) => {
  t.equal(refusal({}), undefined)
  t.equal(refusal({}, {}, { EndpointSpec: { Mode: 'dnsrr' } }), undefined)
  t.equal(
    refusal(
      {},
      {},
      {
        EndpointSpec: { Ports: [{ Protocol: 'sctp', TargetPort: 1, PublishMode: 'host' }] },
      },
    ),
    undefined,
  )
  t.equal(refusal({ Privileges: {}, Isolation: 'default', Env: ['A={b}'] }), undefined)
})
