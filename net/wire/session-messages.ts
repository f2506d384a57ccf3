// What passes between a worker and the managers, on the wire: a session's opening with what the node
// is and what its tasks are, reports, and what the managers answer. A worker may be anybody who had
// a token once: all that it says is checked here, field by field, before core sees it.
//
//   worker                                     manager
//     | -- session.open: description, tasks --> |   request; the answer is the welcome
//     | <- session.assign: seq 1, everything -- |   message; then differences, seq 2, 3, ...
//     | -- session.beat ----------------------> |   request; the answer says the last seq
//     | -- session.report --------------------> |   message
//     | <- session.table ---------------------- |   message: whom to trust
//     | <- session.moved ---------------------- |   message: the leader has changed, open again
//     | -- session.leave ---------------------> |   request: for good

import { CodedError } from '../../core/base/error.ts'
import { isId, type NodeId, type TaskId } from '../../core/base/id.ts'
import type { Assignments } from '../../core/dispatch/protocol.ts'
import type { GenericResource, NodeDescription } from '../../core/object/node.ts'
import type { PortConfig } from '../../core/object/service.ts'
import { type TaskReport, type TaskStatus, taskStates } from '../../core/object/task.ts'
import type { Epoch } from '../../core/raft/types.ts'
import {
  type Fields,
  readBytes,
  readCount,
  readFields,
  readFlag,
  readList,
  readOptional,
  readText,
  readWord,
} from './check.ts'
import { readEpoch } from './raft-messages.ts'

/** What a node says when its session opens. */
export interface SessionOpen {
  /** Of this session alone, drawn by the node. */
  readonly session: string
  /** Of this start of the agent. */
  readonly incarnation: string
  readonly description: NodeDescription
  /** Without port. */
  readonly address: string
  readonly reports: readonly TaskReport[]
  /** The cluster's key that its certificate is signed with: an old one brings a new certificate. */
  readonly trustedKey?: Uint8Array
  /** Index of the table of members that it has. */
  readonly tableIndex: number
  /** Why it can run nothing at present; absent on a node that is well. */
  readonly fault?: string
  /** By the node's clock, which may be years off. */
  readonly sentAtMs: number
  /** The line of descent that the node has followed so far, if it knows one. */
  readonly epoch?: Epoch
  /** Given by a node that is, or is to be, a manager. */
  readonly manager?: { readonly key: Uint8Array; readonly address: string }
}

/** What became of its tasks since. */
export interface SessionReport {
  readonly session: string
  readonly reports: readonly TaskReport[]
  /** By the node's clock. */
  readonly sentAtMs: number
}

/** What it is told. */
export interface SessionWelcome {
  /** How often to send a heartbeat. */
  readonly heartbeatMs: number
  /** The leader speaks for the cluster: what may run on a lease may do so from now on. */
  readonly isQuorate: boolean
  /** The signed table of members; empty if the node has it. */
  readonly table: Uint8Array
  readonly epoch: Epoch
  /** The cluster's word for the manager's key that was named. */
  readonly managerCertificate?: Uint8Array
  /** The same for its key as a worker, if the one that it has is signed with an old key. */
  readonly certificate?: Uint8Array
}

/** What a heartbeat is answered with. */
export interface SessionPulse {
  /** Of the last assignment that was sent. */
  readonly seq: number
  /** As in the welcome. */
  readonly isQuorate: boolean
}

/** Numbered from 1 in each session, so that a lost one is noticed. */
export interface SessionAssign {
  readonly session: string
  readonly seq: number
  readonly assignments: Assignments
}

const textMax = 256
const longTextMax = 8 * 1024
const reportsMax = 20_000
const itemsMax = 1_000
/** Heartbeats that a gateway relays at once. */
export const beatsMax = 20_000

