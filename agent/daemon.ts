// Daemon: all parts of the agent on this machine, started in order and stopped in reverse. It is
// the backend of the HTTP API; whether there is a node behind it or not yet is its business.

import { mkdirSync } from 'node:fs'
import { isIP } from 'node:net'
import { dirname, join } from 'node:path'
import { CodedError } from '../core/base/error.ts'
import type { NodeId, TaskId } from '../core/base/id.ts'
import type { Log } from '../core/base/note.ts'
import type { Cluster } from '../core/object/cluster.ts'
import type { Applied } from '../core/store/change.ts'
import type { View } from '../core/store/view.ts'
import { signSuccession } from '../net/secure/certificate.ts'
import { makeSigningKeys } from '../net/secure/crypto.ts'
import {
  clusterDigest,
  formatJoinToken,
  joinAddressesMax,
  makeJoinSecret,
} from '../net/secure/join-token.ts'
import { issuerOf, trustRootOf } from '../net/secure/trust-root.ts'
import { formatHostPort, type HostPort, parseHostPort } from './base/addresses.ts'
import type { Clock } from './base/clock.ts'
import type { DaemonConfig } from './base/config.ts'
import { startTrimming } from './base/memory.ts'
import { version } from './base/version.ts'
import { createDockerExecutor } from './executor/docker-executor.ts'
import type { LogOptions } from './executor/executor.ts'
import {
  type Backend,
  type InitRequest,
  type JoinCall,
  type LocalState,
  type LogReader,
  type RecoverCall,
  type RecoveryPlan,
  swarmTexts,
  type TaskLogEntry,
  type TrustRoot,
} from './http/backend.ts'
import { createApiServer } from './http/server.ts'
import { joinCluster, makeNewcomer, type Newcomer } from './join.ts'
import { foundCluster, type Node, type NodeOptions, resumeNode } from './node.ts'
import { realDisk } from './storage/disk.ts'
import { formatUnlockKey, makeUnlockKey, parseUnlockKey } from './storage/keystore.ts'
import { openStateFolder } from './storage/state-folder.ts'

export interface Daemon {
  readonly close: () => Promise<void>
}

export interface DaemonOptions {
  readonly config: DaemonConfig
  readonly clock: Clock
  readonly log: Log
  /** The process must end. */
  readonly onFatal: (error: unknown) => void
}

/** Starts everything; resolves when the API answers. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { config, clock, log } = options
  const folder = await openStateFolder(realDisk, config.stateFolder)
  const backend = new LocalBackend(options)
  await backend.resume()
  mkdirSync(dirname(config.socketPath), { recursive: true })
  const server = createApiServer({
    backend,
    engineSocket: config.engineSocket,
    socketPath: config.socketPath,
    log,
  })
  await server.listen()
  const stopTrimming = startTrimming({ clock })
  log('info', 'agent.started', {
    version,
    socket: config.socketPath,
    state: config.stateFolder,
    node: backend.state().nodeId,
  })
  return {
    close: async () => {
      stopTrimming()
      await server.close()
      await backend.close()
      folder.close()
      log('info', 'agent.stopped')
    },
  }
}

/** For a new member to take part, before init and join answer all the same. */
const readyMsMax = 15_000

/** The HTTP API's backend on this machine. */
class LocalBackend implements Backend {
  readonly #options: DaemonOptions
  readonly #watchers = new Set<(applied: readonly Applied[]) => void>()
  #node: Node | undefined
  /** Who asks to join, as long as no manager has said yes. */
  #newcomer: Newcomer | undefined
  /** One init or leave at a time. */
  #isChanging = false

  constructor(options: DaemonOptions) {
    this.#options = options
  }

  async resume(): Promise<void> {
    this.#adopt(await resumeNode(this.#nodeOptions()))
  }

  async close(): Promise<void> {
    await this.#node?.close()
  }

