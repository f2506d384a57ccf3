// Raft's letters on the wire: each is checked, field by field, before raft sees it, for raft asserts
// what only a bug can break, and a peer's bug must not be ours. And how each letter travels: votes
// and heartbeats ahead of all else, and of those that only say how things stand, the newest alone.

import type { NodeId } from '../../core/base/id.ts'
import type {
  Entry,
  Epoch,
  Incarnation,
  Incarnations,
  Membership,
  Message,
  Promises,
  Snapshot,
} from '../../core/raft/types.ts'
import {
  type Fields,
  readBytes,
  readCount,
  readFields,
  readFlag,
  readList,
  readOptional,
  readText,
  readWord,
} from './check.ts'
import type { SendOptions } from './outbox.ts'

type Type = Message['type']
type Header = 'type' | 'term' | 'epoch' | 'incarnation'
type Body<T extends Type> = Omit<Extract<Message, { readonly type: T }>, Header>

const idCharactersMax = 64
const addressCharactersMax = 300
const listMax = 4_096
const chunkBytesMax = 4 * 1024 * 1024

/** How each type is read, and how it is sent. */
const table: {
  readonly [T in Type]: {
    readonly read: (fields: Fields) => Body<T>
    readonly send: SendOptions
  }
} = {
  preVote: { read: (f) => ({ nextTerm: count(f, 'nextTerm'), ...lastOf(f) }), send: urgent() },
  preVoteReply: {
    read: (f) => ({ nextTerm: count(f, 'nextTerm'), isGranted: readFlag(f, 'isGranted') }),
    send: urgent(),
  },
  vote: { read: (f) => ({ ...lastOf(f), isTransfer: readFlag(f, 'isTransfer') }), send: urgent() },
  voteReply: { read: (f) => ({ isGranted: readFlag(f, 'isGranted') }), send: urgent() },
  append: {
    read: (f) => ({
      prevIndex: count(f, 'prevIndex'),
      prevTerm: count(f, 'prevTerm'),
      commit: count(f, 'commit'),
      entries: readList(f, 'entries', { max: listMax, item: readEntry }),
    }),
    send: {},
  },
  appendReply: { read: (f) => ({ match: count(f, 'match') }), send: urgent() },
  appendRefusal: {
    read: (f) => ({
      prevIndex: count(f, 'prevIndex'),
      hintIndex: count(f, 'hintIndex'),
      hintTerm: count(f, 'hintTerm'),
    }),
    send: urgent(),
  },
  commit: { read: (f) => ({ commit: count(f, 'commit') }), send: { replaces: 'raft.commit' } },
  heartbeat: {
    read: (f) => ({
      commit: count(f, 'commit'),
      round: count(f, 'round'),
      sentAtTicks: count(f, 'sentAtTicks'),
      electionTicks: count(f, 'electionTicks'),
      promises: readPromises(f['promises']),
    }),
    send: urgent('raft.heartbeat'),
  },
  heartbeatReply: {
    read: (f) => ({
      round: count(f, 'round'),
      sentAtTicks: count(f, 'sentAtTicks'),
      lastIndex: count(f, 'lastIndex'),
    }),
    send: urgent('raft.heartbeatReply'),
  },
  snapshotChunk: {
    read: (f) => ({
      snapshotId: text(f, 'snapshotId'),
      snapshot: readOptional(f, 'snapshot', () => readSnapshot(f['snapshot'])),
      offset: count(f, 'offset'),
      sizeBytes: count(f, 'sizeBytes'),
      data: readBytes(f, 'data', { max: chunkBytesMax }),
    }),
    send: {},
  },
  snapshotChunkReply: {
    read: (f) => ({ snapshotId: text(f, 'snapshotId'), nextOffset: count(f, 'nextOffset') }),
    send: urgent(),
  },
  timeoutNow: { read: () => ({}), send: urgent() },
  termNotice: { read: () => ({}), send: urgent('raft.termNotice') },
  introduction: {
    read: (f) => ({ starts: readList(f, 'starts', { max: listMax, item: readIncarnation }) }),
    send: urgent(),
  },
  refused: {
    read: (f) => ({
      reason: readWord(f, 'reason', ['epoch', 'outdated', 'removed', 'unknown']),
      about: readIncarnation(f['about']),
      epochHere: readEpoch(f['epochHere']),
    }),
    send: urgent(),
  },
}

