// Autolock: a restarted manager waits for its key and says so in Swarm's words; meanwhile its
// containers run on and are restarted when they crash.

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { waitFor } from '../support/wait.ts'
import { openOneNode, web1 } from './one-node.ts'

const locked =
  'Error response from daemon: Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'

const node = await openOneNode(t)

/** `docker swarm unlock` with the key on stdin. */
function unlock(key: string): { readonly status: number | null; readonly stderr: string } {
  const args = ['--host', node.agent.url, 'swarm', 'unlock']
  return spawnSync('docker', args, { input: `${key}\n`, encoding: 'utf8' })
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
}

async function updateLock(flag: string): Promise<string> {
  return node.must('swarm', 'update', flag)
}

let key = ''

t.test('turning it on says the key and how to use it', async (t) => {
  const text = await updateLock('--autolock=true')
  t.match(text, 'Swarm updated.')
  key = /SWMKEY-1-\S+/.exec(text)?.[0] ?? ''
  t.equal((await node.must('swarm', 'unlock-key', '-q')).trim(), key)
})

t.test('locked, it answers nothing but unlock, info and ping', async (t) => {
  await node.create('web', '--replicas', '2', web1)
  await node.awaitRunning('web', { count: 2 })
  // The worker stores its assignments a second after they change.
  const stored = join(node.agent.stateFolder, 'worker/assignments')
  await waitFor({ what: 'stored assignments', timeoutMs: 10_000 }, () =>
    filesUnder(node.agent.stateFolder).includes(stored),
  )
  await node.agent.kill()
  await node.agent.start()
  for (const words of [
    ['node', 'ls'],
    ['service', 'ls'],
    ['service', 'create', web1],
  ]) {
    const ended = await node.docker(...words)
    t.equal(ended.code, 1)
    t.match(ended.stderr, locked, words.join(' '))
  }
  const info = await node.must('info', '--format', '{{.Swarm.LocalNodeState}}')
  t.equal(info.trim(), 'locked')
})

t.test('a container that crashes meanwhile is back, as the same task', async (t) => {
  const names = await node.containers('web')
  const pid = await node.engineMust('inspect', '--format', '{{.State.Pid}}', names[0] ?? '')
  await node.host.run(['kill', '-9', pid.trim()])
  await waitFor({ what: 'another process of the same task', timeoutMs: 40_000 }, async () => {
    const now = await node
      .engineMust('inspect', '--format', '{{.State.Pid}}', names[0] ?? '')
      .catch(() => '0')
    return Number(now) > 0 && now !== pid
  })
  t.same((await node.containers('web')).toSorted(), names.toSorted())
})

t.test('a wrong key and no key are told apart, the right one opens', async (t) => {
  t.match(
    unlock(`SWMKEY-1-${'a'.repeat(43)}`).stderr,
    'swarm could not be unlocked: invalid key provided',
  )
  t.match(unlock('wrong').stderr, 'invalid key string')
  t.equal(unlock(key).status, 0)
  await node.awaitRunning('web', { count: 2 })
  t.match(unlock(key).stderr, 'swarm is not locked')
})

t.test('nothing of the unlock key stands in the state folder', async (t) => {
  const bytes = Buffer.from(key.slice('SWMKEY-1-'.length), 'base64')
  for (const path of filesUnder(node.agent.stateFolder)) {
    const content = readFileSync(path)
    t.notOk(content.includes(bytes) || content.includes(key), path)
  }
})

t.test('turned off, a restart needs no key', async (t) => {
  await updateLock('--autolock=false')
  await node.agent.kill()
  await node.agent.start()
  t.equal((await node.docker('node', 'ls')).code, 0)
  await node.awaitRunning('web', { count: 2 })
})
