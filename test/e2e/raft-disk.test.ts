// Three managers as processes, whose disks stall and fill up: a slow disk costs the cluster at most
// one orderly change of its leader, and a full one no more than that.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { configCommand } from '../support/manager-member.ts'
import {
  type MemberClient,
  type MemberProcess,
  type MemberStatus,
  startMembers,
} from '../support/member-client.ts'
import { waitFor } from '../support/wait.ts'

t.setTimeout(180_000)
const timeoutMs = 30_000
const stallMs = 3_000

function folderOf(test: Test): string {
  const folder = mkdtempSync(`${tmpdir()}/skep-disk-`)
  test.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function open(test: Test, root = folderOf(test)): Promise<MemberClient> {
  const client = await startMembers(root)
  test.teardown(() => client.close())
  return client
}

function statuses(client: MemberClient): Promise<readonly MemberStatus[]> {
  return Promise.all(client.members.map((member) => client.status(member)))
}

function termOf(all: readonly MemberStatus[]): number {
  return Math.max(...all.map(({ term }) => term))
}

function countOf(all: readonly MemberStatus[], event: string): number {
  return all.flatMap(({ events }) => events).filter((each) => each === event).length
}

/** Writes one config after the other to whoever leads, until it is told to stop. */
function writeAlways(client: MemberClient): { readonly stop: () => Promise<number[]> } {
  let isStopped = false
  const doneAtMs: number[] = []
  const run = async (): Promise<void> => {
    let leader = await client.leader()
    for (let at = 0; !isStopped; at++) {
      try {
        await client.submit(leader, configCommand(`w${at}`))
        doneAtMs.push(performance.now())
      } catch {
        leader = await client.leader()
      }
    }
  }
  const running = run()
  return {
    stop: async () => {
      isStopped = true
      await running
      return doneAtMs
    },
  }
}

/** All have the same entries committed. */
async function untilAlike(client: MemberClient): Promise<readonly MemberStatus[]> {
  return waitFor({ what: 'members that are alike', timeoutMs }, async () => {
    const all = await statuses(client)
    const [first] = all
    const isAlike = all.every((each) => {
      return each.commit === first?.commit && each.configs === first.configs
    })
    return isAlike ? all : undefined
  })
}

t.test('a follower whose disk stalls for 3 s changes nothing', async (t) => {
  const client = await open(t)
  const leader = await client.leader()
  const follower = client.members.find((member) => member !== leader) as MemberProcess
  const before = await statuses(client)
  const writing = writeAlways(client)
  const startedAtMs = performance.now()
  await client.request(follower, 'test.stall', stallMs)
  await sleep(stallMs)
  const during = (await writing.stop()).filter((atMs) => atMs > startedAtMs + 1_000)
  t.ok(during.length > 10, `${during.length} writes while it stalled`)
  const after = await untilAlike(client)
  t.equal(termOf(after), termOf(before), 'the term is the same')
  t.equal(await client.leader(), leader)
  t.equal(countOf(after, 'raft.transfer-started'), 0)
})

t.test('a leader whose disk stalls for 3 s hands over once, in good order', async (t) => {
  const client = await open(t)
  const leader = await client.leader()
  const before = await statuses(client)
  const writing = writeAlways(client)
  const startedAtMs = performance.now()
  await client.request(leader, 'test.stall', stallMs)
  await sleep(stallMs)
  // Back to itself, the old leader has no reason to want its place back.
  await sleep(2_000)
  const times = (await writing.stop()).filter((atMs) => atMs > startedAtMs)
  const gapMs = times.reduce(
    (longest, atMs, at) => Math.max(longest, atMs - (times[at - 1] ?? startedAtMs)),
    0,
  )
  t.comment(`${times.length} writes, the longest pause ${gapMs.toFixed()} ms`)
  const after = await untilAlike(client)
  t.equal(countOf(after, 'raft.transfer-started'), 1, 'one transfer')
  t.equal(countOf(after, 'raft.transfer-failed'), 0)
  t.equal(termOf(after), termOf(before) + 1, 'one term more')
  t.not(await client.leader(), leader)
  t.ok(gapMs < stallMs, 'writes went on before the disk did')
  const campaigns = countOf(after, 'raft.campaign') - countOf(before, 'raft.campaign')
  t.equal(campaigns, 1, 'one campaign, that of the transfer')
})

/** A disk of its own for each, of 48 MB, that can really be full. */
function smallDisks(test: Test): string {
  const root = folderOf(test)
  for (const number of [1, 2, 3]) {
    const path = `${root}/${number}`
    mkdirSync(path)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', path])
    test.teardown(() => execFileSync('umount', ['-l', path]))
  }
  return root
}

/** Leaves no byte free. */
function fill(root: string, { number }: MemberProcess): void {
  const path = `${root}/${number}`
  const { bavail, bsize } = statfsSync(path)
  writeFileSync(`${path}/ballast`, new Uint8Array(bavail * bsize))
}

function makeRoom(root: string, { number }: MemberProcess): void {
  rmSync(`${root}/${number}/ballast`)
}

t.test('a leader whose disk is full hands over, can be read, and recovers', async (t) => {
  const root = smallDisks(t)
  const client = await open(t, root)
  const leader = await client.leader()
  const before = await statuses(client)
  fill(root, leader)
  let written = 0
  const write = async (): Promise<void> => {
    const to = await client.leader()
    try {
      await client.submit(to, configCommand(`f${written}`, new Uint8Array(200_000).fill(1)))
      written++
    } catch (error) {
      t.comment(`refused: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  await waitFor({ what: 'a new leader', timeoutMs }, async () => {
    await write()
    return (await client.leader()) !== leader
  })
  for (let at = 0; at < 5; at++) await write()
  const full = await client.status(leader)
  t.ok(full.isDiskFull, 'its disk is full')
  t.equal(full.role, 'follower')
  // It takes no entry that it cannot write down, and shows what it has.
  t.ok(full.configs > 0 && full.configs <= written, `it shows ${full.configs} of ${written}`)
  const next = await client.leader()
  t.equal(await client.request(next, 'test.read', 0), written)
  const after = await statuses(client)
  t.equal(termOf(after), termOf(before) + 1, 'one term more')
  makeRoom(root, leader)
  await waitFor({ what: 'room', timeoutMs }, async () => !(await client.status(leader)).isDiskFull)
  await untilAlike(client)
  t.equal(await client.leader(), next, 'and it leaves the new leader alone')
  // All of it is on its disk now: it comes back with it, and carries the next write.
  await leader.kill()
  const again = await client.start(leader.number)
  const third = client.members.find((member) => member !== again && member !== next)
  await third?.kill()
  await write()
  await waitFor({ what: 'all of it', timeoutMs }, async () => {
    return (await client.status(again)).configs === written
  })
})

t.test('a leader that is full and alone with the other half still answers reads', async (t) => {
  const root = smallDisks(t)
  const client = await open(t, root)
  const leader = await client.leader()
  await client.submit(leader, configCommand('before'))
  const others = client.members.filter((member) => member !== leader)
  // Both others are full as well: nobody can take over, and nothing can be written.
  for (const member of client.members) fill(root, member)
  const data = new Uint8Array(200_000).fill(1)
  const asked = Array.from({ length: 40 }, (_, at) =>
    client.submit(leader, configCommand(`x${at}`, data)).then(
      () => 1,
      () => 0,
    ),
  )
  await waitFor({ what: 'three full disks', timeoutMs }, async () =>
    (await statuses(client)).every(({ isDiskFull }) => isDiskFull),
  )
  const reader = await client.leader()
  t.ok(Number(await client.request(reader, 'test.read', 0)) >= 1, 'it can be read')
  // It tries to hand over and says so, or that its disk is full.
  await t.rejects(client.submit(reader, configCommand('late', data)), {
    code: /^(disk-full|resource-exhausted)$/,
  })
  for (const member of [leader, ...others]) makeRoom(root, member)
  const done = (await Promise.all(asked)).reduce<number>((sum, each) => sum + each, 0)
  t.comment(`${done} of ${asked.length} were carried out`)
  await waitFor({ what: 'a write', timeoutMs }, async () => {
    await client.submit(await client.leader(), configCommand('after'))
    return true
  })
  const all = await untilAlike(client)
  t.ok((all[0]?.configs ?? 0) >= done + 2, 'nothing that was promised is lost')
})
