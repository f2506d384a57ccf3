// Who may talk to us: members of our epoch, in their newest incarnation, not removed.
//
// Each start of a member raises a durable counter and draws a nonce. Peers write down the highest
// they saw, before they act on anything that it says, and refuse the rest: so a wiped disk, a
// restored image, or the twin of a copied disk cannot vote with a memory that it lost.

import { appendNoop } from './leader.ts'
import {
  isMember,
  isSameStart,
  membershipAt,
  mergeSeen,
  note,
  type RaftState,
  send,
  stop,
} from './state.ts'
import type { MemberId, Message, Refused } from './types.ts'

/** True if the message may be acted on now. If not it was answered, put off or dropped. */
export function admit(state: RaftState, from: MemberId, message: Message): boolean {
  if (message.type === 'refused') {
    onRefused(state, message)
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
  const known = state.seen[from]
  if (known === undefined || !isSameStart(known, message.incarnation)) {
    const before = state.seen
    mergeSeen(state, { [from]: message.incarnation })
    if (state.leader !== undefined && state.seen !== before) appendNoop(state)
    const now = state.seen[from]
    if (now === undefined || !isSameStart(now, message.incarnation)) {
      refuseSender(state, from, message, 'outdated')
      return false
    }
    // The new start is written down first; then what it said is read.
    state.deferred.set(from, [message])
    state.out.introduced.push(from)
    return false
  }
  const waiting = state.deferred.get(from)
  if (waiting === undefined) return true
  if (waiting.length < state.config.limits.deferredMax) waiting.push(message)
  return false
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
function onRefused(state: RaftState, message: Refused): void {
  if (!isSameStart(message.about, state.incarnation)) return
  if (message.reason === 'epoch') {
    const { epochHere } = message
    if (epochHere.parent !== state.epoch.id || state.isSupersededTold) return
    state.isSupersededTold = true
    state.out.fate = { type: 'superseded', epoch: epochHere }
    return
  }
  if (message.epoch === state.epoch.id) stop(state, { type: message.reason })
}
