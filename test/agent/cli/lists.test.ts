// Lists and inspections of services, tasks, nodes and objects, as docker prints them.

import t from 'tap'
import { startApiServer } from './support/api-server.ts'
import { run } from './support/memory-io.ts'

const serviceId = 'a73kk24duofiemclko77iqot5'
const nodeId = 'ugnjbez5lfi9n20yshh558xvp'

const port = (published: number, target: number, protocol = 'tcp', mode = 'ingress') => ({
  Protocol: protocol,
  TargetPort: target,
  PublishedPort: published,
  PublishMode: mode,
})

const web = {
  ID: serviceId,
  Version: { Index: 34 },
  Spec: {
    Name: 'web-fe',
    Labels: { b: '', a: '1' },
    TaskTemplate: {
      ContainerSpec: {
        Image: `nigelpoulton/ddd-web:1.0@sha256:${'a'.repeat(64)}`,
        Args: ['/start.sh', 'x'],
        Env: ['A=1'],
        Init: false,
        Mounts: [{ Type: 'tmpfs', Target: '/t' }],
        Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 5_000_000_000 },
        Ulimits: [{ Name: 'nofile', Hard: 20, Soft: 10 }],
        CapabilityAdd: ['CAP_NET_ADMIN'],
        Secrets: [{ File: { Name: 's1' }, SecretName: 's1' }],
      },
      Resources: { Limits: { NanoCPUs: 1_500_000_000, MemoryBytes: 67_108_864 }, Reservations: {} },
      Placement: { Constraints: ['node.role==manager'], MaxReplicas: 3 },
      Networks: [{ Target: 'net1id' }],
      LogDriver: { Name: 'json-file', Options: { 'max-size': '1m' } },
    },
    Mode: { Replicated: { Replicas: 5 } },
    UpdateConfig: {
      Parallelism: 2,
      Delay: 20_000_000_000,
      FailureAction: 'pause',
      Monitor: 5_000_000_000,
      MaxFailureRatio: 0.25,
      Order: 'stop-first',
    },
    EndpointSpec: { Mode: 'vip' },
  },
  Endpoint: {
    Ports: [port(8081, 8080), port(8080, 8080), port(53, 53, 'udp'), port(9, 9, 'tcp', 'host')],
  },
  UpdateStatus: {
    State: 'completed',
    StartedAt: '2026-11-22T16:59:40Z',
    CompletedAt: '2026-11-22T16:59:59.9Z',
    Message: 'update completed',
  },
  ServiceStatus: { RunningTasks: 4, DesiredTasks: 5, CompletedTasks: 0 },
}
const job = {
  ID: 'jobjobjobjobjobjobjobjob1',
  Spec: {
    Name: 'job',
    Mode: { ReplicatedJob: { MaxConcurrent: 2, TotalCompletions: 4 } },
    TaskTemplate: { ContainerSpec: { Image: 'job' } },
  },
  ServiceStatus: { RunningTasks: 2, DesiredTasks: 2, CompletedTasks: 1 },
}
const task = (id: string, fields: object) => ({
  ID: id.padEnd(25, 'x'),
  ServiceID: serviceId,
  Slot: 1,
  NodeID: nodeId,
  DesiredState: 'running',
  CreatedAt: '2026-11-22T16:59:00Z',
  Spec: { ContainerSpec: { Image: 'web:1.0' } },
  Status: { State: 'running', Timestamp: '2026-11-22T16:59:54Z', PortStatus: {} },
  ...fields,
})
const tasks = [
  task('old', {
    DesiredState: 'shutdown',
    CreatedAt: '2026-11-22T16:58:00Z',
    Status: {
      State: 'failed',
      Timestamp: '2026-11-22T16:58:30Z',
      Err: 'task: non-zero exit (137): OOM killed',
    },
  }),
  task('ten', { Slot: 10, NodeID: '' }),
  task('new', {
    Status: {
      State: 'running',
      Timestamp: '2026-11-22T16:59:54Z',
      PortStatus: { Ports: [port(9, 90, 'tcp', 'host')] },
    },
  }),
]
const nodes = [
  {
    ID: 'q10exuto6k1ft031i1ghmpifg',
    Spec: { Availability: 'drain', Labels: {} },
    Description: { Hostname: 'n10', Engine: { EngineVersion: '20.10' } },
    Status: { State: 'down' },
  },
  {
    ID: nodeId,
    CreatedAt: '2026-11-22T14:21:23.818345300Z',
    Spec: { Availability: 'active', Role: 'manager', Labels: { zone: 'a' } },
    Description: {
      Hostname: 'n2',
      Platform: { OS: 'linux', Architecture: 'x86_64' },
      Resources: { NanoCPUs: 2_000_000_000, MemoryBytes: 25_276_502_016 },
      Engine: { EngineVersion: '20.10', Plugins: [{ Type: 'Log', Name: 'local' }] },
    },
    Status: { State: 'ready', Addr: '10.99.0.11' },
    ManagerStatus: { Leader: true, Reachability: 'reachable', Addr: '10.99.0.11:2377' },
  },
]

