// Guests: newcomers at a manager's door. They hold one of the two tokens; which one it is says what
// they may become. What they get is an id, the cluster's word for their keys, and the table of
// members.

import { CodedError } from '../core/base/error.ts'
import type { NodeId } from '../core/base/id.ts'
import { noLeader } from '../core/base/no-leader.ts'
import type { Log } from '../core/base/note.ts'
import type { Command, CommandAnswer } from '../core/command/command.ts'
import { tableOf } from '../core/dispatch/table.ts'
import type { Cluster } from '../core/object/cluster.ts'
import type { Epoch } from '../core/raft/types.ts'
import type { Guest, PeerHandlers } from '../net/cluster/connection.ts'
import type { Peers } from '../net/cluster/peers.ts'
import type { CertificateRole } from '../net/secure/certificate.ts'
import { keyBytes } from '../net/secure/crypto.ts'
import { isSameSecret } from '../net/secure/join-token.ts'
import { chainOf, encodeTable } from '../net/secure/signed-table.ts'
import { readBytes, readFields, readText, readWord } from '../net/wire/check.ts'
import { readEpoch } from '../net/wire/raft-messages.ts'
import { readNodeId } from '../net/wire/session-messages.ts'
import { parseHostPort } from './base/addresses.ts'
import type { Clock } from './base/clock.ts'
import { certify, type ManagerHalf } from './manager-half.ts'

/** What a newcomer says of itself. It draws its id, so that it may ask again and be the same. */
export interface JoinAsk {
  readonly nodeId: NodeId
  /** Of the manager that it becomes if its token says so. */
  readonly managerKey: Uint8Array
  /** Empty if it cannot listen, and so can be no manager. */
  readonly managerAddress: string
  /** Without port; empty: as the connection shows it. */
  readonly address: string
  readonly availability: 'active' | 'pause' | 'drain'
}

export interface JoinGrant {
  readonly role: CertificateRole
  readonly certificate: Uint8Array
  readonly managerCertificate: Uint8Array
  readonly table: Uint8Array
  readonly epoch: Epoch
  /** Remarks for the administrator. */
  readonly warnings: readonly string[]
}

/** The role that a token's secret gives, by the cluster of the moment. Throws in Swarm's words. */
export function admitter(
  cluster: () => Cluster | undefined,
): (secret: string, host: string) => CertificateRole {
  return (secret) => {
    const { joinSecrets } = cluster() ?? {}
    if (joinSecrets === undefined) {
      throw new CodedError('unavailable', 'this node is no manager that could let anybody join')
    }
    if (isSameSecret(secret, joinSecrets.worker)) return 'worker'
    if (isSameSecret(secret, joinSecrets.manager)) return 'manager'
    const text = 'A valid join token is necessary to join this cluster'
    throw new CodedError('invalid-argument', text)
  }
}

/** What guests may ask of a manager. */
export function guestHandlers(half: () => ManagerHalf, tools: Tools): PeerHandlers['guests'] {
  return { join: (guest, body) => admit(half(), guest, { ...tools, ask: readAsk(body) }) }
}

interface Tools {
  readonly clock: Clock
  readonly peers: Pick<Peers, 'probe'>
  readonly log: Log
}

/** The newcomer waits 4.5 s in all. */
const probeMsMax = 1_500
const submitMsMax = 2_500

async function admit(
  half: ManagerHalf,
  guest: Guest,
  tools: Tools & { readonly ask: JoinAsk },
): Promise<JoinGrant> {
  const { ask, clock, log } = tools
  const { nodeId: id, managerAddress, availability } = ask
  const isManager = guest.role === 'manager'
  if (isManager) await checkReachable(managerAddress, tools)
  const answer = await inTime(half, clock, {
    type: 'node.join',
    id,
    role: guest.role,
    keys: { worker: guest.key, ...(isManager ? { manager: ask.managerKey } : {}) },
    ...(isManager ? { managerAddress } : {}),
    address: ask.address === '' ? guest.host : ask.address,
    availability,
  })
  for (const warning of answer.warnings) log('warn', 'join.warning', { node: id, warning })
  const { view, appliedIndex, raft } = half.machine
  const cluster = view.cluster()
  const table = tableOf(view, appliedIndex)
  if (cluster === undefined || table === undefined) {
    throw new CodedError('unavailable', 'this manager has not read the cluster state yet')
  }
  const word = (role: CertificateRole, key: Uint8Array): Uint8Array =>
    certify(cluster, half.machine, { id, role, key, nowMs: clock.nowMs() })
  return {
    role: guest.role,
    certificate: word('worker', guest.key),
    managerCertificate: isManager ? word('manager', ask.managerKey) : new Uint8Array(0),
    table: encodeTable(table, cluster.key.privateKey, chainOf(cluster)),
    epoch: raft.epoch,
    warnings: answer.warnings,
  }
}

/** A manager that the others cannot dial is none. Throws failed-precondition, unavailable in Swarm's words. */
async function checkReachable(managerAddress: string, { peers }: Tools): Promise<void> {
  if (managerAddress === '') {
    const text = 'a manager needs an address that the other managers reach: see --listen-addr'
    throw new CodedError('failed-precondition', text)
  }
  try {
    await peers.probe(parseHostPort(managerAddress), probeMsMax)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    const text = `could not connect to prospective new cluster member using its advertised address: ${error.message}; name one that the managers reach with --advertise-addr, and open its port`
    throw new CodedError('unavailable', text, { cause: error })
  }
}

/** Submits, and gives up before the newcomer does, so that it hears why. */
function inTime(half: ManagerHalf, clock: Clock, command: Command): Promise<CommandAnswer> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(submitMsMax, () => reject(noLeader()))
    half.line.submit(command).then(resolve, reject).finally(cancel)
  })
}

function readAsk(value: unknown): JoinAsk {
  const fields = readFields(value, 'join')
  return {
    nodeId: readNodeId(fields, 'nodeId'),
    managerKey: readBytes(fields, 'managerKey', keyBytes),
    managerAddress: readText(fields, 'managerAddress', 300),
    address: readText(fields, 'address', 256),
    availability: readWord(fields, 'availability', ['active', 'pause', 'drain']),
  }
}

/** Reads what a manager has granted. Throws bad-request. */
export function readGrant(value: unknown): JoinGrant {
  const fields = readFields(value, 'grant')
  const warnings = fields['warnings']
  return {
    role: readWord(fields, 'role', ['worker', 'manager']),
    certificate: readBytes(fields, 'certificate', { max: 1024 }),
    managerCertificate: readBytes(fields, 'managerCertificate', { max: 1024 }),
    table: readBytes(fields, 'table', { max: 8 * 1024 * 1024 }),
    epoch: readEpoch(fields['epoch']),
    warnings: Array.isArray(warnings) ? warnings.map(String) : [],
  }
}
