// Identity: what a node's folder says that it is. The file is small and written whole; keys stand
// beside it in rings of their own (agent/storage/keystore.ts).

import { CodedError } from '../core/base/error.ts'
import { asId, type NodeId } from '../core/base/id.ts'
import { realDisk } from './storage/disk.ts'
import { loadState, saveState } from './storage/files.ts'

export interface NodeIdentity {
  readonly nodeId: NodeId
  /** Address without port. */
  readonly address: string
  /** host:port for other nodes, where this node is a manager. */
  readonly managerAddress: string
  /** The cluster's line of descent that this node belongs to, as Raft's epoch has it. */
  readonly epochId: string
}

function pathOf(folder: string): string {
  return `${folder}/node.state`
}

/** Undefined for a node of no cluster. Throws damaged-data. */
export async function loadIdentity(folder: string): Promise<NodeIdentity | undefined> {
  const file = await loadState(realDisk, pathOf(folder))
  if (file.type === 'absent') return undefined
  const value = file.type === 'value' ? file.value : undefined
  const { nodeId, address, managerAddress, epochId } = (value ?? {}) as Record<string, unknown>
  const texts = [nodeId, address, managerAddress, epochId]
  if (!texts.every((text) => typeof text === 'string')) {
    throw new CodedError(
      'damaged-data',
      `${pathOf(folder)} does not say which node this is: restore it from a backup of the state folder, or uninstall and join again`,
    )
  }
  return {
    nodeId: asId<NodeId>(String(nodeId)),
    address: String(address),
    managerAddress: String(managerAddress),
    epochId: String(epochId),
  }
}

/** Writes it down, whole or not at all. Throws disk-full. */
export async function saveIdentity(folder: string, identity: NodeIdentity): Promise<void> {
  await saveState(realDisk, pathOf(folder), { value: identity })
}

/** This node belongs to no cluster any more. */
export async function removeIdentity(folder: string): Promise<void> {
  await realDisk.remove(pathOf(folder))
  await realDisk.syncFolder(folder)
}
