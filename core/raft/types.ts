// The contract of core/raft: every event that goes in, every update that comes out.
//
// Raft here is a letter clerk with a stamp: it reads one letter at a time (`step(event)`), and hands
// back what to write in the book (`save`), what to post now (`send`), and what has become law
// (`committed`). It has no clock, no disk and no socket; the host is its hands.
//
// The rule that matters: a promise (a vote, an acknowledgement) may only be posted once the page
// it promises is dry. So raft keeps such letters back, and they come out of the update of the
// `persisted` event. A host cannot post them early, because it does not have them.
//
//   host                                    raft
//    |-- received, proposed, ticked ... -->  |
//    |<-- update { save: {id: 7}, send } --  |   write 7 to disk, post `send` at once
//    |          ... fdatasync ...            |   several operations may be in flight
//    |-- persisted { operation: 7 } ------>  |   in the order of their ids
//    |<-- update { send: acknowledgement } - |

import type { Note } from '../base/note.ts'
import type { Random } from '../base/random.ts'
import type { RaftLimits } from './limits.ts'

/** A unique text. An id that was removed is never taken again: who comes back, comes as another. */
export type MemberId = string

/** `address` is a hint for the transport, never the identity. */
export interface Member {
  readonly id: MemberId
  readonly address: string
  /** A learner receives the log, and neither votes nor counts. */
  readonly isVoter: boolean
}

/** Who belongs to the cluster. In force from the moment that its entry is appended. */
export interface Membership {
  readonly members: readonly Member[]
  /** Ids that were removed, newest last, bounded by `limits.removedKept`. */
  readonly removed: readonly MemberId[]
}

/** A line of descent of the cluster. `recoverState` starts a new one; messages of others are refused. */
export interface Epoch {
  readonly counter: number
  /** 128 random bits as text. */
  readonly id: string
  readonly parent: string | undefined
}

/** One start of one member. Two starts with the same counter betray a copied or rewound disk. */
export interface Incarnation {
  readonly counter: number
  readonly nonce: number
  /** The term, and the last index of the log, that this start found on its disk. */
  readonly foundTerm: number
  readonly foundIndex: number
}
export type Incarnations = Readonly<Record<MemberId, Incarnation>>

/**
 * What a member has promised: in its start `counter` or before, its disk held this term and, as
 * acknowledged to the leader of that term, the log up to `index`. Terms never go back, nor is the
 * log cut below that while the term lasts: a later start that finds less has an older disk.
 */
export interface Promised {
  readonly counter: number
  readonly term: number
  readonly index: number
}
export type Promises = Readonly<Record<MemberId, Promised>>

interface EntryBase {
  readonly index: number
  readonly term: number
  /** What the entry costs in memory and on the wire, as its proposer said. */
  readonly sizeBytes: number
  /** A retry with the same request id is answered with the first one's place. */
  readonly request?: string
}
export interface NormalEntry extends EntryBase {
  readonly type: 'normal'
  /** Plain data that only the host understands. */
  readonly data: unknown
}
export interface ConfigEntry extends EntryBase {
  readonly type: 'config'
  readonly data: Membership
}
/** The first entry of a leader's term; it also spreads which incarnations were seen. */
export interface NoopEntry extends EntryBase {
  readonly type: 'noop'
  readonly data: Incarnations
}
export type Entry = NormalEntry | ConfigEntry | NoopEntry

/** What a member must never forget, written as a whole. */
export interface HardState {
  readonly term: number
  readonly votedFor: MemberId | undefined
  /** A lower bound: restored as the highest of this and of all operations' `commit`. */
  readonly commit: number
  readonly epoch: Epoch
  readonly incarnation: Incarnation
  /** Earlier starts, newest first, bounded by `limits.startsKept`. */
  readonly starts: readonly Incarnation[]
  /** The highest incarnation seen of each peer; lower ones are refused. */
  readonly seen: Incarnations
  /** The furthest promise known of each peer: a lower bound, written when other things are. */
  readonly promises: Promises
}

