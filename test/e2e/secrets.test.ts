// Secrets and configs: from both CLIs into files of containers, and nowhere else. The bytes are
// looked for on everything that the node writes.

import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Ended, run } from '../../scripts/process.ts'
import { agentCommand, startAgent } from '../support/agent.ts'
import { docker, hasRecordedWords } from '../support/docker-cli.ts'
import { waitFor } from '../support/wait.ts'
import { openOneNode, shell, type TaskJson } from './one-node.ts'
import { printed } from './transcript.ts'

/** Texts that occur nowhere unless we put them there. */
const password = 'hunter2-7f3a9c-never-on-a-disk'
const settings = 'listen=8080-5d1e-never-on-a-disk'

const node = await openOneNode(t)
const passwordFile = join(node.lab.folder, 'password')
const settingsFile = join(node.lab.folder, 'settings')
writeFileSync(passwordFile, password)
writeFileSync(settingsFile, settings)
const tasksFolder = join(node.host.folder, 'tasks')

/** Runs `agent ARGS` with this standard input. */
async function agentWith(input: string | Uint8Array, ...args: readonly string[]) {
  const [program = '', ...rest] = [...node.host.enter, ...agentCommand(), ...args]
  const env = { ...process.env, AGENT_HOST: node.agent.url, NO_COLOR: '1' }
  return run(program, rest, { timeoutMs: 60_000, env, input })
}

/** What a shell in the task's container prints. */
async function inside(task: TaskJson | undefined, script: string): Promise<string> {
  const id = task?.Status.ContainerStatus?.ContainerID ?? ''
  return node.must('exec', id, 'sh', '-c', script)
}

/** Owner and mode of a file in the container: "-r--r--r-- 0 0". */
async function owner(task: TaskJson | undefined, path: string): Promise<string> {
  const [mode = '', , uid = '', gid = ''] = (await inside(task, `ls -ln ${path}`)).split(/ +/)
  return `${mode} ${uid} ${gid}`
}

/** The folders of tasks on the node's tmpfs, as the host itself sees them. */
async function placed(): Promise<readonly string[]> {
  const listed = await node.host.run(['find', tasksFolder, '-mindepth', '2', '-maxdepth', '2'])
  return listed.stdout.split('\n').filter((line) => line !== '')
}

async function awaitPlaced(count: number): Promise<void> {
  const describe = async () => (await placed()).join('\n')
  const what = `${count} folders of tasks`
  await waitFor(
    { what, timeoutMs: 20_000, describe },
    async () => (await placed()).length === count,
  )
}

/** Both print the same; with an older docker CLI, where it has other words, they end alike. */
function sayTheSame(t: Test, said: { ours: Ended; theirs: Ended; what: string }): void {
  const { ours, theirs, what } = said
  if (!hasRecordedWords(theirs)) t.equal(ours.code, theirs.code, what)
  else t.equal(printed(ours), printed(theirs).replaceAll('docker service', 'agent service'), what)
}

/** Both CLIs say the same of a call that fails. */
async function sameRefusal(t: Test, want: string, ...args: readonly string[]): Promise<void> {
  const theirs = await node.docker(...args)
  const ours = await node.agent.cli(...args)
  t.match(printed(ours), want)
  sayTheSame(t, { ours, theirs, what: `agent ${args.join(' ')}` })
}

t.test('secrets and configs are made from files and from standard input', async (t) => {
  t.match(await node.must('secret', 'create', '--label', 'a=b', 'pw', passwordFile), /^\w{25}$/)
  t.match(await node.agent.mustCli('config', 'create', 'settings', settingsFile), /^\w{25}$/)
  const piped = await docker(
    { host: node.agent.url, input: 'from docker' },
    ...['config', 'create', 'piped', '-'],
  )
  t.equal(piped.code, 0)
  t.equal((await agentWith('from agent', 'secret', 'create', 'piped', '-')).code, 0)
  t.equal(
    await node.must('config', 'inspect', '--format', '{{json .Spec.Data}}', 'piped'),
    JSON.stringify(Buffer.from('from docker').toString('base64')),
  )
})

