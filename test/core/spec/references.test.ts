// References to other objects: which hold, and the words of Swarm where they do not.

import t from 'tap'
import { CodedError, formatError } from '../../../core/base/error.ts'
import type { NetworkId, ServiceId } from '../../../core/base/id.ts'
import type { Network } from '../../../core/object/network.ts'
import type { Service } from '../../../core/object/service.ts'
import { nameConflict, type Referred, validateReferences } from '../../../core/spec/references.ts'
import { parseServiceSpec } from '../../../core/spec/service-json.ts'

function spec(container: object, ports: readonly object[] = [], networks: readonly string[] = []) {
  return parseServiceSpec({
    Name: 'web',
    TaskTemplate: {
      ContainerSpec: { Image: 'a', ...container },
      Networks: networks.map((target) => ({ Target: target })),
    },
    EndpointSpec: { Ports: ports },
  })
}

function port(published: number, mode: 'ingress' | 'host', protocol = 'tcp'): object {
  return { TargetPort: 80, PublishedPort: published, PublishMode: mode, Protocol: protocol }
}

function service(id: string, ports: readonly object[], given: readonly object[] = []): Service {
  return {
    kind: 'service',
    id: id as ServiceId,
    version: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    spec: { ...spec({}, ports), name: `name-${id}` },
    specVersion: 1,
    endpoint: { ports: spec({}, given).endpoint?.ports ?? [], virtualIps: [] },
  }
}

const ingress: Network = {
  kind: 'network',
  id: 'n' as NetworkId,
  version: 1,
  createdAtMs: 0,
  updatedAtMs: 0,
  spec: {
    name: 'ingress',
    labels: {},
    driver: { name: 'overlay', options: {} },
    ipv6: false,
    internal: false,
    attachable: false,
    ingress: true,
    ipam: { driver: { name: 'default', options: {} }, configs: [] },
  },
  ipam: [],
}

const referred: Referred = {
  services: [
    service('i', [port(8080, 'ingress')], [port(8080, 'ingress')]),
    service('h', [port(9090, 'host')]),
    service('d', [{ TargetPort: 80 }], [port(30_000, 'ingress')]),
  ],
  secret: (id) => (String(id) === 's' ? { spec: { name: 'sx' } } : undefined),
  config: (id) => (String(id) === 'c' ? { spec: { name: 'cx' } } : undefined),
  network: (id) => (id === ingress.id ? ingress : undefined),
}

function refusal(asked: ReturnType<typeof spec>, self?: string): string | undefined {
  try {
    validateReferences(asked, referred, self as ServiceId | undefined)
  } catch (error) {
    if (error instanceof CodedError) return formatError(error)
    throw error
  }
  return undefined
}

const prefix = 'rpc error: code = InvalidArgument desc = '

t.test('ports that are taken', async (t) => {
  const cases: readonly (readonly [object, string | undefined])[] = [
    [
      port(8080, 'ingress'),
      "port '8080' is already in use by service 'name-i' (i) as an ingress port",
    ],
    [
      port(8080, 'host'),
      "port '8080' is already in use by service 'name-i' (i) as an ingress port",
    ],
    [
      port(9090, 'ingress'),
      "port '9090' is already in use by service 'name-h' (h) as a host-published port",
    ],
    [port(9090, 'host'), undefined],
    [port(8080, 'ingress', 'udp'), undefined],
    [port(0, 'ingress'), undefined],
    [
      port(30_000, 'ingress'),
      "port '30000' is already in use by service 'name-d' (d) as an ingress port",
    ],
  ]
  for (const [asked, want] of cases) {
    t.equal(refusal(spec({}, [asked])), want === undefined ? undefined : `${prefix}${want}`)
  }
  t.equal(refusal(spec({}, [port(8080, 'ingress')]), 'i'), undefined, 'its own ports are free')
})

t.test('secrets, configs and networks', async (t) => {
  const secret = (id: string, name: string) => ({ SecretID: id, SecretName: name })
  const config = (id: string, name: string) => ({ ConfigID: id, ConfigName: name })
  t.equal(refusal(spec({ Secrets: [secret('s', 'sx')], Configs: [config('c', 'cx')] })), undefined)
  t.equal(refusal(spec({ Secrets: [secret('q', 'sx')] })), `${prefix}secret not found: sx`)
  t.equal(
    refusal(spec({ Secrets: [secret('s', 'other'), secret('q', 'sy')] })),
    `${prefix}secrets not found: other, sy`,
  )
  t.equal(refusal(spec({ Configs: [config('q', 'cx')] })), `${prefix}config not found: cx`)
  t.equal(
    refusal(spec({}, [], ['n'])),
    `${prefix}Service cannot be explicitly attached to the ingress network "ingress"`,
  )
  t.equal(refusal(spec({}, [], ['x'])), undefined)
})

t.test('a name that is taken', async (t) => {
  t.equal(
    formatError(nameConflict('service', 'a')),
    'rpc error: code = AlreadyExists desc = name conflicts with an existing object: service a already exists',
  )
  t.equal(
    formatError(nameConflict('secret', 'a')),
    'rpc error: code = AlreadyExists desc = secret a already exists',
  )
})
