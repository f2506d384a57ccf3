// Nodes: what clients send of them and see of them.

import t from 'tap'
import type { NodeId } from '../../../core/base/id.ts'
import type { Node } from '../../../core/object/node.ts'
import { formatNode, nodeSpecJson, parseNodeSpec } from '../../../core/spec/node-json.ts'

const node: Node = {
  kind: 'node',
  keys: { worker: new Uint8Array(32) },
  generation: 1,
  id: '2y3lfdvqnbsalapo2wfcciahy' as NodeId,
  version: 301,
  createdAtMs: 1_795_357_328_871,
  updatedAtMs: 1_795_357_505_095,
  spec: { labels: {}, role: 'worker', availability: 'active' },
  status: { state: 'ready', address: '10.99.0.15' },
}

t.test('a node that has not described itself is shown with empty parts', async (t) => {
  t.equal(
    JSON.stringify(formatNode(node)),
    '{"ID":"2y3lfdvqnbsalapo2wfcciahy","Version":{"Index":301},' +
      '"CreatedAt":"2026-11-22T14:22:08.871Z","UpdatedAt":"2026-11-22T14:25:05.095Z",' +
      '"Spec":{"Labels":{},"Role":"worker","Availability":"active"},' +
      '"Description":{"Platform":{},"Resources":{},"Engine":{},"TLSInfo":{}},' +
      '"Status":{"State":"ready","Addr":"10.99.0.15"}}',
  )
})

t.test('a manager is shown with its description, in the order of the API', async (t) => {
  const described: Node = {
    ...node,
    description: {
      hostname: 'n5',
      platform: { architecture: 'x86_64', os: 'linux' },
      resources: {
        nanoCpus: 2_000_000_000,
        memoryBytes: 25_276_502_016,
        generic: [
          { type: 'named', kind: 'GPU', value: 'U1' },
          { type: 'discrete', kind: 'SSD', value: 3 },
        ],
      },
      engine: {
        version: '20.10.24',
        labels: { a: 'b' },
        plugins: [{ type: 'Log', name: 'local' }],
      },
      runtime: 'docker',
      agentVersion: '0.1.0',
    },
  }
  const json = formatNode(described, {
    manager: { isLeader: true, reachability: 'reachable', address: '10.99.0.15:2377' },
    tls: { trustRoot: 'r', issuerSubject: 's', issuerPublicKey: 'k' },
  }) as { readonly Description: unknown; readonly ManagerStatus: unknown }
  t.equal(
    JSON.stringify(json.Description),
    '{"Hostname":"n5","Platform":{"Architecture":"x86_64","OS":"linux"},' +
      '"Resources":{"NanoCPUs":2000000000,"MemoryBytes":25276502016,"GenericResources":' +
      '[{"NamedResourceSpec":{"Kind":"GPU","Value":"U1"}},' +
      '{"DiscreteResourceSpec":{"Kind":"SSD","Value":3}}]},' +
      '"Engine":{"EngineVersion":"20.10.24","Labels":{"a":"b"},' +
      '"Plugins":[{"Type":"Log","Name":"local"}]},' +
      '"TLSInfo":{"TrustRoot":"r","CertIssuerSubject":"s","CertIssuerPublicKey":"k"}}',
  )
  t.strictSame(json.ManagerStatus, {
    Leader: true,
    Reachability: 'reachable',
    Addr: '10.99.0.15:2377',
  })
})

t.test('an update must name role and availability, in any case', async (t) => {
  t.throws(() => parseNodeSpec({}), { code: 'bad-request', message: 'invalid Role: ""' })
  t.throws(() => parseNodeSpec({ Role: 'manager' }), { message: 'invalid Availability: ""' })
  t.throws(() => parseNodeSpec({ Role: 'x', Availability: 'active' }), {
    message: 'invalid Role: "x"',
  })
  const spec = parseNodeSpec({ Role: 'MANAGER', Availability: 'Drain', Name: 'zz' })
  t.strictSame(spec, { name: 'zz', labels: {}, role: 'manager', availability: 'drain' })
  t.equal(
    JSON.stringify(nodeSpecJson.format(spec)),
    '{"Name":"zz","Labels":{},"Role":"manager","Availability":"drain"}',
  )
})