t.test('what breaks a rule is refused in the words of Swarm', async (t) => {
  const rpc = 'Error response from daemon: rpc error: code ='
  await sameRefusal(
    t,
    `${rpc} AlreadyExists desc = secret pw already exists\n`,
    ...['secret', 'create', 'pw', passwordFile],
  )
  await sameRefusal(
    t,
    `${rpc} AlreadyExists desc = config settings already exists\n`,
    ...['config', 'create', 'settings', settingsFile],
  )
  await sameRefusal(
    t,
    `${rpc} InvalidArgument desc = invalid name, only 64`,
    ...['secret', 'create', '.x', passwordFile],
  )
  const big = join(node.lab.folder, 'big')
  writeFileSync(big, Buffer.alloc(500 * 1024, 'x'))
  await sameRefusal(
    t,
    `${rpc} InvalidArgument desc = secret data must be larger than 0 and less than 512000 bytes\n`,
    ...['secret', 'create', 'big', big],
  )
  writeFileSync(big, Buffer.alloc(1000 * 1024, 'x'))
  await sameRefusal(
    t,
    `${rpc} InvalidArgument desc = config data must be larger than 0 and less than 1024000 bytes\n`,
    ...['config', 'create', 'big', big],
  )
  writeFileSync(big, Buffer.alloc(1000 * 1024 - 1, 'x'))
  await node.must('config', 'create', 'big', big)
  await node.must('config', 'rm', 'big')
  writeFileSync(big, '')
  await sameRefusal(t, 'data is empty', 'secret', 'create', 'big', big)
  await sameRefusal(t, 'secret nope not found\n', 'secret', 'rm', 'nope')
  await sameRefusal(t, 'secret drivers are not available', 'secret', 'create', '--driver', 'v', 'x')
  await sameRefusal(
    t,
    'templates are not available',
    ...['config', 'create', '--template-driver', 'golang', 'x', settingsFile],
  )
  const made = await node.agent.request({
    method: 'POST',
    path: '/secrets/create',
    body: { Name: 'x', Data: '' },
  })
  t.equal(made.status, 400)
  t.match(made.body, 'secret data must be larger than 0 and less than 512000 bytes')
})

t.test('lists and inspect show all but what a secret holds', async (t) => {
  for (const args of [
    ['secret', 'ls'],
    ['secret', 'ls', '--filter', 'name=p', '--format', '{{.Name}} {{.Labels}}'],
    ['secret', 'ls', '--filter', 'label=a=b', '--quiet'],
    ['secret', 'ls', '--filter', 'bogus=1'],
    ['config', 'ls', '--filter', 'id=0nothing'],
    ['secret', 'inspect', 'pw'],
    ['secret', 'inspect', '--pretty', 'pw'],
    ['config', 'inspect', '--pretty', 'settings'],
    ['config', 'inspect', 'nope'],
  ]) {
    const [ours, theirs] = [await node.agent.cli(...args), await node.docker(...args)]
    sayTheSame(t, { ours, theirs, what: args.join(' ') })
    t.notMatch(printed(ours), password)
    t.notMatch(printed(ours), Buffer.from(password).toString('base64'))
  }
  t.match(await node.must('config', 'inspect', '--pretty', 'settings'), settings)
})

t.test('labels alone may change', async (t) => {
  const secret = (await node.agent.json({ path: '/secrets/pw' })) as {
    readonly Version: { readonly Index: number }
  }
  const update = async (query: string, body: object) => {
    const path = `/secrets/pw/update?version=${query}`
    const { status, body: text } = await node.agent.request({ method: 'POST', path, body })
    return `${status} ${text.trim()}`
  }
  const { Index } = secret.Version
  const only = 'only updates to Labels are allowed'
  t.match(await update(`${Index}`, { Name: 'other', Labels: {} }), only)
  t.match(await update(`${Index}`, { Name: 'pw', Data: 'YQ==' }), only)
  t.match(await update(`${Index + 9}`, { Name: 'pw' }), /^500 .*update out of sequence/)
  t.match(await update('x', { Name: 'pw' }), /^400 .*invalid secret version/)
  t.equal(await update(`${Index}`, { Name: 'pw', Labels: { c: 'd' } }), '200 ')
  t.equal(await node.must('secret', 'inspect', '--format', '{{.Spec.Labels}}', 'pw'), 'map[c:d]')
})

