// What the manager machine makes of changes among the managers.

import t from 'tap'
import { CodedError } from '../../../core/base/error.ts'
import { asId, type NodeId, type ServiceId } from '../../../core/base/id.ts'
import type { Command } from '../../../core/command/command.ts'
import type { NodeRole } from '../../../core/object/node.ts'
import type { ServiceSpec } from '../../../core/object/service.ts'
import { recoverState } from '../../../core/raft/birth.ts'
import { joinOf, SeveralManagers } from './several-managers.ts'
import { SmallCluster } from './small-cluster.ts'

const yearMs = 365 * 24 * 3_600_000

function config(name: string): Command {
  return { type: 'config.create', spec: { name, labels: {}, data: new Uint8Array(1) } }
}

function setRole(made: SeveralManagers, id: string, role: NodeRole): Command {
  const node = made.leader().machine.view.get('node', asId<NodeId>(id))
  if (node === undefined) throw new Error(`no node ${id}`)
  return { type: 'node.update', id: node.id, version: node.version, spec: { ...node.spec, role } }
}

function membersOf(made: SeveralManagers): readonly string[] {
  const { members } = made.leader().machine.raft.membership
  return members.filter(({ isVoter }) => isVoter).map(({ id }) => id)
}

t.test('a demoted manager leaves raft, and its fate is told', async (t) => {
  const made = new SeveralManagers(['n1', 'n2', 'n3'])
  t.same(membersOf(made), ['n1', 'n2', 'n3'])
  made.submit('n1', setRole(made, 'n3', 'worker'))
  made.advance(2_000)
  t.same(membersOf(made), ['n1', 'n2'])
  t.same(made.manager('n3').fate, { type: 'removed' })
  t.equal(made.manager('n3').machine.raft.role, 'stopped')
})

t.test('a leader that is demoted lets another one lead, which removes it', async (t) => {
  const made = new SeveralManagers(['n1', 'n2', 'n3'])
  made.submit('n1', setRole(made, 'n1', 'worker'))
  made.advance(3_000)
  t.not(made.leader().id, 'n1')
  t.same([...membersOf(made)].sort(), ['n2', 'n3'])
})

t.test('what a leader has in its log when it hands over is answered all the same', async (t) => {
  const made = new SeveralManagers(['n1', 'n2', 'n3'])
  const before = made.post('n1', config('before'))
  made.handOver('n1')
  const during = made.post('n1', config('during'))
  const refusal = made.answer('n1', during)
  t.ok(refusal instanceof CodedError)
  t.match(refusal, { code: 'no-leader', detail: { isUntried: true } }, 'it may be tried elsewhere')
  made.advance(2_000)
  t.not(made.leader().id, 'n1')
  t.match(made.answer('n1', before), { warnings: [] })
  const names = [...made.leader().machine.view.all('config')].map(({ spec }) => spec.name)
  t.same(names, ['before'])
})

t.test('what a cut-off leader took is known to be undone once it hears', async (t) => {
  const made = new SeveralManagers(['n1', 'n2', 'n3'])
  made.manager('n1').isCut = true
  const lost = made.post('n1', config('lost'))
  made.advance(5_000)
  t.equal(made.answer('n1', lost), undefined, 'nobody knows yet')
  made.submit(made.leader().id, config('other'))
  made.manager('n1').isCut = false
  made.advance(3_000)
  t.match(made.answer('n1', lost), { code: 'no-leader', detail: { isUntried: true } })
})

