// Swarm: the routes of /swarm: make a cluster, look at it, change its settings, leave it.

import { CodedError } from '../../core/base/error.ts'
import type { JoinSecrets } from '../../core/object/cluster.ts'
import { defaultClusterSpec } from '../../core/object/defaults.ts'
import {
  formatSwarm,
  parseClusterSpec,
  parseRecover,
  parseSwarmInit,
  parseSwarmJoin,
  parseSwarmUnlock,
} from '../../core/spec/cluster-json.ts'
import type { View } from '../../core/store/view.ts'
import { swarmTexts } from './backend.ts'
import {
  type Call,
  isOn,
  readFlag,
  readJson,
  readObjectVersion,
  sendJson,
  sendNothing,
  sendWarnings,
} from './call.ts'
import { readView } from './read-view.ts'
import { clusterTls, isRotating } from './tls.ts'

/** POST /swarm/init: answers the node's id. Throws conflict-like refusals of the backend. */
export async function initSwarm(call: Call): Promise<void> {
  const request = parseSwarmInit(await readJson(call), defaultClusterSpec)
  sendJson(call, 200, await call.api.backend.init(request))
}

/** POST /skep/recover: this manager goes on alone; `DryRun` only says what that would do. */
export async function recoverSwarm(call: Call): Promise<void> {
  const request = parseRecover(await readJson(call))
  const plan = await call.api.backend.recover(request)
  sendJson(call, 200, {
    Epoch: plan.epoch,
    Index: plan.index,
    Uncommitted: plan.uncommitted,
    Forgotten: plan.forgotten,
    Services: plan.services,
    Nodes: plan.nodes,
    DryRun: request.isDryRun,
  })
}

/** POST /swarm/join: this node becomes a member; answers when it takes part. */
export async function joinSwarm(call: Call): Promise<void> {
  const { joinToken: token, ...request } = parseSwarmJoin(await readJson(call))
  sendWarnings(call, await call.api.backend.join({ ...request, token }))
}

/** GET /swarm: settings and join tokens. */
export async function inspectSwarm(call: Call): Promise<void> {
  const { backend } = call.api
  const view = await readView(call)
  const cluster = view.cluster()
  if (cluster === undefined) throw new CodedError('not-in-swarm', swarmTexts.notPart)
  const trust = { tls: clusterTls(backend, cluster), isRotating: isRotating(view, cluster) }
  sendJson(call, 200, formatSwarm(cluster, await backend.joinTokens(), trust))
}

/**
 * POST /swarm/update?version=N, with the flags that rotate tokens, and `compromised=1`: the key of
 * the cluster that is to be rotated is in wrong hands, and so is what it signs.
 */
export async function updateSwarm(call: Call): Promise<void> {
  const { backend } = call.api
  const body = await readJson(call)
  const version = readObjectVersion(call, 'swarm')
  const isWorkerRotated = readFlag(call, 'rotateWorkerToken')
  const isManagerRotated = readFlag(call, 'rotateManagerToken')
  const isUnlockKeyRotated = readFlag(call, 'rotateManagerUnlockKey')
  const cluster = (await backend.read()).cluster()
  if (cluster === undefined) throw new CodedError('not-in-swarm', swarmTexts.notPart)
  const spec = parseClusterSpec(body, cluster.spec)
  const isKeyRotated = spec.ca.forceRotate !== cluster.spec.ca.forceRotate
  const isCompromised = isKeyRotated && isOn(call, 'compromised')
  const rotate: Partial<JoinSecrets> = {
    ...(isWorkerRotated || isCompromised ? { worker: backend.makeJoinSecret() } : {}),
    ...(isManagerRotated || isCompromised ? { manager: backend.makeJoinSecret() } : {}),
  }
  await backend.submit({
    type: 'cluster.update',
    version,
    spec,
    rotate,
    freshUnlockKey: backend.makeUnlockKey(),
    isUnlockKeyRotated,
    ...(isKeyRotated
      ? { nextKey: backend.makeClusterKey(cluster, { isSigned: !isCompromised }) }
      : {}),
  })
  sendNothing(call)
}

/** POST /swarm/unlock: opens the keys of a locked manager. */
export async function unlockSwarm(call: Call): Promise<void> {
  await call.api.backend.unlock(parseSwarmUnlock(await readJson(call)))
  sendNothing(call)
}

/** GET /swarm/unlockkey: the key as text, empty while managers do not lock. */
export async function showUnlockKey(call: Call): Promise<void> {
  sendJson(call, 200, { UnlockKey: await call.api.backend.unlockKey() })
}

/** POST /swarm/leave?force=1. Throws not-in-swarm, locked, conflict as Docker words them. */
export async function leaveSwarm(call: Call): Promise<void> {
  const { backend } = call.api
  const force = isOn(call, 'force')
  const { state, isManager } = backend.state()
  if (state === 'inactive') throw new CodedError('not-in-swarm', swarmTexts.notPart)
  if (!force && state === 'locked') {
    throw new CodedError('locked', swarmTexts.leaveLocked)
  }
  if (!force && isManager) throw new CodedError('unavailable', await whyNotLeave(call))
  await backend.leave({ force })
  sendNothing(call)
}

const leavePrefix =
  'You are attempting to leave the swarm on a node that is participating as a manager. '
const leaveSuffix =
  'The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. Use `--force` to suppress this message.'

/** What a manager that leaves would do to the cluster, in Docker's words. */
async function whyNotLeave(call: Call): Promise<string> {
  const { reachable, unreachable, isCounted } = await countManagers(call)
  if (!isCounted)
    return `${leavePrefix}Doing so may lose the consensus of your cluster. ${leaveSuffix}`
  if (reachable === 1 && unreachable === 0) {
    return `${leavePrefix}Removing the last manager erases all current state of the swarm. Use \`--force\` to ignore this message. `
  }
  const total = reachable + unreachable
  const isQuorumLost = reachable - 1 < Math.floor(total / 2) + 1
  return isQuorumLost
    ? `${leavePrefix}Removing this node leaves ${reachable - 1} managers out of ${total}. Without a Raft quorum your swarm will be inaccessible. ${leaveSuffix}`
    : `${leavePrefix}${leaveSuffix}`
}

async function countManagers(call: Call): Promise<{
  readonly reachable: number
  readonly unreachable: number
  readonly isCounted: boolean
}> {
  const { backend } = call.api
  let view: View
  try {
    view = await backend.read()
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    return { reachable: 0, unreachable: 0, isCounted: false }
  }
  const states = [...view.all('node')]
    .filter((node) => node.spec.role === 'manager')
    .map((node) => backend.managerStatus(node.id)?.reachability)
  return {
    reachable: states.filter((state) => state === 'reachable').length,
    unreachable: states.filter((state) => state === 'unreachable').length,
    isCounted: true,
  }
}
