// The routes of the cluster, asked over the socket: what clients see, word for word.

import { type IncomingMessage, request } from 'node:http'
import t from 'tap'
import { CodedError } from '../../../core/base/error.ts'
import { waitFor } from '../../support/wait.ts'
import { type Json, serviceBody, startApi, startCluster } from './api.ts'
import { logged } from './memory-backend.ts'

t.test('a node without a cluster refuses in the words of Docker', async (t) => {
  const api = await startApi()
  t.teardown(api.close)
  const rows = [
    { path: '/nodes', want: /^This node is not a swarm manager\. Use "docker swarm init"/ },
    { path: '/services', want: /^This node is not a swarm manager\. Use "docker swarm init"/ },
    { path: '/secrets', want: /^This node is not a swarm manager\. Use "docker swarm init"/ },
  ]
  for (const { path, want } of rows) {
    const answer = await api.ask('GET', path)
    t.equal(answer.status, 503)
    t.match(JSON.parse(answer.body).message, want)
  }
  const left = await api.ask('POST', '/swarm/leave')
  t.equal(left.status, 503)
  t.same(JSON.parse(left.body), { message: 'This node is not part of a swarm' })
})

t.test('ping tells version, cluster and kind without a body for HEAD', async (t) => {
  const api = await startApi()
  t.teardown(api.close)
  const before = await api.ask('HEAD', '/_ping')
  t.match(before.headers, { 'api-version': '1.44', swarm: 'inactive', ostype: 'linux' })
  t.equal(before.body, '')
  t.notOk('skep-node' in before.headers)
  const nodeId = await api.json('POST', '/swarm/init', {})
  const after = await api.ask('GET', '/v1.24/_ping')
  t.match(after.headers, {
    swarm: 'active/manager',
    'skep-node': nodeId,
    server: /^Docker\/\S+ \(linux\)$/,
  })
  t.equal(after.body, 'OK')
})

t.test('version and info are answered without an engine', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  const version = await api.json('GET', '/version')
  t.match(version, { ApiVersion: '1.44', MinAPIVersion: '1.24', Version: '0.1.0' })
  t.match(version.Components.at(-1), { Name: 'Skep', Version: '0.1.0' })
  const { Swarm } = await api.json('GET', '/info')
  t.match(Swarm, { LocalNodeState: 'active', ControlAvailable: true, Nodes: 1, Managers: 1 })
  t.equal(Swarm.RemoteManagers[0].NodeID, Swarm.NodeID)
  t.type(Swarm.Cluster.ID, 'string')
})

t.test('info shows why the cluster cannot be read instead of failing', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  api.backend.failure = new CodedError('no-leader', 'The swarm does not have a leader.')
  const { Swarm } = await api.json('GET', '/info')
  t.equal(Swarm.Error, 'rpc error: code = Unknown desc = The swarm does not have a leader.')
})

t.test('a swarm is made once, inspected, changed, and left with force alone', async (t) => {
  const api = await startApi()
  t.teardown(api.close)
  const id = await api.json('POST', '/swarm/init', { ListenAddr: '0.0.0.0:2377' })
  t.match(id, /^[0-9a-z]{25}$/)
  const again = await api.ask('POST', '/swarm/init', {})
  t.equal(again.status, 503)
  t.match(JSON.parse(again.body).message, /^This node is already part of a swarm\./)

  const swarm = await api.json('GET', '/swarm')
  t.match(swarm.JoinTokens.Worker, /^SWMTKN-1-/)
  const spec = { ...swarm.Spec, Orchestration: { TaskHistoryRetentionLimit: 3 } }
  const rotate = `/swarm/update?version=${swarm.Version.Index}&rotateWorkerToken=true`
  t.equal((await api.ask('POST', rotate, spec)).status, 200)
  const changed = await api.json('GET', '/swarm')
  t.equal(changed.Spec.Orchestration.TaskHistoryRetentionLimit, 3)
  t.not(changed.JoinTokens.Worker, swarm.JoinTokens.Worker)
  t.equal(changed.JoinTokens.Manager, swarm.JoinTokens.Manager)
  t.match(changed.JoinTokens.Worker, /-[0-9a-z]{25}$/)

  const stale = await api.ask('POST', rotate, spec)
  t.equal(stale.status, 500)
  t.match(JSON.parse(stale.body).message, /update out of sequence/)
  const bad = await api.ask('POST', '/swarm/update?version=x', spec)
  t.match(JSON.parse(bad.body).message, /^invalid swarm version 'x'/)

  const leave = await api.ask('POST', '/swarm/leave')
  t.equal(leave.status, 503)
  t.equal(
    JSON.parse(leave.body).message,
    'You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. ',
  )
  t.equal((await api.ask('POST', '/swarm/leave?force=1')).status, 200)
  t.match((await api.ask('HEAD', '/_ping')).headers, { swarm: 'inactive' })
})

