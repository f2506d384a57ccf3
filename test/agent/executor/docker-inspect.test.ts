// What the engine says of a container and of itself, read into the port's words.

import t from 'tap'
import { parseDescription } from '../../../agent/executor/docker-describe.ts'
import { existing, parseInspect } from '../../../agent/executor/docker-inspect.ts'

const running = {
  Id: 'c1',
  Config: { Tty: true, Labels: { 'skep.node': 'n1', 'com.docker.swarm.task.id': 't1' } },
  State: { Status: 'running', Pid: 42, ExitCode: 0, OOMKilled: false, Error: '' },
  NetworkSettings: {
    Ports: {
      '80/tcp': [
        { HostIp: '0.0.0.0', HostPort: '8080' },
        { HostIp: '::', HostPort: '8080' },
      ],
      '53/udp': [{ HostIp: '0.0.0.0', HostPort: '5353' }],
      '443/tcp': null,
    },
    Networks: {
      bridge: { IPAddress: '172.17.0.2', GlobalIPv6Address: 'fd00::2' },
      other: { IPAddress: '10.0.1.2', GlobalIPv6Address: '' },
    },
  },
}

t.test('a running container: ports once, IPv4 before IPv6', async (t) => {
  t.strictSame(existing(parseInspect(running)), {
    taskId: 't1',
    containerId: 'c1',
    state: 'running',
    health: 'none',
    started: {
      container: { id: 'c1', pid: 42, exitCode: 0 },
      ports: [
        { protocol: 'tcp', targetPort: 80, publishedPort: 8080, publishMode: 'host' },
        { protocol: 'udp', targetPort: 53, publishedPort: 5353, publishMode: 'host' },
      ],
      addresses: ['172.17.0.2', '10.0.1.2', 'fd00::2'],
      hasHealthCheck: false,
    },
  })
})

t.test('an ended one tells how', async (t) => {
  const State = { Status: 'exited', Pid: 0, ExitCode: 137, OOMKilled: true, Error: 'boom' }
  t.strictSame(existing(parseInspect({ ...running, State })), {
    taskId: 't1',
    containerId: 'c1',
    state: 'ended',
    health: 'none',
    exit: { exitCode: 137, isOomKilled: true, error: 'boom' },
  })
})

t.test('states of the engine', async (t) => {
  const rows = { created: 'created', paused: 'running', restarting: 'running', dead: 'ended' }
  for (const [Status, want] of Object.entries(rows)) {
    t.equal(parseInspect({ ...running, State: { Status } }).state, want)
  }
})

t.test('a health check, and one that is switched off', async (t) => {
  const withTest = (Test: unknown): boolean =>
    parseInspect({ Config: { Healthcheck: { Test } } }).started.hasHealthCheck
  t.ok(withTest(['CMD', 'true']))
  t.notOk(withTest(['NONE']))
  t.notOk(withTest(null))
  const State = { Status: 'running', Health: { Status: 'unhealthy' } }
  t.equal(parseInspect({ ...running, State }).health, 'unhealthy')
})

t.test('what is no answer of an engine reads as empty', async (t) => {
  for (const answer of [null, [], 'x', { State: 7, NetworkSettings: { Ports: [] } }]) {
    t.match(parseInspect(answer), { id: '', taskId: '', nodeId: '', isTty: false })
  }
})

t.test('a node describes itself, plugins sorted by type and name', async (t) => {
  const info = {
    Name: 'n1',
    Architecture: 'x86_64',
    OSType: 'linux',
    NCPU: 2,
    MemTotal: 1024,
    ServerVersion: '20.10.24',
    Labels: ['zone=east', 'eq=a=b', 'bare'],
    Plugins: {
      Volume: ['local'],
      Network: ['host', 'bridge'],
      Authorization: null,
      Log: ['local'],
    },
    GenericResources: [
      { DiscreteResourceSpec: { Kind: 'SSD', Value: 3 } },
      { NamedResourceSpec: { Kind: 'GPU', Value: 'UUID1' } },
    ],
  }
  t.strictSame(parseDescription(info), {
    hostname: 'n1',
    platform: { architecture: 'x86_64', os: 'linux' },
    resources: {
      nanoCpus: 2e9,
      memoryBytes: 1024,
      generic: [
        { type: 'discrete', kind: 'SSD', value: 3 },
        { type: 'named', kind: 'GPU', value: 'UUID1' },
      ],
    },
    engine: {
      version: '20.10.24',
      labels: { zone: 'east', eq: 'a=b', bare: '' },
      plugins: [
        { type: 'Log', name: 'local' },
        { type: 'Network', name: 'bridge' },
        { type: 'Network', name: 'host' },
        { type: 'Volume', name: 'local' },
      ],
    },
  })
})
