// Identity: what a node's folder says that it is. The file is small and written whole; keys stand
// beside it in rings of their own (agent/storage/keystore.ts).

import { CodedError } from '../core/base/error.ts'
import { asId, type ClusterId, type NodeId } from '../core/base/id.ts'
import type { Epoch } from '../core/raft/types.ts'
import { certificateBytesMax, readSuccession, type Succession } from '../net/secure/certificate.ts'
import { keyBytes } from '../net/secure/crypto.ts'
import { successionsMax } from '../net/secure/handshake.ts'
import { readBytes, readFields, readList, readOptional, readText } from '../net/wire/check.ts'
import { readEpoch } from '../net/wire/raft-messages.ts'
import { realDisk } from './storage/disk.ts'
import { loadState, saveState } from './storage/files.ts'

export interface NodeIdentity {
  readonly nodeId: NodeId
  readonly clusterId: ClusterId
  /** Address without port. */
  readonly address: string
  /** host:port that this node listens on while it is a manager. */
  readonly listenAddress: string
  /** host:port for other nodes, while it is a manager. */
  readonly managerAddress: string
  /** The newest public key of the cluster that this node knows. */
  readonly clusterKey: Uint8Array
  /** Those before it, which certificates may still be signed with; the newest first. */
  readonly formerKeys: readonly Uint8Array[]
  /** How the cluster came to that key from those before it. */
  readonly successions: readonly Succession[]
  /** The cluster's word for this node's key as a worker; encoded. */
  readonly certificate: Uint8Array
  /** The line of descent that it follows. */
  readonly epoch?: Epoch
  /** What the daemon was configured with when it joined: an address that differs later is news. */
  readonly configured?: Addresses
  /** While it is a manager: the same for that key, and its id in Raft. */
  readonly manager?: { readonly certificate: Uint8Array; readonly memberId: string }
}

/** Addresses as the daemon has them from its flags, or from this machine; host:port each. */
export interface Addresses {
  readonly listen: string
  readonly advertise: string
}

const textMax = 300

function pathOf(folder: string): string {
  return `${folder}/node.state`
}

/** Undefined for a node of no cluster. Throws damaged-data. */
export async function loadIdentity(folder: string): Promise<NodeIdentity | undefined> {
  const file = await loadState(realDisk, pathOf(folder))
  if (file.type === 'absent') return undefined
  try {
    return readIdentity(file.type === 'value' ? file.value : undefined)
  } catch (error) {
    const text = `${pathOf(folder)} does not say which node this is: restore it from a backup of the state folder, or uninstall and join again`
    throw new CodedError('damaged-data', text, { cause: error })
  }
}

function readIdentity(value: unknown): NodeIdentity {
  const fields = readFields(value, 'identity')
  const text = (name: string): string => readText(fields, name, textMax)
  const manager = readOptional(fields, 'manager', () => readFields(fields['manager'], 'manager'))
  const epoch = readOptional(fields, 'epoch', () => readEpoch(fields['epoch']))
  const configured = readOptional(fields, 'configured', () => readAddresses(fields['configured']))
  return {
    nodeId: asId<NodeId>(text('nodeId')),
    clusterId: asId<ClusterId>(text('clusterId')),
    address: text('address'),
    listenAddress: text('listenAddress'),
    managerAddress: text('managerAddress'),
    clusterKey: readBytes(fields, 'clusterKey', keyBytes),
    formerKeys:
      readOptional(fields, 'formerKeys', () =>
        readList(fields, 'formerKeys', { max: successionsMax, item: readKey }),
      ) ?? [],
    successions: readList(fields, 'successions', { max: successionsMax, item: readSuccession }),
    certificate: readBytes(fields, 'certificate', { max: certificateBytesMax }),
    ...(epoch === undefined ? {} : { epoch }),
    ...(configured === undefined ? {} : { configured }),
    ...(manager === undefined
      ? {}
      : {
          manager: {
            certificate: readBytes(manager, 'certificate', { max: certificateBytesMax }),
            memberId: readText(manager, 'memberId', textMax),
          },
        }),
  }
}

function readKey(value: unknown): Uint8Array {
  return readBytes({ value }, 'value', keyBytes)
}

function readAddresses(value: unknown): Addresses {
  const fields = readFields(value, 'configured')
  return {
    listen: readText(fields, 'listen', textMax),
    advertise: readText(fields, 'advertise', textMax),
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
