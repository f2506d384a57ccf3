// Task -> create request: each field of a container spec, and what an old engine cannot do.

import t from 'tap'
import { containerOf, imageOf } from '../../../agent/executor/docker-container.ts'
import { type JsonRecord, record } from '../../../agent/executor/engine-json.ts'
import { nsPerSecond } from '../../../core/base/time.ts'
import type { ContainerSpec, PortConfig, TaskSpec } from '../../../core/object/service.ts'
import type { Task } from '../../../core/object/task.ts'
import { makeTask, testNode } from './task.ts'

const image = 'nginx'

function bodyOf(task: Task, engineVersion = '1.44'): JsonRecord {
  return containerOf(task, { nodeId: testNode, engineVersion, files: [] }).body
}

function hostConfig(task: Task, engineVersion?: string): JsonRecord {
  return record(bodyOf(task, engineVersion)['HostConfig'])
}

t.test('a plain task asks for little', async (t) => {
  const task = makeTask({ image })
  const request = containerOf(task, { nodeId: testNode, engineVersion: '1.41', files: [] })
  t.strictSame(request, {
    name: `web.1.${task.id}`,
    body: {
      Image: 'nginx:latest',
      Labels: {
        'com.docker.swarm.node.id': testNode,
        'com.docker.swarm.service.id': task.serviceId,
        'com.docker.swarm.service.name': 'web',
        'com.docker.swarm.task': '',
        'com.docker.swarm.task.id': task.id,
        'com.docker.swarm.task.name': `web.1.${task.id}`,
        'skep.node': testNode,
        'skep.slot': '1',
        'skep.spec-version': '3',
      },
      StopTimeout: 10,
      HostConfig: { RestartPolicy: { Name: 'no' }, NetworkMode: 'bridge' },
    },
  })
})

t.test('a task of a global service is named after its node', async (t) => {
  const task = makeTask({ image }, { slot: 0 })
  const { name } = containerOf(task, { nodeId: testNode, engineVersion: '1.41', files: [] })
  t.equal(name, `web.${testNode}.${task.id}`)
})

t.test('labels of the user cannot replace those that find the container', async (t) => {
  const task = makeTask({
    image,
    labels: { 'skep.node': 'other', 'com.docker.swarm.task.id': 'x', a: 'b' },
  })
  t.match(bodyOf(task)['Labels'], {
    a: 'b',
    'skep.node': testNode,
    'com.docker.swarm.task.id': task.id,
  })
})

const digest = `sha256:${'a'.repeat(64)}`

t.test('images are named as Docker shows them', async (t) => {
  const rows: readonly (readonly [string, string])[] = [
    ['nginx', 'nginx:latest'],
    ['docker.io/library/nginx:1.27', 'nginx:1.27'],
    ['bitnami/redis', 'bitnami/redis:latest'],
    ['registry.example:5000/a/b:c', 'registry.example:5000/a/b:c'],
    [`nginx@${digest}`, `nginx@${digest}`],
    [`nginx:1.27@${digest}`, `nginx:1.27@${digest}`],
    [digest, digest],
  ]
  for (const [given, want] of rows) t.equal(imageOf({ image: given }), want)
})

interface Row {
  readonly name: string
  readonly container?: Partial<ContainerSpec>
  readonly spec?: Partial<TaskSpec>
  readonly want?: JsonRecord
  readonly wantHost?: JsonRecord
}

const minute = 60 * nsPerSecond

