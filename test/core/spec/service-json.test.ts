// Specs that a real engine (20.10.24) was sent, and what it gave back: ours must be the same text.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { equal } from '../../../core/base/equal.ts'
import { CodedError, hasCode } from '../../../core/base/error.ts'
import type { NetworkId, ServiceId } from '../../../core/base/id.ts'
import type { Service, ServiceSpec } from '../../../core/object/service.ts'
import {
  formatService,
  parseRollback,
  parseServiceSpec,
  serviceSpecJson,
} from '../../../core/spec/service-json.ts'
import { checkSupported } from '../../../core/spec/supported.ts'
import { validateService } from '../../../core/spec/validate-service.ts'

interface Taken {
  readonly name: string
  readonly sent: unknown
  readonly given: Readonly<Record<string, unknown>>
  readonly endpoint: {
    readonly Ports?: readonly Readonly<Record<string, never>>[]
    readonly VirtualIPs?: readonly { readonly NetworkID: string; readonly Addr?: string }[]
  }
}

/** Where we give back more than the engine did, on purpose. */
const kept: Readonly<Record<string, (given: string) => string>> = {
  // The engine forgets it; its own container API has it, and so does our executor.
  'bind with consistency': (given) =>
    given.replace('"Target":"/b"', '"Target":"/b","Consistency":"cached"'),
  // Newer engines move the deprecated field to where it is now.
  'networks of the service': (given) => {
    const networks = /,("Networks":.*)}$/.exec(given)?.[1] ?? ''
    return given.replace(`,${networks}`, '').replace('"ForceUpdate"', `${networks},"ForceUpdate"`)
  },
}

const taken = read<readonly Taken[]>('services-taken.json')

function read<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8')) as T
}

function serviceOf(spec: ServiceSpec, more: Partial<Service> = {}): Service {
  return {
    kind: 'service',
    id: 'v12u0ot7cv00tvkk7kmxnvqkm' as ServiceId,
    version: 298,
    createdAtMs: 1_795_357_505_027,
    updatedAtMs: 1_795_357_505_033,
    spec,
    specVersion: 298,
    endpoint: { ports: [], virtualIps: [] },
    ...more,
  }
}

for (const { name, sent, given } of taken) {
  t.test(`a spec is given back as the engine does: ${name}`, async (t) => {
    const change = kept[name]
    const want = change === undefined ? given : JSON.parse(change(JSON.stringify(given)))
    const back = serviceSpecJson.format(parseServiceSpec(sent))
    t.equal(JSON.stringify(back), JSON.stringify(want))
    t.strictSame(parseServiceSpec(back), parseServiceSpec(sent), 'and reads the same again')
  })
}

for (const { name, sent, endpoint } of taken) {
  t.test(`an endpoint is shown as the engine does: ${name}`, async (t) => {
    const service = serviceOf(parseServiceSpec(sent), {
      endpoint: {
        ports:
          parseServiceSpec({
            TaskTemplate: { ContainerSpec: {} },
            EndpointSpec: { Ports: endpoint.Ports ?? [] },
          }).endpoint?.ports ?? [],
        virtualIps: (endpoint.VirtualIPs ?? []).map(({ NetworkID, Addr }) => ({
          networkId: NetworkID as NetworkId,
          address: Addr ?? '',
        })),
      },
    })
    const json = formatService(service) as { readonly Endpoint: unknown }
    t.equal(JSON.stringify(json.Endpoint), JSON.stringify(endpoint))
  })
}

t.test('a service carries what it has beside its spec, in the order of the API', async (t) => {
  const spec = parseServiceSpec({ Name: 'a', TaskTemplate: { ContainerSpec: { Image: 'a' } } })
  const service = serviceOf(spec, {
    previousSpec: spec,
    updateStatus: {
      state: 'updating',
      startedAtMs: 1_795_357_509_655,
      message: 'update in progress',
    },
    job: { iteration: 0 },
  })
  const json = formatService(service, { running: 1, desired: 2, completed: 3 }) as Record<
    string,
    unknown
  >
  t.strictSame(Object.keys(json), [
    'ID',
    'Version',
    'CreatedAt',
    'UpdatedAt',
    'Spec',
    'PreviousSpec',
    'Endpoint',
    'UpdateStatus',
    'ServiceStatus',
    'JobStatus',
  ])
  t.strictSame(json['Version'], { Index: 298 })
  t.equal(json['CreatedAt'], '2026-11-22T14:25:05.027Z')
  t.strictSame(json['UpdateStatus'], {
    State: 'updating',
    StartedAt: '2026-11-22T14:25:09.655Z',
    Message: 'update in progress',
  })
  t.strictSame(json['ServiceStatus'], { RunningTasks: 1, DesiredTasks: 2, CompletedTasks: 3 })
  t.strictSame(json['JobStatus'], { JobIteration: {}, LastExecution: '0001-01-01T00:00:00Z' })
})

