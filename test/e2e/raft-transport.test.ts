// Three managers over TCP on loopback, each with a real log: they elect, replicate, hand pieces of
// snapshots on, and go on without one of them. What is no letter is counted and dropped.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import t, { type Test } from 'tap'
import { systemClock } from '../../agent/base/clock.ts'
import { tickMs } from '../../agent/host/manager-host.ts'
import { createRaftTransport } from '../../agent/host/raft-transport.ts'
import { type Disk, realDisk } from '../../agent/storage/disk.ts'
import { present } from '../../core/base/assert.ts'
import { hasCode } from '../../core/base/error.ts'
import { nodeOfMember } from '../../core/object/node.ts'
import type { Config } from '../../core/object/secret.ts'
import type { Entry, MemberId, Message } from '../../core/raft/types.ts'
import type { Peer } from '../../net/cluster/connection.ts'
import type { Peers } from '../../net/cluster/peers.ts'
import { makeClusterKeys, nodeIdOf } from '../support/cluster-keys.ts'
import {
  configCommand,
  initCommand,
  joinCommand,
  leaderOf,
  type Member,
  type MemberOptions,
  startMember,
} from '../support/manager-member.ts'
import { waitFor } from '../support/wait.ts'

t.setTimeout(120_000)
const timeoutMs = 20_000
/** For where a busy machine must not unseat a leader: 2 to 4 s. */
const patientTicks = 20

interface Trio {
  readonly members: Member[]
  readonly start: (options: { number: number } & Partial<MemberOptions>) => Promise<Member>
}

/** Three managers, founded and joined as they would be in life. */
async function openTrio(
  t: Test,
  more: Partial<MemberOptions> = {},
  raftSpec: { readonly snapshotInterval?: number } = {},
): Promise<Trio> {
  const cluster = makeClusterKeys()
  const root = mkdtempSync(`${tmpdir()}/skep-trio-`)
  const members: Member[] = []
  const all: Member[] = []
  t.teardown(async () => {
    await Promise.all(all.map((member) => member.stop()))
    rmSync(root, { recursive: true, force: true })
    for (const member of all) if (member.failure() !== undefined) throw member.failure()
  })
  const start: Trio['start'] = async (options) => {
    const folder = `${root}/${options.memberId ?? options.number}`
    const member = await startMember({ cluster, folder, ...more, ...options })
    all.push(member)
    return member
  }
  for (const number of [1, 2, 3]) members.push(await start({ number }))
  const [one, two, three] = members as [Member, Member, Member]
  await leaderOf([one])
  await one.host.submit(initCommand(one.address, raftSpec))
  await one.host.submit(joinCommand(2, two.address))
  await one.host.submit(joinCommand(3, three.address))
  await untilVoters(members, [one, two, three])
  return { members, start }
}

async function untilVoters(where: readonly Member[], wanted: readonly Member[]): Promise<void> {
  const ids = wanted.map((member) => member.memberId).sort()
  await waitFor({ what: `voters ${ids}`, timeoutMs, describe: () => describe(where) }, () =>
    where.every((member) => {
      const voters = member.raft.committedMembership.members.filter((each) => each.isVoter)
      return `${voters.map((each) => each.id).sort()}` === `${ids}`
    }),
  )
}

function describe(members: readonly Member[]): string {
  return members
    .map(({ memberId, raft, transport, events, peers }) => {
      const { role, term, commit } = raft
      const tail = events.slice(-12).join(' ')
      const heard = raft.followers.map(
        ({ id, state, heardTicksAgo }) => `${id} ${state} ${heardTicksAgo}`,
      )
      const up = peers.list().map(({ nodeId }) => Number(nodeId))
      return JSON.stringify({
        memberId,
        role,
        term,
        commit,
        heard,
        up,
        ...peers.counts(),
        ...transport.counts(),
        tail,
      })
    })
    .join('\n')
}

function configsOf(member: Member): readonly Config[] {
  return [...member.machine.view.all('config')].sort((a, b) => (a.id < b.id ? -1 : 1))
}

