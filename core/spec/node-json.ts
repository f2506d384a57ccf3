// JSON of nodes (Docker Engine API: NodeSpec in and out, Node out).

import {
  always,
  type Codec,
  labels,
  object,
  parseAs,
  string,
  unlessZero,
  word,
} from '../base/schema.ts'
import type { ManagerStatus, Node, NodeDescription, NodeSpec } from '../object/node.ts'
import { compact, formatMeta, genericResourceJson } from './common-json.ts'

const roleWord = word(['worker', 'manager'], {
  isFolded: true,
  refuse: (text) => `invalid Role: "${text}"`,
})
const availabilityWord = word(['active', 'pause', 'drain'], {
  isFolded: true,
  refuse: (text) => `invalid Availability: "${text}"`,
})

/** Role and availability have no default: an update that leaves them out is refused by name. */
export const nodeSpecJson: Codec<NodeSpec> = object<NodeSpec>({
  name: unlessZero('Name', string),
  labels: always('Labels', labels, {}),
  role: {
    name: 'Role',
    parse: (value, path) => roleWord.parse(value ?? '', path),
    format: (role) => role,
  },
  availability: {
    name: 'Availability',
    parse: (value, path) => availabilityWord.parse(value ?? '', path),
    format: (availability) => availability,
  },
})

/** The body of POST /nodes/{id}/update. Throws bad-request. */
export function parseNodeSpec(body: unknown): NodeSpec {
  return parseAs(nodeSpecJson, body, { name: 'Spec' })
}

/** What clients see as the root of trust. Bytes are base64 in JSON. */
export interface TlsInfo {
  readonly trustRoot: string
  readonly issuerSubject: string
  readonly issuerPublicKey: string
}

/** What formatNode needs besides the node. */
export interface NodeExtras {
  /** Present on managers: what Raft says of it. */
  readonly manager?: ManagerStatus
  readonly tls?: TlsInfo
}

/** Node: what GET /nodes/{id} answers. */
export function formatNode(node: Node, extras: NodeExtras = {}): unknown {
  const { state, message, address } = node.status
  return compact({
    ...formatMeta(node),
    Spec: nodeSpecJson.format(node.spec),
    Description: formatDescription(node.description, extras.tls),
    Status: compact({ State: state, Message: message, Addr: address }),
    ManagerStatus: extras.manager === undefined ? undefined : formatManager(extras.manager),
  })
}

function formatManager(manager: ManagerStatus): unknown {
  return compact({
    Leader: manager.isLeader || undefined,
    Reachability: manager.reachability,
    Addr: manager.address,
  })
}

function formatDescription(description: NodeDescription | undefined, tls?: TlsInfo): unknown {
  const tlsInfo = tls === undefined ? {} : formatTls(tls)
  if (description === undefined)
    return { Platform: {}, Resources: {}, Engine: {}, TLSInfo: tlsInfo }
  const { hostname, platform, resources, engine } = description
  return {
    Hostname: hostname,
    Platform: { Architecture: platform.architecture, OS: platform.os },
    Resources: compact({
      NanoCPUs: resources.nanoCpus,
      MemoryBytes: resources.memoryBytes,
      GenericResources:
        resources.generic.length === 0
          ? undefined
          : resources.generic.map(genericResourceJson.format),
    }),
    Engine: compact({
      EngineVersion: engine.version,
      Labels: Object.keys(engine.labels).length === 0 ? undefined : labels.format(engine.labels),
      Plugins:
        engine.plugins.length === 0
          ? undefined
          : engine.plugins.map(({ type, name }) => ({ Type: type, Name: name })),
    }),
    TLSInfo: tlsInfo,
  }
}

/** TLSInfo, as nodes and the cluster show it. */
export function formatTls(tls: TlsInfo): unknown {
  return {
    TrustRoot: tls.trustRoot,
    CertIssuerSubject: tls.issuerSubject,
    CertIssuerPublicKey: tls.issuerPublicKey,
  }
}
