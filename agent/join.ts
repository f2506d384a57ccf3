// Join: a node that belongs to no cluster becomes a member of one, by its token alone. Until a
// manager has said yes nothing is kept; after that it is a member, whatever happens to the answer.

import { CodedError } from '../core/base/error.ts'
import { makeId, type NodeId } from '../core/base/id.ts'
import { seededRandom } from '../core/base/random.ts'
import { joinState } from '../core/raft/birth.ts'
import { createPeers } from '../net/cluster/peers.ts'
import { type JoinAddress, joinPort, parseJoinToken } from '../net/secure/join-token.ts'
import { parseHostPort } from './base/addresses.ts'
import { version } from './base/version.ts'
import { type JoinAsk, readGrant } from './guests.ts'
import { type NodeIdentity, saveIdentity } from './identity.ts'
import { KeyRing } from './key-ring.ts'
import { eraseState, Node, type NodeOptions } from './node.ts'
import { realDisk } from './storage/disk.ts'
import { loadNodeKey } from './storage/keystore.ts'
import { saveMembers } from './storage/members.ts'

export interface JoinRequest {
  readonly token: string
  /** host[:port] of managers; those of the token when there are none. */
  readonly remoteAddresses: readonly string[]
  readonly listenOn: string
  readonly managerAddress: string
  /** Without port; empty: as the managers see it. */
  readonly address: string
  readonly availability: 'active' | 'pause' | 'drain'
}

const joinMsMax = 4_500

/**
 * Makes this node a member. Leaves nothing behind when it throws: bad-request for a token that
 * cannot be, in Swarm's words what the managers say, unavailable or timeout if none answers.
 */
export async function joinCluster(options: NodeOptions, request: JoinRequest): Promise<Node> {
  const { clock, log, stateFolder: folder } = options
  const token = parseJoinToken(request.token)
  const addresses = addressesOf(request, token.addresses)
  const place = { disk: realDisk, folder }
  const nobody = createPeers({
    identity: () => {
      throw new CodedError('internal', 'a newcomer has no identity')
    },
    trust: { roleOf: () => undefined, clusterKeys: () => [] },
    admitGuest: () => {
      throw new CodedError('unavailable', 'a newcomer lets nobody in')
    },
    handlers: { messages: {}, requests: {}, streams: {}, guests: {} },
    agentVersion: version,
    clock,
    log,
    onFault: options.onFatal,
  })
  let node: Node | undefined
  try {
    const keys = await loadNodeKey(place)
    const ring = await KeyRing.make(place)
    const { managerAddress, address, availability } = request
    const ask: JoinAsk = {
      nodeId: makeId<NodeId>(seededRandom(clock.randomBytes(16))),
      managerKey: ring.managerKey.publicKey,
      ...{ managerAddress, address, availability },
    }
    const reply = await nobody.call({
      ...{ addresses, keys, token, kind: 'join', body: ask, timeoutMs: joinMsMax },
    })
    const grant = readGrant(reply.value)
    const isManager = grant.role === 'manager'
    const identity: NodeIdentity = {
      nodeId: ask.nodeId,
      clusterId: reply.certificate.clusterId,
      address: address === '' ? reply.localHost : address,
      listenAddress: request.listenOn,
      managerAddress,
      clusterKey: reply.clusterKey,
      formerKeys: [],
      successions: reply.successions,
      certificate: grant.certificate,
      ...(isManager
        ? { manager: { certificate: grant.managerCertificate, memberId: ask.nodeId } }
        : {}),
    }
    if (!isManager) await ring.remove()
    await saveMembers(folder, grant.table)
    await saveIdentity(folder, identity)
    node = new Node(options, { identity, nodeKey: keys, ...(isManager ? { ring } : {}) })
    node.trust.take(grant.table)
    await node.open(isManager ? joinState(grant.epoch) : undefined)
    return node
  } catch (error) {
    await node?.close()
    await eraseState(folder)
    throw error
  } finally {
    await nobody.close()
  }
}

function addressesOf(
  request: JoinRequest,
  known: readonly JoinAddress[],
): readonly { readonly host: string; readonly port: number }[] {
  const given = request.remoteAddresses.map((text) => parseHostPort(text, joinPort))
  const addresses = given.length > 0 ? given : known
  if (addresses.length > 0) return addresses
  throw new CodedError(
    'bad-request',
    'this join token names no address of a manager: give one, as in "agent join TOKEN HOST:2377"',
  )
}
