// Services: the story of a service by the docker CLI, word for word as a real Swarm tells it, and by
// our own CLI with the same output.

import t, { type Test } from 'tap'
import { waitFor } from '../support/wait.ts'
import { openOneNode, web1, web2 } from './one-node.ts'
import { normalise, printed } from './transcript.ts'

const unreachable = (
  image: string,
): string => `image ${image} could not be accessed on a registry to record
its digest. Each node will access ${image} independently,
possibly leading to different nodes running different
versions of the image.

`

const pretty = (plan: { replicas: number; status?: string; update?: string; image: string }) =>
  `
ID:		<id>
Name:		web-fe
Service Mode:	Replicated
 Replicas:	${plan.replicas}
${plan.status ?? ''}Placement:
UpdateConfig:
${plan.update ?? ' Parallelism:	1\n'} On failure:	pause
 Monitoring Period: 1s
 Max failure ratio: 0
 Update order:      stop-first
RollbackConfig:
 Parallelism:	1
 On failure:	pause
 Monitoring Period: 5s
 Max failure ratio: 0
 Rollback order:    stop-first
ContainerSpec:
 Image:		${plan.image}
 Init:		false
Resources:
Endpoint Mode:	vip
Ports:
 PublishedPort = 8080
  Protocol = tcp
  TargetPort = 8080
  PublishMode = ingress

`

const node = await openOneNode(t)

/**
 * Runs a command with both CLIs. Ages pass a second in between now and then, and on a busy machine
 * each time: when five rounds did not print the very same, ages (and the columns that they widen)
 * are left out of the comparison.
 */
async function same(t: Test, ...args: readonly string[]): Promise<string> {
  let [ours, theirs] = ['', '']
  for (let round = 0; round < 5; round += 1) {
    const [agent, docker] = [await node.agent.cli(...args), await node.docker(...args)]
    ours = `${agent.stdout}${agent.stderr}${agent.code}`
    theirs = `${docker.stdout}${docker.stderr}${docker.code}`
    if (ours === theirs) break
  }
  if (ours !== theirs) [ours, theirs] = [normalise(ours), normalise(theirs)]
  t.equal(ours, theirs, `agent ${args.join(' ')} prints what docker does`)
  return normalise(theirs.replace(/\d+$/, ''))
}

t.test('create waits until the tasks are stable, and says what the engine said', async (t) => {
  const created = await node.docker(
    ...['service', 'create', '--name', 'web-fe', '--replicas', '5', '--publish', '8080:8080'],
    ...['--update-monitor', '1s', web1],
  )
  t.equal(created.code, 0)
  t.equal(created.stderr, unreachable(web1))
  const lines = normalise(created.stdout).split('\n')
  t.match(lines.slice(0, 7), [
    '<id>',
    'overall progress: 0 out of 5 tasks',
    ...['1/5:', '2/5:', '3/5:', '4/5:', '5/5:'],
  ])
  t.match(created.stdout, 'verify: Waiting 1 seconds to verify that tasks are stable...')
  t.match(created.stdout, /verify: Service (\w{25} )?converged\n$/)
})

t.test('ls and ps have the columns of Docker', async (t) => {
  t.equal(
    await same(t, 'service', 'ls'),
    `ID   NAME      MODE         REPLICAS   IMAGE   PORTS
<id>   web-fe    replicated   5/5        nigelpoulton/ddd-web:1.0   *:8080->8080/tcp
`.replace(/ {3,}/g, '   '),
  )
  const rows = [1, 2, 3, 4, 5].map(
    (slot) =>
      `<id>   web-fe.${slot}   nigelpoulton/ddd-web:1.0   n1   Running   Running <age> ago\n`,
  )
  const head = 'ID   NAME   IMAGE   NODE   DESIRED STATE   CURRENT STATE   ERROR   PORTS\n'
  t.equal(await same(t, 'service', 'ps', 'web-fe'), normalise(`${head}${rows.join('')}`))
  await same(t, 'service', 'ps', '--no-trunc', 'web-fe')
  await same(t, 'service', 'ps', '--quiet', 'web-fe')
  await same(t, 'service', 'ls', '--quiet')
  const json = await node.agent.mustCli('service', 'ls', '--format', 'json')
  t.equal(json, await node.must('service', 'ls', '--format', '{{json .}}'), 'short since 23.0')
  await same(t, 'service', 'ls', '--format', '{{.Name}} {{.Replicas}} {{.Ports}}')
  await same(t, 'service', 'ls', '--filter', 'name=nope')
  await same(t, 'service', 'ls', '--filter', 'bogus=1')
  await same(t, 'service', 'ps', '--filter', 'desired-state=running', 'web-fe')
  await same(t, 'service', 'ps', '--filter', 'name=web-fe.3', '--format', '{{.Name}}', 'web-fe')
  await same(t, 'node', 'ls')
  await same(t, 'node', 'ps', 'n1')
  await same(t, 'node', 'inspect', '--pretty', 'n1')
  await same(t, 'node', 'inspect', 'self')
  const containers = await node.must('ps', '--format', '{{.Names}} {{.Image}} {{.Ports}}')
  const names = containers.split('\n').sort()
  t.equal(names.length, 5)
  for (const [index, line] of names.entries()) {
    t.match(line, new RegExp(`^web-fe\\.${index + 1}\\.\\w{25} nigelpoulton/ddd-web:1.0 8080/tcp$`))
  }
})

