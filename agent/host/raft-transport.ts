// Raft transport: carries raft's letters between managers, over the channel of the cluster.
//
//   control  raft        [from, to, letter]   one-way; votes and heartbeats leave first
//   bulk     raft.piece  [from, to, letter]   a piece of a snapshot, a request: answered when taken
//
// Like the post: a letter may be lost, late or superseded, and raft bears all three. So nothing here
// is retried. A piece is read from the disk only when the one before it has arrived, and travels on
// a connection of its own: a follower that catches up over a slow link, or a disk that takes its
// time, never holds up a heartbeat.
//
// Appends that follow upon each other in one turn of the event loop leave as one: with many writers
// that is one letter and one answer for all that came in with one read of the socket.
//
// A member's id is its node's, or `node.generation` for a node that came back after it was removed.
// The channel proves the node; a letter to an earlier self of this one is dropped.

import { CodedError, hasCode } from '../../core/base/error.ts'
import type { Log } from '../../core/base/note.ts'
import { nodeOfMember } from '../../core/object/node.ts'
import { raftLimits } from '../../core/raft/limits.ts'
import type { Entry, MemberId, Membership, Message, Outgoing } from '../../core/raft/types.ts'
import type { Peer, PeerHandlers } from '../../net/cluster/connection.ts'
import type { Peers } from '../../net/cluster/peers.ts'
import type { Address } from '../../net/cluster/tcp.ts'
import { raftSendOptions, readRaftMessage } from '../../net/wire/raft-messages.ts'
import { parseHostPort } from '../base/addresses.ts'

type Piece = Extract<Message, { readonly type: 'snapshotChunk' }>
type Append = Extract<Message, { readonly type: 'append' }>

export interface RaftTransportOptions {
  /** This member, once it is one: letters to anybody else are dropped. */
  readonly memberId: () => MemberId | undefined
  /** Who belongs to the cluster, in force: it says where members are found. */
  readonly membership: () => Membership | undefined
  readonly peers: () => Pick<Peers, 'send' | 'request' | 'setAddresses'>
  /** Reads the bytes of a piece, as `RaftStorage.readPiece` does. */
  readonly readPiece: (
    snapshotId: string,
    range: { readonly offset: number; readonly count: number },
  ) => Promise<Uint8Array>
  readonly receive: (from: MemberId, message: Message) => void
  readonly log: Log
}

export interface RaftTransport {
  /** Posts a letter. Never blocks and never throws for what the network or the disk does. */
  readonly send: (outgoing: Outgoing) => void
  /** For `createPeers`, among the rows of others. */
  readonly handlers: Pick<PeerHandlers, 'messages' | 'requests'>
  /**
   * Letters that were no letters (`garbage`), or for another member (`misdirected`); pieces that
   * arrived, that were lost, and that wait or travel now.
   */
  readonly counts: () => Readonly<Record<string, number>>
  readonly close: () => void
}

const letterKind = 'raft'
const pieceKind = 'raft.piece'
/** A piece of 512 KiB at 9 kB/s, slower than which no cluster lives. */
const pieceTimeoutMs = 60_000

/** What travels to one member on the bulk lane: one piece, and behind it at most the newest. */
interface PieceLine {
  current: Piece
  next: Piece | undefined
}

/** Appends to one member that wait for the end of this turn. */
interface Gathered {
  readonly head: Append
  readonly entries: Entry[]
  commit: number
  sizeBytes: number
}

