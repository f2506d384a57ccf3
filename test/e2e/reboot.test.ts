// The executable, as users have it, on a machine that loses its power, and killed while it works.
// What starts it again is the line that its systemd unit executes.

import { existsSync } from 'node:fs'
import t from 'tap'
import { freshAgent } from '../../scripts/fresh-agent.ts'
import type { Daemon } from '../support/daemon.ts'
import { waitFor } from '../support/wait.ts'
import { openOneNode, shell, type TaskJson, web1 } from './one-node.ts'

process.env['AGENT_BIN'] ??= await freshAgent()
const node = await openOneNode(t)
const url = `http://${node.host.address}:8080/`

/** What systemd would start: the words of ExecStart, for the daemon's own flags. */
async function unitCommand(): Promise<readonly string[]> {
  const unit = await node.agent.mustCli(
    'service-unit',
    ...['--state-dir', node.agent.stateFolder, '--socket', node.agent.socket],
    ...['--listen-addr', `${node.host.address}:2377`, '--advertise-addr', node.host.address],
    ...['--docker-host', node.engine.url],
  )
  return /^ExecStart=(.+)$/m.exec(unit)?.[1]?.split(' ') ?? []
}

/** Starts the agent as the unit does, and waits until it answers. */
async function startByUnit(command: readonly string[]): Promise<Daemon> {
  const daemon = node.host.start('agent', command)
  await waitFor(
    { what: 'answer', timeoutMs: 20_000, everyMs: 20, describe: () => daemon.log() },
    async () => (await node.agent.request({ path: '/_ping' })).status === 200,
  )
  return daemon
}

/** "web.3" of each running container, by the engine's own word. */
async function runningSlots(): Promise<readonly string[]> {
  const names = await node.engineMust('ps', '--format', '{{.Names}}')
  return names
    .split('\n')
    .map((name) => name.split('.').slice(0, -1).join('.'))
    .sort()
}

async function runningCount(): Promise<number> {
  return ((await node.engine.json({ path: '/containers/json' })) as readonly unknown[]).length
}

function slotsOf(name: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${name}.${index + 1}`).sort()
}

const byId = (tasks: readonly TaskJson[]): ReadonlyMap<string, TaskJson> =>
  new Map(tasks.map((task) => [task.ID, task]))

let daemon: Daemon | undefined

t.test('the power goes and comes back: so do the services, each slot once', async (t) => {
  const command = await unitCommand()
  await node.create('web', '--replicas', '5', '-p', '8080:8080', web1)
  await node.create('quiet', '--replicas', '2', shell)
  await node.create('once', '--restart-condition', 'none', shell, 'true')
  await node.awaitRunning('web', { count: 5 })
  await node.awaitRunning('quiet', { count: 2 })
  await node.awaitPs('once', /Shutdown +Complete/)
  const before = await node.tasks('web')
  await node.create('late', '--replicas', '3', shell)
  await node.host.powerOff()
  t.equal(node.agent.pid, undefined, 'nothing runs any more')

  await node.host.powerOn()
  t.equal((await node.host.run(['ls', '/run/docker'])).stdout, '', 'and /run is empty')
  daemon = await startByUnit(command) // Before its engine, as it may happen at a boot.
  t.match(await node.must('service', 'ls'), 'late', 'what was answered last is there')
  await node.engine.start()
  // Until the engine has told what became of them, tasks are as they were last seen.
  const wanted = [...slotsOf('late', 3), ...slotsOf('quiet', 2), ...slotsOf('web', 5)].join(' ')
  const describe = (): Promise<string> => node.explain('web')
  await waitFor({ what: 'containers of all slots', timeoutMs: 40_000, describe }, async () => {
    return (await runningSlots()).join(' ') === wanted
  })
  const after = byId(await node.awaitRunning('web', { count: 5 }))
  await node.awaitRunning('quiet', { count: 2 })
  await node.awaitRunning('late', { count: 3 })
  t.equal((await runningSlots()).join(' '), wanted, 'a container for each slot, none for two')
  const known = byId(await node.tasks('web'))
  for (const { ID } of before) {
    const task = known.get(ID)
    t.notOk(after.has(ID), 'a dead task is replaced, not revived')
    t.equal(task?.Status.State, 'failed', `and ${ID} is told as failed`)
  }
  t.equal((await node.tasks('once')).length, 1, 'what was done is not done again')
  await waitFor({ what: 'page', timeoutMs: 10_000 }, () => node.client.fetch(url))
})

t.test('kill -9 in the middle of a scale: it completes, and nothing starts twice', async (t) => {
  const command = await unitCommand()
  const sinceSeconds = Math.floor(Date.now() / 1000) + 1
  await waitFor(
    { what: 'another second', timeoutMs: 2_000 },
    () => Date.now() >= sinceSeconds * 1e3,
  )
  const runningBefore = await runningCount()
  await node.must('service', 'scale', '--detach', 'web=15')
  await waitFor({ what: 'two new tasks that run', timeoutMs: 20_000, everyMs: 5 }, async () => {
    return (await runningCount()) >= runningBefore + 2
  })
  await daemon?.kill()
  t.ok((await runningCount()) < runningBefore + 10, 'in the middle of it')
  daemon = await startByUnit(command)
  await node.awaitRunning('web', { count: 15, timeoutMs: 60_000 })
  const until = Math.floor(Date.now() / 1000) + 1
  const started = await node.engineMust(
    ...['events', '--since', String(sinceSeconds), '--until', String(until)],
    ...['--filter', 'event=start', '--format', '{{.Actor.Attributes.name}}'],
  )
  const names = started.split('\n')
  t.equal(new Set(names).size, names.length, 'no container was started twice')
  t.equal(names.length, 10, 'ten were started for ten more replicas')
  const web = (await runningSlots()).filter((slot) => slot.startsWith('web.'))
  t.same(web, slotsOf('web', 15), 'no slot has two')
})

t.test('uninstall takes off what the agent has put there, and nothing else', async (t) => {
  await node.engineMust('run', '--detach', '--name', 'mine', shell)
  const where = ['--state-dir', node.agent.stateFolder, '--socket', node.agent.socket]
  const said = await node.agent.mustCli('uninstall', '--force', ...where)
  t.match(said, `Removed ${node.agent.stateFolder} and ${node.agent.socket}.`)
  t.equal(await node.engineMust('ps', '--all', '--format', '{{.Names}}'), 'mine')
  t.notOk(existsSync(node.agent.stateFolder), 'its state is gone')
  t.notOk(daemon?.isRunning, 'and its process')
  t.match(await node.agent.mustCli('uninstall', '--force', ...where), 'Nothing of it was here')
})
