// The host's view of one member: what it is handed back for what it hands in.

import t from 'tap'
import { numberedRandom } from '../../../core/base/random.ts'
import { bootstrapState } from '../../../core/raft/birth.ts'
import { raftLimits } from '../../../core/raft/limits.ts'
import { createRaft } from '../../../core/raft/raft.ts'
import type { Append, Raft, RaftEvent, RaftUpdate, Restored } from '../../../core/raft/types.ts'

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

const three = {
  members: ['a', 'b', 'c'].map((id) => ({ id, address: `${id}:1`, isVoter: true })),
  removed: [],
}

/** A member that is durable as soon as it writes. */
function startedRaft(restored: Restored, id = 'a'): Raft {
  const raft = createRaft({ ...config, id, random: numberedRandom(2) }, restored)
  raft.step({ type: 'persisted', operation: idOf(raft.step({ type: 'started' })) })
  return raft
}

const requests: readonly { readonly event: RaftEvent; readonly what: string }[] = [
  { event: { type: 'proposed', entries: [{ data: 'x', sizeBytes: 1 }] }, what: 'proposal' },
  { event: { type: 'readRequested', context: 1 }, what: 'read' },
  {
    event: { type: 'membershipProposed', change: { type: 'remove', id: 'b' } },
    what: 'membership',
  },
  { event: { type: 'transferRequested' }, what: 'transfer' },
]

t.test('a member refuses every request before its start is durable', async (t) => {
  const raft = createRaft(config, bootstrapState({ membership: three, epoch }))
  raft.step({ type: 'started' })
  for (const { event, what } of requests) {
    const { refused } = raft.step(event)
    t.match(refused, [{ what, reason: 'not-started' }])
  }
  raft.step({ type: 'diskFull' })
  raft.step({ type: 'diskFreed' })
  t.throws(() => raft.step({ type: 'started' }), /starts once/)
})

t.test('a follower refuses every request and names the leader it knows', async (t) => {
  const raft = startedRaft(bootstrapState({ membership: three, epoch }))
  for (const { event, what } of requests) {
    const { refused } = raft.step(event)
    t.match(refused, [{ what, reason: 'not-leader', leaderId: undefined }])
  }
})

t.test('a removed member stops for good and says so', async (t) => {
  const raft = startedRaft(bootstrapState({ membership: three, epoch }))
  const header = {
    term: 5,
    epoch: epoch.id,
    incarnation: { counter: 1, nonce: 9, foundTerm: 0, foundIndex: 0 },
  }
  const about = raft.incarnation
  const message = {
    ...header,
    type: 'refused',
    reason: 'removed',
    about,
    epochHere: epoch,
  } as const
  const update = raft.step({ type: 'received', from: 'b', message })
  t.same(update.fate, { type: 'removed' })
  t.equal(raft.role, 'stopped')
  t.equal(update.wakeTicks, undefined, 'it never wakes')
  for (const { event, what } of requests) {
    t.match(raft.step(event).refused, [{ what, reason: 'stopped' }])
  }
  const old = { ...message, about: { counter: 0, nonce: 1, foundTerm: 0, foundIndex: 0 } }
  t.equal(raft.step({ type: 'received', from: 'b', message: old }).fate, undefined)
})

t.test('a refusal of an earlier start does not stop this one', async (t) => {
  const raft = startedRaft(bootstrapState({ membership: three, epoch }))
  const header = {
    term: 5,
    epoch: epoch.id,
    incarnation: { counter: 1, nonce: 9, foundTerm: 0, foundIndex: 0 },
  }
  const about = { counter: 7, nonce: 7, foundTerm: 0, foundIndex: 0 }
  const message = {
    ...header,
    type: 'refused',
    reason: 'outdated',
    about,
    epochHere: epoch,
  } as const
  t.equal(raft.step({ type: 'received', from: 'b', message }).fate, undefined)
  t.equal(raft.role, 'follower')
})