  state(): LocalState {
    const { config } = this.#options
    const node = this.#node
    const common = { agentVersion: version, runtime: 'docker' } as const
    if (node === undefined) {
      return {
        ...common,
        state: 'inactive',
        // Not before it is asked for: the name of an interface is looked up among all of them.
        nodeAddress: parseHostPort(config.advertiseAddress).host,
        isManager: false,
        remoteManagers: [],
      }
    }
    const { nodeId, address } = node.identity
    const known = { ...common, nodeId, nodeAddress: address }
    const remoteManagers = node.trust
      .managers()
      .map(({ id, managerAddress = '' }) => ({ nodeId: id, address: managerAddress }))
    if (node.isLocked) {
      const error = swarmTexts.isLocked
      return { ...known, state: 'locked', isManager: false, error, remoteManagers: [] }
    }
    if (node.trouble !== undefined) {
      return { ...known, state: 'error', isManager: false, error: node.trouble, remoteManagers }
    }
    return { ...known, state: 'active', isManager: node.isManager, remoteManagers }
  }

  async read(): Promise<View> {
    return this.#member().read()
  }

  stale(): ReturnType<Backend['stale']> {
    return this.#member().stale()
  }

  async submit(command: Parameters<Backend['submit']>[0]): ReturnType<Backend['submit']> {
    const node = this.#member()
    const answer = await node.submit(command)
    // Who is told that managers lock may pull the plug: the keys are sealed by then.
    if (command.type === 'cluster.update') await node.followLock()
    return answer
  }

