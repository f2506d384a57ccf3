// Snapshots on real files: whole or not there, and no bad byte is ever handed out as good.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import t, { type Test } from 'tap'
import { makeDataKey } from '../../../agent/storage/data-key.ts'
import { realDisk } from '../../../agent/storage/disk.ts'
import { openSnapshots, type SnapshotStore } from '../../../agent/storage/snapshots.ts'
import { hasCode } from '../../../core/base/error.ts'
import type { SnapshotHead } from '../../../core/raft/types.ts'

const keys = [makeDataKey()] as const

function headAt(index: number): SnapshotHead {
  return {
    index,
    term: 1,
    membership: { members: [{ id: 'm1', address: 'a:1', isVoter: true }], removed: [] },
    membershipIndex: 1,
    epoch: { counter: 1, id: 'e', parent: undefined },
    seen: { m1: { counter: 1, nonce: 2, foundTerm: 0, foundIndex: 0 } },
    requests: [],
  }
}

function folderOf(test: Test): string {
  const folder = mkdtempSync(`${tmpdir()}/skep-snap-`)
  test.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return `${folder}/snapshots`
}

function openStore(folder: string): Promise<SnapshotStore> {
  return openSnapshots({ disk: realDisk, folder, keys, log: () => {} })
}

function bytesOf(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, at) => (at * 31 + (at >> 8)) % 256)
}

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function readAll(store: SnapshotStore, id: string): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of store.read(id)) parts.push(part)
  return Buffer.concat(parts)
}

for (const size of [0, 1, 65_536, 65_537, 1_000_000]) {
  t.test(`a snapshot of ${size} bytes comes back after a restart`, async (t) => {
    const folder = folderOf(t)
    const bytes = bytesOf(size)
    const store = await openStore(folder)
    const made = await store.make(headAt(7), inChunks(bytes, 10_000))
    t.equal(made.sizeBytes, size)
    await store.close()
    const again = await openStore(folder)
    t.same(
      again.list().map((each) => each.snapshot),
      [made],
    )
    t.ok((await readAll(again, made.id)).equals(bytes))
    const part = await again.readAt(made.id, { offset: 60_000, count: 100_000 })
    t.ok(Buffer.from(part).equals(bytes.subarray(60_000, 160_000)))
    t.ok(await again.check(made.id))
  })
}

t.test('a flipped bit anywhere in a snapshot is found', async (t) => {
  const folder = folderOf(t)
  const store = await openStore(folder)
  const bytes = bytesOf(150_000)
  const { id } = await store.make(headAt(7), [bytes])
  const path = `${folder}/${readdirSync(folder)[0]}`
  const whole = readFileSync(path)
  const places = [0, 9, 14, 28, 29, 33, 40, 5_000, 66_000, 131_500, whole.length - 300]
  for (const place of [...places, whole.length - 17, whole.length - 9, whole.length - 1]) {
    const bad = Buffer.from(whole)
    bad[place] = (bad[place] ?? 0) ^ 4
    writeFileSync(path, bad)
    const opened = await openStore(folder).catch((error: unknown) => error)
    const isRefused = hasCode(opened, 'damaged-data', 'not-supported')
    const isFound =
      isRefused ||
      (opened as SnapshotStore).list().length === 0 ||
      !(await (opened as SnapshotStore).check(id))
    t.ok(isFound, `at byte ${place}`)
  }
})

t.test('a received snapshot is adopted only when it is whole and the right one', async (t) => {
  const folder = folderOf(t)
  const source = await openStore(`${folder}-source`)
  const bytes = bytesOf(300_000)
  const made = await source.make(headAt(9), [bytes])
  const store = await openStore(folder)
  const stage = async (count: number): Promise<void> => {
    for (let offset = 0; offset < count; offset += 100_000) {
      const part = await source.readAt(made.id, { offset, count: 100_000 })
      await store.stage({ snapshotId: made.id, offset, bytes: part })
    }
  }
  await stage(200_000)
  await t.rejects(store.complete(made), { code: 'damaged-data' })
  await stage(300_000)
  await t.rejects(store.stage({ snapshotId: 'x', offset: 5, bytes }), { code: 'out-of-sequence' })
  await store.complete(made)
  t.same(store.list(), [])
  const again = await openStore(folder)
  await t.rejects(again.adopt('other'), { code: 'damaged-data' })
  await again.adopt(made.id)
  t.ok((await readAll(again, made.id)).equals(bytes))
  await source.close()
  rmSync(`${folder}-source`, { recursive: true })
})

t.test('pruning keeps two and what is being sent', async (t) => {
  const store = await openStore(folderOf(t))
  const ids: string[] = []
  for (let index = 1; index <= 5; index++) {
    ids.push((await store.make(headAt(index), [bytesOf(index)])).id)
  }
  await store.prune(ids.slice(1, 2))
  const left = store.list().map((each) => each.snapshot.index)
  t.same(left, [2, 4, 5])
})