t.test('messages of a new member are read after its start is written down', async (t) => {
  const raft = startedRaft(bootstrapState({ membership: three, epoch }))
  const header = {
    term: 4,
    epoch: epoch.id,
    incarnation: { counter: 1, nonce: 9, foundTerm: 0, foundIndex: 0 },
  }
  const beat = {
    type: 'heartbeat',
    commit: 1,
    sentAtTicks: 0,
    electionTicks: 50,
    promises: {},
  } as const
  const first = raft.step({
    type: 'received',
    from: 'b',
    message: { ...header, ...beat, round: 1 },
  })
  t.same(first.send, [])
  t.same(first.save?.hardState?.seen, { b: header.incarnation })
  t.same(
    raft.step({ type: 'received', from: 'b', message: { ...header, ...beat, round: 2 } }).send,
    [],
  )
  const { send } = raft.step({ type: 'persisted', operation: idOf(first) })
  t.same(
    send.map(({ message }) => message.type === 'heartbeatReply' && message.round),
    [1, 2],
  )
  t.equal(raft.leaderId, 'b')
})

t.test('a log that lost committed entries is refused, and says what to do', async (t) => {
  const restored = bootstrapState({ membership: three, epoch })
  const hardState = { ...restored.hardState, commit: 7 }
  t.throws(() => createRaft(config, { ...restored, hardState }), {
    code: 'damaged-data',
    message: /ends at entry 1, but entry 7 was committed/,
  })
})

/** A disk with a snapshot at `index`, and entries of term 1 from `first` to `last`. */
function diskWith(given: { index: number; first: number; last: number }): Restored {
  const { hardState } = bootstrapState({ membership: three, epoch })
  const { index, first, last } = given
  const entries = Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => {
    return { type: 'normal', index: first + at, term: 1, sizeBytes: 1, data: at } as const
  })
  const head = {
    index,
    term: 1,
    membership: three,
    membershipIndex: 1,
    epoch,
    seen: {},
    requests: [],
  }
  return { hardState, snapshot: { ...head, id: 's', sizeBytes: 1 }, entries }
}

t.test('a restart finds its log wherever the compaction left it', async (t) => {
  const cases = [
    {
      name: 'entries right behind the snapshot',
      given: { index: 5, first: 6, last: 9 },
      want: [6, 9],
    },
    { name: 'entries from before it', given: { index: 5, first: 3, last: 9 }, want: [4, 9] },
    { name: 'nothing but the snapshot', given: { index: 5, first: 6, last: 5 }, want: [6, 5] },
    { name: 'a log that ends before it', given: { index: 5, first: 2, last: 4 }, want: [6, 5] },
  ]
  for (const { name, given, want } of cases) {
    const raft = createRaft(config, diskWith(given))
    const started = raft.step({ type: 'started' })
    t.same([raft.firstIndex, raft.lastIndex], want, name)
    const isStale = given.last <= given.index
    t.equal(started.save?.install?.id, isStale ? 's' : undefined, `${name}: the stored log goes`)
    t.equal(raft.commit, 5)
    t.equal(raft.snapshot?.id, 's')
    t.same(raft.membership, three)
    t.same(raft.committedMembership, three)
    t.same(raft.snapshotHead(5).membership, three)
    t.equal(raft.termAt(5), 1)
    t.same([raft.votedFor, raft.epoch, raft.seen, raft.followers], [undefined, epoch, {}, []])
    t.same([raft.snapshotsInUse, raft.entryAt(1), raft.id], [[], undefined, 'a'])
  }
})

t.test('a leader hands over to nobody who cannot lead', async (t) => {
  const alone = { members: [{ id: 'a', address: 'a:1', isVoter: true }], removed: [] }
  const raft = startedRaft(bootstrapState({ membership: alone, epoch }))
  const voted = raft.step({ type: 'ticked', ticks: 1 })
  raft.step({ type: 'persisted', operation: idOf(voted) })
  const reasons = (to?: string): string[] => {
    const event = { type: 'transferRequested' } as const
    const { refused } = raft.step(to === undefined ? event : { ...event, to })
    return refused.map(({ reason }) => reason)
  }
  t.same(reasons(), ['nobody-to-take-over'])
  t.same(reasons('x'), ['unknown-member'])
  t.same(reasons('a'), [], 'it leads already')
})

