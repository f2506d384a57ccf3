// Commands on nodes: what an administrator sets, and what a node's session says of it.

import { CodedError } from '../base/error.ts'
import type { NodeId } from '../base/id.ts'
import type { Node } from '../object/node.ts'
import { validateNode } from '../spec/validate.ts'
import type { Draft } from '../store/draft.ts'
import type { Command, CommandAnswer } from './command.ts'
import { checkVersion } from './version.ts'

/** Labels, availability, role. */
export function updateNode(
  draft: Draft,
  command: Extract<Command, { type: 'node.update' }>,
): CommandAnswer {
  const node = nodeOf(draft, command.id)
  checkVersion(node, command.version)
  validateNode(command.spec)
  if (command.spec.role !== node.spec.role) checkRoleChange(draft, node)
  draft.put<Node>({ ...node, spec: command.spec })
  return { id: node.id, warnings: [] }
}

/** Swarm's refusal to lose the last manager. */
function checkRoleChange(draft: Draft, node: Node): void {
  const managers = draft.all('node')
  let count = 0
  for (const each of managers) if (each.spec.role === 'manager') count++
  if (node.spec.role === 'manager' && count === 1) {
    throw new CodedError(
      'failed-precondition',
      'attempting to demote the last manager of the swarm',
    )
  }
  throw new CodedError('not-supported', 'promote and demote come with clusters of several nodes')
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

/** The node's session is open and says what it is: the node is ready. */
export function describeNode(
  draft: Draft,
  command: Extract<Command, { type: 'node.describe' }>,
): CommandAnswer {
  const node = nodeOf(draft, command.id)
  draft.put<Node>({
    ...node,
    description: command.description,
    status: { state: 'ready', address: command.address },
  })
  return { id: node.id, warnings: [] }
}

/** The manager's verdict on a node whose session ended or is late. */
export function setNodeState(
  draft: Draft,
  command: Extract<Command, { type: 'node.state' }>,
): CommandAnswer {
  const node = nodeOf(draft, command.id)
  draft.put<Node>({
    ...node,
    status: { ...node.status, state: command.state, message: command.message },
  })
  return { id: node.id, warnings: [] }
}

function nodeOf(draft: Draft, id: NodeId): Node {
  const node = draft.get('node', id)
  if (node === undefined) throw new CodedError('not-found', `node ${id} not found`)
  return node
}
