// Several nodes: they join by token, run services together, and survive each other.

import t from 'tap'
import { openCluster } from './cluster.ts'
import { web1 } from './one-node.ts'

const cluster = await openCluster(t, { managers: 3, workers: 1 })

t.test('all managers list the nodes alike', async (t) => {
  for (const index of [0, 1, 2]) {
    const lines = await cluster.nodes(index)
    t.equal(lines.length, 4)
    t.equal(lines.filter(({ manager }) => manager === 'Leader').length, 1)
    t.equal(lines.filter(({ manager }) => manager === 'Reachable').length, 2)
  }
})

t.test('a service spreads over the nodes, asked of a follower', async (t) => {
  await cluster.must(1, 'service', 'create', '--detach', '--name', 'web', '--replicas', '8', web1)
  const tasks = await cluster.awaitRunning('web', 8, { index: 2 })
  t.equal(new Set(tasks.map((task) => task.NodeID)).size, 4)
})

t.test('the leader dies, and the next one goes on', async (t) => {
  const leader = await cluster.leader()
  const other = [0, 1, 2].find((index) => index !== leader) ?? 0
  await cluster.agent(leader).kill()
  await cluster.must(other, 'service', 'scale', '--detach', 'web=4')
  await cluster.awaitRunning('web', 4, { index: other })
  await cluster.agent(leader).start()
  await cluster.awaitNodes((lines) => lines.every(({ status }) => status === 'Ready'), {
    index: other,
  })
  t.pass('it is back')
})