/** Reads an opening. Throws bad-request. */
export function readSessionOpen(value: unknown): SessionOpen {
  const fields = readFields(value, 'session.open')
  const manager = readOptional(fields, 'manager', () => readManager(fields['manager']))
  const trustedKey = readOptional(fields, 'trustedKey', () => readBytes(fields, 'trustedKey', 32))
  const fault = readOptional(fields, 'fault', () => readText(fields, 'fault', longTextMax))
  const epoch = readOptional(fields, 'epoch', () => readEpoch(fields['epoch']))
  return {
    session: readText(fields, 'session', textMax),
    incarnation: readText(fields, 'incarnation', textMax),
    description: readDescription(fields['description']),
    address: readText(fields, 'address', textMax),
    reports: readReports(fields),
    ...(trustedKey === undefined ? {} : { trustedKey }),
    tableIndex: readCount(fields, 'tableIndex'),
    ...(fault === undefined ? {} : { fault }),
    sentAtMs: readNumber(fields, 'sentAtMs'),
    ...(epoch === undefined ? {} : { epoch }),
    ...(manager === undefined ? {} : { manager }),
  }
}

function readReports(fields: Fields): readonly TaskReport[] {
  return readList(fields, 'reports', { max: reportsMax, item: readReport })
}

/** Reads a report. Throws bad-request. */
export function readSessionReport(value: unknown): SessionReport {
  const fields = readFields(value, 'session.report')
  return {
    session: readText(fields, 'session', textMax),
    reports: readReports(fields),
    sentAtMs: readNumber(fields, 'sentAtMs'),
  }
}

/** Reads a welcome. */
export function readWelcome(value: unknown): SessionWelcome {
  const fields = readFields(value, 'welcome')
  const managerCertificate = readOptional(fields, 'managerCertificate', () =>
    readBytes(fields, 'managerCertificate', { max: longTextMax }),
  )
  const certificate = readOptional(fields, 'certificate', () =>
    readBytes(fields, 'certificate', { max: longTextMax }),
  )
  return {
    heartbeatMs: readCount(fields, 'heartbeatMs', { min: 1, max: 3_600_000 }),
    isQuorate: readFlag(fields, 'isQuorate'),
    table: readBytes(fields, 'table', { max: 8 * 1024 * 1024 }),
    epoch: readEpoch(fields['epoch']),
    ...(managerCertificate === undefined ? {} : { managerCertificate }),
    ...(certificate === undefined ? {} : { certificate }),
  }
}

/** Reads the answer to a heartbeat. */
export function readPulse(value: unknown): SessionPulse {
  const fields = readFields(value, 'pulse')
  return { seq: readCount(fields, 'seq'), isQuorate: readFlag(fields, 'isQuorate') }
}

/** A gateway's heartbeats of several nodes, with each one's session. */
export interface RelayBeats {
  readonly beats: readonly { readonly nodeId: NodeId; readonly session: string }[]
}

export function readRelayBeats(value: unknown): RelayBeats['beats'] {
  return readList(readFields(value, 'relay.beats'), 'beats', {
    max: beatsMax,
    item: (item) => {
      const fields = readFields(item, 'beat')
      return { nodeId: readNodeId(fields, 'nodeId'), session: readText(fields, 'session', 64) }
    },
  })
}

/** The leader's answer: a seq for each of them, in order; -1 for a session that it does not know. */
export interface RelayPulses {
  readonly seqs: readonly number[]
  readonly isQuorate: boolean
}

export function readRelayPulses(value: unknown): RelayPulses {
  const fields = readFields(value, 'relay.beats')
  const item = (seq: unknown): number => readNumber({ seq }, 'seq')
  return {
    seqs: readList(fields, 'seqs', { max: beatsMax, item }),
    isQuorate: readFlag(fields, 'isQuorate'),
  }
}

/** Reads assignments: the outer form only, for a manager has made them. */
export function readAssign(value: unknown): SessionAssign {
  const fields = readFields(value, 'session.assign')
  const assignments = readFields(fields['assignments'], 'assignments')
  readFlag(assignments, 'isComplete')
  for (const name of ['tasks', 'removed', 'files', 'removedFiles']) {
    readList(assignments, name, { max: 100_000, item: (item) => item })
  }
  return {
    session: readText(fields, 'session', textMax),
    seq: readCount(fields, 'seq'),
    assignments: assignments as unknown as Assignments,
  }
}

/** Reads a node's id. */
export function readNodeId(fields: Fields, name: string): NodeId {
  return idOf(fields, name) as NodeId
}

function readManager(value: unknown): { readonly key: Uint8Array; readonly address: string } {
  const fields = readFields(value, 'manager')
  return { key: readBytes(fields, 'key', 32), address: readText(fields, 'address', 300) }
}

