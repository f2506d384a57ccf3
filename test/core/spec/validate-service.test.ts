// Specs that a real engine (20.10.24) refused, and the words it found.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { CodedError, errorCodes, formatError } from '../../../core/base/error.ts'
import { limits } from '../../../core/base/limits.ts'
import { parseServiceSpec } from '../../../core/spec/service-json.ts'
import { validateService, validateServiceChange } from '../../../core/spec/validate-service.ts'

interface Refused {
  readonly name: string
  readonly sent: unknown
  readonly status: number
  readonly message: string
}

function read<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8')) as T
}

function refusal(sent: unknown): CodedError | undefined {
  try {
    validateService(parseServiceSpec(sent))
  } catch (error) {
    if (error instanceof CodedError) return error
    throw error
  }
  return undefined
}

for (const { name, sent, status, message } of read<readonly Refused[]>('services-refused.json')) {
  t.test(`a spec is refused in the engine's words: ${name}`, async (t) => {
    const error = refusal(sent)
    // A bad constraint is the client's mistake: 400, where the engine answers 500 and Unknown.
    const isConstraint = name.startsWith('constraint')
    const want = isConstraint ? message.replace('= Unknown', '= InvalidArgument') : message
    t.equal(error && formatError(error), want)
    t.equal(error && errorCodes[error.code].status, isConstraint ? 400 : status)
  })
}

t.test('what the engine takes is taken', async (t) => {
  // Swarm takes these and then rejects every task that it makes of them.
  const late = new Set(['relative bind'])
  for (const { name, sent } of read<readonly Refused[]>('services-taken.json')) {
    if (!late.has(name)) t.equal(refusal({ Name: 'a', ...named(sent) })?.message, undefined, name)
  }
})

function named(sent: unknown): object {
  return Object.fromEntries(
    Object.entries(sent as object).filter(([key]) => key.toLowerCase() !== 'name'),
  )
}

function withContainer(container: object, more: object = {}): object {
  return { Name: 'a', TaskTemplate: { ContainerSpec: { Image: 'a', ...container } }, ...more }
}

t.test('owner and mode of a file are numbers that a kernel knows', async (t) => {
  const file = (more: object) => ({
    Secrets: [
      {
        File: { Name: 'x', UID: '0', GID: '0', Mode: 0o444, ...more },
        SecretID: 's',
        SecretName: 'pw',
      },
    ],
  })
  const cases: readonly (readonly [object, RegExp | undefined])[] = [
    [{ UID: 'root' }, /^secret pw: UID "root" must be a number from 0 to 4294967294; names/],
    [{ GID: '-1' }, /^secret pw: GID "-1" must be/],
    [{ UID: '' }, /^secret pw: UID "" must be/],
    [{ UID: '4294967295' }, /^secret pw: UID "4294967295" must be/],
    [{ UID: '4294967294', GID: '65534' }, undefined],
    [{ Mode: 0o7777 }, undefined],
    [{ Mode: 0o10000 }, /^secret pw: Mode 010000 must be from 0 to 07777$/],
  ]
  for (const [more, want] of cases) {
    const error = refusal(withContainer(file(more)))
    if (want === undefined) t.equal(error?.message, undefined)
    else t.match(error?.message, want)
    if (error !== undefined) t.match(error.detail['path'], /^Spec\..*\.Secrets\[0\]\.File\./)
  }
})

