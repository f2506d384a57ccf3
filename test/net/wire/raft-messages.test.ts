// Raft's letters: what is sent arrives as it was, and what raft could not bear does not arrive.

import t from 'tap'
import { raftLimits } from '../../../core/raft/limits.ts'
import type { Message } from '../../../core/raft/types.ts'
import { decode, encode } from '../../../net/wire/codec.ts'
import { urgentBytesMax } from '../../../net/wire/outbox.ts'
import { raftSendOptions, readRaftMessage } from '../../../net/wire/raft-messages.ts'

const header = {
  term: 3,
  epoch: 'e1',
  incarnation: { counter: 2, nonce: 4_000_000_000, foundTerm: 0, foundIndex: 0 },
}
const epoch = { counter: 1, id: 'e1', parent: undefined }
const membership = {
  members: [{ id: 'n1', address: '10.0.0.1:2377', isVoter: true }],
  removed: ['n9'],
}
const seen = { n1: { counter: 1, nonce: 7, foundTerm: 0, foundIndex: 0 } }
const entries = [
  { type: 'normal', index: 5, term: 3, sizeBytes: 9, request: 'r1', data: { any: ['thing'] } },
  { type: 'config', index: 6, term: 3, sizeBytes: 9, data: membership },
  { type: 'noop', index: 7, term: 3, sizeBytes: 9, data: seen },
] as const
const snapshot = {
  ...{ id: 's1', sizeBytes: 10, index: 4, term: 2, membership, membershipIndex: 1, epoch, seen },
  requests: [{ request: 'r0', index: 1, term: 1 }],
}

const messages: readonly Message[] = [
  { ...header, type: 'preVote', nextTerm: 4, lastIndex: 7, lastTerm: 3 },
  { ...header, type: 'vote', lastIndex: 7, lastTerm: 3, isTransfer: false },
  { ...header, type: 'voteReply', isGranted: true },
  { ...header, type: 'append', prevIndex: 4, prevTerm: 2, commit: 4, entries },
  { ...header, type: 'appendRefusal', prevIndex: 4, hintIndex: 2, hintTerm: 1 },
  { ...header, type: 'commit', commit: 7 },
  {
    ...header,
    type: 'heartbeat',
    commit: 7,
    round: 9,
    sentAtTicks: 100,
    electionTicks: 10,
    promises: { n2: { counter: 3, term: 2, index: 6 } },
  },
  {
    ...{ ...header, type: 'snapshotChunk', snapshotId: 's1', snapshot, offset: 0, sizeBytes: 3 },
    data: new Uint8Array([1, 2, 3]),
  },
  { ...header, type: 'timeoutNow' },
  { ...header, type: 'introduction', starts: [header.incarnation] },
  {
    ...{ ...header, type: 'refused', reason: 'removed', about: header.incarnation },
    epochHere: { ...epoch, parent: 'e0' },
  },
]
for (const message of messages) {
  t.test(`${message.type} arrives as it was`, async (t) => {
    t.same(readRaftMessage(decode(encode(message))), message)
  })
}

const vote = { ...header, type: 'vote', lastIndex: 7, lastTerm: 3, isTransfer: false }
const append = { ...header, type: 'append', prevIndex: 4, prevTerm: 2, commit: 4 }
const wrongs: readonly { readonly name: string; readonly value: unknown; readonly why: RegExp }[] =
  [
    { name: 'no record', value: [1], why: /raft message must be a record/ },
    {
      name: 'an unknown type',
      value: { ...vote, type: 'coup' },
      why: /type must be one of preVote/,
    },
    {
      name: 'a type of the prototype',
      value: { ...vote, type: 'constructor' },
      why: /type must be/,
    },
    { name: 'a term below zero', value: { ...vote, term: -1 }, why: /term is -1/ },
    { name: 'half a term', value: { ...vote, term: 1.5 }, why: /term must be a whole number/ },
    { name: 'no incarnation', value: { ...vote, incarnation: null }, why: /incarnation must be/ },
    { name: 'a word for a flag', value: { ...vote, isTransfer: 'no' }, why: /isTransfer must be/ },
    { name: 'no entries', value: append, why: /entries must be a list, is undefined/ },
    { name: 'an entry that is none', value: { ...append, entries: [5] }, why: /entry must be/ },
    {
      name: 'members without addresses',
      value: {
        ...append,
        entries: [{ ...entries[1], data: { members: [{ id: 'a' }], removed: [] } }],
      },
      why: /address must be a text/,
    },
    {
      name: 'more entries than a message may have',
      value: { ...append, entries: Array(4_097).fill(entries[0]) },
      why: /entries has 4097 items, at most 4096/,
    },
  ]
for (const { name, value, why } of wrongs) {
  t.test(`${name} is refused`, async (t) => {
    t.throws(() => readRaftMessage(value), { code: 'bad-request', message: why })
  })
}

t.test('heartbeats and votes go first; of heartbeats only the newest waits', async (t) => {
  const optionsOf = (type: string) =>
    messages.filter((message) => message.type === type).map(raftSendOptions)[0]
  t.same(optionsOf('heartbeat'), { isUrgent: true, replaces: 'raft.heartbeat' })
  t.same(optionsOf('vote'), { isUrgent: true })
  t.same(optionsOf('commit'), { replaces: 'raft.commit' })
  t.same(optionsOf('append'), {})
})

t.test('an introduction with all the starts that are kept goes first', async (t) => {
  const start = { counter: 65_000, nonce: 2 ** 32 - 1, foundTerm: 2 ** 31, foundIndex: 2 ** 33 }
  const starts = Array.from({ length: raftLimits.startsKept }, () => start)
  const bytes = encode({ ...header, type: 'introduction', starts })
  t.ok(bytes.length <= urgentBytesMax, `${bytes.length} bytes`)
})
