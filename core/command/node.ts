// Commands on nodes: what an administrator sets, and what a node's session says of it.

import { equal } from '../base/equal.ts'
import { CodedError } from '../base/error.ts'
import type { NodeId } from '../base/id.ts'
import { memberIdOf, type Node } from '../object/node.ts'
import { validateNode } from '../spec/validate.ts'
import type { Draft } from '../store/draft.ts'
import type { Command, CommandAnswer } from './command.ts'
import type { CommandContext } from './context.ts'
import { checkVersion } from './version.ts'

/** A newcomer's node; it becomes ready when its session opens. */
export function joinNode(
  draft: Draft,
  command: Extract<Command, { type: 'node.join' }>,
): CommandAnswer {
  const { id, role, keys, availability, address, managerAddress } = command
  const known = draft.get('node', id)
  if (known !== undefined) {
    // Its answer was lost on the way, and it asks again, perhaps after it was started anew.
    if (equal(known.keys.worker, keys.worker) && known.spec.role === role) {
      const place = managerAddress === undefined ? {} : { managerAddress }
      draft.put<Node>({ ...known, keys, ...place })
      return { id, warnings: [] }
    }
    throw new CodedError('already-exists', `node ${id} is a member already, with another key`)
  }
  draft.put<Node>({
    kind: 'node',
    id,
    spec: { labels: {}, role, availability },
    keys,
    generation: 1,
    status: { state: 'unknown', address },
    ...(keys.manager === undefined || managerAddress === undefined
      ? {}
      : { managerAddress, memberId: id }),
  })
  return { id, warnings: managerWarnings(draft) }
}

/** Labels, availability, role. */
export function updateNode(
  draft: Draft,
  command: Extract<Command, { type: 'node.update' }>,
  context: CommandContext,
): CommandAnswer {
  const node = nodeOf(draft, command.id)
  checkVersion(node, command.version)
  validateNode(command.spec)
  const isDemoted = node.spec.role === 'manager' && command.spec.role === 'worker'
  if (isDemoted) checkDemotion(draft, node, context)
  draft.put<Node>({ ...node, spec: command.spec })
  return {
    id: node.id,
    warnings: command.spec.role === node.spec.role ? [] : managerWarnings(draft),
  }
}

/** Raft has let a member go: the node is no manager any more, whatever it is to be next. */
export function retireManager(
  draft: Draft,
  command: Extract<Command, { type: 'node.retire' }>,
): CommandAnswer {
  const node = nodeOf(draft, command.id)
  if (node.memberId === command.memberId) draft.put<Node>(demoted(node))
  return { id: node.id, warnings: [] }
}

/**
 * Its key as a manager and its place in Raft are void; promoted again it gets new ones. Not before
 * Raft has let it go: until then it must be heard, to hand over and to learn that it may stop.
 */
export function demoted(node: Node): Node {
  const { managerAddress: _address, memberId: _member, ...rest } = node
  return { ...rest, keys: { worker: node.keys.worker }, generation: node.generation + 1 }
}

/** Swarm's refusals to lose the last manager or the quorum. */
function checkDemotion(draft: Draft, node: Node, context: CommandContext): void {
  if (managersOf(draft).length === 1) {
    throw new CodedError(
      'failed-precondition',
      'attempting to demote the last manager of the swarm',
    )
  }
  if (!context.hasQuorumWithout(node.id)) {
    throw new CodedError(
      'failed-precondition',
      "can't remove member from the raft: this would result in a loss of quorum",
    )
  }
}

/** Forgets a node that is down, or with force any other than a manager. */
export function removeNode(
  draft: Draft,
  command: Extract<Command, { type: 'node.remove' }>,
): CommandAnswer {
  const node = nodeOf(draft, command.id)
  if (node.spec.role === 'manager') {
    throw new CodedError(
      'failed-precondition',
      `node ${node.id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal`,
    )
  }
  if (!command.force && node.status.state === 'ready') {
    throw new CodedError('failed-precondition', `node ${node.id} is not down and can't be removed`)
  }
  draft.remove('node', node.id)
  return { id: node.id, warnings: [] }
}

function managersOf(draft: Draft): readonly Node[] {
  return draft.all('node').filter((node) => node.spec.role === 'manager')
}

/** An even number of managers survives no more than one less; more than 7 only slow each other. */
function managerWarnings(draft: Draft): readonly string[] {
  const count = managersOf(draft).length
  const even = `${count} managers survive the loss of ${Math.ceil(count / 2) - 1}, as ${count - 1} would: prefer an odd number`
  const many = `${count} managers: more than 7 make every change slower; 3 or 5 are enough`
  return [...(count % 2 === 0 && count > 0 ? [even] : []), ...(count > 7 ? [many] : [])]
}

/** The node's session is open and says what it is: the node is ready, or says why not. */
export function describeNode(
  draft: Draft,
  command: Extract<Command, { type: 'node.describe' }>,
): CommandAnswer {
  const node = nodeOf(draft, command.id)
  const { description, address, fault } = command
  draft.put<Node>({
    ...node,
    description,
    ...(command.trustedKey === undefined ? {} : { trustedKey: command.trustedKey }),
    status:
      fault === undefined
        ? { state: 'ready', address }
        : { state: 'down', address, message: fault },
    ...managerPart(node, command.manager),
  })
  return { id: node.id, warnings: [] }
}

/** A node that is to be a manager says its key and address once it has them. */
function managerPart(
  node: Node,
  manager: { readonly key: Uint8Array; readonly address: string } | undefined,
): Pick<Node, 'keys' | 'managerAddress' | 'memberId'> | undefined {
  if (manager === undefined || node.spec.role !== 'manager') return undefined
  return {
    keys: { ...node.keys, manager: manager.key },
    managerAddress: manager.address,
    memberId: node.memberId ?? memberIdOf(node),
  }
}

/** The manager's verdict on a node whose session ended or is late. */
export function setNodeState(
  draft: Draft,
  command: Extract<Command, { type: 'node.state' }>,
): CommandAnswer {
  const node = nodeOf(draft, command.id)
  const { downAtMs: _before, ...status } = node.status
  const { state, message } = command
  const since = state === 'down' ? { downAtMs: draft.nowMs } : {}
  draft.put<Node>({ ...node, status: { ...status, state, message, ...since } })
  return { id: node.id, warnings: [] }
}

function nodeOf(draft: Draft, id: NodeId): Node {
  const node = draft.get('node', id)
  if (node === undefined) throw new CodedError('not-found', `node ${id} not found`)
  return node
}
