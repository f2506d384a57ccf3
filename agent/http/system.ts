// System: ping, version and info: the engine's own answers with the cluster's part ours. Each has
// an answer too when no engine is there, so that clients can still see the cluster.

import { cpus, hostname, release, totalmem } from 'node:os'
import { CodedError, formatError } from '../../core/base/error.ts'
import { formatTime } from '../../core/base/time.ts'
import type { Cluster } from '../../core/object/cluster.ts'
import { type ClusterTrust, formatClusterInfo } from '../../core/spec/cluster-json.ts'
import type { View } from '../../core/store/view.ts'
import type { LocalState } from './backend.ts'
import { type Call, sendJson } from './call.ts'
import { engineTimeoutMs, parseObject } from './engine.ts'
import { clusterTls, isRotating } from './tls.ts'
import { apiVersionMin, offeredVersion, pathForEngine } from './version.ts'

type Document = Readonly<Record<string, unknown>>

/** A ping that the engine does not answer soon is answered without it. */
const pingTimeoutMs = 1_000

/** GET and HEAD /_ping. Clients read the headers: API version, builder, state of the cluster. */
export async function ping(call: Call): Promise<void> {
  const { response } = call
  const engine = await pingEngine(call)
  response.setHeader('Api-Version', offeredVersion(call.api.engine.known()?.apiVersion))
  if (engine.builderVersion !== undefined) {
    response.setHeader('Builder-Version', engine.builderVersion)
  }
  response.setHeader('Docker-Experimental', engine.experimental ?? 'false')
  const local = call.api.backend.state()
  response.setHeader('Swarm', formatSwarmState(local))
  response.setHeader('Cache-Control', 'no-cache, no-store, must-revalidate')
  response.setHeader('Pragma', 'no-cache')
  const isHead = call.request.method === 'HEAD'
  response.writeHead(200, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': isHead ? 0 : 2,
  })
  response.end(isHead ? undefined : 'OK')
}

interface EnginePing {
  readonly builderVersion?: string
  readonly experimental?: string
}

async function pingEngine(call: Call): Promise<EnginePing> {
  const { engine } = call.api
  if (engine.socketPath === undefined) return {}
  try {
    // HEAD has no body to wait for, and engines from 18.09 on know it.
    const answer = await engine.get({ method: 'HEAD', path: '/_ping', timeoutMs: pingTimeoutMs })
    const text = (name: string): string | undefined => {
      const value = answer.headers[name]
      return typeof value === 'string' && value !== '' ? value : undefined
    }
    engine.noteVersion(text('api-version'))
    if (engine.known() === undefined) await engine.facts()
    const builderVersion = text('builder-version')
    const experimental = text('docker-experimental')
    return {
      ...(builderVersion === undefined ? {} : { builderVersion }),
      ...(experimental === undefined ? {} : { experimental }),
    }
  } catch (error) {
    if (error instanceof CodedError) return {}
    throw error
  }
}

/** `active/manager`, `active/worker`, `inactive`, `pending`, `locked`, `error`. */
function formatSwarmState(local: LocalState): string {
  return local.state === 'active' ? `active/${local.isManager ? 'manager' : 'worker'}` : local.state
}

/** GET /version: the engine's document with our API versions and ourselves among its parts. */
export async function version(call: Call): Promise<void> {
  const { engine, backend } = call.api
  const { agentVersion } = backend.state()
  const facts = await engine.facts()
  const offered = offeredVersion(facts?.apiVersion)
  const document: Document = facts?.document ?? ownVersion(agentVersion)
  const parts = Array.isArray(document['Components']) ? (document['Components'] as unknown[]) : []
  const own = {
    Name: 'Skep',
    Version: agentVersion,
    Details: { ApiVersion: offered, MinAPIVersion: apiVersionMin },
  }
  sendJson(call, 200, {
    ...document,
    Components: [...parts, own],
    ApiVersion: offered,
    MinAPIVersion: apiVersionMin,
  })
}

function ownVersion(agentVersion: string): Document {
  return {
    Platform: { Name: 'Skep' },
    Version: agentVersion,
    Os: 'linux',
    Arch: goArchitecture(),
    KernelVersion: release(),
  }
}

/** The architecture as Docker's documents spell it. */
function goArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch
}