/** Joins raft to the peers. Nothing is dialed before there is something to say. */
export function createRaftTransport(options: RaftTransportOptions): RaftTransport {
  const { log } = options
  const pieces = new Map<MemberId, PieceLine>()
  const closing = new AbortController()
  const counts = { garbage: 0, misdirected: 0, piecesSent: 0, piecesLost: 0 }
  const gathered = new Map<MemberId, Gathered>()
  let known: Membership | undefined

  /** Tells the peers where the members are, each time that the membership has changed. */
  const introduceMembers = (): void => {
    const membership = options.membership()
    if (membership === undefined || membership === known) return
    known = membership
    for (const { id, address } of membership.members) {
      const found = id === options.memberId() ? undefined : parseMemberAddress(address)
      if (found !== undefined) options.peers().setAddresses(nodeOfMember(id), [found])
    }
  }
  const carry = async (to: MemberId, piece: Piece): Promise<void> => {
    const from = options.memberId()
    const { snapshotId, offset, sizeBytes } = piece
    try {
      const data = await options.readPiece(snapshotId, { offset, count: sizeBytes })
      const letter = [from, to, { ...piece, data }]
      const how = { timeoutMs: pieceTimeoutMs, signal: closing.signal, lane: 'bulk' as const }
      await options.peers().request(nodeOfMember(to), pieceKind, letter, how)
      counts.piecesSent++
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      counts.piecesLost++
      // Raft sends it again by its own time-out; a disk that cannot be read needs somebody.
      const level = hasCode(error, 'damaged-data') ? 'error' : 'debug'
      log(level, 'raft.piece-lost', { to, snapshot: snapshotId, offset, reason: error.message })
    }
  }
  const carryAll = async (to: MemberId, line: PieceLine): Promise<void> => {
    for (;;) {
      await carry(to, line.current)
      if (line.next === undefined || closing.signal.aborted) break
      line.current = line.next
      line.next = undefined
    }
    pieces.delete(to)
  }
  const sendPiece = (to: MemberId, piece: Piece): void => {
    const line = pieces.get(to)
    if (line === undefined) {
      const started = { current: piece, next: undefined }
      pieces.set(to, started)
      carryAll(to, started).catch((error: unknown) => {
        pieces.delete(to)
        counts.piecesLost++
        log('error', 'raft.piece-failed', { to, reason: String(error) })
      })
    } else if (!isSamePiece(line.current, piece)) line.next = piece
  }

  const post = (from: MemberId, to: MemberId, message: Message): void => {
    options
      .peers()
      .send(nodeOfMember(to), letterKind, [from, to, message], raftSendOptions(message))
  }
  const postGathered = (from: MemberId, to: MemberId): void => {
    const waiting = gathered.get(to)
    if (waiting === undefined) return
    gathered.delete(to)
    const { head, entries, commit } = waiting
    post(from, to, { ...head, entries, commit })
  }
  const postAllGathered = (from: MemberId): void => {
    for (const to of [...gathered.keys()]) {
      try {
        postGathered(from, to)
      } catch (error) {
        if (!(error instanceof CodedError)) throw error
        log('error', 'raft.letter-unfit', { to, reason: error.message })
      }
    }
  }
  const gather = (from: MemberId, to: MemberId, append: Append): void => {
    const sizeBytes = append.entries.reduce((sum, entry) => sum + entry.sizeBytes, 0)
    const waiting = gathered.get(to)
    if (waiting !== undefined && continues(waiting, append, sizeBytes)) {
      waiting.entries.push(...append.entries)
      waiting.commit = append.commit
      waiting.sizeBytes += sizeBytes
      return
    }
    postGathered(from, to)
    if (gathered.size === 0) queueMicrotask(() => postAllGathered(from))
    const { commit } = append
    gathered.set(to, { head: append, entries: [...append.entries], commit, sizeBytes })
  }

  /** The letter and its sender, if it is one and for us. Throws bad-request or not-found. */
  const open = (peer: Peer, body: unknown): { from: MemberId; message: Message } => {
    try {
      const { from, to, message } = readLetter(body)
      if (nodeOfMember(from) !== peer.nodeId) {
        throw new CodedError('bad-request', `node ${peer.nodeId} writes as member ${from}`)
      }
      if (to === options.memberId()) return { from, message }
      counts.misdirected++
      throw new CodedError('not-found', `member ${to} is not (or no longer) here`)
    } catch (error) {
      if (hasCode(error, 'bad-request')) counts.garbage++
      throw error
    }
  }
  return {
    send: ({ to, message }) => {
      const from = options.memberId()
      if (closing.signal.aborted || from === undefined) return
      introduceMembers()
      if (message.type === 'snapshotChunk') return sendPiece(to, message)
      if (message.type === 'append') gather(from, to, message)
      else post(from, to, message)
    },
    handlers: {
      messages: {
        [letterKind]: {
          from: ['manager'],
          handle: (peer, body) => {
            const { from, message } = open(peer, body)
            options.receive(from, message)
          },
        },
      },
      requests: {
        [pieceKind]: {
          from: ['manager'],
          handle: async (peer, body) => {
            const { from, message } = open(peer, body)
            options.receive(from, message)
          },
        },
      },
    },
    counts: () => ({ ...counts, piecesUnderWay: pieces.size }),
    close: () => closing.abort(),
  }
}

/** True if the append says what comes right behind the waiting ones, and all fit in one letter. */
function continues(waiting: Gathered, append: Append, sizeBytes: number): boolean {
  const { head, entries } = waiting
  const { messageBytesMax, messageEntriesMax } = raftLimits
  return (
    append.prevIndex === head.prevIndex + entries.length &&
    append.prevTerm === (entries.at(-1)?.term ?? head.prevTerm) &&
    append.term === head.term &&
    append.epoch === head.epoch &&
    append.incarnation === head.incarnation &&
    entries.length + append.entries.length <= messageEntriesMax &&
    waiting.sizeBytes + sizeBytes <= messageBytesMax
  )
}

function isSamePiece(one: Piece, other: Piece): boolean {
  return one.snapshotId === other.snapshotId && one.offset === other.offset
}

function readLetter(body: unknown): { from: MemberId; to: MemberId; message: Message } {
  if (!Array.isArray(body) || typeof body[0] !== 'string' || typeof body[1] !== 'string') {
    throw new CodedError('bad-request', 'a raft letter must be a list: from, to, letter')
  }
  const message = readRaftMessage(body[2])
  if (message.type === 'snapshotChunk') {
    const { data, sizeBytes } = message
    if (!(data instanceof Uint8Array) || data.length !== sizeBytes) {
      throw new CodedError('bad-request', `a piece of ${sizeBytes} bytes comes with other bytes`)
    }
  }
  return { from: body[0], to: body[1], message }
}

/** An address that cannot be read is only a hint that is missing: the member may dial us. */
function parseMemberAddress(address: string): Address | undefined {
  try {
    return parseHostPort(address)
  } catch (error) {
    if (error instanceof CodedError) return undefined
    throw error
  }
}