t.test('each reference is a file with its own path, owner and mode', async (t) => {
  await node.create(
    'web',
    ...['--secret', 'pw'],
    ...['--secret', 'source=pw,target=/etc/deep/er/key,uid=33,gid=44,mode=0400'],
    ...['--secret', 'source=pw,target=renamed,mode=0440'],
    ...['--config', 'settings'],
    ...['--config', 'source=settings,target=/etc/app.conf,uid=1,mode=0640'],
    shell,
  )
  const [task] = await node.awaitRunning('web', { count: 1 })
  t.equal(await inside(task, 'cat /run/secrets/pw'), password)
  t.equal(await inside(task, 'cat /etc/deep/er/key /run/secrets/renamed'), password + password)
  t.equal(await inside(task, 'cat /settings /etc/app.conf'), settings + settings)
  t.equal(await owner(task, '/run/secrets/pw'), '-r--r--r-- 0 0')
  t.equal(await owner(task, '/etc/deep/er/key'), '-r-------- 33 44')
  t.equal(await owner(task, '/run/secrets/renamed'), '-r--r----- 0 0')
  t.equal(await owner(task, '/settings'), '-r--r--r-- 0 0')
  t.equal(await owner(task, '/etc/app.conf'), '-rw-r----- 1 0')
  t.equal(await inside(task, 'echo x 2>/dev/null > /etc/app.conf || echo kept'), 'kept')
  t.match(await inside(task, 'grep app.conf /proc/mounts'), /^tmpfs .*\bro\b/)
  t.equal((await placed()).length, 1)
})

t.test('nothing of it is written to a disk, to the engine or to a log', async (t) => {
  for (const text of [password, settings]) {
    const encoded = Buffer.from(text).toString('base64').slice(0, 24)
    // From outside the host, where its mounts in memory are not seen: what its disk holds.
    const grep = ['-rlF', '-e', text, '-e', encoded, node.host.folder]
    const found = await run('grep', grep, { timeoutMs: 60_000 })
    t.equal(found.stdout, '', `${text} is in no file`)
  }
  t.same(
    readdirSync(tasksFolder).flatMap((id) => readdirSync(join(tasksFolder, id))),
    [],
  )
  const [task] = await node.tasks('web')
  const inspected = await node.engineMust(
    'inspect',
    task?.Status.ContainerStatus?.ContainerID ?? '',
  )
  t.notMatch(inspected, password)
  t.notMatch(node.agent.log(), password)
  const mode = await node.host.run(['stat', '-c', '%a %u', ...(await placed())])
  t.equal(mode.stdout, '700 0\n')
})

t.test('one in use stays, and who uses it is named', async (t) => {
  const rpc = 'Error response from daemon: rpc error: code = InvalidArgument desc ='
  await sameRefusal(
    t,
    `${rpc} secret 'pw' is in use by the following service: web\n`,
    ...['secret', 'rm', 'pw'],
  )
  await node.create('other', '--replicas', '0', '--config', 'settings', shell)
  await sameRefusal(
    t,
    `${rpc} config 'settings' is in use by the following services: other, web\n`,
    ...['config', 'rm', 'settings'],
  )
  await node.remove('other')
})

t.test('a reference that cannot hold is refused when the service is made', async (t) => {
  const create = ['service', 'create', '--detach', '--name', 'bad']
  await sameRefusal(t, 'secret not found: nope\n', ...create, '--secret', 'nope', shell)
  await sameRefusal(
    t,
    'secret pw: UID "root" must be a number from 0 to',
    ...[...create, '--secret', 'source=pw,uid=root', shell],
  )
  await sameRefusal(
    t,
    'duplicate secret target for piped not allowed',
    ...[...create, '--secret', 'pw', '--secret', 'source=piped,target=pw', shell],
  )
  const file = { Name: 'a', UID: '0', GID: '0', Mode: 0o444 }
  const Configs = ['lost', 'gone'].map((ConfigName, at) => {
    return { ConfigID: `x${at}`, ConfigName, File: { ...file, Name: ConfigName } }
  })
  const answer = await node.agent.request({
    method: 'POST',
    path: '/services/create',
    body: { Name: 'bad', TaskTemplate: { ContainerSpec: { Image: shell, Configs } } },
  })
  t.equal(answer.status, 400)
  t.match(answer.body, 'rpc error: code = InvalidArgument desc = configs not found: lost, gone')
})