/** GET /info: the engine's document with Swarm ours. */
export async function info(call: Call): Promise<void> {
  const document = (await engineInfo(call)) ?? ownInfo(call)
  const { swarm, warnings } = await swarmInfo(call)
  const engineWarnings = Array.isArray(document['Warnings']) ? document['Warnings'] : []
  const all = [...engineWarnings, ...warnings]
  sendJson(call, 200, { ...document, Swarm: swarm, Warnings: all.length === 0 ? null : all })
}

async function engineInfo(call: Call): Promise<Document | undefined> {
  const { engine } = call.api
  const facts = await engine.facts()
  if (facts === undefined) return undefined
  try {
    const limits = { min: facts.minApiVersion, max: facts.apiVersion }
    const path = pathForEngine(`/v${call.version}/info`, limits)
    const answer = await engine.get({ path, timeoutMs: engineTimeoutMs, signal: call.signal })
    return answer.status === 200 ? parseObject(answer.body) : undefined
  } catch (error) {
    if (error instanceof CodedError) return undefined
    throw error
  }
}

/** What we can say of this machine without an engine. */
function ownInfo(call: Call): Document {
  const { agentVersion, nodeId } = call.api.backend.state()
  return {
    ID: nodeId ?? '',
    Containers: 0,
    ContainersRunning: 0,
    ContainersPaused: 0,
    ContainersStopped: 0,
    Images: 0,
    Driver: '',
    DriverStatus: [],
    Plugins: { Volume: [], Network: [], Authorization: null, Log: [] },
    MemoryLimit: true,
    SwapLimit: true,
    CpuCfsPeriod: true,
    CpuCfsQuota: true,
    CPUShares: true,
    CPUSet: true,
    PidsLimit: true,
    IPv4Forwarding: true,
    Debug: false,
    OomKillDisable: false,
    SystemTime: formatTime(call.api.backend.nowMs()),
    LoggingDriver: '',
    KernelVersion: release(),
    OperatingSystem: 'Linux',
    OSType: 'linux',
    Architecture: process.arch === 'x64' ? 'x86_64' : 'aarch64',
    NCPU: cpus().length,
    MemTotal: totalmem(),
    GenericResources: null,
    Name: hostname(),
    Labels: [],
    ExperimentalBuild: false,
    ServerVersion: agentVersion,
    Runtimes: {},
    DefaultRuntime: '',
    LiveRestoreEnabled: false,
    SecurityOptions: [],
    Warnings: [engineWarning(call)],
  }
}

function engineWarning(call: Call): string {
  const { socketPath } = call.api.engine
  return socketPath === undefined
    ? 'WARNING: No container engine on this node: the agent runs containers itself'
    : `WARNING: The container engine at unix://${socketPath} does not answer`
}

/** The Swarm section. Never fails: what goes wrong stands in its Error field. */
async function swarmInfo(
  call: Call,
): Promise<{ readonly swarm: Document; readonly warnings: readonly string[] }> {
  const local = call.api.backend.state()
  const head = {
    NodeID: local.state === 'locked' ? '' : (local.nodeId ?? ''),
    NodeAddr: local.nodeAddress,
    LocalNodeState: local.state,
    ControlAvailable: local.state === 'active' && local.isManager,
    Error: local.error ?? '',
    RemoteManagers:
      local.remoteManagers.length === 0
        ? null
        : local.remoteManagers.map(({ nodeId, address }) => ({ NodeID: nodeId, Addr: address })),
  }
  if (!head.ControlAvailable) return { swarm: head, warnings: [] }
  try {
    const view = await call.api.backend.read()
    const cluster = view.cluster()
    const managers = [...view.all('node')].filter((node) => node.spec.role === 'manager').length
    const swarm = {
      ...head,
      Nodes: view.count('node'),
      Managers: managers,
      ...(cluster === undefined
        ? {}
        : { Cluster: formatClusterInfo(cluster, trustOf(call, view, cluster)) }),
    }
    return { swarm, warnings: managers === 2 ? [twoManagers] : [] }
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    return { swarm: { ...head, Error: formatError(error) }, warnings: [] }
  }
}

function trustOf(call: Call, view: View, cluster: Cluster): ClusterTrust {
  const tls = clusterTls(call.api.backend, cluster)
  return { tls, isRotating: isRotating(view, cluster) }
}

const twoManagers =
  'WARNING: Two managers tolerate no failure: without either of them the cluster cannot be changed. Add a third, or demote one.'
