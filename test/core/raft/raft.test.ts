// The host's view of one member: what it is handed back for what it hands in.

import t from 'tap'
import { numberedRandom } from '../../../core/base/random.ts'
import { bootstrapState } from '../../../core/raft/birth.ts'
import { raftLimits } from '../../../core/raft/limits.ts'
import { createRaft } from '../../../core/raft/raft.ts'
import type { RaftUpdate } from '../../../core/raft/types.ts'

const epoch = { counter: 1, id: 'epoch-1', parent: undefined }
const config = {
  id: 'a',
  heartbeatTicks: 10,
  electionTicks: 50,
  limits: raftLimits,
  random: numberedRandom(1),
}

function idOf(update: RaftUpdate): number {
  if (update.save === undefined) throw new Error('the update saves nothing')
  return update.save.id
}

t.test('the only voter elects itself at its first tick and commits what is durable', async (t) => {
  const membership = { members: [{ id: 'a', address: 'a:1', isVoter: true }], removed: [] }
  const raft = createRaft(config, bootstrapState({ membership, epoch }))
  const started = raft.step({ type: 'started' })
  t.equal(started.committed.length, 1, 'the founding configuration is committed')
  t.equal(raft.step({ type: 'ticked', ticks: 1000 }).save, undefined, 'not before it has started')
  raft.step({ type: 'persisted', operation: idOf(started) })
  const voted = raft.step({ type: 'ticked', ticks: 1 })
  t.equal(voted.save?.hardState?.votedFor, 'a')
  t.equal(raft.role, 'candidate', 'its own vote counts once it is durable')
  const elected = raft.step({ type: 'persisted', operation: idOf(voted) })
  t.equal(elected.role?.role, 'leader')
  t.equal(elected.save?.entries?.[0]?.type, 'noop')
  const proposed = raft.step({ type: 'proposed', entries: [{ data: 'x', sizeBytes: 1 }] })
  t.same(proposed.accepted, [{ index: 3, term: 2, isDuplicate: false }])
  t.same(proposed.committed, [], 'not committed before it is durable')
  raft.step({ type: 'readRequested', context: 7 })
  const done = raft.step({ type: 'persisted', operation: idOf(proposed) })
  t.same(
    done.committed.map((entry) => entry.type),
    ['noop', 'normal'],
  )
  t.same(done.reads, [{ context: 7, index: 2 }])
})