/** How creating the service "form" ended, and the container it asks for where it was made. */
async function outcomeOf(create: () => Promise<Ended>): Promise<readonly [Ended, string]> {
  const ended = await create()
  if (ended.code !== 0) return [ended, '']
  const { Spec } = (await node.agent.json({ path: '/services/form' })) as {
    readonly Spec: { readonly TaskTemplate: { readonly ContainerSpec: object } }
  }
  await node.must('service', 'rm', 'form')
  return [{ ...ended, stdout: '' }, JSON.stringify(Spec.TaskTemplate.ContainerSpec)]
}

t.test('both CLIs read all forms of a reference alike', async (t) => {
  const forms = [
    ['--secret', 'pw'],
    ['--secret', 'source=pw'],
    ['--secret', 'src=pw,target=../up'],
    ['--secret', 'source=pw,target=/a/b,uid=33,gid=44,mode=0400'],
    ['--secret', 'pw,mode=600'],
    ['--config', 'source=settings,target=x.conf,mode=0777'],
    ['--config', 'source=settings,uid=7', '--secret', 'pw'],
    ['--config', 'settings,uid=7'],
    ['--secret', 'target=x'],
    ['--secret', 'source=pw,mode=999'],
    ['--secret', 'source=pw,bogus=1'],
    ['--config', 'source=settings,gid=wheel'],
    ['--config', ''],
  ]
  const create = ['service', 'create', '--detach', '--replicas', '0', '--name', 'form']
  for (const form of forms) {
    const [theirs, asked] = await outcomeOf(() => node.docker(...create, ...form, shell))
    const [ours, got] = await outcomeOf(() => node.agent.cli(...create, ...form, shell))
    sayTheSame(t, { ours, theirs, what: form.join(' ') })
    t.equal(got, asked, 'and make the same of it')
  }
})

t.test('an update gives new tasks other files, by both CLIs', async (t) => {
  await node.must(
    ...['service', 'update', '--detach', '--secret-rm', 'pw', '--config-rm', 'settings'],
    ...['--secret-add', 'source=piped,target=token', 'web'],
  )
  const changed = await waitFor({ what: 'the new task of web', timeoutMs: 30_000 }, async () => {
    const [task] = await node.running('web')
    if (task === undefined) return undefined
    const listed = await inside(task, 'cd /run/secrets && ls').catch(() => '')
    return listed === 'token' ? task : undefined
  })
  t.equal(await inside(changed, 'cat /run/secrets/token'), 'from agent')
  t.equal(await inside(changed, 'ls /settings /etc/app.conf 2>/dev/null; echo $?'), '1')
  await awaitPlaced(1)
  const update = ['service', 'update', '--detach', '--secret-add', 'pw', '--config-add', 'piped']
  await node.agent.mustCli(...update, '--secret-rm', 'piped', 'web')
  const again = await waitFor({ what: 'the third task of web', timeoutMs: 30_000 }, async () => {
    const [task] = await node.running('web')
    return task !== undefined && task.ID !== changed.ID ? task : undefined
  })
  t.equal(
    await inside(again, 'ls /run/secrets; cat /run/secrets/pw /piped'),
    `pw\n${password}from docker`,
  )
  // An update that runs may still go back to what was there before it: its secrets stay.
  await waitFor({ what: 'the end of the update', timeoutMs: 30_000 }, async () => {
    return (await node.service('web')).UpdateStatus?.State === 'completed'
  })
  await node.must('secret', 'rm', 'piped')
})

t.test('kill -9 of the agent: the task keeps its files, and strays are swept', async (t) => {
  const [before] = await node.awaitRunning('web', { count: 1 })
  const [folder = ''] = await placed()
  const stray = `${join(folder, '..')}/${'z'.repeat(25)}`
  await node.host.run(['mkdir', stray, `${join(folder, '..')}/.unfinished`])
  await node.agent.restart('kill')
  await awaitPlaced(1)
  t.same(await placed(), [folder])
  const [after] = await node.awaitRunning('web', { count: 1 })
  t.equal(after?.ID, before?.ID)
  t.equal(await inside(after, 'cat /run/secrets/pw'), password)
  // The restarted agent still has the bytes, from its log: a new task gets them.
  await node.must('service', 'update', '--detach', '--force', 'web')
  const next = await waitFor({ what: 'a new task of web', timeoutMs: 30_000 }, async () => {
    const [task] = await node.running('web')
    return task !== undefined && task.ID !== before?.ID ? task : undefined
  })
  t.equal(await inside(next, 'cat /run/secrets/pw'), password)
  await awaitPlaced(1)
})