async function untilConfigs(members: readonly Member[], count: number): Promise<void> {
  await waitFor({ what: `${count} configs`, timeoutMs, describe: () => describe(members) }, () =>
    members.every((member) => member.machine.view.all('config').length === count),
  )
}

t.test('three managers elect one, replicate, and lose their leader', async (t) => {
  const { members } = await openTrio(t, { electionTicks: patientTicks })
  const leader = await leaderOf(members)
  const names = Array.from({ length: 50 }, (_, at) => `c${at}`)
  await Promise.all(names.map((name) => leader.host.submit(configCommand(name))))
  await untilConfigs(members, 50)
  const others = members.filter((member) => member !== leader)
  // Longer than any follower waits: with a leader that is heard, nobody doubts it.
  await systemClock.sleep(2.5 * patientTicks * tickMs)
  for (const { events } of others) t.notOk(events.includes('raft.pre-campaign'), 'it is calm')
  await leader.stop()
  const next = await leaderOf(others)
  t.not(next, leader)
  await next.host.submit(configCommand('after'))
  await next.host.read()
  await untilConfigs(others, 51)
})

/** A disk that takes its time to read a piece of a snapshot. */
const slowReader: Disk = {
  ...realDisk,
  open: async (path, mode) => {
    const file = await realDisk.open(path, mode)
    if (mode !== 'read' || !path.includes('/snapshots/')) return file
    const read = async (position: number, count: number): Promise<Uint8Array> => {
      await systemClock.sleep(150)
      return file.read(position, count)
    }
    return { ...file, read }
  },
}

t.test('a member that was gone for long gets a snapshot in pieces', async (t) => {
  // More than this many appends do not wait for it, so that it will need the snapshot.
  const limits = { chunkBytesMax: 1_000, entriesKept: 5, inflightMessagesMax: 4 }
  const { members, start } = await openTrio(
    t,
    { limits, disk: slowReader, electionTicks: patientTicks },
    { snapshotInterval: 20 },
  )
  const leader = await leaderOf(members)
  const gone = members.find((member) => member !== leader) as Member
  const here = members.filter((member) => member !== gone)
  await gone.stop()
  let count = 0
  const write = (): Promise<unknown> =>
    leader.host.submit(configCommand(`c${++count}`, new Uint8Array(200).fill(1)))
  while (count < 60) await write()
  await waitFor({ what: 'a log without what it lacks', timeoutMs }, async () => {
    await write()
    // Some of it may wait in letters that did not leave yet.
    return leader.raft.firstIndex > gone.raft.lastIndex + 30
  })
  const heardBefore = leader.roles.length
  const number = Number(gone.id)
  const back = await start({ number, start: 2, listen: gone.address })
  await untilConfigs([...here, back], count)
  t.ok(back.events.includes('snapshot.read'), 'it read a snapshot')
  t.ok((leader.transport.counts()['piecesSent'] ?? 0) > 10, 'which came in pieces')
  t.same(configsOf(back), configsOf(leader))
  t.equal(leader.roles.length, heardBefore, 'nobody doubted the leader meanwhile')
  t.notOk(back.events.includes('raft.pre-campaign'), 'and heartbeats were not held up')
  // What was installed is on its disk: it starts from there.
  await back.stop()
  const again = await start({ number, start: 3, listen: gone.address })
  await untilConfigs([again], count)
  await write()
  await untilConfigs([...here, again], count)
})

