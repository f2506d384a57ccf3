// The log on real files: what was acknowledged comes back, in order, and nothing else does.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import t, { type Test } from 'tap'
import { makeDataKey } from '../../../agent/storage/data-key.ts'
import { type Disk, realDisk } from '../../../agent/storage/disk.ts'
import { openWal, type Wal } from '../../../agent/storage/wal.ts'
import type { Entry, HardState } from '../../../core/raft/types.ts'

const keys = [makeDataKey()] as const

export function hardState(term: number, commit = 0): HardState {
  return {
    term,
    commit,
    votedFor: 'm1',
    epoch: { counter: 1, id: 'e', parent: undefined },
    incarnation: { counter: 1, nonce: 7 },
    seen: {},
  }
}

export function entriesOf(
  from: number,
  to: number,
  options: { term?: number; bytes?: number } = {},
): Entry[] {
  const { term = 1, bytes = 100 } = options
  return Array.from({ length: to - from + 1 }, (_, at): Entry => {
    const data = new Uint8Array(bytes).fill((from + at) % 251)
    return { type: 'normal', index: from + at, term, sizeBytes: bytes, data }
  })
}

function folderOf(test: Test): string {
  const folder = mkdtempSync(`${tmpdir()}/skep-wal-`)
  test.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return `${folder}/wal`
}

async function reopen(folder: string, disk: Disk = realDisk): Promise<Wal> {
  return openWal({
    disk,
    folder,
    keys,
    log: () => {},
    onFatal: (error) => t.fail(error.message),
    onSpace: () => {},
  })
}

t.test('what was saved comes back after a restart', async (t) => {
  const folder = folderOf(t)
  const wal = await reopen(folder)
  t.equal(wal.restored.hardState, undefined)
  await Promise.all([
    wal.save({ hardState: hardState(1) }),
    wal.save({ entries: entriesOf(1, 10) }),
    wal.save({ hardState: hardState(2, 5), entries: entriesOf(8, 12, { term: 2 }) }),
  ])
  t.equal(wal.stats().records, 1, 'one record for all that waited')
  await wal.close()
  const again = await reopen(folder)
  t.same(again.restored.hardState, hardState(2, 5))
  t.same(again.restored.entries, [...entriesOf(1, 7), ...entriesOf(8, 12, { term: 2 })])
  await again.close()
})

t.test('a log of many segments is compacted, and its files are used again', async (t) => {
  const folder = folderOf(t)
  const wal = await reopen(folder)
  let last = 0
  for (let round = 0; round < 40; round++) {
    await wal.save({
      hardState: hardState(1, last),
      entries: entriesOf(last + 1, last + 10, { bytes: 50_000 }),
    })
    last += 10
    if (round % 10 === 9) await wal.compact(last - 15)
  }
  const { segments, spares } = wal.stats()
  t.ok(segments <= 4 && spares <= 3, `${segments} segments, ${spares} spares`)
  await wal.save({ entries: entriesOf(last + 1, last + 1, { bytes: 9_000_000 }) })
  await wal.close()
  const again = await reopen(folder)
  t.equal(again.restored.compactedTo, last - 15)
  t.same(again.restored.entries, [
    ...entriesOf(last - 14, last, { bytes: 50_000 }),
    ...entriesOf(last + 1, last + 1, { bytes: 9_000_000 }),
  ])
  t.same(again.restored.hardState, hardState(1, last - 10))
  await again.close()
})