t.test('an engine that starts anew gets the files again', async (t) => {
  const [before] = await node.awaitRunning('web', { count: 1 })
  await node.engine.stop()
  await node.engine.start()
  const next = await waitFor({ what: 'the task after the engine', timeoutMs: 60_000 }, async () => {
    const [task] = await node.running('web')
    return task !== undefined && task.ID !== before?.ID ? task : undefined
  })
  t.equal(await inside(next, 'cat /run/secrets/pw'), password)
  await awaitPlaced(1)
})

t.test('a power cut takes them, and the node that comes back has them again', async (t) => {
  const [before] = await node.awaitRunning('web', { count: 1 })
  await node.host.powerOff()
  await node.host.powerOn()
  t.same(await placed(), [])
  await node.engine.start()
  await node.agent.start()
  const next = await waitFor({ what: 'the task after the cut', timeoutMs: 60_000 }, async () => {
    const [task] = await node.running('web')
    return task !== undefined && task.ID !== before?.ID ? task : undefined
  })
  t.equal(await inside(next, 'cat /run/secrets/pw'), password)
  await awaitPlaced(1)
})

t.test('the files go with their task', async (t) => {
  const [task] = await node.awaitRunning('web', { count: 1 })
  await node.engineMust('kill', task?.Status.ContainerStatus?.ContainerID ?? '')
  await waitFor({ what: 'the replacement', timeoutMs: 30_000 }, async () => {
    const [next] = await node.running('web')
    return next !== undefined && next.ID !== task?.ID
  })
  await awaitPlaced(1)
  await node.must('service', 'scale', '--detach', 'web=0')
  await awaitPlaced(0)
  await node.remove('web')
  await node.must('secret', 'rm', 'pw')
  await node.must('config', 'rm', 'settings', 'piped')
  t.equal(await node.must('secret', 'ls', '--quiet'), '')
})

t.test('events tell of both kinds', async (t) => {
  await node.must('secret', 'create', 'told', passwordFile)
  await node.must('config', 'create', 'told', settingsFile)
  await node.must('secret', 'rm', 'told')
  await node.must('config', 'rm', 'told')
  const ask = ['events', '--since', '1h', '--until', '0s', '--filter', 'type=secret']
  const format = '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'
  const wanted = ['secret create told', 'config create told', 'secret remove told']
  // The CLI asks until the last whole second.
  await waitFor({ what: 'both kinds of events', timeoutMs: 10_000 }, async () => {
    const text = await node.must(...ask, '--filter', 'type=config', '--format', format)
    return wanted.every((line) => text.includes(line))
  })
  t.notMatch(await node.must(...ask), 'config')
})

t.test('a node that leaves takes its place in memory away', async (t) => {
  t.match((await node.host.run(['cat', '/proc/mounts'])).stdout, `tmpfs ${tasksFolder}`)
  await node.must('swarm', 'leave', '--force')
  t.notMatch((await node.host.run(['cat', '/proc/mounts'])).stdout, `tmpfs ${tasksFolder}`)
  t.notOk(existsSync(tasksFolder))
})

t.test('where nothing can be mounted a task is refused, and nothing is written', async (t) => {
  await node.agent.stop()
  const weak = await startAgent(node.host, {
    engine: node.engine,
    command: ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin', ...agentCommand()],
  })
  t.teardown(() => weak.stop())
  await node.must('swarm', 'init')
  await node.must('secret', 'create', 'pw', passwordFile)
  await node.create('web', '--restart-condition', 'none', '--secret', 'pw', shell)
  await node.awaitPs('web', /Rejected .*kept in memory only.* EPERM; run the agent as root/)
  const found = await run('grep', ['-rlF', '-e', password, node.host.folder], { timeoutMs: 60_000 })
  t.equal(found.stdout, '')
  await node.remove('web')
})