t.test('rules that Swarm finds on the node, or not at all', async (t) => {
  const cases: readonly { readonly sent: unknown; readonly want: string }[] = [
    {
      sent: withContainer({ Mounts: [{ Type: 'bind', Source: 'a', Target: '/b' }] }),
      want: 'invalid bind mount source, must be an absolute path: a',
    },
    {
      sent: withContainer({ Mounts: [{ Type: 'volume', Source: '/a', Target: '/b' }] }),
      want: 'invalid volume mount source, must not be an absolute path: /a',
    },
    {
      sent: withContainer({ Mounts: [{ Type: 'tmpfs', Source: 'a', Target: '/b' }] }),
      want: 'invalid tmpfs source, source must be empty',
    },
    {
      sent: withContainer({ Mounts: [{ Type: 'tmpfs', Target: 'b' }] }),
      want: 'invalid mount target, must be an absolute path: b',
    },
    {
      sent: {
        Name: 'a',
        TaskTemplate: {
          ContainerSpec: { Image: 'a' },
          Placement: { Constraints: ['node.ip==x'] },
        },
      },
      want: "constraint node.ip==x: 'x' is neither an address nor a subnet",
    },
    {
      sent: withContainer({}, { RollbackConfig: { Delay: -1 } }),
      want: 'TaskSpec: rollback-delay cannot be negative',
    },
    {
      sent: withContainer({}, { Mode: { Replicated: { Replicas: 10_001 } } }),
      want: '10001 tasks asked, one service may have 10000: use several services',
    },
    {
      sent: withContainer({}, { EndpointSpec: { Ports: [{ PublishedPort: 80 }] } }),
      want: 'target port 0 is no port: give one of 1 to 65535',
    },
    {
      sent: withContainer(
        {},
        { EndpointSpec: { Ports: [{ TargetPort: 1, PublishedPort: 70000 }] } },
      ),
      want: 'published port 70000 is no port: give one of 0 to 65535',
    },
    {
      sent: {
        Name: 'a',
        TaskTemplate: { ContainerSpec: { Image: 'a' }, Resources: { SwapBytes: 5 } },
      },
      want: 'memory swap provided, but no memory-limit was set',
    },
    {
      sent: withContainer({}, { Labels: { a: 'x'.repeat(limits.labelValueCharactersMax + 1) } }),
      want: 'label a: the value has 65537 characters, at most 65536; put it in a config',
    },
  ]
  for (const { sent, want } of cases) t.equal(refusal(sent)?.message, want)
})

t.test('all broken rules are listed, the first one is thrown', async (t) => {
  const error = refusal({
    Name: 'a!',
    TaskTemplate: {
      ContainerSpec: { Image: 'B' },
      Placement: { Constraints: ['node.role==worker', 'zone'] },
    },
    EndpointSpec: { Mode: 'dnsrr', Ports: [{ TargetPort: 80 }] },
  })
  t.equal(error?.message, 'name must be valid as a DNS name component')
  t.strictSame(error?.detail, {
    path: 'Spec.Name',
    problems: [
      'Spec.Name: name must be valid as a DNS name component',
      'Spec.TaskTemplate.Placement.Constraints[1]: constraint expected one operator from ==, !=',
      'Spec.TaskTemplate.ContainerSpec.Image: ContainerSpec: "B" is not a valid repository/tag',
      "Spec.EndpointSpec.Ports[0]: EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
    ],
  })
})

t.test('a spec that would fill the log is refused', async (t) => {
  const env = Array.from({ length: 2_000 }, (_, index) => `A${index}=${'x'.repeat(1_000)}`)
  const error = refusal(withContainer({ Env: env }))
  t.equal(error?.code, 'too-large')
  t.match(error?.message, /the spec has about 2\d{6} bytes, at most 1048576 are taken/)
})

t.test('a long list of problems is cut', async (t) => {
  const mounts = Array.from({ length: 60 }, () => ({ Type: 'tmpfs', Target: '/t' }))
  const problems = refusal(withContainer({ Mounts: mounts }))?.detail['problems']
  t.equal((problems as readonly string[]).length, limits.problemsMax + 1)
  t.equal((problems as readonly string[]).at(-1), 'and 39 more problems')
})

t.test('an update may change neither mode nor name', async (t) => {
  const before = parseServiceSpec(withContainer({}))
  const global = parseServiceSpec(withContainer({}, { Mode: { Global: {} } }))
  const want = 'rpc error: code = Unimplemented desc = '
  t.equal(
    refused(() => validateServiceChange(before, global)),
    `${want}service mode change is not allowed`,
  )
  t.equal(
    refused(() => validateServiceChange(before, { ...before, name: 'b' })),
    `${want}renaming services is not supported`,
  )
  t.equal(
    refused(() => validateServiceChange(before, before)),
    undefined,
  )
  t.match(
    refused(() => validateServiceChange(before, { ...before, name: 'b!' })),
    /DNS name component/,
    'and it must itself keep the rules',
  )
})

function refused(act: () => void): string | undefined {
  try {
    act()
  } catch (error) {
    if (error instanceof CodedError) return formatError(error)
    throw error
  }
  return undefined
}
