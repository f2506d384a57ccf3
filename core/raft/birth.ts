// The three ways in which a member begins without a disk of its own: founding a cluster, joining
// one, and going on alone after the majority is lost for good. The host writes the result down as
// a whole before it makes a raft of it.

import { assert } from '../base/assert.ts'
import { membershipSizeBytes } from './membership.ts'
import type { Entry, Epoch, HardState, MemberId, Membership, Restored } from './types.ts'

function hardState(epoch: Epoch, term: number, commit: number): HardState {
  const incarnation = { counter: 0, nonce: 0, foundTerm: 0, foundIndex: 0 }
  return {
    term,
    votedFor: undefined,
    commit,
    epoch,
    incarnation,
    starts: [],
    seen: {},
    promises: {},
  }
}

/** A new cluster. Founders of several members must all start from the very same arguments. */
export function bootstrapState(founding: {
  readonly membership: Membership
  readonly epoch: Epoch
}): Restored {
  const { membership, epoch } = founding
  assert(
    membership.members.some((member) => member.isVoter),
    'a cluster has at least 1 voter',
  )
  const sizeBytes = membershipSizeBytes(membership)
  const first: Entry = { type: 'config', index: 1, term: 1, sizeBytes, data: membership }
  return { hardState: hardState(epoch, 1, 1), snapshot: undefined, entries: [first] }
}

/** A member to be: it knows only the epoch, and waits for its leader. */
export function joinState(epoch: Epoch): Restored {
  return { hardState: hardState(epoch, 0, 0), snapshot: undefined, entries: [] }
}

/**
 * A new epoch from what this member holds (`agent recover`): its whole log counts as committed, it
 * is the only member, and the others' messages are refused from now on. Entries that only the
 * lost majority had are lost.
 */
export function recoverState(
  restored: Restored,
  recovery: { readonly id: MemberId; readonly address: string; readonly epochId: string },
): Restored {
  const { hardState: old, snapshot, entries } = restored
  const { id, address, epochId } = recovery
  assert(epochId !== old.epoch.id, 'a new epoch has an id of its own')
  const index = (entries.at(-1)?.index ?? snapshot?.index ?? 0) + 1
  const term = old.term + 1
  const membership = { members: [{ id, address, isVoter: true }], removed: [] }
  const sizeBytes = membershipSizeBytes(membership)
  const entry: Entry = { type: 'config', index, term, sizeBytes, data: membership }
  const epoch = { counter: old.epoch.counter + 1, id: epochId, parent: old.epoch.id }
  return {
    hardState: { ...old, term, votedFor: undefined, commit: index, epoch, seen: {}, promises: {} },
    snapshot: snapshot === undefined ? undefined : { ...snapshot, epoch },
    entries: [...entries, entry],
  }
}