/** What stands in a snapshot beside the host's data, as of its index. */
export interface SnapshotHead {
  readonly index: number
  readonly term: number
  readonly membership: Membership
  readonly membershipIndex: number
  readonly epoch: Epoch
  readonly seen: Incarnations
  /** Request ids of the last entries, oldest first, with their places. */
  readonly requests: readonly Placed[]
}
/** A snapshot that a host holds. `id` names its bytes (a digest): equal id, equal bytes. */
export interface Snapshot extends SnapshotHead {
  readonly id: string
  readonly sizeBytes: number
}
export interface Placed {
  readonly request: string
  readonly index: number
  readonly term: number
}

/** What a member starts from: made by `bootstrapState`, `joinState`, `recoverState`, or the disk. */
export interface Restored {
  readonly hardState: HardState
  readonly snapshot: Snapshot | undefined
  /** Without gaps, from at most `snapshot.index + 1` on. */
  readonly entries: readonly Entry[]
}

/**
 * One write. The host carries these out in the order of their ids, with one sync for as many as
 * wait, and answers each (or the last of a group) with `persisted`. Within one operation:
 * chunk, install, hardState, entries, in this order, and all or nothing after a crash.
 */
export interface StorageOperation {
  readonly id: number
  /** A lower bound, to be kept with whatever is written; never a reason for a write or a sync. */
  readonly commit: number
  readonly hardState?: HardState
  /** Drops every stored entry from `entries[0].index` on, then appends these. */
  readonly entries?: readonly Entry[]
  /** A piece of a snapshot on its way in: to be staged aside at `offset`; offset 0 starts afresh. */
  readonly chunk?: SnapshotPiece
  /**
   * This snapshot, now completely staged, takes the place of the whole stored log. In the operation
   * of `started` it is one that is stored already: only the log goes, because it ends before it.
   */
  readonly install?: Snapshot
  /** Entries up to this index are no longer needed: a snapshot that covers them is durable. */
  readonly compactTo?: number
}
export interface SnapshotPiece {
  readonly snapshotId: string
  readonly offset: number
  readonly sizeBytes: number
  readonly data: unknown
}

/** `ticks` of all times are of one length that the host chooses, the same for all members. */
export interface RaftConfig {
  readonly id: MemberId
  readonly heartbeatTicks: number
  /** A follower waits this long, up to twice as long, for its leader; adapted upwards to the link. */
  readonly electionTicks: number
  readonly limits: RaftLimits
  readonly random: Random
}