function readDescription(value: unknown): NodeDescription {
  const fields = readFields(value, 'description')
  const platform = readFields(fields['platform'], 'platform')
  const resources = readFields(fields['resources'], 'resources')
  const engine = readFields(fields['engine'], 'engine')
  return {
    hostname: readText(fields, 'hostname', textMax),
    platform: {
      architecture: readText(platform, 'architecture', 64),
      os: readText(platform, 'os', 64),
    },
    resources: {
      nanoCpus: readCount(resources, 'nanoCpus'),
      memoryBytes: readCount(resources, 'memoryBytes'),
      generic: readList(resources, 'generic', { max: itemsMax, item: readGeneric }),
    },
    engine: {
      version: readText(engine, 'version', textMax),
      labels: readLabels(engine['labels']),
      plugins: readList(engine, 'plugins', {
        max: itemsMax,
        item: (item) => {
          const plugin = readFields(item, 'plugin')
          return {
            type: readText(plugin, 'type', textMax),
            name: readText(plugin, 'name', textMax),
          }
        },
      }),
    },
    runtime: readWord(fields, 'runtime', ['docker', 'embedded']),
    agentVersion: readText(fields, 'agentVersion', textMax),
  }
}

function readGeneric(value: unknown): GenericResource {
  const fields = readFields(value, 'generic resource')
  const kind = readText(fields, 'kind', textMax)
  return readWord(fields, 'type', ['discrete', 'named']) === 'discrete'
    ? { type: 'discrete', kind, value: readCount(fields, 'value') }
    : { type: 'named', kind, value: readText(fields, 'value', textMax) }
}

function readLabels(value: unknown): Readonly<Record<string, string>> {
  const fields = readFields(value, 'labels')
  const names = Object.keys(fields)
  if (names.length > itemsMax) {
    throw new CodedError('bad-request', `${names.length} labels, at most ${itemsMax} are allowed`)
  }
  return Object.fromEntries(names.map((name) => [name, readText(fields, name, longTextMax)]))
}

function readReport(value: unknown): TaskReport {
  const fields = readFields(value, 'report')
  return { id: idOf(fields, 'id') as TaskId, status: readStatus(fields['status']) }
}

function readStatus(value: unknown): TaskStatus {
  const fields = readFields(value, 'status')
  const optional = <K extends string, V>(name: K, read: () => V): { readonly [Key in K]?: V } => {
    const found = readOptional(fields, name, read)
    return (found === undefined ? {} : { [name]: found }) as { readonly [Key in K]?: V }
  }
  return {
    state: readWord(fields, 'state', taskStates),
    atMs: readNumber(fields, 'atMs'),
    message: readText(fields, 'message', longTextMax),
    ...optional('error', () => readText(fields, 'error', longTextMax)),
    ...optional('container', () => {
      const container = readFields(fields['container'], 'container')
      return {
        id: readText(container, 'id', textMax),
        pid: readCount(container, 'pid'),
        exitCode: readNumber(container, 'exitCode'),
      }
    }),
    ...optional('runningSinceMs', () => readNumber(fields, 'runningSinceMs')),
    ...optional('ports', () => readList(fields, 'ports', { max: itemsMax, item: readPort })),
    ...optional('addresses', () =>
      readList(fields, 'addresses', {
        max: 64,
        item: (item) => readText({ item }, 'item', textMax),
      }),
    ),
  }
}

function readPort(value: unknown): PortConfig {
  const fields = readFields(value, 'port')
  const bounds = { min: 0, max: 65_535 }
  const name = readOptional(fields, 'name', () => readText(fields, 'name', textMax))
  const publishedPort = readOptional(fields, 'publishedPort', () =>
    readCount(fields, 'publishedPort', bounds),
  )
  return {
    ...(name === undefined ? {} : { name }),
    protocol: readWord(fields, 'protocol', ['tcp', 'udp', 'sctp']),
    targetPort: readCount(fields, 'targetPort', bounds),
    ...(publishedPort === undefined ? {} : { publishedPort }),
    publishMode: readWord(fields, 'publishMode', ['ingress', 'host']),
  }
}

function readNumber(fields: Fields, name: string): number {
  const value = fields[name]
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw new CodedError('bad-request', `field ${name} must be a number`)
}

function idOf(fields: Fields, name: string): string {
  const id = readText(fields, name, 25)
  if (!isId(id)) throw new CodedError('bad-request', `field ${name} is no id`)
  return id
}