t.test('a value of the wrong type is refused by its path', async (t) => {
  const cases: readonly { readonly sent: unknown; readonly want: string }[] = [
    {
      sent: { TaskTemplate: { ContainerSpec: { Env: ['A=b', 'C=d', 5] } } },
      want: 'Spec.TaskTemplate.ContainerSpec.Env[2]: must be a string, is a number',
    },
    { sent: { Name: 5 }, want: 'Spec.Name: must be a string, is a number' },
    { sent: [], want: 'Spec: must be an object, is an array' },
    { sent: null, want: 'Spec: must be an object, is absent' },
    {
      sent: { Labels: { a: 1 } },
      want: 'Spec.Labels["a"]: must be a string, is a number',
    },
    {
      sent: { TaskTemplate: { ContainerSpec: {} }, Mode: { Replicated: { Replicas: -1 } } },
      want: 'Spec.Mode.Replicated.Replicas: must be a whole number of 0 to 18446744073709552000, is -1',
    },
    {
      sent: { TaskTemplate: { ContainerSpec: {} }, EndpointSpec: { Ports: [{ Protocol: 'x' }] } },
      want: 'invalid protocol: "x", must be "tcp", "udp" or "sctp"',
    },
  ]
  for (const { sent, want } of cases) {
    t.throws(() => parseServiceSpec(sent), { code: 'bad-request', message: want })
  }
})

t.test('fields that nobody knows can be collected', async (t) => {
  const unknown: string[] = []
  parseServiceSpec({ Foo: 1, TaskTemplate: { ContainerSpec: { Bar: 2 } } }, unknown)
  t.strictSame(unknown.sort(), ['Spec.Foo', 'Spec.TaskTemplate.ContainerSpec.Bar'])
})

t.test('fields that newer engines have are kept', async (t) => {
  const container = {
    Image: 'a',
    Privileges: {
      CredentialSpec: null,
      SELinuxContext: null,
      Seccomp: { Mode: 'custom', Profile: 'e30=' },
      AppArmor: { Mode: 'disabled' },
      NoNewPrivileges: true,
    },
    Mounts: [
      {
        Type: 'bind',
        Source: '/a',
        Target: '/a',
        BindOptions: {
          Propagation: 'rprivate',
          CreateMountpoint: true,
          ReadOnlyNonRecursive: true,
        },
      },
      { Type: 'volume', Source: 'v', Target: '/b', VolumeOptions: { Subpath: 'x' } },
      { Type: 'image', Source: 'i', Target: '/c', ImageOptions: { Subpath: 'x' } },
      { Type: 'tmpfs', Target: '/d', TmpfsOptions: { Options: [['noexec'], ['uid', '1']] } },
    ],
    Healthcheck: { StartInterval: 5 },
    Isolation: 'default',
    OomScoreAdj: -5,
  }
  const task = {
    ContainerSpec: container,
    Resources: { Limits: { MemoryBytes: 5 }, SwapBytes: 0, MemorySwappiness: 0 },
    ForceUpdate: 0,
    Runtime: 'container',
  }
  const spec = parseServiceSpec({ Name: 'a', TaskTemplate: task })
  t.equal(spec.task.container.privileges?.seccomp?.profile, '{}')
  const back = serviceSpecJson.format(spec) as { readonly TaskTemplate: unknown }
  t.equal(JSON.stringify(back.TaskTemplate), JSON.stringify(task))
})

t.test('a plugin is refused as such, not for the container that it lacks', async (t) => {
  const sent = { TaskTemplate: { PluginSpec: { name: 'x' }, Runtime: 'plugin' } }
  t.throws(() => parseServiceSpec(sent), { code: 'not-supported' })
})

t.test('rollback has two words', async (t) => {
  t.equal(parseRollback('previous'), true)
  t.equal(parseRollback(''), false)
  t.throws(() => parseRollback('x'), { message: 'unrecognized rollback option x' })
  t.ok(
    hasCode(
      caught(() => parseRollback('x')),
      'bad-request',
    ),
  )
})

function caught(act: () => unknown): unknown {
  try {
    act()
  } catch (error) {
    return error
  }
  return undefined
}

const text = fc.string({ maxLength: 6 })
const texts = fc.array(text, { maxLength: 3 })
const map = fc.dictionary(text, text, { maxKeys: 3 })
const count = fc.integer({ min: 0, max: 5 })
const size = fc.oneof(count, fc.integer(), fc.constant(2 ** 53 * 3))
const name = fc.string({ maxLength: 6 })