t.test('a member whose disk was wiped comes back as another one of the same node', async (t) => {
  const limits = { chunkBytesMax: 4_000, entriesKept: 5 }
  const { members, start } = await openTrio(
    t,
    { limits, electionTicks: patientTicks },
    { snapshotInterval: 20 },
  )
  const leader = await leaderOf(members)
  const gone = members.find((member) => member !== leader) as Member
  const here = members.filter((member) => member !== gone)
  for (let at = 0; at < 40; at++) await leader.host.submit(configCommand(`c${at}`))
  await gone.stop()
  // The leader may just be noting that the node is silent: then its version is another one.
  const setRole = (role: 'worker' | 'manager'): Promise<unknown> =>
    waitFor({ what: `role ${role}`, timeoutMs }, async () => {
      const node = present(leader.machine.view.get('node', gone.id), 'the node')
      const { id, version, spec } = node
      try {
        return await leader.host.submit({
          ...{ type: 'node.update', id, version, spec: { ...spec, role } },
        })
      } catch (error) {
        if (hasCode(error, 'out-of-sequence')) return undefined
        throw error
      }
    })
  await setRole('worker')
  await untilVoters(here, here)
  // Once raft has let it go, its place is void: promoted again it gets another.
  await waitFor({ what: 'retired member', timeoutMs: 20_000 }, () => {
    return leader.machine.view.get('node', gone.id)?.memberId === undefined
  })
  const memberId = `${gone.id}.2`
  const number = Number(gone.id)
  const back = await start({ number, start: 2, memberId })
  await setRole('manager')
  leader.host.dispatch({
    type: 'sessionOpened',
    nowMs: Date.now(),
    nodeId: gone.id,
    incarnation: 'x',
    isLocal: false,
    description: {
      hostname: 'n',
      platform: { architecture: 'x86_64', os: 'linux' },
      resources: { nanoCpus: 4e9, memoryBytes: 8 * 2 ** 30, generic: [] },
      engine: { version: '1', labels: {}, plugins: [] },
      runtime: 'docker',
      agentVersion: '1',
    },
    address: '127.0.0.1',
    reports: [],
    manager: {
      key: new Uint8Array(32),
      address: `127.0.0.1:${back.address.port}`,
    },
  })
  await untilVoters([...here, back], [...here, back])
  await untilConfigs([back], 40)
  t.ok(back.events.includes('snapshot.read'))
})

interface Heard {
  readonly from: MemberId
  readonly message: Message
}

/** A transport without a network, for what it makes of what comes in. */
function openAlone(): {
  transport: ReturnType<typeof createRaftTransport>
  heard: Heard[]
  sent: string[]
  letters: Message[]
  pieces: { to: string; offset: number; resolve: () => void }[]
} {
  const heard: Heard[] = []
  const sent: string[] = []
  const letters: Message[] = []
  const pieces: { to: string; offset: number; resolve: () => void }[] = []
  const transport = createRaftTransport({
    memberId: () => nodeIdOf(1),
    membership: () => undefined,
    peers: () =>
      ({
        send: (nodeId, _kind, body) => {
          const [, , message] = body as [string, string, Message]
          letters.push(message)
          sent.push(`${Number(nodeId)} ${message.type}`)
        },
        request: (nodeId, _kind, body) =>
          new Promise((resolve) => {
            const { offset } = (body as [string, string, { offset: number }])[2]
            pieces.push({ to: nodeId, offset, resolve: () => resolve(undefined) })
          }),
        setAddresses: () => {},
      }) satisfies Pick<Peers, 'send' | 'request' | 'setAddresses'>,
    readPiece: async (_id, { count }) => new Uint8Array(count),
    receive: (from, message) => heard.push({ from, message }),
    log: () => {},
  })
  return { transport, heard, sent, letters, pieces }
}

const header = {
  term: 1,
  epoch: 'e',
  incarnation: { counter: 1, nonce: 1, foundTerm: 0, foundIndex: 0 },
}
const notice = { type: 'termNotice', ...header } as const

