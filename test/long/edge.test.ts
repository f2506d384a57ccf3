// Nodes at the edge: behind a router that translates addresses, and on thin lines that lose packets.

import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openCluster } from '../e2e/cluster.ts'
import { shell } from '../e2e/one-node.ts'
import { waitFor } from '../support/wait.ts'

const thin = { rate: '2mbit', loss: 0.02 }
const cluster = await openCluster(t, { managers: 3, workers: 0, spares: 1 })
const edge = 3
const edgeHost = cluster.lab.host(edge)

/** What `agent node ls` said of each state that is not as it should be, for so long. */
async function trouble(seconds: number): Promise<readonly string[]> {
  const found: string[] = []
  const until = Date.now() + seconds * 1_000
  while (Date.now() < until) {
    for (const { hostname, status, manager } of await cluster.nodes()) {
      if (status !== 'Ready' || manager === 'Unreachable') {
        found.push(`${hostname} ${status} ${manager}`)
      }
    }
  }
  return found
}

/** A config of so many bytes that nothing makes smaller. */
async function createConfig(name: string, bytes: number): Promise<void> {
  const file = join(cluster.lab.folder, name)
  writeFileSync(file, randomBytes(bytes))
  // On a busy machine there may be no leader for a moment.
  await waitFor({ what: `config ${name}`, timeoutMs: 20_000 }, async () => {
    const { code, stderr } = await cluster.cli(0, 'config', 'create', name, file)
    return code === 0 || stderr.includes('already exists')
  })
}

t.test('a worker behind a translating router joins, though nobody can dial it', async (t) => {
  edgeHost.hide()
  const ping = await cluster.lab.host(0).run(['ping', '-c', '1', '-W', '1', edgeHost.address])
  t.not(ping.code, 0, 'it cannot be reached')
  await cluster.must(edge, 'join', await cluster.must(0, 'token', 'worker', '-q'))
  await cluster.awaitNodes(
    (lines) => lines.length === 4 && lines.every(({ status }) => status === 'Ready'),
  )
  const pinned = ['--constraint', `node.hostname==${edgeHost.name}`]
  await cluster.must(
    0,
    'service',
    'create',
    '--detach',
    '--name',
    'far',
    ...pinned,
    shell,
    'sleep',
    '100000',
  )
  await cluster.awaitRunning('far', 1)
})

t.test('its line is thin and full, and it stays Ready', async (t) => {
  edgeHost.throttle(thin)
  const source = `require('node:net').createServer((socket) => {
    const more = () => { while (socket.write(Buffer.alloc(65536))); }
    socket.on('drain', more).on('error', () => {})
    more()
  }).listen(8000, '0.0.0.0')`
  cluster.lab.host(0).start('source', [process.execPath, '-e', source])
  const drink = edgeHost.run(
    ...([
      [
        'sh',
        '-c',
        `exec 3<>/dev/null; timeout 20 bash -c 'cat </dev/tcp/${cluster.lab.host(0).address}/8000 >/dev/null'; true`,
      ],
      60_000,
    ] as const),
  )
  const names = ['big1', 'big2']
  for (const name of names) await createConfig(name, 500_000)
  const configs = names.flatMap((name) => ['--config', name])
  const pinned = ['--constraint', `node.hostname==${edgeHost.name}`]
  const beganMs = Date.now()
  await cluster.must(
    ...([
      0,
      'service',
      'create',
      '--detach',
      '--name',
      'heavy',
      ...pinned,
      ...configs,
      shell,
    ] as const),
    ...['sleep', '100000'],
  )
  t.same(await trouble(15), [])
  await cluster.awaitRunning('heavy', 1, { timeoutMs: 90_000 })
  t.comment(`1 MB of configs came and ran after ${Date.now() - beganMs} ms`)
  await drink
})

t.test('a manager on a thin line causes no election', async (t) => {
  const leader = await cluster.leader()
  const place = [1, 2, 0].find((index) => index !== leader) ?? 1
  cluster.lab.host(place).throttle(thin)
  const mark = [0, 1, 2].map((index) => cluster.agent(index).log().length)
  for (let count = 0; count < 10; count++) await createConfig(`c${count}`, 200_000)
  t.same(await trouble(10), [])
  await waitFor({ what: 'the last config on the slow manager', timeoutMs: 60_000 }, async () => {
    return (await cluster.must(place, 'config', 'ls', '--format', '{{.Name}}')).includes('c9')
  })
  for (const index of [0, 1, 2]) {
    const log = cluster.agent(index).log().slice(mark[index])
    // Its pre-votes are refused, and cost nothing.
    t.notMatch(log, /raft\.role role=(candidate|leader)/, `no election by manager ${index + 1}`)
  }
  t.equal(await cluster.leader(), leader)
})