const rows: readonly Row[] = [
  {
    name: 'command replaces the entrypoint, arguments the command',
    container: { command: ['sh'], args: ['-c', 'x'] },
    want: { Entrypoint: ['sh'], Cmd: ['-c', 'x'] },
  },
  {
    name: 'arguments alone',
    container: { args: ['x'] },
    want: { Entrypoint: undefined, Cmd: ['x'] },
  },
  {
    name: 'environment, folder, user, groups',
    container: { env: ['A=1', 'B'], dir: '/srv', user: '1000:1000', groups: ['audio'] },
    want: { Env: ['A=1', 'B'], WorkingDir: '/srv', User: '1000:1000' },
    wantHost: { GroupAdd: ['audio'] },
  },
  {
    name: 'terminal, input, host name, read-only',
    container: { tty: true, openStdin: true, hostname: 'bee', readOnly: true },
    want: { Tty: true, OpenStdin: true, Hostname: 'bee' },
    wantHost: { ReadonlyRootfs: true },
  },
  {
    name: 'stop signal and grace, rounded up',
    container: { stopSignal: 'SIGQUIT', stopGraceNs: 1.2 * nsPerSecond },
    want: { StopSignal: 'SIGQUIT', StopTimeout: 2 },
  },
  {
    name: 'health',
    container: {
      health: {
        test: ['CMD-SHELL', 'true'],
        intervalNs: minute,
        timeoutNs: nsPerSecond,
        startPeriodNs: nsPerSecond,
        startIntervalNs: nsPerSecond,
        retries: 4,
      },
    },
    want: {
      Healthcheck: {
        Test: ['CMD-SHELL', 'true'],
        Interval: minute,
        Timeout: nsPerSecond,
        StartPeriod: nsPerSecond,
        StartInterval: nsPerSecond,
        Retries: 4,
      },
    },
  },
  {
    name: 'lines of a hosts file',
    container: { hosts: ['10.0.0.9 db db.local', '::1 six'] },
    wantHost: { ExtraHosts: ['db:10.0.0.9', 'db.local:10.0.0.9', 'six:::1'] },
  },
  {
    name: 'name servers',
    container: { dns: { nameservers: ['9.9.9.9'], search: ['a.b'], options: ['ndots:1'] } },
    wantHost: { Dns: ['9.9.9.9'], DnsSearch: ['a.b'], DnsOptions: ['ndots:1'] },
  },
  {
    name: 'init, sysctls, capabilities, ulimits, oom score',
    container: {
      init: true,
      sysctls: { 'net.core.somaxconn': '1024' },
      capabilityAdd: ['CAP_NET_ADMIN'],
      capabilityDrop: ['CAP_CHOWN'],
      ulimits: [{ name: 'nofile', soft: 10, hard: 20 }],
      oomScoreAdj: 100,
    },
    wantHost: {
      Init: true,
      Sysctls: { 'net.core.somaxconn': '1024' },
      CapAdd: ['CAP_NET_ADMIN'],
      CapDrop: ['CAP_CHOWN'],
      Ulimits: [{ Name: 'nofile', Soft: 10, Hard: 20 }],
      OomScoreAdj: 100,
    },
  },
  {
    name: 'limits and reservations',
    spec: {
      resources: {
        limits: { nanoCpus: 5e8, memoryBytes: 64e6, pids: 9 },
        reservations: { memoryBytes: 32e6 },
        swapBytes: 16e6,
        memorySwappiness: 10,
      },
    },
    wantHost: {
      NanoCpus: 5e8,
      Memory: 64e6,
      PidsLimit: 9,
      MemoryReservation: 32e6,
      MemorySwap: 80e6,
      MemorySwappiness: 10,
    },
  },
  {
    name: 'swap without end; a reservation above the limit is the limit',
    spec: {
      resources: {
        limits: { memoryBytes: 64e6 },
        reservations: { memoryBytes: 128e6 },
        swapBytes: -1,
      },
    },
    wantHost: { MemorySwap: -1, MemoryReservation: 64e6 },
  },
  {
    name: 'swap says nothing without a memory limit',
    spec: { resources: { swapBytes: 16e6 } },
    wantHost: { MemorySwap: undefined },
  },
  {
    name: 'log driver',
    spec: { logDriver: { name: 'json-file', options: { 'max-size': '1m' } } },
    wantHost: { LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } } },
  },
  {
    name: 'security',
    container: {
      privileges: {
        seLinux: { disable: true, user: 'u', role: 'r', type: 't', level: 'l' },
        seccomp: { mode: 'custom', profile: '{}' },
        appArmor: { mode: 'disabled' },
        noNewPrivileges: true,
      },
    },
    wantHost: {
      SecurityOpt: [
        'label=disable',
        'label=user:u',
        'label=role:r',
        'label=level:l',
        'label=type:t',
        'seccomp={}',
        'apparmor=unconfined',
        'no-new-privileges=true',
      ],
    },
  },
  {
    name: 'seccomp off; the default needs no option',
    container: { privileges: { seccomp: { mode: 'unconfined' }, appArmor: { mode: 'default' } } },
    wantHost: { SecurityOpt: ['seccomp=unconfined'] },
  },
  {
    name: 'mounts',
    container: {
      mounts: [
        {
          type: 'bind',
          source: '/a',
          target: '/b',
          readOnly: true,
          bind: { propagation: 'rslave' },
        },
        {
          type: 'volume',
          source: 'v',
          target: '/v',
          volume: {
            noCopy: true,
            labels: { a: 'b' },
            driver: { name: 'local', options: { o: 'x' } },
          },
        },
        { type: 'tmpfs', target: '/t', tmpfs: { sizeBytes: 1024, mode: 0o700 } },
      ],
    },
    wantHost: {
      Mounts: [
        {
          Type: 'bind',
          Source: '/a',
          Target: '/b',
          ReadOnly: true,
          BindOptions: { Propagation: 'rslave' },
        },
        {
          Type: 'volume',
          Source: 'v',
          Target: '/v',
          VolumeOptions: {
            NoCopy: true,
            Labels: { a: 'b' },
            DriverConfig: { Name: 'local', Options: { o: 'x' } },
          },
        },
        { Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 1024, Mode: 0o700 } },
      ],
    },
  },
]