t.test('what is no letter, or not for us, is counted and dropped', async (t) => {
  const { transport, heard } = openAlone()
  const peer = { nodeId: nodeIdOf(2) } as Peer
  const handle = (from: Peer, body: unknown): void =>
    transport.handlers.messages['raft']?.handle(from, body)
  const [two, one] = [nodeIdOf(2), nodeIdOf(1)]
  const garbage: readonly unknown[] = [
    undefined,
    'x',
    [two, one],
    [two, 7, notice],
    [two, one, { ...notice, term: -1 }],
    [two, one, { ...notice, type: 'toString' }],
    [nodeIdOf(3), one, notice],
    [
      two,
      one,
      {
        ...header,
        type: 'snapshotChunk',
        snapshotId: 's',
        offset: 0,
        sizeBytes: 5,
        data: new Uint8Array(4),
      },
    ],
  ]
  for (const body of garbage) t.throws(() => handle(peer, body), { code: 'bad-request' })
  t.throws(() => handle(peer, [two, `${one}.2`, notice]), { code: 'not-found' })
  t.same(heard, [])
  t.match(transport.counts(), { garbage: garbage.length, misdirected: 1 })
  handle(peer, [`${two}.3`, one, notice])
  t.same(heard, [{ from: `${two}.3`, message: notice }])
  t.equal(nodeOfMember(`${two}.3`), two)
  t.same(
    [transport.handlers.messages, transport.handlers.requests].map((rows) =>
      Object.values(rows).map((row) => row.from),
    ),
    [[['manager']], [['manager']]],
  )
})

t.test(
  'pieces travel one at a time, and only the newest waits; letters pass them by',
  async (t) => {
    const { transport, sent, pieces } = openAlone()
    const piece = (offset: number): Message => ({
      ...{ ...header, type: 'snapshotChunk', snapshotId: 's', snapshot: undefined },
      ...{ offset, sizeBytes: 10, data: undefined },
    })
    const to = nodeIdOf(2)
    for (const offset of [0, 0, 10, 20, 30, 30]) transport.send({ to, message: piece(offset) })
    transport.send({ to: nodeIdOf(3), message: piece(70) })
    for (let at = 0; at < 5; at++) transport.send({ to, message: notice })
    const underWay = (): Promise<unknown> =>
      waitFor({ what: 'piece', timeoutMs, everyMs: 1 }, () => pieces.length >= 2)
    await underWay()
    t.same(
      pieces.map(({ to, offset }) => `${Number(to)}@${offset}`),
      ['2@0', '3@70'],
    )
    t.equal(sent.length, 5)
    for (const { resolve } of pieces.splice(0)) resolve()
    await waitFor({ what: 'next piece', timeoutMs, everyMs: 1 }, () => pieces.length >= 1)
    t.same(
      pieces.map(({ offset }) => offset),
      [30],
    )
    for (const { resolve } of pieces.splice(0)) resolve()
    await waitFor({ what: 'rest', timeoutMs, everyMs: 1 }, () => {
      return transport.counts()['piecesUnderWay'] === 0
    })
    t.match(transport.counts(), { piecesSent: 3, piecesLost: 0 })
    transport.close()
    transport.send({ to, message: notice })
    t.equal(sent.length, 5)
  },
)

t.test('appends of one turn that follow upon each other leave as one', async (t) => {
  const { transport, letters } = openAlone()
  const entry = (index: number, term: number): Entry => ({
    ...{ type: 'normal', index, term, sizeBytes: 100, data: index },
  })
  const append = (prevIndex: number, prevTerm: number, count: number): Message => ({
    ...{ ...header, term: 3, type: 'append', prevIndex, prevTerm, commit: prevIndex },
    entries: Array.from({ length: count }, (_, at) => entry(prevIndex + 1 + at, 3)),
  })
  const to = nodeIdOf(2)
  // The empty one asks whether the logs meet; the last one says something again.
  for (const letter of [append(4, 2, 1), append(5, 3, 0), append(5, 3, 3), append(7, 3, 1)]) {
    transport.send({ to, message: letter })
  }
  transport.send({ to: nodeIdOf(3), message: append(4, 2, 1) })
  await Promise.resolve()
  const told = letters.map((letter) => {
    if (letter.type !== 'append') return letter.type
    const { prevIndex, prevTerm, commit, entries } = letter
    return { prevIndex, prevTerm, commit, indexes: entries.map(({ index }) => index) }
  })
  t.same(told, [
    { prevIndex: 4, prevTerm: 2, commit: 5, indexes: [5, 6, 7, 8] },
    { prevIndex: 7, prevTerm: 3, commit: 7, indexes: [8] },
    { prevIndex: 4, prevTerm: 2, commit: 4, indexes: [5] },
  ])
})