/** A letter as a peer has sent it. Throws bad-request, naming the field. */
export function readRaftMessage(value: unknown): Message {
  const fields = readFields(value, 'raft message')
  const type = readWord(fields, 'type', Object.keys(table) as Type[])
  const header = {
    term: count(fields, 'term'),
    epoch: text(fields, 'epoch'),
    incarnation: readIncarnation(fields['incarnation']),
  }
  // The row's body and its type belong together, which the compiler cannot see through the index.
  return { type, ...header, ...table[type].read(fields) } as Message
}

/** How a letter is to be sent. */
export function raftSendOptions(message: Message): SendOptions {
  return table[message.type].send
}

function urgent(replaces?: string): SendOptions {
  return replaces === undefined ? { isUrgent: true } : { isUrgent: true, replaces }
}

function count(fields: Fields, name: string): number {
  return readCount(fields, name)
}

function text(fields: Fields, name: string): string {
  return readText(fields, name, idCharactersMax)
}

function lastOf(fields: Fields): { readonly lastIndex: number; readonly lastTerm: number } {
  return { lastIndex: count(fields, 'lastIndex'), lastTerm: count(fields, 'lastTerm') }
}

function readIncarnation(value: unknown): Incarnation {
  const fields = readFields(value, 'incarnation')
  return {
    counter: count(fields, 'counter'),
    nonce: count(fields, 'nonce'),
    foundTerm: count(fields, 'foundTerm'),
    foundIndex: count(fields, 'foundIndex'),
  }
}

function readPromises(value: unknown): Promises {
  const rows = Object.entries(readFields(value, 'promises')).slice(0, listMax)
  return Object.fromEntries(
    rows.map(([id, row]) => {
      const fields = readFields(row, 'promise')
      const counter = count(fields, 'counter')
      return [id, { counter, term: count(fields, 'term'), index: count(fields, 'index') }]
    }),
  )
}

function readIncarnations(value: unknown): Incarnations {
  const rows = Object.entries(readFields(value, 'incarnations')).slice(0, listMax)
  return Object.fromEntries(rows.map(([id, row]) => [id as NodeId, readIncarnation(row)]))
}

/** Reads an epoch. Throws bad-request. */
export function readEpoch(value: unknown): Epoch {
  const fields = readFields(value, 'epoch')
  const parent = readOptional(fields, 'parent', () => text(fields, 'parent'))
  return { counter: count(fields, 'counter'), id: text(fields, 'id'), parent }
}

function readMembership(value: unknown): Membership {
  const fields = readFields(value, 'membership')
  const members = readList(fields, 'members', {
    max: listMax,
    item: (member) => {
      const row = readFields(member, 'member')
      const address = readText(row, 'address', addressCharactersMax)
      return { id: text(row, 'id'), address, isVoter: readFlag(row, 'isVoter') }
    },
  })
  const removed = readList(fields, 'removed', {
    max: listMax,
    item: (id) => readText({ removed: id }, 'removed', idCharactersMax),
  })
  return { members, removed }
}

/** The data of a normal entry is the host's; it is checked where it is understood. */
function readEntry(value: unknown): Entry {
  const fields = readFields(value, 'entry')
  const request = readOptional(fields, 'request', () => readText(fields, 'request', 256))
  const base = {
    index: count(fields, 'index'),
    term: count(fields, 'term'),
    sizeBytes: count(fields, 'sizeBytes'),
    ...(request === undefined ? {} : { request }),
  }
  const type = readWord(fields, 'type', ['normal', 'config', 'noop'])
  if (type === 'config') return { ...base, type, data: readMembership(fields['data']) }
  if (type === 'noop') return { ...base, type, data: readIncarnations(fields['data']) }
  return { ...base, type, data: fields['data'] }
}

function readSnapshot(value: unknown): Snapshot {
  const fields = readFields(value, 'snapshot')
  const requests = readList(fields, 'requests', {
    max: listMax,
    item: (placed) => {
      const row = readFields(placed, 'request')
      const request = readText(row, 'request', 256)
      return { request, index: count(row, 'index'), term: count(row, 'term') }
    },
  })
  return {
    id: text(fields, 'id'),
    sizeBytes: count(fields, 'sizeBytes'),
    index: count(fields, 'index'),
    term: count(fields, 'term'),
    membership: readMembership(fields['membership']),
    membershipIndex: count(fields, 'membershipIndex'),
    epoch: readEpoch(fields['epoch']),
    seen: readIncarnations(fields['seen']),
    requests,
  }
}