t.test('a secret goes in and never comes out; a config does', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  const Data = Buffer.from('bytes').toString('base64')
  for (const [kind, shown] of [
    ['secret', undefined],
    ['config', Data],
  ] as const) {
    const body = { Name: 'one.conf', Labels: { a: 'b' }, Data }
    const made = await api.ask('POST', `/${kind}s/create`, body)
    t.equal(made.status, 201)
    const { ID } = JSON.parse(made.body)
    const taken = await api.ask('POST', `/v1.41/${kind}s/create`, body)
    t.equal(taken.status, 409)
    t.equal(
      JSON.parse(taken.body).message,
      `rpc error: code = AlreadyExists desc = ${kind} one.conf already exists`,
    )
    await api.ask('POST', `/${kind}s/create`, { Name: 'two', Data })
    for (const reference of [ID, 'one.conf', ID.slice(0, 9)]) {
      const found = await api.json('GET', `/${kind}s/${reference}`)
      t.equal(found.ID, ID)
      t.equal(found.Spec.Data, shown)
    }
    const list = async (filters: object) => {
      const query = encodeURIComponent(JSON.stringify(filters))
      const found = await api.json('GET', `/${kind}s?filters=${query}`)
      return found.map((object: Json) => object.Spec.Name).sort()
    }
    t.same(await list({}), ['one.conf', 'two'])
    t.same(await list({ name: ['one'] }), ['one.conf'])
    t.same(await list({ names: ['one'] }), [])
    t.same(await list({ names: ['two'], id: [ID.slice(0, 9)] }), ['one.conf', 'two'])
    t.same(await list({ name: ['none'], id: [ID] }), ['one.conf'])
    t.same(await list({ label: ['a=b'] }), ['one.conf'])
    t.same(await list({ name: ['two'], label: ['a'] }), [])
    t.equal((await api.ask('GET', `/${kind}s?filters={"mode":["x"]}`)).status, 400)

    const { Version } = await api.json('GET', `/${kind}s/one.conf`)
    const path = `/${kind}s/one.conf/update?version=`
    const bad = await api.ask('POST', `${path}x`, body)
    t.equal(bad.status, 400)
    t.match(JSON.parse(bad.body).message, new RegExp(`^invalid ${kind} version`))
    const update = { ...body, Labels: { c: 'd' } }
    t.equal((await api.ask('POST', `${path}${Version.Index}`, update)).status, 200)
    t.same((await api.json('GET', `/${kind}s/one.conf`)).Spec.Labels, { c: 'd' })

    t.equal((await api.ask('DELETE', `/${kind}s/one.conf`)).status, 204)
    const gone = await api.ask('DELETE', `/${kind}s/one.conf`)
    t.equal(gone.status, 404)
    t.equal(JSON.parse(gone.body).message, `${kind} one.conf not found`)
  }
})

t.test('a service goes through create, list, inspect, update, rollback, remove', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  const created = await api.ask('POST', '/services/create', serviceBody('web', 2))
  t.equal(created.status, 201)
  const { ID } = JSON.parse(created.body)
  t.match(ID, /^[0-9a-z]{25}$/)

  const [listed] = await api.json('GET', '/v1.41/services?status=true')
  t.same(listed.ServiceStatus, { RunningTasks: 2, DesiredTasks: 2, CompletedTasks: 0 })
  const [older] = await api.json('GET', '/v1.40/services?status=true')
  t.notOk('ServiceStatus' in older, 'counts came with API 1.41')

  const plain = await api.json('GET', `/services/${ID}`)
  t.notOk('UpdateConfig' in plain.Spec)
  const full = await api.json('GET', '/services/web?insertDefaults=true')
  t.match(full.Spec.UpdateConfig, { Parallelism: 1, FailureAction: 'pause', Order: 'stop-first' })
  t.match(full.Spec.TaskTemplate, {
    ContainerSpec: { StopGracePeriod: 10_000_000_000 },
    RestartPolicy: { Condition: 'any', Delay: 5_000_000_000, MaxAttempts: 0 },
    Placement: {},
  })

  const update = (version: number, body: Json, query = '') =>
    api.ask('POST', `/services/web/update?version=${version}${query}`, body)
  const first = await update(plain.Version.Index, serviceBody('web', 3))
  t.equal(first.status, 200)
  t.same(JSON.parse(first.body), { Warnings: null })
  const stale = await update(plain.Version.Index, serviceBody('web', 4))
  t.equal(stale.status, 500)
  t.equal(JSON.parse(stale.body).message, 'rpc error: code = Unknown desc = update out of sequence')
  const now = await api.json('GET', '/services/web')
  t.equal(now.PreviousSpec.Mode.Replicated.Replicas, 2)
  t.equal((await update(now.Version.Index, now.Spec, '&rollback=previous')).status, 200)
  t.equal((await api.json('GET', '/services/web')).Spec.Mode.Replicated.Replicas, 2)
  const odd = await update(1, now.Spec, '&rollback=sideways')
  t.same(JSON.parse(odd.body), { message: 'unrecognized rollback option sideways' })

  t.equal((await api.ask('DELETE', `/services/${ID.slice(0, 8)}`)).status, 200)
  const gone = await api.ask('GET', '/services/web')
  t.equal(gone.status, 404)
  t.same(JSON.parse(gone.body), { message: 'service web not found' })
})

