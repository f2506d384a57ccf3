// Members: what Raft's membership lacks to be what the nodes' roles say, one change at a time.
//
//   role manager, key known   -> add as learner -> promote once it has caught up
//   role worker, or node gone -> remove; a leader hands over first -> retire: its key counts no more

import type { NodeId } from '../base/id.ts'
import type { Membership, MembershipChange } from '../raft/types.ts'
import type { View } from '../store/view.ts'

export type MemberStep =
  | { readonly type: 'change'; readonly change: MembershipChange }
  /** This leader is to go: another one must remove it. */
  | { readonly type: 'transfer' }
  /** Raft has let this member go. */
  | { readonly type: 'retire'; readonly id: NodeId; readonly memberId: string }

/** The next step towards the roles; undefined when all is as it should be. */
export function nextMemberStep(
  view: View,
  raft: {
    /** In force, and as far as it is committed. */
    readonly membership: Membership
    readonly committed: Membership
    readonly leaderId: string
  },
): MemberStep | undefined {
  const { members, removed } = raft.membership
  for (const { id, spec, memberId } of view.all('node')) {
    if (memberId === undefined) continue
    const isIn = [...members, ...raft.committed.members].some((each) => each.id === memberId)
    const isOver = spec.role === 'worker' || raft.committed.removed.includes(memberId)
    if (!isIn && isOver) return { type: 'retire', id, memberId }
  }
  const wanted = new Set<string>()
  for (const { spec, memberId: id, managerAddress: address } of view.all('node')) {
    if (spec.role !== 'manager' || id === undefined || address === undefined) continue
    wanted.add(id)
    if (removed.includes(id)) continue
    const member = members.find((each) => each.id === id)
    if (member === undefined) return { type: 'change', change: { type: 'addLearner', id, address } }
    if (member.address !== address) {
      return { type: 'change', change: { type: 'changeAddress', id, address } }
    }
    if (!member.isVoter) return { type: 'change', change: { type: 'promote', id } }
  }
  // Removals come last, so that a replacement counts before the old member goes.
  const leaving = members.filter((member) => !wanted.has(member.id))
  const other = leaving.find((member) => member.id !== raft.leaderId)
  if (other !== undefined) return { type: 'change', change: { type: 'remove', id: other.id } }
  return leaving.length > 0 && wanted.size > 0 ? { type: 'transfer' } : undefined
}
