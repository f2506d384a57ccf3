// The cluster's settings: what clients send and see, and the requests that make and join one.

import t from 'tap'
import type { ClusterId } from '../../../core/base/id.ts'
import type { Cluster } from '../../../core/object/cluster.ts'
import { defaultClusterSpec } from '../../../core/object/defaults.ts'
import {
  formatClusterSpec,
  formatSwarm,
  parseClusterSpec,
  parseSwarmInit,
  parseSwarmJoin,
  parseSwarmUnlock,
} from '../../../core/spec/cluster-json.ts'
import { validateCluster } from '../../../core/spec/validate.ts'

const cluster: Cluster = {
  kind: 'cluster',
  id: 'tr3pfkxc21o7vzi8ybetiwjnw' as ClusterId,
  version: 33,
  createdAtMs: 0,
  updatedAtMs: 0,
  spec: defaultClusterSpec,
  joinSecrets: { worker: 'w', manager: 'm' },
  key: { publicKey: new Uint8Array(32), privateKey: new Uint8Array(32) },
  defaultAddressPool: ['10.0.0.0/8'],
  subnetSize: 24,
  dataPathPort: 2377,
}

t.test('the cluster is shown in the order of the API, and none of its keys', async (t) => {
  const text = JSON.stringify(formatSwarm(cluster, { worker: 'W', manager: 'M' }))
  t.equal(
    text,
    '{"ID":"tr3pfkxc21o7vzi8ybetiwjnw","Version":{"Index":33},' +
      '"CreatedAt":"1970-01-01T00:00:00Z","UpdatedAt":"1970-01-01T00:00:00Z",' +
      '"Spec":{"Name":"default","Labels":{},"Orchestration":{"TaskHistoryRetentionLimit":5},' +
      '"Raft":{"SnapshotInterval":10000,"KeepOldSnapshots":0,"LogEntriesForSlowFollowers":500,' +
      '"ElectionTick":10,"HeartbeatTick":1},"Dispatcher":{"HeartbeatPeriod":1000000000},' +
      '"CAConfig":{"NodeCertExpiry":7776000000000000},"TaskDefaults":{},' +
      '"EncryptionConfig":{"AutoLockManagers":false}},' +
      '"TLSInfo":{},"RootRotationInProgress":false,"DefaultAddrPool":["10.0.0.0/8"],' +
      '"SubnetSize":24,"DataPathPort":2377,"JoinTokens":{"Worker":"W","Manager":"M"}}',
  )
})

t.test('what an update leaves out keeps its value, but for labels and autolock', async (t) => {
  const inForce = {
    ...defaultClusterSpec,
    labels: { a: 'b' },
    encryption: { autoLockManagers: true },
    dispatcher: { heartbeatPeriodNs: 7 },
  }
  t.strictSame(parseClusterSpec({}, inForce), {
    ...inForce,
    labels: {},
    encryption: { autoLockManagers: false },
  })
  const full = parseClusterSpec(
    {
      Name: 'default',
      Labels: { c: 'd' },
      Orchestration: { TaskHistoryRetentionLimit: 0 },
      Raft: { SnapshotInterval: 5, KeepOldSnapshots: 1, ElectionTick: 3, HeartbeatTick: 2 },
      Dispatcher: { HeartbeatPeriod: 9 },
      CAConfig: { NodeCertExpiry: 31536000000000000, ForceRotate: 4 },
      TaskDefaults: { LogDriver: { Name: 'local' } },
      EncryptionConfig: { AutoLockManagers: true },
    },
    inForce,
  )
  t.strictSame(full, {
    name: 'default',
    labels: { c: 'd' },
    orchestration: { taskHistoryLimit: 0 },
    raft: {
      snapshotInterval: 5,
      keepOldSnapshots: 1,
      logEntriesForSlowFollowers: 500,
      electionTick: 3,
      heartbeatTick: 2,
    },
    dispatcher: { heartbeatPeriodNs: 9 },
    ca: { nodeCertExpiryNs: 31536000000000000, forceRotate: 4 },
    taskDefaults: { logDriver: { name: 'local', options: {} } },
    encryption: { autoLockManagers: true },
  })
  t.strictSame(parseClusterSpec(formatClusterSpec(full), inForce), full)
})

t.test('a cluster is named default and has no certificate authority', async (t) => {
  t.throws(() => parseClusterSpec({ Name: 'x' }, defaultClusterSpec), {
    code: 'bad-request',
    message: 'swarm spec must be named "default"',
  })
  for (const ca of [{ ExternalCAs: [{}] }, { SigningCACert: 'x' }, { SigningCAKey: 'x' }]) {
    t.throws(() => parseClusterSpec({ CAConfig: ca }, defaultClusterSpec), {
      code: 'not-supported',
    })
  }
})