t.test('the oldest requests are forgotten, but never one that may still be cut', async (t) => {
  const alone = { members: [{ id: 'a', address: 'a:1', isVoter: true }], removed: [] }
  const limits = { ...raftLimits, requestsKept: 2 }
  const raft = createRaft({ ...config, limits }, bootstrapState({ membership: alone, epoch }))
  raft.step({ type: 'persisted', operation: idOf(raft.step({ type: 'started' })) })
  raft.step({ type: 'persisted', operation: idOf(raft.step({ type: 'ticked', ticks: 1 })) })
  const propose = (request: string): RaftUpdate =>
    raft.step({ type: 'proposed', entries: [{ data: request, sizeBytes: 1, request }] })
  const updates = ['r1', 'r2', 'r3'].map(propose)
  t.equal(propose('r1').accepted[0]?.isDuplicate, true, 'uncommitted: none is forgotten')
  const last = updates.at(-1)
  if (last !== undefined) raft.step({ type: 'persisted', operation: idOf(last) })
  t.equal(propose('r3').accepted[0]?.isDuplicate, true)
  t.equal(propose('r1').accepted[0]?.isDuplicate, false, 'forgotten since')
})

t.test('limits that contradict each other are a bug', async (t) => {
  const restored = bootstrapState({ membership: three, epoch })
  const broken = { ...raftLimits, uncommittedBytesMax: 1 }
  t.throws(() => createRaft({ ...config, limits: broken }, restored), /can be uncommitted/)
  t.throws(() => createRaft({ ...config, electionTicks: 5 }, restored), /takes longer/)
})

/** A follower that hears leader b of term 5; its log ends in a tail that b does not have. */
function followerWithTail(): { raft: Raft; append: (append: Partial<Append>) => RaftUpdate } {
  const restored = bootstrapState({ membership: three, epoch })
  const tail = [1, 1, 2, 2, 2].map(
    (term, at) => ({ type: 'normal', index: at + 2, term, sizeBytes: 1, data: at }) as const,
  )
  const hardState = { ...restored.hardState, term: 4 }
  const incarnation = { counter: 1, nonce: 9, foundTerm: 0, foundIndex: 0 }
  const known = { ...hardState, seen: { b: incarnation } }
  const raft = startedRaft({
    ...restored,
    hardState: known,
    entries: [...restored.entries, ...tail],
  })
  const plain = { type: 'append', term: 5, epoch: epoch.id, incarnation, commit: 0 } as const
  const append = (fields: Partial<Append>): RaftUpdate => {
    const message = { ...plain, prevIndex: 1, prevTerm: 1, entries: [], ...fields }
    const update = raft.step({ type: 'received', from: 'b', message })
    if (update.save === undefined) return update
    return raft.step({ type: 'persisted', operation: update.save.id })
  }
  return { raft, append }
}

t.test('a follower acknowledges what the append covers, not what else it has', async (t) => {
  const { raft, append } = followerWithTail()
  const entry = { type: 'normal', index: 2, term: 1, sizeBytes: 1, data: 0 } as const
  t.match(append({ entries: [entry] }).send, [{ message: { type: 'appendReply', match: 2 } }])
  t.equal(raft.lastIndex, 6, 'nothing conflicts: the tail stays until it does')
})

t.test('a follower commits no more than the append covers', async (t) => {
  const { raft, append } = followerWithTail()
  const entry = { type: 'normal', index: 2, term: 1, sizeBytes: 1, data: 0 } as const
  append({ entries: [entry], commit: 6 })
  t.equal(raft.commit, 2)
})
