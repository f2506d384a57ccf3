// What users of several nodes see: logs from everywhere, on any manager, with either CLI.

import t from 'tap'
import { docker, mustDocker } from '../support/docker-cli.ts'
import { waitFor } from '../support/wait.ts'
import { openCluster } from './cluster.ts'
import { shell } from './one-node.ts'

const cluster = await openCluster(t, { managers: 3, workers: 2 })
const hostnames = cluster.lab.hosts.map(({ name }) => name)

/** The node that each line of `service logs` says it is from. */
function nodesIn(text: string): string[] {
  const names = text.split('\n').flatMap((line) => /^\S+@(\S+)\s+\|/.exec(line)?.[1] ?? [])
  return [...new Set(names)].toSorted()
}

function dockerAt(index: number, ...args: readonly string[]): Promise<string> {
  return mustDocker({ host: cluster.agent(index).url }, ...args)
}

t.test('service logs show all nodes in order of time, on any manager', async (t) => {
  const script =
    "trap 'exit 0' TERM; for i in 1 2 3; do echo line $i; sleep 1; done; sleep 1000000 & wait"
  const create = ['service', 'create', '--detach', '--mode', 'global', '--name', 'talk']
  await cluster.must(1, ...create, shell, 'sh', '-c', script)
  await cluster.awaitRunning('talk', 5)
  const all = await waitFor({ what: 'three lines of each node', timeoutMs: 20_000 }, async () => {
    const text = await cluster.must(1, 'service', 'logs', '--timestamps', 'talk')
    return text.split('\n').length === 15 ? text : undefined
  })
  const times = all.split('\n').map((line) => line.split(' ')[0] ?? '')
  t.same(times, times.toSorted(), 'in order of time')
  for (const index of [0, 1, 2]) {
    t.same(nodesIn(await cluster.must(index, 'service', 'logs', 'talk')), hostnames)
    t.same(nodesIn(await dockerAt(index, 'service', 'logs', 'talk')), hostnames)
  }
  const tail = await cluster.must(2, 'service', 'logs', '--tail', '1', 'talk')
  t.equal(tail.split('\n').length, 5)
  t.ok(
    tail.split('\n').every((line) => line.endsWith('line 3')),
    tail,
  )
  const [task] = (await cluster.running('talk')).filter(({ NodeID }) => NodeID !== '')
  const one = await cluster.must(0, 'service', 'logs', '--raw', task?.ID ?? '')
  t.equal(one, 'line 1\nline 2\nline 3')
})

t.test('a node that cannot be reached is named once, and the rest is shown', async (t) => {
  const gone = cluster.lab.host(4)
  gone.cut()
  for (const how of ['agent', 'docker'] as const) {
    const began = Date.now()
    const ended =
      how === 'agent'
        ? await cluster.cli(0, 'service', 'logs', 'talk')
        : await docker({ host: cluster.agent(0).url }, 'service', 'logs', 'talk')
    t.equal(ended.code, 0, how)
    t.ok(Date.now() - began < 10_000, `${how}: ${Date.now() - began} ms`)
    t.same(nodesIn(ended.stdout), hostnames.slice(0, 4), how)
    t.equal(ended.stderr.match(/warning: incomplete log stream/g)?.length, 1, ended.stderr)
    t.match(ended.stderr, `node ${gone.name} is not available`, how)
  }
  gone.mend()
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'))
  await waitFor({ what: 'logs of all nodes', timeoutMs: 20_000 }, async () => {
    const text = await cluster.must(0, 'service', 'logs', 'talk')
    return nodesIn(text).length === 5 ? true : undefined
  })
  t.pass('all of them again')
})