const server = await startApiServer({
  [`GET /services/${serviceId}`]: () => ({ body: web }),
  'GET /services/web-fe': () => ({ body: web }),
  'GET /services/': () => ({ status: 404, body: { message: 'service nope not found' } }),
  'GET /services': () => ({ body: [web, job] }),
  'GET /tasks': () => ({ body: tasks }),
  [`GET /nodes/${nodeId}`]: () => ({ body: nodes[1] }),
  'GET /nodes/': () => ({ status: 404, body: { message: 'node nope not found' } }),
  'GET /nodes': () => ({ body: nodes }),
  'GET /info': () => ({ body: { Swarm: { NodeID: nodeId } } }),
  'GET /networks/': () => ({ body: { Id: 'net1id', Name: 'net1' } }),
})
t.teardown(server.close)

const at = (line: string, ...more: readonly string[]) =>
  run(['-H', server.host, ...line.split(' '), ...more])

t.test('service ls shows ports in runs and jobs with their completions', async (t) => {
  t.equal(
    (await at('service ls')).out,
    [
      'ID             NAME      MODE             REPLICAS               IMAGE                      PORTS',
      'jobjobjobjob   job       replicated job   2/2 (1/4 completed)    job                        ',
      'a73kk24duofi   web-fe    replicated       4/5 (max 3 per node)   nigelpoulton/ddd-web:1.0   *:8080-8081->8080/tcp, *:53->53/udp',
      '',
    ].join('\n'),
  )
  t.equal((await at('service ls -q')).out, 'jobjobjobjob\na73kk24duofi\n')
  t.equal(server.requests.at(-1)?.query.get('status'), null)
  t.match(
    (await at('service ls --format json')).out,
    '"Ports":"*:8080-8081-\\u003e8080/tcp, *:53-\\u003e53/udp"',
  )
  t.equal((await at('service ls --format', '{{json .Ports}}')).out.split('\n')[0], '""')
  t.match((await at('service ls -f name=x -f name=y -f mode=global')).exitCode, 0)
  t.equal(
    server.requests.at(-1)?.query.get('filters'),
    '{"mode":{"global":true},"name":{"x":true,"y":true}}',
  )
})

t.test('service ps puts old tasks under the newest of their slot', async (t) => {
  t.equal(
    (await at('service ps web-fe')).out,
    [
      'ID             NAME           IMAGE     NODE      DESIRED STATE   CURRENT STATE               ERROR                              PORTS',
      'newxxxxxxxxx   web-fe.1       web:1.0   n2        Running         Running 6 seconds ago                                          *:9->90/tcp',
      'oldxxxxxxxxx    \\_ web-fe.1   web:1.0   n2        Shutdown        Failed about a minute ago   "task: non-zero exit (137): OO…"   ',
      'tenxxxxxxxxx   web-fe.10      web:1.0             Running         Running 6 seconds ago                                          ',
      '',
    ].join('\n'),
  )
  t.equal(
    (await at('service ps -q web-fe')).out,
    `${tasks[2]?.ID}\n${tasks[0]?.ID}\n${tasks[1]?.ID}\n`,
  )
  const missing = await at('service ps nope')
  t.strictSame(missing, { exitCode: 1, out: '', err: 'no such service: nope\n' })
})

