// One manager as a process: see member-client.ts, which starts it and commands it. It ends when its
// standard input does, so that none is left behind.

import { type Disk, type DiskFile, realDisk } from '../../agent/storage/disk.ts'
import type { Command } from '../../core/command/command.ts'
import { makeClusterKeys } from './cluster-keys.ts'
import { type Member, startMember } from './manager-member.ts'
import type { MemberProcessOptions, MemberStatus } from './member-client.ts'

interface Given extends MemberProcessOptions {
  readonly key: readonly [publicKey: string, privateKey: string]
}

const given = JSON.parse(process.argv[2] ?? '{}') as Given
const [publicKey, privateKey] = given.key.map((text) => new Uint8Array(Buffer.from(text, 'base64')))
if (publicKey === undefined || privateKey === undefined) throw new Error('no key was given')

/** Until when syncs do not return. */
let stall: Promise<void> = Promise.resolve()
let isFull = false

/** The real disk, whose syncs wait for the stall to end. */
const disk: Disk = {
  ...realDisk,
  open: async (path, mode) => {
    const file: DiskFile = await realDisk.open(path, mode)
    const sync = async (): Promise<void> => {
      await stall
      await file.sync()
    }
    return { ...file, sync }
  },
  syncFolder: async (path) => {
    await stall
    await realDisk.syncFolder(path)
  },
}

function statusOf({ raft, machine, roles, events }: Member): MemberStatus {
  const { role, term, leaderId, lastIndex, commit } = raft
  return {
    ...{ role, term, lastIndex, commit, roles, events, isDiskFull: isFull },
    ...(leaderId === undefined ? {} : { leaderId }),
    isReady: machine.isReady,
    voters: raft.committedMembership.members.flatMap((each) => (each.isVoter ? [each.id] : [])),
    configs: machine.view.all('config').length,
  }
}

const { number, start, folder, port, tickMs, electionTicks } = given
const member = await startMember({
  cluster: makeClusterKeys('c', { publicKey, privateKey }),
  ...{ number, start, folder, disk },
  ...(tickMs === undefined ? {} : { tickMs }),
  ...(electionTicks === undefined ? {} : { electionTicks }),
  listen: { host: '127.0.0.1', port },
  onSpace: (isFullNow) => {
    isFull = isFullNow
  },
  onLine: (line) => console.log(line),
  requests: {
    'test.submit': async (member, body) => ({ ...(await member.host.submit(body as Command)) }),
    'test.status': async (member) => statusOf(member),
    /** Up to date: refused by who cannot know. */
    'test.read': async (member) => (await member.host.read()).all('config').length,
    'test.stall': async (_member, body) => {
      stall = new Promise((resolve) => setTimeout(resolve, Number(body)))
      return 0
    },
  },
})
console.log(`ready ${member.address.port}`)
process.stdin.resume().once('end', () => process.exit())
