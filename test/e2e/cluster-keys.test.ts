// The keys of a cluster of several nodes: the cluster's own, that nodes follow when it is rotated, and
// the one that managers lock with.

import { X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { realDisk } from '../../agent/storage/disk.ts'
import { loadManagerKeys, parseUnlockKey } from '../../agent/storage/keystore.ts'
import { type Ended, run } from '../../scripts/process.ts'
import { agentCommand } from '../support/agent.ts'
import { mustDocker } from '../support/docker-cli.ts'
import { waitFor } from '../support/wait.ts'
import { type NodeLine, openCluster } from './cluster.ts'
import { shell } from './one-node.ts'

const cluster = await openCluster(t, { managers: 3, workers: 2, spares: 1 })

function dockerAt(index: number, ...args: readonly string[]): Promise<string> {
  return mustDocker({ host: cluster.agent(index).url }, ...args)
}

/** What the docker CLI makes of each node's root of trust, by host name. */
async function trustOf(index = 0): Promise<Record<string, string>> {
  const text = await dockerAt(index, 'node', 'ls', '--format', '{{.Hostname}} {{.TLSStatus}}')
  return Object.fromEntries(text.split('\n').map((line) => [line.split(' ')[0], line.slice(3)]))
}

async function awaitTrust(want: Readonly<Record<string, string>>): Promise<void> {
  let last: unknown
  const wanted = JSON.stringify(want)
  const options = {
    what: `trust ${wanted}`,
    timeoutMs: 20_000,
    describe: () => JSON.stringify(last),
  }
  await waitFor(options, async () => {
    last = await trustOf().catch(String)
    return JSON.stringify(last) === wanted ? true : undefined
  })
}

const ready = { n1: 'Ready', n2: 'Ready', n3: 'Ready', n4: 'Ready', n5: 'Ready' }

t.test('the root of trust is a certificate, the same wherever it is asked', async (t) => {
  const root = await dockerAt(0, 'swarm', 'ca')
  const certificate = new X509Certificate(root)
  t.ok(certificate.verify(certificate.publicKey))
  for (const index of [0, 1, 2]) {
    t.equal(await cluster.must(index, 'swarm', 'ca'), root)
    const format = '{{.Description.TLSInfo.TrustRoot}}'
    const roots = await cluster.must(index, 'node', 'inspect', '--format', format, 'n1', 'n5')
    t.equal(roots, `${root}\n\n${root}`)
  }
  t.same(await trustOf(), ready)
})

t.test('nodes follow a rotation, one that was away when it is back', async (t) => {
  const before = await cluster.must(0, 'swarm', 'ca')
  const oldToken = await cluster.must(0, 'token', 'worker', '-q')
  await cluster.agent(4).stop()
  await cluster.must(1, 'swarm', 'ca', '--rotate', '--detach')
  const lagging = { ...ready, n5: 'Needs Rotation' }
  await awaitTrust(lagging)
  const after = await cluster.must(2, 'swarm', 'ca')
  t.not(after, before)
  await cluster.agent(4).start()
  await awaitTrust(ready)
  for (const index of [1, 3]) await cluster.agent(index).restart()
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'))
  t.same(await trustOf(), ready, 'what was followed is on the disk')

  const refused = await cluster.cli(5, 'join', oldToken)
  t.match(refused.stderr, 'remote CA does not match fingerprint')
  await cluster.must(5, 'join', await cluster.must(2, 'token', 'worker', '-q'))
  await awaitTrust({ ...ready, n6: 'Ready' })
  await cluster.must(0, 'swarm', 'ca', '--rotate', '--detach')
  await awaitTrust({ ...ready, n6: 'Ready' })
})

const locked =
  'Error response from daemon: Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'
const planted = 'correct horse battery staple'
let key = ''

/** `agent unlock`, or docker's, with the key on standard input. */
function unlock(index: number, words: readonly string[], text: string): Promise<Ended> {
  const { host, url } = cluster.agent(index)
  const [program = '', ...rest] = [...host.enter, ...words]
  const env = { ...process.env, AGENT_HOST: url, DOCKER_HOST: url, DOCKER_CONFIG: '/nonexistent' }
  return run(program, rest, { timeoutMs: 60_000, env, input: `${text}\n` })
}

function ringOf(index: number, unlockKey?: Uint8Array): ReturnType<typeof loadManagerKeys> {
  const place = { disk: realDisk, folder: cluster.agent(index).stateFolder }
  return loadManagerKeys(place, unlockKey)
}

function isLocked(index: number): Promise<boolean> {
  return dockerAt(index, 'info', '--format', '{{.Swarm.LocalNodeState}}').then(
    (state) => state === 'locked',
  )
}

function isReachable({ manager }: NodeLine): boolean {
  return ['Leader', 'Reachable'].includes(manager)
}

async function lockByRestart(index: number): Promise<void> {
  await cluster.agent(index).kill()
  await cluster.agent(index).start()
}

t.test('managers lock: those that are there, and one that comes to be', async (t) => {
  const text = await cluster.must(1, 'swarm', 'update', '--autolock=true')
  t.match(text, 'Swarm updated.\nTo unlock a swarm manager after it restarts, run the')
  key = /SWMKEY-1-\S+/.exec(text)?.[0] ?? ''
  for (const index of [0, 2]) t.equal(await cluster.must(index, 'swarm', 'unlock-key', '-q'), key)
  await run('sh', ['-c', `printf '${planted}' > ${cluster.lab.folder}/plant`], { timeoutMs: 5_000 })
  await cluster.must(0, 'secret', 'create', 'horse', `${cluster.lab.folder}/plant`)
  await cluster.must(0, 'node', 'promote', 'n6')
  await cluster.awaitNodes((lines) =>
    lines.some(({ hostname, manager }) => hostname === 'n6' && manager === 'Reachable'),
  )
  // Its keys are sealed once it has read in the log that they are to be.
  await waitFor({ what: 'sealed keys of n6', timeoutMs: 30_000 }, () =>
    cluster.agent(5).log().includes('manager.keys-sealed'),
  )
  for (const index of [5, 2]) {
    await lockByRestart(index)
    t.ok(await isLocked(index), `n${index + 1}`)
    const refused = await cluster.cli(index, 'node', 'ls')
    t.equal(refused.code, 1)
    t.match(refused.stderr, locked)
    // Two of four that are locked at once are too many for a quorum.
    if (index !== 5) continue
    t.equal((await unlock(5, [...agentCommand(), 'swarm', 'unlock'], key)).code, 0)
    await cluster.awaitNodes((lines) => lines.filter(isReachable).length === 4)
    await cluster.must(0, 'node', 'demote', 'n6')
    await cluster.awaitNodes((lines) => lines.filter(isReachable).length === 3)
  }
  const info = await dockerAt(2, 'info', '--format', '{{json .Swarm}}')
  t.match(JSON.parse(info), {
    ...{ NodeID: '', NodeAddr: '10.99.0.13', LocalNodeState: 'locked', ControlAvailable: false },
    ...{ Error: locked.slice('Error response from daemon: '.length), RemoteManagers: null },
  })
  const lines = await cluster.awaitNodes((nodes) =>
    nodes.some(({ hostname, manager }) => hostname === 'n3' && manager === 'Unreachable'),
  )
  t.equal(lines.find(({ hostname }) => hostname === 'n3')?.status, 'Ready', 'its worker goes on')
})

t.test('unlocked by either CLI; a wrong key opens nothing', async (t) => {
  const docker = ['docker', 'swarm', 'unlock']
  const agent = [...agentCommand(), 'swarm', 'unlock']
  const wrong = await unlock(2, agent, `SWMKEY-1-${'a'.repeat(43)}`)
  t.match(wrong.stderr, 'swarm could not be unlocked: invalid key provided')
  t.match((await unlock(2, docker, 'wrong')).stderr, 'invalid key string')
  t.equal((await unlock(2, docker, key)).code, 0)
  await cluster.awaitNodes((lines) => lines.filter(isReachable).length === 3)
})

t.test('a manager that was away opens with the old key, then takes the new one', async (t) => {
  const docker = ['docker', 'swarm', 'unlock']
  await cluster.agent(1).stop()
  const text = await cluster.must(0, 'swarm', 'unlock-key', '--rotate')
  t.match(text, 'Successfully rotated manager unlock key.')
  const next = /SWMKEY-1-\S+/.exec(text)?.[0] ?? ''
  await cluster.agent(1).start()
  t.match((await unlock(1, docker, next)).stderr, 'invalid key provided')
  t.equal((await unlock(1, docker, key)).code, 0)
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'), { index: 1 })
  await waitFor({ what: 'the new key to be taken', timeoutMs: 20_000 }, () =>
    cluster.agent(1).log().includes('manager.keys-sealed') ? true : undefined,
  )
  await lockByRestart(1)
  t.match((await unlock(1, docker, key)).stderr, 'invalid key provided')
  t.equal((await unlock(1, docker, next)).code, 0)
  key = next
})

t.test('nothing that makes a manager can be read on its disk', async (t) => {
  const unlockKey = parseUnlockKey(key)
  const secrets = [planted, Buffer.from(planted).toString('base64'), key].map((each) =>
    Buffer.from(each),
  )
  for (const index of [0, 1, 2]) {
    const ring = await ringOf(index, unlockKey)
    if (ring.type !== 'open') throw new Error(`manager ${index} has no ring of keys`)
    t.ok(ring.isSealed)
    const { managerKey, clusterKey, dataKeys } = ring.keys
    const keys = [managerKey, clusterKey].flatMap((pair) => pair?.privateKey ?? [])
    const hidden = [...secrets, unlockKey, ...keys, ...dataKeys.map((each) => each.key)]
    const state = cluster.agent(index).stateFolder
    for (const name of readdirSync(state, { recursive: true, encoding: 'utf8' })) {
      const path = join(state, name)
      if (!statSync(path).isFile()) continue
      const content = readFileSync(path)
      t.notOk(
        hidden.some((each) => content.includes(each)),
        path,
      )
    }
  }
})

t.test(
  'after a power cut a locked manager runs its containers, and starts them again',
  async (t) => {
    const create = ['service', 'create', '--detach', '--name', 'kept', '--constraint']
    await cluster.must(0, ...create, 'node.hostname==n3', shell)
    const [task] = await cluster.awaitRunning('kept', 1)
    const { host } = cluster.agent(2)
    await waitFor({ what: 'stored assignments', timeoutMs: 15_000 }, () =>
      existsSync(join(cluster.agent(2).stateFolder, 'worker/assignments')),
    )
    await host.powerOff()
    await host.powerOn()
    await cluster.engines[2]?.start()
    await cluster.agent(2).start()
    t.ok(await isLocked(2))
    await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'))
    await cluster.awaitRunning('kept', 1)
    const id = async (): Promise<string> => {
      const [now] = await cluster.awaitRunning('kept', 1)
      return now?.Status.ContainerStatus?.ContainerID ?? ''
    }
    const before = await id()
    await cluster.engines[2]?.request({ method: 'POST', path: `/containers/${before}/kill` })
    await waitFor({ what: 'another container', timeoutMs: 30_000 }, async () =>
      (await id()) === before ? undefined : true,
    )
    t.ok(await isLocked(2), `still locked; task was ${task?.ID}`)
    t.equal((await unlock(2, ['docker', 'swarm', 'unlock'], key)).code, 0)
  },
)

t.test('turned off, managers open by themselves', async (t) => {
  await cluster.must(0, 'swarm', 'update', '--autolock=false')
  const none = await cluster.cli(1, 'swarm', 'unlock-key')
  t.match(none.stderr, 'no unlock key is set')
  for (const index of [0, 1, 2]) {
    await waitFor({ what: 'plain keys', timeoutMs: 20_000 }, async () =>
      (await ringOf(index)).type === 'open' ? true : undefined,
    )
    await lockByRestart(index)
    t.notOk(await isLocked(index))
  }
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'))
})

t.test('of a key in wrong hands nobody is told by that key', async (t) => {
  const oldToken = await cluster.must(0, 'token', 'worker', '-q')
  const text = await cluster.must(1, 'swarm', 'ca', '--rotate', '--compromised')
  const listed = text.split('\n').flatMap((line) => /^ {2}\S+ {2}(\S+)$/.exec(line)?.[1] ?? [])
  t.same(listed.toSorted(), ['n4', 'n5', 'n6'])
  const token = await cluster.must(2, 'token', 'worker', '-q')
  t.not(token.split('-')[3], oldToken.split('-')[3], 'the secret is another too')
  await cluster.agent(4).restart()
  await cluster.awaitNodes((lines) =>
    lines.some(({ hostname, status }) => hostname === 'n5' && status === 'Down'),
  )
  t.match(cluster.agent(4).log(), 'is signed by another cluster')
  await cluster.must(4, 'swarm', 'leave', '--force')
  await cluster.must(4, 'join', token)
  await cluster.awaitNodes((lines) =>
    lines.some(({ hostname, status }) => hostname === 'n5' && status === 'Ready'),
  )
  for (const index of [1, 2]) await cluster.agent(index).restart()
  await cluster.awaitNodes((lines) => lines.filter(isReachable).length === 3)
})