t.test('node ls marks the node that answers and the leader', async (t) => {
  t.equal(
    (await at('node ls')).out,
    [
      'ID                            HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION',
      'ugnjbez5lfi9n20yshh558xvp *   n2         Ready     Active         Leader           20.10',
      'q10exuto6k1ft031i1ghmpifg     n10        Down      Drain                           20.10',
      '',
    ].join('\n'),
  )
})

t.test('service inspect --pretty has the layout of docker', async (t) => {
  t.equal(
    (await at('service inspect --pretty web-fe')).out,
    `
ID:		${serviceId}
Name:		web-fe
Labels:
 a=1
 b
Service Mode:	Replicated
 Replicas:	5
UpdateStatus:
 State:		completed
 Started:	20 seconds ago
 Completed:	Less than a second ago
 Message:	update completed
Placement:
 Constraints:	[node.role==manager]
 Max Replicas Per Node:   3
UpdateConfig:
 Parallelism:	2
 Delay:		20s
 On failure:	pause
 Monitoring Period: 5s
 Max failure ratio: 0.25
 Update order:      stop-first
ContainerSpec:
 Image:		nigelpoulton/ddd-web:1.0@sha256:${'a'.repeat(64)}
 Args:		/start.sh x${' '}
 Env:		A=1${' '}
 Init:		false
Capabilities:
 Add: CAP_NET_ADMIN
Ulimits:
 nofile: 10:20
Mounts:
 Target:	/t
  Source:	
  ReadOnly:	false
  Type:		tmpfs
Secrets:
 Target:	s1
  Source:	s1
Log Driver:
 Name:		json-file
 LogOpts:
  max-size:       1m

Resources:
 Limits:
  CPU:		1.5
  Memory:	64MiB
Networks: net1${' '}
Endpoint Mode:	vip
Ports:
 PublishedPort = 8081
  Protocol = tcp
  TargetPort = 8080
  PublishMode = ingress
 PublishedPort = 8080
  Protocol = tcp
  TargetPort = 8080
  PublishMode = ingress
 PublishedPort = 53
  Protocol = udp
  TargetPort = 53
  PublishMode = ingress
 PublishedPort = 9
  Protocol = tcp
  TargetPort = 9
  PublishMode = host${' '}
 Healthcheck:
  Interval = 5s
  Retries = 0
  StartPeriod =	0s
  Timeout =	0s
  Tests:
	 Test = CMD-SHELL
	 Test = true${' '}

`,
  )
})

t.test('node inspect --pretty has the layout of docker', async (t) => {
  t.equal(
    (await at('node inspect --pretty self')).out,
    `ID:			${nodeId}
Labels:
 - zone=a
Hostname:              	n2
Joined at:             	2026-11-22 14:21:23.8183453 +0000 utc
Status:
 State:			Ready
 Availability:         	Active
 Address:		10.99.0.11
Manager Status:
 Address:		10.99.0.11:2377
 Raft Status:		Reachable
 Leader:		Yes
Platform:
 Operating System:	linux
 Architecture:		x86_64
Resources:
 CPUs:			2
 Memory:		23.54GiB
Plugins:
 Log:		local
Engine Version:		20.10
`,
  )
})

t.test('inspect shows what it found, then says what it did not', async (t) => {
  const both = await at('node inspect nope', nodeId)
  t.equal(both.exitCode, 1)
  t.equal(both.err, 'Error response from daemon: node nope not found\n')
  t.equal(JSON.parse(both.out)[0].ID, nodeId)
  t.match(both.out, '[\n    {\n        "ID": "')
  const none = await at('service inspect nope')
  t.strictSame(none, { exitCode: 1, out: '[]\n', err: 'Error: no such service: nope\n' })
  t.equal(
    (await at('service inspect web-fe -f', '{{.Spec.Name}} {{json .Version}}')).out,
    'web-fe {"Index":34}\n',
  )
  t.match((await at('service inspect web-fe -f json')).out, /^\[\{"ID":"a73.*\}\]\n$/)
})