t.test('before API 1.30 the daemon itself warns of an image it cannot pin', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  const created = await api.json('POST', '/v1.29/services/create', serviceBody('web'))
  t.same(created.Warnings, [
    'image web:1.0 could not be accessed on a registry to record\nits digest. Each node will access web:1.0 independently,\npossibly leading to different nodes running different\nversions of the image.\n',
  ])
  const newer = await api.json('POST', '/v1.30/services/create', serviceBody('api'))
  t.notOk('Warnings' in newer, 'clients ask the registry themselves from then on')
})

t.test('a bad spec is refused and changes nothing', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  const rows = [
    { body: serviceBody('-bad-'), status: 400, want: /name must be valid as a DNS name component/ },
    { body: { ...serviceBody('a'), Name: 7 }, status: 400, want: /Name/ },
    { body: '{"Name":', status: 400, want: /^invalid JSON: / },
    { body: '{} {}', status: 400, want: /^invalid JSON: / },
  ]
  for (const { body, status, want } of rows) {
    const answer = await api.ask('POST', '/services/create', body)
    t.equal(answer.status, status)
    t.match(JSON.parse(answer.body).message, want)
  }
  t.same(await api.json('GET', '/services'), [])
})

t.test('tasks and nodes are found by id, name, start of an id, and filters', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  await api.ask('POST', '/services/create', serviceBody('web', 3))
  await api.ask('POST', '/services/create', serviceBody('api', 1))
  const filtered = (path: string, filters: Json) =>
    api.json('GET', `${path}?filters=${encodeURIComponent(JSON.stringify(filters))}`)

  t.equal((await filtered('/tasks', { service: ['web'] })).length, 3)
  t.equal((await filtered('/tasks', { service: { web: true } })).length, 3)
  t.equal((await filtered('/tasks', { 'desired-state': ['Running'] })).length, 4)
  t.equal((await filtered('/tasks', { node: ['n1'], label: ['team=api'] })).length, 1)
  t.equal((await filtered('/tasks', { '_up-to-date': ['true'] })).length, 4)
  t.equal((await filtered('/services', { name: ['we'] })).length, 1)
  t.equal((await filtered('/services', { mode: ['global'] })).length, 0)
  t.equal((await filtered('/nodes', { role: ['manager'] })).length, 1)
  t.same(await filtered('/nodes', { colour: ['red'] }), { message: "invalid filter 'colour'" })
  t.same(await filtered('/nodes', 'red'), { message: 'invalid filter' })
  t.same(await filtered('/tasks', { service: ['no'] }), { message: 'service no not found' })

  const [task] = await filtered('/tasks', { service: ['api'] })
  t.equal((await api.json('GET', `/tasks/${task.ID.slice(0, 10)}`)).ID, task.ID)
  t.equal((await api.json('GET', `/tasks/api.1.${task.ID}`)).ID, task.ID)
  const all = await api.json('GET', '/services/')
  t.equal(all.length, 2)
  const escaped = await api.ask('GET', '/tasks/a%2Fb')
  t.same(JSON.parse(escaped.body), { message: 'task a/b not found' })
})

t.test('a node is updated by the version it was read at', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  const [node] = await api.json('GET', '/nodes')
  t.match(node, {
    Description: { Hostname: 'n1' },
    Status: { State: 'ready' },
    ManagerStatus: { Leader: true, Reachability: 'reachable' },
  })
  const spec = { ...node.Spec, Labels: { zone: 'a' } }
  const path = `/nodes/n1/update?version=${node.Version.Index}`
  t.equal((await api.ask('POST', path, spec)).status, 200)
  t.equal((await api.ask('POST', path, spec)).status, 500)
  t.same((await api.json('GET', '/nodes/n1')).Spec.Labels, { zone: 'a' })
  const removed = await api.ask('DELETE', '/nodes/n1?force=1')
  t.match(JSON.parse(removed.body).message, /^rpc error: code = FailedPrecondition desc = node /)
})

