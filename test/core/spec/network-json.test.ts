// Networks that a real engine (20.10.24) was asked for, what it gave back and what it refused.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { CodedError, formatError } from '../../../core/base/error.ts'
import type { NetworkId } from '../../../core/base/id.ts'
import { parseTime } from '../../../core/base/time.ts'
import type { Network } from '../../../core/object/network.ts'
import {
  formatNetwork,
  formatTaskNetwork,
  parseNetworkSpec,
} from '../../../core/spec/network-json.ts'
import { validateNetwork } from '../../../core/spec/validate.ts'

interface Given {
  readonly Id: string
  readonly Created: string
  readonly IPAM: {
    readonly Config: readonly {
      readonly Subnet: string
      readonly IPRange?: string
      readonly Gateway: string
    }[]
  }
  readonly Options: Readonly<Record<string, string>>
}

interface Asked {
  readonly name: string
  readonly sent: unknown
  readonly status: number
  readonly given?: Given
  readonly message?: string
}

const path = new URL('fixtures/networks.json', import.meta.url)
const asked = JSON.parse(readFileSync(path, 'utf8')) as readonly Asked[]
const vniOption = 'com.docker.network.driver.overlay.vxlanid_list'

/** Where we answer otherwise. */
const ours: Readonly<Record<string, string>> = {
  // The daemon's own words for these come with status 500.
  'no name': 'rpc error: code = InvalidArgument desc = meta: name must be provided',
  'bad subnet':
    'rpc error: code = InvalidArgument desc = ipam configuration: invalid subnet 10.0.0.0',
  'no subnet': 'rpc error: code = InvalidArgument desc = ipam configuration: invalid subnet ',
  'driver scope swarm':
    '--driver nodrv: networks of the cluster are of driver overlay; use --driver overlay',
  'predefined label':
    'rpc error: code = InvalidArgument desc = label com.docker.swarm.predefined is for internally created predefined networks and cannot be applied by users',
}

/** What needs more than the spec, or is an inner matter of the engine. */
const elsewhere = new Set(['second ingress', 'ipam options'])

function networkOf(sent: unknown, given: Given): Network {
  return {
    kind: 'network',
    id: given.Id as NetworkId,
    version: 12,
    createdAtMs: parseTime(given.Created) ?? 0,
    updatedAtMs: parseTime(given.Created) ?? 0,
    spec: parseNetworkSpec(sent),
    ipam: given.IPAM.Config.map(({ Subnet, IPRange, Gateway }) => ({
      subnet: Subnet,
      ...(IPRange === undefined ? {} : { range: IPRange }),
      gateway: Gateway,
    })),
    vni: Number.parseInt(given.Options[vniOption] ?? '', 10),
  }
}

for (const { name, sent, given, message } of asked.filter((row) => !elsewhere.has(row.name))) {
  t.test(`a network is answered as the engine does: ${name}`, async (t) => {
    if (given === undefined) {
      t.equal(refusal(sent), ours[name] ?? message)
      return
    }
    t.equal(refusal(sent), undefined)
    // Times to the millisecond, one number for all subnets.
    const want = JSON.stringify(given)
      .replace(/(\.\d{3})\d*Z/, '$1Z')
      .replace('4105,4106', '4105')
    const format = JSON.stringify(formatNetwork(networkOf(sent, given)))
    t.equal(
      format.replace(/(\.\d{1,3})Z/, (_, part) => `${part.padEnd(4, '0')}Z`),
      want,
    )
  })
}

function refusal(sent: unknown): string | undefined {
  try {
    validateNetwork(parseNetworkSpec(sent))
  } catch (error) {
    if (error instanceof CodedError) return formatError(error)
    throw error
  }
  return undefined
}

t.test('subnets of one network that overlap are refused', async (t) => {
  const config = [{ Subnet: '10.1.0.0/16' }, { Subnet: '10.1.2.0/24' }]
  t.match(
    refusal({ Name: 'a', Driver: 'overlay', IPAM: { Config: config } }),
    /subnet 10.1.2.0\/24 overlaps 10.1.0.0\/16/,
  )
})

t.test('configuration networks are not for a cluster', async (t) => {
  t.match(refusal({ Name: 'a', ConfigOnly: true }), /ConfigOnly/)
})

t.test('a task shows its network in the older shape', async (t) => {
  const [row] = asked
  if (row?.given === undefined) throw new Error('the first fixture is a network')
  const { sent, given } = row
  t.strictSame(formatTaskNetwork(networkOf({ ...(sent as object), Internal: true }, given)), {
    ID: given.Id,
    Version: { Index: 12 },
    CreatedAt: '2026-11-22T16:51:31.306Z',
    UpdatedAt: '2026-11-22T16:51:31.306Z',
    Spec: {
      Name: 'n1',
      Labels: {},
      DriverConfiguration: { Name: 'overlay' },
      Internal: true,
      IPAMOptions: { Driver: { Name: 'default' } },
      Scope: 'swarm',
    },
    DriverState: { Name: 'overlay', Options: { [vniOption]: given.Options[vniOption] } },
    IPAMOptions: {
      Driver: { Name: 'default' },
      Configs: [{ Subnet: '10.0.4.0/24', Gateway: '10.0.4.1' }],
    },
  })
})
