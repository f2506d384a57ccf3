// Join: a node that belongs to no cluster becomes a member of one, by its token alone. Until a
// manager has said yes nothing is kept; after that it is a member, whatever happens to the answer.

import { CodedError, hasCode } from '../core/base/error.ts'
import { makeId, type NodeId } from '../core/base/id.ts'
import { seededRandom } from '../core/base/random.ts'
import { joinState } from '../core/raft/birth.ts'
import { type CallOptions, type CallReply, createPeers, type Peers } from '../net/cluster/peers.ts'
import { type KeyPair, makeExchangeKeys } from '../net/secure/crypto.ts'
import { type JoinAddress, joinPort, parseJoinToken } from '../net/secure/join-token.ts'
import { parseHostPort } from './base/addresses.ts'
import type { Clock } from './base/clock.ts'
import { version } from './base/version.ts'
import { type JoinAsk, readGrant } from './guests.ts'
import { type NodeIdentity, saveIdentity } from './identity.ts'
import { KeyRing } from './key-ring.ts'
import { addressesOf, eraseState, Node, type NodeOptions } from './node.ts'
import { realDisk } from './storage/disk.ts'
import { saveNodeKey } from './storage/keystore.ts'
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

/** Who asks. One whose answer was lost asks again as the same, and so becomes no second node. */
export interface Newcomer {
  readonly nodeId: NodeId
  readonly keys: KeyPair
}

const joinMsMax = 4_500
const retryMs = 250

/** Draws who asks. */
export function makeNewcomer(clock: Clock): Newcomer {
  const nodeId = makeId<NodeId>(seededRandom(clock.randomBytes(16)))
  return { nodeId, keys: makeExchangeKeys() }
}

/**
 * Makes this node a member. Leaves nothing behind when it throws: bad-request for a token that
 * cannot be, in Swarm's words what the managers say, unavailable or timeout if none answers.
 */
export async function joinCluster(
  options: NodeOptions,
  request: JoinRequest,
  newcomer: Newcomer,
): Promise<{ readonly node: Node; readonly warnings: readonly string[] }> {
  const { clock, log, stateFolder: folder } = options
  const { keys } = newcomer
  const token = parseJoinToken(request.token)
  const addresses = managersOf(request, token.addresses)
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
    await saveNodeKey(place, keys)
    const ring = await KeyRing.make(place)
    const { address, availability } = request
    // The managers try whether they reach a manager to be, so it listens before it asks. What keeps
    // it from that concerns no worker, and only the answer tells which of the two it becomes.
    const deaf = await listenBefore(nobody, request.listenOn)
    const ask: JoinAsk = {
      nodeId: newcomer.nodeId,
      managerKey: ring.managerKey.publicKey,
      managerAddress: deaf === undefined ? request.managerAddress : '',
      ...{ address, availability },
    }
    const call = { addresses, keys, token, kind: 'join', body: ask }
    const reply = await askUntilAnswered(nobody, call, clock).catch((error: unknown) => {
      throw deaf !== undefined && hasCode(error, 'failed-precondition') ? deaf : error
    })
    const grant = readGrant(reply.value)
    // Its port is the node's own from here on.
    await nobody.close()
    const isManager = grant.role === 'manager'
    const identity: NodeIdentity = {
      nodeId: ask.nodeId,
      clusterId: reply.certificate.clusterId,
      address: address === '' ? reply.localHost : address,
      listenAddress: request.listenOn,
      managerAddress: request.managerAddress,
      epoch: grant.epoch,
      configured: addressesOf(options),
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
    return { node, warnings: grant.warnings }
  } catch (error) {
    await node?.close()
    await eraseState(folder)
    throw error
  } finally {
    await nobody.close()
  }
}

/** Listens already; returns why it cannot. */
async function listenBefore(peers: Peers, address: string): Promise<CodedError | undefined> {
  try {
    await peers.listen(parseHostPort(address))
    return undefined
  } catch (error) {
    if (!hasCode(error, 'unavailable')) throw error
    return error
  }
}

/** Asks again, as the same newcomer, while the answer was lost on its way and there is time. */
async function askUntilAnswered(
  peers: Peers,
  call: Omit<CallOptions, 'timeoutMs'>,
  clock: Clock,
): Promise<CallReply> {
  const deadlineMs = clock.steadyMs() + joinMsMax
  for (;;) {
    const timeoutMs = deadlineMs - clock.steadyMs()
    try {
      return await peers.call({ ...call, timeoutMs })
    } catch (error) {
      const isLost = error instanceof CodedError && error.detail['isLost'] === true
      if (!isLost || clock.steadyMs() + retryMs * 2 > deadlineMs) throw error
      await clock.sleep(retryMs)
    }
  }
}

function managersOf(
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
