// Who belongs to the cluster, and how that may change: one member at a time (thesis 4.1-4.2), so
// that any majority of the old and any of the new have a member in common.

import type { Member, MemberId, Membership, MembershipChange, RefusalReason } from './types.ts'

export function memberOf(membership: Membership, id: MemberId): Member | undefined {
  for (const member of membership.members) if (member.id === id) return member
  return undefined
}

export function isVoter(membership: Membership, id: MemberId): boolean {
  return memberOf(membership, id)?.isVoter ?? false
}

export function voterCount(membership: Membership): number {
  let count = 0
  for (const member of membership.members) if (member.isVoter) count++
  return count
}

/** Voters that make a majority: more than half. */
export function quorumOf(membership: Membership): number {
  return Math.floor(voterCount(membership) / 2) + 1
}

/** True if the voters for which `has` holds are a majority. */
export function hasQuorum(membership: Membership, has: (id: MemberId) => boolean): boolean {
  let count = 0
  for (const member of membership.members) if (member.isVoter && has(member.id)) count++
  return count >= quorumOf(membership)
}

/** The highest value that a majority of voters has reached. */
export function quorumValue(membership: Membership, reached: (id: MemberId) => number): number {
  const values: number[] = []
  for (const member of membership.members) {
    if (!member.isVoter) continue
    const value = reached(member.id)
    let at = values.length
    while (at > 0 && (values[at - 1] ?? 0) < value) at--
    values.splice(at, 0, value)
  }
  return values[quorumOf(membership) - 1] ?? 0
}

export interface Verdict {
  readonly reason: RefusalReason
  readonly text: string
}

/** What the leader knows of the members when it judges a change. */
export interface ChangeView {
  readonly isReachable: (id: MemberId) => boolean
  readonly entriesBehind: (id: MemberId) => number
  readonly entriesBehindMax: number
  readonly membersMax: number
  readonly removedKept: number
}

/** The membership after the change, or why it is refused. */
export function changeMembership(
  now: Membership,
  change: MembershipChange,
  view: ChangeView,
): Membership | Verdict {
  const verdict = judgeMember(now, change, view)
  if (verdict !== undefined) return verdict
  const next = applyChange(now, change, view.removedKept)
  if (voterCount(next) === 0) {
    return { reason: 'last-voter', text: `${change.id} is the last voter: promote another first` }
  }
  const changesVoters = change.type !== 'addLearner' && change.type !== 'changeAddress'
  if (changesVoters && isVoter(now, change.id) !== isVoter(next, change.id)) {
    if (!hasQuorum(next, view.isReachable)) {
      return {
        reason: 'quorum-unreachable',
        text:
          `${change.type} ${change.id} would leave ${voterCount(next)} voters, of which ` +
          `${quorumOf(next)} must be reachable: bring members back or remove the unreachable first`,
      }
    }
  }
  return next
}

function judgeMember(
  now: Membership,
  change: MembershipChange,
  view: ChangeView,
): Verdict | undefined {
  const member = memberOf(now, change.id)
  const { id } = change
  if (change.type === 'addLearner') {
    if (member !== undefined) return { reason: 'already-member', text: `${id} is a member already` }
    if (now.removed.includes(id)) {
      return { reason: 'removed-before', text: `${id} was removed: join under a new member id` }
    }
    if (now.members.length >= view.membersMax) {
      return {
        reason: 'too-many-members',
        text: `${now.members.length} members, at most ${view.membersMax}: remove one first`,
      }
    }
    return undefined
  }
  if (member === undefined) return { reason: 'unknown-member', text: `${id} is not a member` }
  if (change.type === 'demote' && !member.isVoter) {
    return { reason: 'not-a-voter', text: `${id} is a learner already` }
  }
  if (change.type !== 'promote') return undefined
  if (member.isVoter) return { reason: 'not-a-learner', text: `${id} is a voter already` }
  const behind = view.entriesBehind(id)
  if (behind > view.entriesBehindMax || !view.isReachable(id)) {
    return {
      reason: 'learner-behind',
      text: `${id} is ${behind} entries behind, at most ${view.entriesBehindMax}, or is not reachable: try again later`,
    }
  }
  return undefined
}

function applyChange(now: Membership, change: MembershipChange, removedKept: number): Membership {
  const replace = (edit: (member: Member) => Member): Membership => ({
    members: now.members.map((member) => (member.id === change.id ? edit(member) : member)),
    removed: now.removed,
  })
  switch (change.type) {
    case 'addLearner': {
      const learner = { id: change.id, address: change.address, isVoter: false }
      return { members: [...now.members, learner], removed: now.removed }
    }
    case 'promote':
      return replace((member) => ({ ...member, isVoter: true }))
    case 'demote':
      return replace((member) => ({ ...member, isVoter: false }))
    case 'changeAddress':
      return replace((member) => ({ ...member, address: change.address }))
    case 'remove':
      return {
        members: now.members.filter((member) => member.id !== change.id),
        removed: [...now.removed, change.id].slice(-removedKept),
      }
  }
}

/** What an entry with this membership costs. */
export function membershipSizeBytes(membership: Membership): number {
  let sizeBytes = 16
  for (const member of membership.members) sizeBytes += member.id.length + member.address.length + 8
  for (const id of membership.removed) sizeBytes += id.length + 2
  return sizeBytes
}