/** An object of some of the keys, each absent, null or a value. */
function some(fields: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<unknown> {
  const withNull = Object.entries(fields).map(([key, value]) => [
    key,
    fc.oneof({ weight: 1, arbitrary: fc.constant(null) }, { weight: 5, arbitrary: value }),
  ])
  return fc.record(Object.fromEntries(withNull), { requiredKeys: [] })
}

function items(item: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.array(item, { maxLength: 2 })
}

const driver = some({ Name: name, Options: map })
const file = fc.record({ Name: name, UID: name, GID: name, Mode: count })

const container = some({
  Image: name,
  Labels: map,
  Command: texts,
  Env: texts,
  Init: fc.boolean(),
  TTY: fc.boolean(),
  StopGracePeriod: size,
  Privileges: some({
    SELinuxContext: some({ Disable: fc.boolean(), User: text }),
    Seccomp: some({ Mode: fc.constantFrom('', 'default', 'custom'), Profile: fc.constant('e30=') }),
    AppArmor: some({ Mode: fc.constantFrom('default', 'disabled') }),
    NoNewPrivileges: fc.boolean(),
  }),
  Mounts: items(
    some({
      Type: fc.constantFrom('', 'bind', 'VOLUME', 'tmpfs', 'image'),
      Source: text,
      Target: text,
      BindOptions: some({ Propagation: fc.constantFrom('', 'rslave'), NonRecursive: fc.boolean() }),
      VolumeOptions: some({ NoCopy: fc.boolean(), Labels: map, DriverConfig: driver }),
      TmpfsOptions: some({ SizeBytes: size, Options: fc.array(texts, { maxLength: 2 }) }),
    }),
  ),
  Healthcheck: some({ Test: texts, Interval: size, Retries: size }),
  DNSConfig: some({ Nameservers: texts, Search: texts }),
  Secrets: items(some({ File: file, SecretID: text, SecretName: text })),
  Configs: items(some({ File: file, Runtime: fc.constant({}), ConfigID: text })),
  Isolation: fc.constantFrom('', 'default', 'process'),
  Sysctls: map,
  Ulimits: items(some({ Name: text, Soft: count, Hard: count })),
})

const serviceJson = some({
  Name: name,
  Labels: map,
  TaskTemplate: fc
    .tuple(
      fc.record({ ContainerSpec: container.map((value) => value ?? {}) }),
      some({
        Resources: some({
          Limits: some({ NanoCPUs: size, Pids: size }),
          Reservations: some({ MemoryBytes: size }),
          SwapBytes: size,
        }),
        RestartPolicy: some({ Condition: fc.constantFrom('', 'none'), Delay: size }),
        Placement: some({
          Constraints: texts,
          Preferences: items(some({ Spread: some({ SpreadDescriptor: text }) })),
          Platforms: items(some({ OS: text })),
        }),
        Networks: items(some({ Target: text, Aliases: texts, DriverOpts: map })),
        LogDriver: driver,
        ForceUpdate: count,
      }),
    )
    .map(([must, may]) => ({ ...must, ...(may as object) })),
  Mode: fc.oneof(
    some({ Replicated: some({ Replicas: count }) }),
    some({ Global: fc.constant({}) }),
    some({ ReplicatedJob: some({ MaxConcurrent: count, TotalCompletions: count }) }),
  ),
  UpdateConfig: some({
    Parallelism: count,
    Delay: size,
    MaxFailureRatio: fc.double({ min: 0, max: 1, noNaN: true }),
    Order: fc.constantFrom('', 'start-first'),
  }),
  EndpointSpec: some({
    Mode: fc.constantFrom('', 'vip', 'dnsrr'),
    Ports: items(some({ Name: text, Protocol: fc.constantFrom('tcp', 'UDP'), TargetPort: count })),
  }),
})

function outcome(sent: unknown): ServiceSpec | undefined {
  try {
    const spec = parseServiceSpec(sent)
    try {
      validateService(spec)
      checkSupported(spec)
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
    }
    return spec
  } catch (error) {
    if (error instanceof CodedError) return undefined
    throw error
  }
}

t.test('whatever was read is read the same from what we write of it', async (t) => {
  let count = 0
  fc.assert(
    fc.property(serviceJson, (sent) => {
      const spec = outcome(sent)
      if (spec === undefined) return
      count++
      const wire = JSON.stringify(serviceSpecJson.format(spec))
      const again = parseServiceSpec(JSON.parse(wire))
      if (!equal(spec, again)) throw new Error(wire)
      if (JSON.stringify(serviceSpecJson.format(again)) !== wire) throw new Error(wire)
    }),
    { numRuns: 300 },
  )
  t.ok(count > 150, `${count} of 300 were read`)
})

t.test('garbage in any place is read or refused, never worse', async (t) => {
  const sent = fc.constantFrom(...taken.map((row) => row.sent))
  const place = fc.array(fc.nat({ max: 30 }), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(sent, place, fc.jsonValue({ maxDepth: 2 }), (value, steps, garbage) => {
      outcome(replaced(value, steps, garbage))
    }),
    { numRuns: 1_000 },
  )
  t.pass()
})

/** The document with another value in the place that the steps lead to. */
function replaced(value: unknown, steps: readonly number[], garbage: unknown): unknown {
  const [step, ...rest] = steps
  if (step === undefined || typeof value !== 'object' || value === null) return garbage
  const entries = Object.entries(value)
  if (entries.length === 0) return garbage
  const at = step % entries.length
  const changed = entries.map(([key, entry], index) => [
    key,
    index === at ? replaced(entry, rest, garbage) : entry,
  ])
  if (Array.isArray(value)) return changed.map(([, entry]) => entry)
  return Object.fromEntries(changed)
}
