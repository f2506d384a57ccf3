// The keys of a cluster of several nodes: the cluster's own, that nodes follow when it is rotated, and
// the one that managers lock with.

import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { mustDocker } from '../support/docker-cli.ts'
import { waitFor } from '../support/wait.ts'
import { openCluster } from './cluster.ts'

const cluster = await openCluster(t, { managers: 3, workers: 2, spares: 1 })
const places = [0, 1, 2, 3, 4]

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
  for (const index of places) await cluster.agent(index).restart()
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'))
  t.same(await trustOf(), ready, 'what was followed is on the disk')

  const refused = await cluster.cli(5, 'join', oldToken)
  t.match(refused.stderr, 'remote CA does not match fingerprint')
  await cluster.must(5, 'join', await cluster.must(2, 'token', 'worker', '-q'))
  await awaitTrust({ ...ready, n6: 'Ready' })
  await cluster.must(0, 'swarm', 'ca', '--rotate', '--quiet')
  await awaitTrust({ ...ready, n6: 'Ready' })
})
