// A task as GET /tasks shows it, against the shape that a real engine (20.10.24) gave.

import t from 'tap'
import type { NetworkId, NodeId, ServiceId, TaskId } from '../../../core/base/id.ts'
import type { Network } from '../../../core/object/network.ts'
import type { Task } from '../../../core/object/task.ts'
import { parseServiceSpec } from '../../../core/spec/service-json.ts'
import { formatTask } from '../../../core/spec/task-json.ts'

const spec = parseServiceSpec({ TaskTemplate: { ContainerSpec: { Image: 'a:1' } } }).task

const task: Task = {
  kind: 'task',
  id: 'mi2130p5s9zwvl0rashxqwgol' as TaskId,
  version: 307,
  createdAtMs: 1_000,
  updatedAtMs: 2_500,
  serviceId: 'v12u0ot7cv00tvkk7kmxnvqkm' as ServiceId,
  serviceName: 'api',
  serviceLabels: {},
  slot: 1,
  spec,
  specVersion: 298,
  ports: [],
  networks: [],
  status: { state: 'new', atMs: 1_000, message: 'created' },
  desiredState: 'running',
}

t.test('a new task', async (t) => {
  t.equal(
    JSON.stringify(formatTask(task)),
    '{"ID":"mi2130p5s9zwvl0rashxqwgol","Version":{"Index":307},' +
      '"CreatedAt":"1970-01-01T00:00:01Z","UpdatedAt":"1970-01-01T00:00:02.5Z","Labels":{},' +
      '"Spec":{"ContainerSpec":{"Image":"a:1","Isolation":"default"},"ForceUpdate":0},' +
      '"ServiceID":"v12u0ot7cv00tvkk7kmxnvqkm","Slot":1,' +
      '"Status":{"Timestamp":"1970-01-01T00:00:01Z","State":"new","Message":"created",' +
      '"PortStatus":{}},"DesiredState":"running"}',
  )
})

t.test('a task of a global job that failed, with all that a task can have', async (t) => {
  const networkId = 'owxgkz4f2bfhrx61f3j03g5hm' as NetworkId
  const network: Network = {
    kind: 'network',
    id: networkId,
    version: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    spec: {
      name: 'n',
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
  const json = formatTask(
    {
      ...task,
      slot: 0,
      nodeId: 'n' as NodeId,
      jobIteration: 0,
      genericResources: [{ type: 'named', kind: 'GPU', value: 'U' }],
      networks: [
        { networkId, addresses: ['10.0.1.3/24'], aliases: [] },
        { networkId: 'gone' as NetworkId, addresses: [], aliases: [] },
      ],
      status: {
        state: 'failed',
        atMs: 0,
        message: 'started',
        error: 'task: non-zero exit (1)',
        container: { id: 'c', pid: 0, exitCode: 1 },
        ports: [{ protocol: 'tcp', targetPort: 80, publishedPort: 8080, publishMode: 'host' }],
      },
      desiredState: 'shutdown',
    },
    (id) => (id === networkId ? network : undefined),
  ) as Readonly<Record<string, unknown>>
  t.notOk('Slot' in json)
  t.strictSame(Object.keys(json).slice(5), [
    'Spec',
    'ServiceID',
    'NodeID',
    'Status',
    'DesiredState',
    'NetworksAttachments',
    'GenericResources',
    'JobIteration',
  ])
  t.equal(
    JSON.stringify(json['Status']),
    '{"Timestamp":"1970-01-01T00:00:00Z","State":"failed","Message":"started",' +
      '"Err":"task: non-zero exit (1)","ContainerStatus":{"ContainerID":"c","PID":0,"ExitCode":1},' +
      '"PortStatus":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,' +
      '"PublishMode":"host"}]}}',
  )
  t.equal((json['NetworksAttachments'] as readonly unknown[]).length, 1)
  t.strictSame(json['JobIteration'], {})
})
