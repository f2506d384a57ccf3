// Who may talk to us: members of our epoch, in their newest incarnation, not removed.
//
// Each start of a member raises a durable counter and draws a nonce. Peers write down the newest
// they saw, before they act on anything that it says. A newer start is believed only if it can name
// the one they know among its predecessors; a fork of that history is a wiped disk, a restored
// image or the twin of a copied disk, which must not vote with a memory that it lost. An image of
// the same start is no fork, but it holds less than that start had promised: a leader tells
// everyone what each has promised, and a new start must find as much on its disk.

import { appendNoop } from './leader.ts'
import {
  distrust,
  isBroken,
  isMember,
  isSameStart,
  membershipAt,
  mergeSeen,
  note,
  noteAcknowledged,
  type RaftState,
  send,
  stop,
} from './state.ts'
import type { MemberId, Message, Refused } from './types.ts'

/** True if the message may be acted on now. If not it was answered, put off or dropped. */
export function admit(state: RaftState, from: MemberId, message: Message): boolean {
  if (message.type === 'refused') {
    onRefused(state, from, message)
    return false
  }
  if (message.epoch !== state.epoch.id) {
    refuseSender(state, from, message, 'epoch')
    return false
  }
  if (!isMember(state, from) && isRemoved(state, from)) {
    refuseSender(state, from, message, 'removed')
    return false
  }
  if (!isKnownStart(state, from, message)) return false
  const waiting = state.deferred.get(from)
  if (waiting === undefined) return true
  if (waiting.length < state.config.limits.deferredMax) waiting.push(message)
  return false
}

/** True if the message is of the start that we know, and have written down. */
function isKnownStart(state: RaftState, from: MemberId, message: Message): boolean {
  const { incarnation } = message
  const last = state.seen[from]
  if (last !== undefined && isSameStart(last, incarnation)) return true
  noteAcknowledged(state, from)
  const known = state.seen[from]
  const before = state.seen
  if (known === undefined || isDescendant(state, from, message)) {
    mergeSeen(state, { [from]: incarnation })
    // The new start is written down first; then what it said is read.
    state.deferred.set(from, [message])
    state.out.introduced.push(from)
  } else if (message.incarnation.counter > known.counter && message.type !== 'introduction') {
    refuseSender(state, from, message, 'unknown')
  } else {
    // A fork of its history is a copied, wiped or rewound disk; a lower start may be an old letter.
    if (incarnation.counter >= known.counter) distrust(state, from)
    refuseSender(state, from, message, 'outdated')
  }
  if (state.leader !== undefined && state.seen !== before) appendNoop(state)
  return false
}

/** True if the sender names the start that we know at its place, and broke no promise since. */
function isDescendant(state: RaftState, from: MemberId, message: Message): boolean {
  const known = state.seen[from]
  if (known === undefined || message.type !== 'introduction') return false
  const { incarnation, starts } = message
  const distance = incarnation.counter - known.counter
  const named = starts[distance - 1]
  if (named === undefined || !isSameStart(named, known)) return false
  const later = [incarnation, ...starts.slice(0, distance - 1)]
  return !later.some((each) => isBroken(state.promises[from], each))
}

/** Tells a peer of which starts ours is the successor. */
export function introduce(state: RaftState, to: MemberId): void {
  send(state, to, { type: 'introduction', starts: state.starts })
}

function isRemoved(state: RaftState, id: MemberId): boolean {
  return membershipAt(state, state.commit).membership.removed.includes(id)
}

function refuseSender(
  state: RaftState,
  to: MemberId,
  message: Message,
  reason: Refused['reason'],
): void {
  note(state, 'raft.refused-sender', { from: to, reason })
  send(state, to, {
    type: 'refused',
    reason,
    about: message.incarnation,
    epochHere: state.epoch,
  })
}

/** Somebody does not take us for what we think we are. */
function onRefused(state: RaftState, from: MemberId, message: Refused): void {
  if (!isSameStart(message.about, state.incarnation)) return
  if (message.reason === 'unknown') {
    introduce(state, from)
    return
  }
  if (message.reason === 'epoch') {
    const { epochHere } = message
    if (epochHere.parent !== state.epoch.id || state.isSupersededTold) return
    state.isSupersededTold = true
    state.out.fate = { type: 'superseded', epoch: epochHere }
    return
  }
  if (message.epoch === state.epoch.id) stop(state, { type: message.reason })
}