t.test('one manager goes on alone in a new epoch, the others are none any more', async (t) => {
  const made = new SeveralManagers(['n1', 'n2', 'n3'])
  made.submit('n1', config('kept'))
  for (const id of ['n2', 'n3']) made.manager(id).isCut = true
  made.advance(5_000)
  const recovered = recoverState(made.stored('n1'), {
    ...{ id: 'n1', address: 'n1.example:2377', epochId: 'f' },
  })
  made.remove('n1')
  made.add('n1', { restored: recovered })
  made.advance(5_000)
  const { view, raft } = made.leader().machine
  t.same(
    [...view.all('node')].map(({ id, spec }) => [id, spec.role]),
    [
      ['n1', 'manager'],
      ['n2', 'worker'],
      ['n3', 'worker'],
    ],
  )
  t.same(
    raft.membership.members.map(({ id }) => id),
    ['n1'],
    'nobody was taken in again',
  )
  t.same(view.cluster()?.epoch, { counter: 2, isForced: false })
  t.equal([...view.all('config')].length, 1)
  // And it stays so after a restart.
  const stored = made.stored('n1')
  made.remove('n1')
  made.add('n1', { restored: stored })
  made.advance(5_000)
  t.equal(made.leader().machine.raft.membership.members.length, 1)
  for (const id of ['n2', 'n3']) made.manager(id).isCut = false
  made.advance(5_000)
  t.match(
    made.manager('n2').fate ?? made.manager('n3').fate,
    { type: 'superseded', epoch: { counter: 2, id: 'f', parent: 'e' } },
    'the old ones are told, and do not disturb the new one',
  )
  t.same(
    made.manager('n1').machine.raft.membership.members.map(({ id }) => id),
    ['n1'],
  )
})

t.test('a newcomer whose answer was lost asks again with a new manager key', async (t) => {
  const made = new SeveralManagers(['n1'])
  const first = joinOf('n9')
  made.submit('n1', first)
  if (first.type !== 'node.join') throw new Error('no join')
  const key = new Uint8Array(32).fill(7)
  made.submit('n1', { ...first, keys: { ...first.keys, manager: key } })
  const { view } = made.leader().machine
  t.equal([...view.all('node')].length, 2, 'no second node')
  t.same(view.get('node', asId<NodeId>('n9'))?.keys.manager, key)
  t.throws(
    () => made.submit('n1', { ...first, keys: { worker: new Uint8Array(32).fill(9) } }),
    { code: 'already-exists' },
    'another one of that id',
  )
})

t.test('the time of the cluster never goes back, whatever the clock of its leader', async (t) => {
  const made = new SeveralManagers(['n1', 'n2'], { n1: 10 * yearMs, n2: -10 * yearMs })
  made.submit('n1', config('first'))
  made.handOver('n1')
  made.advance(3_000)
  t.equal(made.leader().id, 'n2')
  made.submit('n2', config('second'))
  const [first, second] = [...made.leader().machine.view.all('config')].toSorted((one, other) =>
    one.spec.name.localeCompare(other.spec.name),
  )
  t.ok((second?.createdAtMs ?? 0) >= (first?.createdAtMs ?? Infinity))
  t.ok((second?.createdAtMs ?? 0) - (first?.createdAtMs ?? 0) < 60_000)
  const wakeAtMs = made.leader().machine.wakeAtMs
  const isOwn = wakeAtMs === undefined || wakeAtMs < made.nowMs - 9 * yearMs
  t.ok(isOwn, "and it is woken by its host's own clock")
})

t.test("what a worker says is taken by the cluster's clock, not by its own", async (t) => {
  const made = new SmallCluster()
  made.startWorker('n2', { aheadMs: -10 * yearMs })
  made.startWorker('n3', { aheadMs: 10 * yearMs })
  made.advance(100)
  const task = { container: { image: 'good' }, networks: [], forceUpdate: 0 }
  const spec: ServiceSpec = {
    ...{ name: 'web', labels: {}, mode: { type: 'replicated', replicas: 3 }, task },
  }
  const id = asId<ServiceId>(made.submit({ type: 'service.create', spec }).id)
  made.advance(2_000)
  const since = [...made.view.tasksOfService(id)].map(({ status }) => status.runningSinceMs ?? 0)
  t.equal(since.length, 3)
  for (const sinceMs of since) t.ok(Math.abs(made.nowMs - sinceMs) < 10_000, `since ${sinceMs}`)
  const { version } = made.view.get('service', id) ?? {}
  const next = { ...spec, task: { ...task, forceUpdate: 1 } }
  made.submit({ type: 'service.update', id, version: version ?? 0, spec: next, rollback: false })
  made.advance(60_000)
  t.equal(made.view.get('service', id)?.updateStatus?.state, 'completed', 'an update goes on')
})
