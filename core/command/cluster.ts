// Commands on the cluster itself: its birth, its settings, its join tokens.

import { CodedError } from '../base/error.ts'
import { limits } from '../base/limits.ts'
import type { Cluster } from '../object/cluster.ts'
import type { Node } from '../object/node.ts'
import { validateCluster } from '../spec/validate.ts'
import type { Draft } from '../store/draft.ts'
import type { Command, CommandAnswer } from './command.ts'
import { demoted } from './node.ts'
import { checkVersion } from './version.ts'

/** Makes the cluster object and its first node, a manager. Only the host of a new cluster asks. */
export function initCluster(
  draft: Draft,
  command: Extract<Command, { type: 'cluster.init' }>,
): CommandAnswer {
  if (draft.cluster() !== undefined) {
    throw new CodedError('conflict', 'the cluster has been initialized already')
  }
  validateCluster(command.spec)
  draft.put<Cluster>({
    kind: 'cluster',
    id: command.clusterId,
    spec: command.spec,
    key: command.key,
    joinSecrets: command.joinSecrets,
    ...(command.unlockKey === undefined ? {} : { unlockKey: command.unlockKey }),
    defaultAddressPool: command.defaultAddressPool,
    subnetSize: command.subnetSize,
    dataPathPort: command.dataPathPort,
  })
  draft.put<Node>({
    kind: 'node',
    id: command.node.id,
    spec: { labels: {}, role: 'manager', availability: command.node.availability },
    keys: command.node.keys,
    generation: 1,
    status: { state: 'unknown', address: command.node.address },
    managerAddress: command.node.managerAddress,
    memberId: command.node.id,
  })
  return { id: command.node.id, warnings: [] }
}

/** New settings, new secrets for tokens that are to be rotated, or both. */
export function updateCluster(
  draft: Draft,
  command: Extract<Command, { type: 'cluster.update' }>,
): CommandAnswer {
  const cluster = draft.cluster()
  if (cluster === undefined) throw new CodedError('not-found', 'cluster not found')
  checkVersion(cluster, command.version)
  validateCluster(command.spec)
  const { unlockKey: _before, ...rest } = cluster
  const unlockKey = unlockKeyOf(cluster, command)
  draft.put<Cluster>({
    ...rest,
    ...rotatedKey(cluster, command.nextKey),
    ...(unlockKey === undefined ? {} : { unlockKey }),
    spec: command.spec,
    joinSecrets: { ...cluster.joinSecrets, ...command.rotate },
  })
  return { id: cluster.id, warnings: [] }
}

/** The next key, and the present one among those before it. The version says that it is present. */
function rotatedKey(
  { key, formerKeys = [] }: Cluster,
  next: Extract<Command, { type: 'cluster.update' }>['nextKey'],
): Pick<Cluster, 'key' | 'formerKeys'> | undefined {
  if (next === undefined) return undefined
  if (next.signature === undefined) return { key: next.key, formerKeys: [] }
  const present = { publicKey: key.publicKey, signature: next.signature }
  return { key: next.key, formerKeys: [...formerKeys, present].slice(-limits.formerKeysMax) }
}

/** One manager goes on alone: the others are workers from here on, until they join anew. */
export function recoverCluster(
  draft: Draft,
  command: Extract<Command, { type: 'cluster.recover' }>,
): CommandAnswer {
  const cluster = draft.cluster()
  if (cluster === undefined) throw new CodedError('not-found', 'cluster not found')
  draft.put<Cluster>({ ...cluster, epoch: command.epoch })
  for (const node of draft.all('node')) {
    if (node.spec.role !== 'manager' || node.memberId === command.memberId) continue
    draft.put<Node>({ ...demoted(node), spec: { ...node.spec, role: 'worker' } })
  }
  return { id: cluster.id, warnings: [] }
}

/** The key that managers lock with from now on: none, the one they have, or the fresh one. */
function unlockKeyOf(
  cluster: Cluster,
  command: Extract<Command, { type: 'cluster.update' }>,
): Uint8Array | undefined {
  if (!command.spec.encryption.autoLockManagers) return undefined
  const isKept = cluster.unlockKey !== undefined && !command.isUnlockKeyRotated
  return isKept ? cluster.unlockKey : command.freshUnlockKey
}