interface Header {
  readonly term: number
  /** The sender's `Epoch.id`. */
  readonly epoch: string
  readonly incarnation: Incarnation
}
export interface PreVote extends Header {
  readonly type: 'preVote'
  /** The term that the sender would campaign in. */
  readonly nextTerm: number
  readonly lastIndex: number
  readonly lastTerm: number
}
export interface PreVoteReply extends Header {
  readonly type: 'preVoteReply'
  readonly nextTerm: number
  readonly isGranted: boolean
}
export interface Vote extends Header {
  readonly type: 'vote'
  readonly lastIndex: number
  readonly lastTerm: number
  /** The old leader asked for this: a live leader is no reason to refuse. */
  readonly isTransfer: boolean
}
export interface VoteReply extends Header {
  readonly type: 'voteReply'
  readonly isGranted: boolean
}
export interface Append extends Header {
  readonly type: 'append'
  readonly prevIndex: number
  readonly prevTerm: number
  readonly commit: number
  readonly entries: readonly Entry[]
}
/** The log matches the leader's up to `match`, durably. */
export interface AppendReply extends Header {
  readonly type: 'appendReply'
  readonly match: number
}
/** No entry (prevIndex, prevTerm) here; the last that might match is (hintIndex, hintTerm). */
export interface AppendRefusal extends Header {
  readonly type: 'appendRefusal'
  readonly prevIndex: number
  readonly hintIndex: number
  readonly hintTerm: number
}
/** One-way news that the commit index moved. */
export interface Commit extends Header {
  readonly type: 'commit'
  readonly commit: number
}
export interface Heartbeat extends Header {
  readonly type: 'heartbeat'
  readonly commit: number
  /** Grows with every broadcast; an answer confirms reads asked for before it was sent. */
  readonly round: number
  readonly sentAtTicks: number
  /** The leader's election time-out, adapted to the link. */
  readonly electionTicks: number
  /** What the leader knows its followers and itself to have promised; empty if that was heard. */
  readonly promises: Promises
}
export interface HeartbeatReply extends Header {
  readonly type: 'heartbeatReply'
  readonly round: number
  readonly sentAtTicks: number
  readonly lastIndex: number
}
/** The host fills in `data` when it sends this. The head travels with offset 0 only. */
export interface SnapshotChunk extends Header {
  readonly type: 'snapshotChunk'
  readonly snapshotId: string
  readonly snapshot: Snapshot | undefined
  readonly offset: number
  readonly sizeBytes: number
  readonly data: unknown
}
/** The receiver is the authority on where to go on. */
export interface SnapshotChunkReply extends Header {
  readonly type: 'snapshotChunkReply'
  readonly snapshotId: string
  readonly nextOffset: number
}
export interface TimeoutNow extends Header {
  readonly type: 'timeoutNow'
}
/** Tells the sender of a stale request that the term has moved on. */
export interface TermNotice extends Header {
  readonly type: 'termNotice'
}
/** A new start names the ones before it, so that peers see whether it descends from the one they know. */
export interface Introduction extends Header {
  readonly type: 'introduction'
  readonly starts: readonly Incarnation[]
}
/** `about` is the incarnation that is refused, so that an old letter cannot stop a new start. */
export interface Refused extends Header {
  readonly type: 'refused'
  /** `unknown`: introduce yourself first. The others are final for the receiver. */
  readonly reason: 'epoch' | 'outdated' | 'removed' | 'unknown'
  readonly about: Incarnation
  readonly epochHere: Epoch
}
export type Message =
  | PreVote
  | PreVoteReply
  | Vote
  | VoteReply
  | Append
  | AppendReply
  | AppendRefusal
  | Commit
  | Heartbeat
  | HeartbeatReply
  | SnapshotChunk
  | SnapshotChunkReply
  | TimeoutNow
  | TermNotice
  | Introduction
  | Refused

export type MembershipChange =
  | { readonly type: 'addLearner'; readonly id: MemberId; readonly address: string }
  | { readonly type: 'promote'; readonly id: MemberId }
  | { readonly type: 'demote'; readonly id: MemberId }
  | { readonly type: 'remove'; readonly id: MemberId }
  | { readonly type: 'changeAddress'; readonly id: MemberId; readonly address: string }

export interface Proposal {
  readonly data: unknown
  readonly sizeBytes: number
  readonly request?: string
}

export type RaftEvent =
  /** Must come first. Nothing is sent before the start's own operation is durable. */
  | { readonly type: 'started' }
  | { readonly type: 'ticked'; readonly ticks: number }
  | { readonly type: 'received'; readonly from: MemberId; readonly message: Message }
  /** Every operation up to this id is durable. */
  | { readonly type: 'persisted'; readonly operation: number }
  | { readonly type: 'proposed'; readonly entries: readonly Proposal[] }
  /** `context` is the host's, and only handed back. */
  | { readonly type: 'readRequested'; readonly context: number }
  | { readonly type: 'membershipProposed'; readonly change: MembershipChange }
  | { readonly type: 'transferRequested'; readonly to?: MemberId }
  /** The host has a durable snapshot, headed by `raft.snapshotHead(index)`. */
  | { readonly type: 'snapshotTaken'; readonly snapshot: Snapshot }
  /** The transport lost or dropped messages to this member. */
  | { readonly type: 'unreachable'; readonly member: MemberId }
  | { readonly type: 'diskFull' }
  | { readonly type: 'diskFreed' }

export type RefusalReason =
  | 'not-started'
  | 'stopped'
  | 'not-leader'
  | 'transferring'
  | 'disk-full'
  | 'too-many-uncommitted'
  | 'too-many-reads'
  | 'too-large'
  | 'leadership-lost'
  | 'change-in-flight'
  | 'no-entry-of-own-term'
  | 'unknown-member'
  | 'already-member'
  | 'removed-before'
  | 'too-many-members'
  | 'not-a-learner'
  | 'not-a-voter'
  | 'learner-behind'
  | 'last-voter'
  | 'quorum-unreachable'
  | 'nobody-to-take-over'