t.test('inspect shows the whole service, and --pretty the same for people', async (t) => {
  t.equal(
    await same(t, 'service', 'inspect', '--pretty', 'web-fe'),
    normalise(pretty({ replicas: 5, image: web1 })),
  )
  await same(t, 'service', 'inspect', 'web-fe')
  await same(t, 'service', 'inspect', '--format', '{{.Spec.Mode.Replicated.Replicas}}', 'web-fe')
  const [service] = JSON.parse(await node.must('service', 'inspect', 'web-fe')) as [object]
  const port = { Protocol: 'tcp', TargetPort: 8080, PublishedPort: 8080, PublishMode: 'ingress' }
  const slow = {
    Parallelism: 1,
    FailureAction: 'pause',
    Monitor: 5_000_000_000,
    MaxFailureRatio: 0,
    Order: 'stop-first',
  }
  t.match(service, { ID: /^\w{25}$/, Version: { Index: Number }, CreatedAt: /Z$/ })
  t.strictSame((service as { Spec: unknown }).Spec, {
    Name: 'web-fe',
    Labels: {},
    TaskTemplate: {
      ContainerSpec: {
        Image: web1,
        Init: false,
        StopGracePeriod: 10_000_000_000,
        DNSConfig: {},
        Isolation: 'default',
      },
      Resources: { Limits: {}, Reservations: {} },
      RestartPolicy: { Condition: 'any', Delay: 5_000_000_000, MaxAttempts: 0 },
      Placement: {},
      ForceUpdate: 0,
      Runtime: 'container',
    },
    Mode: { Replicated: { Replicas: 5 } },
    UpdateConfig: { ...slow, Monitor: 1_000_000_000 },
    RollbackConfig: slow,
    EndpointSpec: { Mode: 'vip', Ports: [port] },
  })
})

t.test('logs come from all tasks, with the name of each', async (t) => {
  const lines = (text: string): string => normalise(text).trimEnd().split('\n').sort().join('\n')
  const said = [1, 2, 3, 4, 5].map(
    (slot) => `web-fe.${slot}.<id>@n1    | ddd-web 1.0 listening on :8080 as <id>`,
  )
  for (const cli of [node.docker.bind(node), node.agent.cli.bind(node.agent)]) {
    const logs = async (...args: readonly string[]): Promise<string> =>
      lines((await cli('service', 'logs', ...args, 'web-fe')).stdout)
    t.equal(await logs(), normalise(said.join('\n')))
    t.equal(
      await logs('--tail', '1', '--timestamps', '--no-trunc'),
      normalise(said.map((line) => `<time> ${line}`).join('\n')),
    )
    t.equal(
      await logs('--raw', '--no-task-ids'),
      Array(5).fill('ddd-web 1.0 listening on :8080 as <id>').join('\n'),
    )
    t.equal(await logs('--since', '2099-01-01T00:00:00Z'), '')
  }
  const [task] = await node.running('web-fe')
  const one = await node.docker('service', 'logs', '--raw', task?.ID ?? '')
  t.match(one.stdout, /^ddd-web 1\.0 listening on :8080 as \w{12}\n$/, 'logs of one task')
})