t.test('logs are frames with the source of each line', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  await api.ask('POST', '/services/create', serviceBody('web'))
  const view = await api.backend.read()
  const [task] = view.all('task')
  if (task === undefined) throw new Error('no task')
  const time = '2026-11-22T14:25:07.5Z'
  api.backend.written.push(
    logged(task, { stream: 'stdout', time, text: 'out' }),
    logged(task, { stream: 'stderr', time, text: 'err' }),
  )
  const frame = (stream: number, text: string) =>
    `${String.fromCharCode(stream)}\0\0\0\0\0\0${String.fromCharCode(text.length)}${text}`
  const logs = async (query: string) => api.ask('GET', `/services/web/logs?${query}`)

  const both = await logs('stdout=1&stderr=1')
  t.equal(both.body, frame(1, 'out\n') + frame(2, 'err\n'))
  t.equal(both.headers['content-type'], 'application/vnd.docker.multiplexed-stream')
  t.equal((await logs('stderr=true')).body, frame(2, 'err\n'))
  t.equal(
    (await logs('stdout=1&timestamps=1')).body,
    frame(1, '2026-11-22T14:25:07.500000000Z out\n'),
  )
  const source = `com.docker.swarm.node.id=${task.nodeId},com.docker.swarm.service.id=${task.serviceId},com.docker.swarm.task.id=${task.id}`
  const detailed = (await logs('stdout=1&details=1')).body
  t.equal(detailed.slice(8), `${source} out\n`)
  const old = await api.ask('GET', `/v1.41/tasks/${task.id}/logs?stdout=1`)
  t.equal(old.headers['content-type'], 'application/vnd.docker.raw-stream')
  t.same(JSON.parse((await logs('')).body), {
    message: "must specify at least one of 'stdout' or 'stderr'",
  })
  t.same(JSON.parse((await logs('stdout=1&tail=-1')).body), {
    message: 'negative tail values not supported',
  })
  t.equal((await api.ask('GET', '/services/no/logs?stdout=1')).status, 404)
})

t.test('followed logs show tasks that begin later, and end with the service', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  api.backend.isTalkative = true
  await api.ask('POST', '/services/create', serviceBody('web', 1))
  await api.ask('POST', '/services/create', serviceBody('api', 1))
  const answer = await new Promise<IncomingMessage>((resolve) => {
    const path = '/services/web/logs?stdout=1&follow=1&tail=0'
    request({ socketPath: api.socket, path }, resolve).end()
  })
  let text = ''
  answer.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  const count = (): number => text.split('started').length - 1
  const { Version } = await api.json('GET', '/services/web')
  const path = `/services/web/update?version=${Version.Index}`
  t.equal((await api.ask('POST', path, serviceBody('web', 3))).status, 200)
  const within = { timeoutMs: 20_000, everyMs: 5 }
  await waitFor({ what: 'lines of two more tasks', ...within }, () => count() >= 2)
  await api.ask('DELETE', '/services/web')
  await waitFor({ what: 'end of the stream', ...within }, () => answer.complete)
  t.equal(count(), 2, 'of the new tasks from their first line, of the old one nothing')
})

t.test('requests that are not ours say that there is no engine', async (t) => {
  const api = await startApi()
  t.teardown(api.close)
  const answer = await api.ask('GET', '/containers/json')
  t.equal(answer.status, 503)
  t.match(JSON.parse(answer.body).message, /^This node has no container engine/)
  const own = await api.ask('POST', '/services')
  t.equal(own.status, 404)
  t.same(JSON.parse(own.body), { message: 'page not found' })
})

t.test('a version outside of ours is refused, also for the engine', async (t) => {
  const api = await startApi()
  t.teardown(api.close)
  for (const path of ['/nodes', '/containers/json']) {
    const answer = await api.ask('GET', `/v1.99${path}`)
    t.equal(answer.status, 400)
    t.match(JSON.parse(answer.body).message, /^client version 1\.99 is too new\./)
    t.equal(answer.headers['api-version'], '1.44')
  }
})

t.test('bodies over the limit and of another type are refused', async (t) => {
  const api = await startCluster()
  t.teardown(api.close)
  const large = await api.ask('POST', '/services/create', 'x'.repeat(5 * 1024 * 1024))
  t.equal(large.status, 413)
  t.match(JSON.parse(large.body).message, /over the limit of 4194304 bytes/)
  const typed = await api.ask('POST', '/services/create', '{}', { 'Content-Type': 'text/plain' })
  t.same(JSON.parse(typed.body), {
    message: "unsupported Content-Type header (text/plain): must be 'application/json'",
  })
})
