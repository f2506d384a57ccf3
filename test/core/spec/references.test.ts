// References to other objects: which hold, and the words of Swarm where they do not.

import t from 'tap'
import { CodedError, formatError } from '../../../core/base/error.ts'
import type { NetworkId } from '../../../core/base/id.ts'
import type { Network } from '../../../core/object/network.ts'
import { type Referred, validateReferences } from '../../../core/spec/references.ts'
import { parseServiceSpec } from '../../../core/spec/service-json.ts'

function spec(container: object, networks: readonly string[] = []) {
  return parseServiceSpec({
    Name: 'web',
    TaskTemplate: {
      ContainerSpec: { Image: 'a', ...container },
      Networks: networks.map((target) => ({ Target: target })),
    },
  })
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
  secret: (id) => (String(id) === 's' ? { spec: { name: 'sx' } } : undefined),
  config: (id) => (String(id) === 'c' ? { spec: { name: 'cx' } } : undefined),
  network: (id) => (id === ingress.id ? ingress : undefined),
}

function refusal(asked: ReturnType<typeof spec>): string | undefined {
  try {
    validateReferences(asked, referred)
  } catch (error) {
    if (error instanceof CodedError) return formatError(error)
    throw error
  }
  return undefined
}

const prefix = 'rpc error: code = InvalidArgument desc = '

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
    refusal(spec({}, ['n'])),
    `${prefix}Service cannot be explicitly attached to the ingress network "ingress"`,
  )
  t.equal(refusal(spec({}, ['x'])), undefined)
})