t.test('scale goes up and down, and the oldest tasks stay', async (t) => {
  const before = (await node.running('web-fe')).map((task) => task.ID)
  const up = await node.docker('service', 'scale', 'web-fe=10')
  t.equal(up.code, 0)
  t.match(up.stdout, /^web-fe scaled to 10\noverall progress: \d+ out of 10 tasks\n1\/10: {2}\n/)
  t.match(up.stdout, /verify: Service (web-fe )?converged\n$/)
  t.match(await node.must('service', 'ls'), / 10\/10 /)

  const down = await node.agent.cli('service', 'scale', 'web-fe=5')
  t.equal(down.code, 0, down.stderr)
  t.match(down.stdout, /^web-fe scaled to 5\noverall progress: \d+ out of 5 tasks\n1\/5: {2}\n/)
  t.match(down.stdout, 'verify: Waiting 1 seconds to verify that tasks are stable...')
  t.notMatch(down.stdout, 'Waiting 2 seconds', 'not longer than the monitoring period')
  t.match(down.stdout, /verify: Service (web-fe )?converged\n$/)
  const after = (await node.awaitRunning('web-fe', { count: 5 })).map((task) => task.ID)
  t.same(after, before)
})

t.test('update goes two by two, and ps shows the old tasks under the new ones', async (t) => {
  const updated = await node.docker(
    ...['service', 'update', '--image', web2, '--update-parallelism', '2'],
    ...['--update-delay', '1h', '--detach', 'web-fe'],
  )
  t.equal(updated.stderr, unreachable(web2))
  t.equal(updated.stdout, 'web-fe\n')
  const update = (delay: string): string => ` Parallelism:	2\n Delay:		${delay}\n`
  const updating =
    'UpdateStatus:\n State:		updating\n Started:	<age> ago\n Message:	update in progress\n'
  t.equal(
    await same(t, 'service', 'inspect', '--pretty', 'web-fe'),
    normalise(pretty({ replicas: 5, image: web2, update: update('1h0m0s'), status: updating })),
  )
  // However long the comparison took, the update waited; now it goes on.
  await node.must('service', 'update', '--update-delay', '1s', '--detach', 'web-fe')
  await waitFor({ what: 'end of the update', timeoutMs: 60_000 }, async () => {
    return (await node.service('web-fe')).UpdateStatus?.State === 'completed'
  })
  const completed =
    'UpdateStatus:\n State:		completed\n Started:	<age> ago\n Completed:	<age> ago\n Message:	update completed\n'
  t.equal(
    await same(t, 'service', 'inspect', '--pretty', 'web-fe'),
    normalise(pretty({ replicas: 5, image: web2, update: update('1s'), status: completed })),
  )
  const rows = [1, 2, 3, 4, 5].flatMap((slot) => [
    `<id>   web-fe.${slot}   nigelpoulton/ddd-web:2.0   n1   Running   Running <age> ago\n`,
    `<id>    \\_ web-fe.${slot}   nigelpoulton/ddd-web:1.0   n1   Shutdown   Shutdown <age> ago\n`,
  ])
  const head = 'ID   NAME   IMAGE   NODE   DESIRED STATE   CURRENT STATE   ERROR   PORTS\n'
  t.equal(await same(t, 'service', 'ps', 'web-fe'), normalise(`${head}${rows.join('')}`))
})

t.test('rollback goes back to the former spec', async (t) => {
  await node.must('service', 'update', '--image', web1, '--detach', 'web-fe')
  await node.awaitRunning('web-fe', { count: 5, image: web1 })
  t.equal(printed(await node.agent.cli('service', 'rollback', '--detach', 'web-fe')), 'web-fe\n')
  const started =
    /^UpdateStatus:\n State:\t\trollback_(started|completed)\n.*Message:\t(manually requested rollback|rollback completed)$/ms
  t.match(await same(t, 'service', 'inspect', '--pretty', 'web-fe'), started)
  await node.awaitRunning('web-fe', { count: 5, image: web2 })
  await waitFor({ what: 'end of the rollback', timeoutMs: 60_000 }, async () => {
    return (await node.service('web-fe')).UpdateStatus?.State === 'rollback_completed'
  })
  t.match(await same(t, 'service', 'inspect', '--pretty', 'web-fe'), 'Message:	rollback completed')
})

t.test('rm removes the service and its containers', async (t) => {
  t.equal(printed(await node.docker('service', 'rm', 'web-fe')), 'web-fe\n')
  t.equal(
    await same(t, 'service', 'ls'),
    normalise('ID        NAME      MODE      REPLICAS   IMAGE     PORTS\n'),
  )
  await waitFor({ what: 'end of its containers', timeoutMs: 60_000 }, async () => {
    return (await node.containers('web-fe')).length === 0
  })
})