for (const { name, container, spec, want = {}, wantHost = {} } of rows) {
  t.test(name, async (t) => {
    const task = makeTask({ image, ...container }, spec === undefined ? {} : { with: spec })
    const body = bodyOf(task)
    for (const [key, value] of Object.entries(want)) t.strictSame(body[key], value, key)
    for (const [key, value] of Object.entries(wantHost)) {
      t.strictSame(hostConfig(task)[key], value, key)
    }
  })
}

t.test('ports of mode host are bound, those of ingress are not', async (t) => {
  const ports: readonly PortConfig[] = [
    { protocol: 'tcp', targetPort: 80, publishedPort: 8080, publishMode: 'host' },
    { protocol: 'udp', targetPort: 53, publishMode: 'host' },
    { protocol: 'tcp', targetPort: 443, publishedPort: 8443, publishMode: 'ingress' },
  ]
  const task = makeTask({ image }, { ports })
  t.strictSame(bodyOf(task)['ExposedPorts'], { '80/tcp': {}, '53/udp': {} })
  t.strictSame(hostConfig(task)['PortBindings'], {
    '80/tcp': [{ HostPort: '8080' }],
    '53/udp': [{ HostPort: '' }],
  })
})

t.test('files of the node are mounted read-only', async (t) => {
  const files = [{ source: '/run/x/key', target: '/run/secrets/key' }]
  const { body } = containerOf(makeTask({ image }), {
    nodeId: testNode,
    engineVersion: '1.41',
    files,
  })
  t.strictSame(record(body['HostConfig'])['Mounts'], [
    { Type: 'bind', Source: '/run/x/key', Target: '/run/secrets/key', ReadOnly: true },
  ])
})

t.test('a field that the engine is too old for is refused by name', async (t) => {
  const health = { startIntervalNs: nsPerSecond }
  t.throws(() => bodyOf(makeTask({ image, health }), '1.43'), {
    code: 'not-supported',
    message:
      "Healthcheck.StartInterval needs API 1.44; this node's engine speaks 1.43: upgrade it, or leave the field out",
  })
  t.match(bodyOf(makeTask({ image, health }), '1.44'), { Healthcheck: {} })
  const mounts = [{ type: 'volume', source: 'v', target: '/v', volume: { subpath: 'a' } }] as const
  t.throws(() => bodyOf(makeTask({ image, mounts }), '1.44'), { code: 'not-supported' })
  const context = { nodeId: testNode, engineVersion: '1.47', files: [] }
  t.equal(containerOf(makeTask({ image, mounts }), context).version, '1.45')
})