  async init(request: InitRequest): Promise<NodeId> {
    if (request.forceNewCluster) return this.#recoverByInit(request)
    return this.#change(async () => {
      if (this.#node !== undefined) throw new CodedError('unavailable', swarmTexts.isPart)
      const { listenOn, advertise } = this.#ownAddresses(request)
      const node = await foundCluster(this.#nodeOptions(), {
        ...request,
        listenOn,
        address: advertise.host,
        managerAddress: formatHostPort(advertise),
      })
      this.#adopt(node)
      await node.ready(readyMsMax)
      return node.identity.nodeId
    })
  }

  /** `init --force-new-cluster`: with a cluster here it goes on alone, without one it is an init. */
  async #recoverByInit(request: InitRequest): Promise<NodeId> {
    const node = this.#node
    if (node === undefined) return this.init({ ...request, forceNewCluster: false })
    await this.recover({
      ...{ isDryRun: false, isForced: false },
      ...(request.advertiseAddress ? { advertiseAddress: request.advertiseAddress } : {}),
    })
    return node.identity.nodeId
  }

  async recover(request: RecoverCall): Promise<RecoveryPlan> {
    return this.#change(async () => {
      const { advertiseAddress, isDryRun, isForced } = request
      const address = advertiseAddress ? this.#ownAddresses({ advertiseAddress }) : undefined
      return this.#member().recover({
        ...{ isDryRun, isForced },
        ...(address === undefined ? {} : { managerAddress: formatHostPort(address.advertise) }),
      })
    })
  }

  async join(request: JoinCall): Promise<readonly string[]> {
    return this.#change(async () => {
      if (this.#node !== undefined) throw new CodedError('unavailable', swarmTexts.isPart)
      const { listenOn, advertise } = this.#ownAddresses(request)
      this.#newcomer ??= makeNewcomer(this.#options.clock)
      const { node, warnings } = await joinCluster(
        this.#nodeOptions(),
        {
          ...request,
          listenOn,
          address: advertise.host,
          managerAddress: formatHostPort(advertise),
        },
        this.#newcomer,
      )
      this.#newcomer = undefined
      this.#adopt(node)
      await node.ready(readyMsMax)
      return warnings
    })
  }

  async leave(): Promise<void> {
    await this.#change(async () => {
      const node = this.#node
      if (node === undefined) throw new CodedError('not-in-swarm', swarmTexts.notPart)
      await node.leave()
      this.#node = undefined
    })
  }

  async unlock(key: string): Promise<void> {
    const node = this.#node
    if (node === undefined) throw new CodedError('not-in-swarm', swarmTexts.notManager)
    if (!node.isLocked) throw new CodedError('conflict', 'swarm is not locked')
    await this.#change(() => node.unlock(parseUnlockKey(key)))
  }

  async unlockKey(): Promise<string> {
    const { unlockKey } = (await this.read()).cluster() ?? {}
    return unlockKey === undefined ? '' : formatUnlockKey(unlockKey)
  }

  async joinTokens(): Promise<{ readonly worker: string; readonly manager: string }> {
    const cluster = this.stale().view.cluster()
    if (cluster === undefined) throw new CodedError('not-in-swarm', swarmTexts.notPart)
    const digest = clusterDigest(cluster.key.publicKey)
    const addresses = this.#member()
      .trust.managers()
      .flatMap(({ managerAddress: at }) => (at === undefined ? [] : [parseHostPort(at)]))
      .slice(0, joinAddressesMax)
    const format = (secret: string): string => formatJoinToken({ digest, secret, addresses })
    const { worker, manager } = cluster.joinSecrets
    return { worker: format(worker), manager: format(manager) }
  }

  managerStatus(id: NodeId): ReturnType<Backend['managerStatus']> {
    return this.#node?.managerStatus(id)
  }

  watch(listener: (applied: readonly Applied[]) => void): () => void {
    this.#watchers.add(listener)
    return () => this.#watchers.delete(listener)
  }

  logs(tasks: readonly TaskId[], log: LogOptions, reader: LogReader): AsyncIterable<TaskLogEntry> {
    return this.#member().readLogs(tasks, { log, ...reader })
  }

  makeJoinSecret(): string {
    return makeJoinSecret()
  }

  makeUnlockKey(): Uint8Array {
    return makeUnlockKey()
  }

  trustRoot(cluster: Cluster): TrustRoot {
    return trustRootOf(cluster.key)
  }

  issuerKey(publicKey: Uint8Array): Uint8Array {
    return issuerOf(publicKey).publicKey
  }

  makeClusterKey(
    cluster: Cluster,
    { isSigned }: { readonly isSigned: boolean },
  ): ReturnType<Backend['makeClusterKey']> {
    const key = makeSigningKeys()
    if (!isSigned) return { key }
    const { signature } = signSuccession(cluster.key.privateKey, key.publicKey)
    return { key, signature }
  }

  nowMs(): number {
    return this.#options.clock.nowMs()
  }

  /** Where this node listens, and what others are told of it. Throws bad-request. */
  #ownAddresses(request: Pick<JoinCall, 'listenAddress' | 'advertiseAddress'>): {
    readonly listenOn: string
    readonly advertise: HostPort
  } {
    const { config } = this.#options
    const listen = localAddress(request.listenAddress || config.listenAddress, {
      refusal: swarmTexts.badListen,
    })
    const advertise = localAddress(request.advertiseAddress || config.advertiseAddress, {
      port: listen.port,
      refusal: swarmTexts.badAdvertise,
    })
    if (/^[0.:]+$/.test(advertise.host)) {
      throw new CodedError('bad-request', `${swarmTexts.badAdvertise}: ${advertise.host}`)
    }
    return { listenOn: formatHostPort(listen), advertise }
  }

  #member(): Node {
    if (this.#node === undefined) throw new CodedError('not-in-swarm', swarmTexts.notManager)
    return this.#node
  }

  async #change<T>(run: () => Promise<T>): Promise<T> {
    if (this.#isChanging) {
      throw new CodedError('conflict', 'another init or leave is under way on this node')
    }
    this.#isChanging = true
    try {
      return await run()
    } finally {
      this.#isChanging = false
    }
  }

  #adopt(node: Node | undefined): void {
    this.#node = node
  }

  #nodeOptions(): NodeOptions {
    const { config, clock, log, onFatal } = this.#options
    return {
      stateFolder: config.stateFolder,
      configured: {
        listen: config.listenAddress,
        advertise: config.advertiseAddress,
        given: config.given,
      },
      clock,
      log,
      onFatal,
      filesFolder: join(dirname(config.socketPath), 'tasks'),
      onApplied: (applied) => {
        for (const watcher of this.#watchers) watcher(applied)
      },
      makeExecutor: (nodeId, files) =>
        createDockerExecutor({ socket: config.engineSocket, nodeId, log, clock, files }),
    }
  }
}

/** An address of this machine: an IP address or the name of an interface, and perhaps a port. */
function localAddress(
  text: string,
  options: { readonly port?: number; readonly refusal: string },
): ReturnType<typeof parseHostPort> {
  try {
    const address = parseHostPort(text, options.port)
    if (isIP(address.host) !== 0) return address
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
  }
  throw new CodedError('bad-request', `${options.refusal}: ${text}`)
}
