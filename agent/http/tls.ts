// TLSInfo: what clients of the Docker API see as the root of trust of the cluster and of its nodes.
// Clients compare the two to tell whether a node has followed a rotation.

import { encodeBase64 } from '../../core/base/base64.ts'
import { equal } from '../../core/base/equal.ts'
import type { Cluster } from '../../core/object/cluster.ts'
import type { Node } from '../../core/object/node.ts'
import type { TlsInfo } from '../../core/spec/node-json.ts'
import type { View } from '../../core/store/view.ts'
import type { Backend } from './backend.ts'

/** The cluster's own. */
export function clusterTls(backend: Pick<Backend, 'trustRoot'>, cluster: Cluster): TlsInfo {
  const { certificate, subject, publicKey } = backend.trustRoot(cluster)
  return {
    trustRoot: certificate,
    issuerSubject: encodeBase64(subject),
    issuerPublicKey: encodeBase64(publicKey),
  }
}

/** A node's: the cluster's, or that of the key before, whose certificate nobody can make any more. */
export function nodeTls(
  backend: Pick<Backend, 'trustRoot' | 'issuerKey'>,
  cluster: Cluster,
  node: Node,
): TlsInfo {
  const current = clusterTls(backend, cluster)
  if (isFollowed(cluster, node) || node.trustedKey === undefined) return current
  const issuerPublicKey = encodeBase64(backend.issuerKey(node.trustedKey))
  return { ...current, trustRoot: '', issuerPublicKey }
}

/** True while nodes that are there have certificates of a key before this one. */
export function isRotating(view: View, cluster: Cluster): boolean {
  const { formerKeys = [] } = cluster
  if (formerKeys.length === 0) return false
  return [...view.all('node')].some(
    (node) => node.status.state === 'ready' && !isFollowed(cluster, node),
  )
}

function isFollowed({ key }: Cluster, { trustedKey }: Node): boolean {
  return trustedKey === undefined || equal(trustedKey, key.publicKey)
}
