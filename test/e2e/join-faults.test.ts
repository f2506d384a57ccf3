// Joining that cannot work: each time the node says why, within seconds, and is as if nothing had
// been tried. And joining by docker's own client.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { docker, mustDocker } from '../support/docker-cli.ts'
import { waitFor } from '../support/wait.ts'
import { openCluster } from './cluster.ts'

const cluster = await openCluster(t, { managers: 1, workers: 0, spares: 2 })
const spare = cluster.agent(1)
const { address } = cluster.lab.host(0)
const worker = await cluster.must(0, 'token', 'worker', '-q')
const manager = await cluster.must(0, 'token', 'manager', '-q')

/** The token of Swarm's own form: without addresses. */
function bare(token: string): string {
  return token.split('-').slice(0, 4).join('-')
}

/** Tries to join, which fails; the node is left clean. */
async function refused(t: Test, ...args: readonly string[]): Promise<string> {
  const beganMs = performance.now()
  const ended = await spare.cli('join', ...args)
  const tookMs = performance.now() - beganMs
  t.equal(ended.code, 1, `${ended.stdout}${ended.stderr}`)
  t.ok(tookMs < 5_000 * slowness, `it took ${Math.round(tookMs)} ms`)
  for (const name of ['node.state', 'node.key', 'manager.key', 'members.state', 'raft']) {
    t.notOk(existsSync(join(spare.stateFolder, name)), name)
  }
  const info = (await spare.json({ path: '/info' })) as { Swarm: { LocalNodeState: string } }
  t.equal(info.Swarm.LocalNodeState, 'inactive')
  return ended.stderr.trim()
}

/** The agent answers within 5 s; starting a client of it takes its time on a busy machine. */
const slowness = 2

t.test('tokens that cannot be, or are not for this cluster', async (t) => {
  t.equal(
    await refused(t, 'SWMTKN-1-bad', `${address}:2377`),
    'Error response from daemon: invalid join token',
  )
  t.equal(
    await refused(t, bare(worker).slice(0, -3), `${address}:2377`),
    'Error response from daemon: invalid join token',
    'truncated',
  )
  const foreign =
    'SWMTKN-1-0ylieng8i6egc0gbhqfprvuf66xfybwofsh4vqqi1ouiox6xe9-1byhgnbnny5zlyk215nhft0fk'
  t.match(
    await refused(t, foreign, `${address}:2377`),
    /^Error response from daemon: remote CA does not match fingerprint. Expected: 268f1daac122d1d1/,
  )
  t.equal(
    await refused(t, `${bare(worker).slice(0, -4)}aaaa`, `${address}:2377`),
    'Error response from daemon: rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster',
  )
})

t.test('addresses where nobody listens, or nobody is', async (t) => {
  const { address: own } = cluster.lab.host(1)
  t.match(
    await refused(t, bare(worker), `${own}:2999`),
    new RegExp(`cannot connect to ${own}:2999: ECONNREFUSED`),
  )
  t.match(
    await refused(t, bare(worker), '10.99.0.99:2377'),
    /10\.99\.0\.99:2377.*(EHOSTUNREACH|does not answer within)/,
  )
  t.match(await refused(t, bare(worker)), /names no address of a manager/)
})

t.test('a manager whose address cannot be reached, or is taken', async (t) => {
  t.match(
    await refused(t, manager, '--advertise-addr', '10.99.0.98:2377'),
    /could not connect to prospective new cluster member using its advertised address: .*10\.99\.0\.98:2377/,
  )
  const { address: own } = cluster.lab.host(1)
  const program = `require('node:net').createServer().listen(2377, '${own}')`
  const taker = cluster.lab.host(1).start('taker', [process.execPath, '-e', program])
  await waitFor({ what: 'listener on 2377', timeoutMs: 10_000 }, async () => {
    const ended = await cluster.lab.host(1).run(['ss', '-ltn'])
    return ended.stdout.includes(':2377')
  })
  t.match(await refused(t, manager), /cannot listen on \S+:2377: the address is in use/)
  const init = await spare.cli('init')
  t.equal(init.code, 1)
  t.match(init.stderr, /cannot listen on \S+:2377: the address is in use/)
  await taker.kill()
  t.same(
    (await cluster.nodes()).map(({ hostname }) => hostname),
    ['n1'],
    'nobody was added',
  )
})

t.test('a rotated token is refused, the new one works, dead addresses in it or not', async (t) => {
  const text = await cluster.must(0, 'token', 'worker', '--rotate')
  t.match(text, /^Successfully rotated worker join token\./)
  const fresh = await cluster.must(0, 'token', 'worker', '-q')
  t.not(fresh, worker)
  t.match(await refused(t, worker), /A valid join token is necessary to join this cluster/)
  const [, , digest, secret] = fresh.split('-')
  const several = `SWMTKN-1-${digest}-${secret}-10.99.0.99,10.99.0.98:2399,${address}`
  t.equal(await spare.mustCli('join', several), 'This node joined a swarm as a worker.')
  await spare.mustCli('leave')
})

t.test('docker swarm join, as a worker and as a manager', async (t) => {
  const host = { host: spare.url }
  const shown = await mustDocker({ host: cluster.agent(0).url }, 'swarm', 'join-token', 'worker')
  t.match(shown, /docker swarm join --token SWMTKN-1-\S+ \S+:2377/)
  const rotated = await mustDocker(
    { host: cluster.agent(0).url },
    ...['swarm', 'join-token', '-q', '--rotate', 'worker'],
  )
  const join = (token: string): Promise<string> =>
    mustDocker(host, 'swarm', 'join', '--token', token, `${address}:2377`)
  t.equal(await join(rotated), 'This node joined a swarm as a worker.')
  const again = await docker(host, 'swarm', 'join', '--token', rotated, `${address}:2377`)
  t.equal(
    again.stderr.trim(),
    'Error response from daemon: This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.',
  )
  t.equal(await mustDocker(host, 'swarm', 'leave'), 'Node left the swarm.')
  t.equal(await join(bare(manager)), 'This node joined a swarm as a manager.')
  await cluster.awaitNodes((lines) => lines.some((line) => line.manager === 'Reachable'))
})

t.test('nobody joins while there is no quorum, and hears why', async (t) => {
  await spare.kill()
  const beganMs = performance.now()
  const ended = await cluster.cli(2, 'join', manager)
  const tookMs = performance.now() - beganMs
  t.equal(ended.code, 1)
  t.match(ended.stderr, /The swarm does not have a leader/)
  t.ok(tookMs < 5_000 * slowness, `it took ${Math.round(tookMs)} ms`)
  await spare.start()
  await cluster.awaitNodes((all) => all.filter(({ status }) => status === 'Ready').length === 2)
  // The leader had it in its log already, perhaps: the same node asks again.
  await cluster.must(2, 'join', manager)
  const lines = await cluster.awaitNodes(
    (all) => all.filter(({ manager: is }) => is === 'Reachable').length === 2,
  )
  t.equal(lines.filter(({ hostname }) => hostname === 'n3').length, 1, 'no ghost')
  t.equal(lines.filter(({ hostname }) => hostname === '').length, 0, 'no ghost')
})
