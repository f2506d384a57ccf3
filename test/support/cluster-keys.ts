// A cluster's key and its nodes' identities, for tests that speak over the channel.

import type { ClusterId, NodeId } from '../../core/base/id.ts'
import { type CertificateRole, encodeCertificate } from '../../net/secure/certificate.ts'
import { type KeyPair, makeExchangeKeys, makeSigningKeys } from '../../net/secure/crypto.ts'
import type { Identity, TrustPolicy } from '../../net/secure/handshake.ts'

/** A node id of 25 characters that ends in the number. */
export function nodeIdOf(number: number): NodeId {
  return String(number).padStart(25, '0') as NodeId
}

export interface ClusterKeys {
  readonly key: KeyPair
  readonly clusterId: ClusterId
  /** A node of this cluster; the number names it and its incarnation. */
  readonly identity: (
    number: number,
    options?: { readonly role?: CertificateRole; readonly keys?: KeyPair; readonly start?: number },
  ) => Identity
  /** Trusts every certificate of the cluster but those of removed nodes. */
  readonly trust: TrustPolicy
  readonly removed: Set<NodeId>
}

/** A cluster that exists only as keys: new ones, or those that another process has made. */
export function makeClusterKeys(name = 'c', key: KeyPair = makeSigningKeys()): ClusterKeys {
  const clusterId = name.padStart(25, '0') as ClusterId
  const removed = new Set<NodeId>()
  return {
    key,
    clusterId,
    removed,
    identity: (number, { role = 'manager', keys = makeExchangeKeys(), start = 1 } = {}) => {
      const nodeId = nodeIdOf(number)
      const body = { clusterId, nodeId, role, key: keys.publicKey }
      const certificate = encodeCertificate(
        { ...body, generation: 1, tableIndex: 7, issuedAtMs: 1_700_000_000_000 },
        key.privateKey,
      )
      const incarnation = `${number}.${start}`
      return {
        ...{ clusterId, nodeId, keys, certificate, incarnation },
        clusterKey: key.publicKey,
        successions: [],
      }
    },
    trust: {
      roleOf: ({ nodeId, role }) => (removed.has(nodeId) ? undefined : role),
      clusterKeys: () => [key.publicKey],
    },
  }
}