/** `context` is given for reads. `text` names the value, the bound and the remedy. */
export interface Refusal {
  readonly what: 'proposal' | 'read' | 'membership' | 'transfer'
  readonly reason: RefusalReason
  readonly text: string
  readonly leaderId: MemberId | undefined
  readonly context?: number
}

/** Where a proposal stands in the log; `isDuplicate`: it stood there already. */
export interface Accepted {
  readonly index: number
  readonly term: number
  readonly isDuplicate: boolean
}

/**
 *   follower --time-out--> preCandidate --quorum--> candidate --quorum--> leader
 *      ^--- leader heard ------'---------------------'--- higher term -------'
 *   any --removed, or refused as outdated--> stopped
 */
export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader' | 'stopped'

export interface RoleState {
  readonly role: Role
  readonly term: number
  readonly leaderId: MemberId | undefined
}

/** `removed` and `outdated` are final; `superseded`: a younger epoch of this cluster is alive. */
export type Fate =
  | { readonly type: 'removed' }
  | { readonly type: 'outdated' }
  | { readonly type: 'superseded'; readonly epoch: Epoch }

export interface Outgoing {
  readonly to: MemberId
  readonly message: Message
}

/** Orders to the host, to be carried out in the order of the fields. */
export interface RaftUpdate {
  readonly save: StorageOperation | undefined
  /** To leave at once. `snapshotChunk` messages get their `data` from the host. */
  readonly send: readonly Outgoing[]
  /** Replace the state machine by this snapshot, which is staged, before applying `committed`. */
  readonly restore: Snapshot | undefined
  /** Newly committed, in order, without gaps: to be applied now. */
  readonly committed: readonly Entry[]
  /** One for each entry of the `proposed` event, or for the membership change. */
  readonly accepted: readonly Accepted[]
  /** Confirmed: may be served as soon as everything up to `index` is applied. */
  readonly reads: readonly { readonly context: number; readonly index: number }[]
  readonly refused: readonly Refusal[]
  /** Present when role, term or leader changed. */
  readonly role: RoleState | undefined
  readonly fate: Fate | undefined
  readonly notes: readonly Note[]
  /** Ticks until raft has something to do by itself; undefined: never. */
  readonly wakeTicks: number | undefined
}

/** A follower in its leader's eyes, for inspection. */
export interface FollowerStatus {
  readonly id: MemberId
  readonly state: 'probe' | 'replicate' | 'snapshot'
  readonly match: number
  readonly next: number
  readonly heardTicksAgo: number
}

/** The machine. Its state is its own; what can be read of it is here. */
export interface Raft {
  /**
   * `elapsedTicks` passed since the last step, for an event other than `ticked`: it keeps what
   * raft measures exact. Timers are looked at by `ticked` alone.
   */
  readonly step: (event: RaftEvent, elapsedTicks?: number) => RaftUpdate
  readonly id: MemberId
  readonly role: Role
  readonly term: number
  readonly leaderId: MemberId | undefined
  readonly epoch: Epoch
  readonly incarnation: Incarnation
  readonly firstIndex: number
  readonly lastIndex: number
  readonly commit: number
  /** In force: of the newest entry of its kind, committed or not. */
  readonly membership: Membership
  readonly committedMembership: Membership
  /** The newest snapshot that raft knows of. */
  readonly snapshot: Snapshot | undefined
  /** Ids of snapshots that are being sent: the host keeps their files. */
  readonly snapshotsInUse: readonly string[]
  readonly followers: readonly FollowerStatus[]
  /** No follower that has heard of its leader turns from it in less than this. */
  readonly electionTicksMin: number
  readonly votedFor: MemberId | undefined
  readonly seen: Incarnations
  readonly termAt: (index: number) => number | undefined
  readonly entryAt: (index: number) => Entry | undefined
  /** What must stand in a snapshot taken at `index`, which is committed and not compacted. */
  readonly snapshotHead: (index: number) => SnapshotHead
}