t.test('the rules of the cluster, in the words of Swarm', async (t) => {
  const check = (body: object) => () => validateCluster(parseClusterSpec(body, defaultClusterSpec))
  t.doesNotThrow(check({}))
  t.doesNotThrow(check({ Orchestration: { TaskHistoryRetentionLimit: -1 } }))
  const cases: readonly (readonly [object, string])[] = [
    [{ CAConfig: { NodeCertExpiry: 1 } }, 'minimum certificate expiry time is: 1h0m0s'],
    [
      { Dispatcher: { HeartbeatPeriod: -1 } },
      'heartbeat time period cannot be a negative duration',
    ],
    [
      { Dispatcher: { HeartbeatPeriod: 3_600_000_000_001 } },
      'heartbeat period 1h0m0.000000001s is too long to notice a lost node: at most 1h0m0s',
    ],
    [
      { Orchestration: { TaskHistoryRetentionLimit: 1_001 } },
      'task history of 1001 ended tasks per slot is over the 1000 that are kept',
    ],
  ]
  for (const [body, message] of cases) {
    t.throws(check(body), { code: 'invalid-argument', message })
  }
  t.throws(() => validateCluster({ ...defaultClusterSpec, name: 'x' }), {
    message: 'modification of cluster name is not allowed',
  })
})

t.test('init, join and unlock are read as the docker CLI sends them', async (t) => {
  const init = {
    ListenAddr: '0.0.0.0:2377',
    AdvertiseAddr: '',
    DataPathAddr: '',
    DataPathPort: 0,
    ForceNewCluster: false,
    Spec: { Labels: null, Orchestration: {}, Raft: { ElectionTick: 0, HeartbeatTick: 0 } },
    AutoLockManagers: true,
    Availability: 'drain',
    DefaultAddrPool: null,
    SubnetSize: 24,
  }
  t.strictSame(parseSwarmInit(init, defaultClusterSpec), {
    listenAddress: '0.0.0.0:2377',
    defaultAddressPool: [],
    subnetSize: 24,
    forceNewCluster: false,
    availability: 'drain',
    autoLockManagers: true,
    spec: { ...defaultClusterSpec, encryption: { autoLockManagers: true } },
  })
  t.strictSame(parseSwarmJoin({ RemoteAddrs: ['a:1'], JoinToken: 'T' }), {
    remoteAddresses: ['a:1'],
    joinToken: 'T',
    availability: 'active',
  })
  t.equal(parseSwarmUnlock({ UnlockKey: 'k' }), 'k')
})

t.test('a new cluster has sound addresses and a sound port', async (t) => {
  const cases: readonly (readonly [object, string])[] = [
    [{ DefaultAddrPool: ['x'] }, 'invalid base pool x: invalid CIDR address: x'],
    [{ SubnetSize: 30 }, 'subnet size is out of range: 30'],
    [
      { DefaultAddrPool: ['10.0.0.0/28'] },
      'invalid CIDR: "10.0.0.0/28". Subnet size is too small for pool: 24',
    ],
    [{ SubnetSize: 3 }, 'invalid CIDR: "10.0.0.0/8". Subnet size is too small for pool: 3'],
    [
      { DefaultAddrPool: ['10.0.0.0/8', '10.1.0.0/16'] },
      'base pools 10.0.0.0/8 and 10.1.0.0/16 overlap: remove one of them',
    ],
    [{ DataPathPort: 80 }, 'Datapath port number is not in valid range (1024-49151) : 80'],
    [{ DataPathPort: 70_000 }, 'Datapath port number is not in valid range (1024-49151) : 70000'],
    [{ Availability: 'zz' }, 'invalid Availability: "zz"'],
    [{ Spec: { Name: 'x' } }, 'swarm spec must be named "default"'],
  ]
  for (const [body, message] of cases) {
    t.throws(() => parseSwarmInit(body, defaultClusterSpec), { code: 'bad-request', message })
  }
  const spec = { CAConfig: { NodeCertExpiry: 5 } }
  t.throws(() => parseSwarmInit({ Spec: spec }, defaultClusterSpec), { code: 'invalid-argument' })
  const pool = { DefaultAddrPool: ['10.1.0.0/16', 'fd00::/8'], SubnetSize: 26 }
  t.equal(parseSwarmInit(pool, defaultClusterSpec).subnetSize, 26)
})
