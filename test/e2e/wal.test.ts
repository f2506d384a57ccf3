// The log on real files: what was acknowledged comes back, in order, and nothing else does. Damage
// is named and never cut; a full disk is waited for; a failed sync is the end.

import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { makeDataKey } from '../../agent/storage/data-key.ts'
import { type Disk, type DiskFile, realDisk } from '../../agent/storage/disk.ts'
import { openWal, type Wal, type WalOptions } from '../../agent/storage/wal.ts'
import { hasCode } from '../../core/base/error.ts'
import { digestOf, entriesOf, hardState, snapshotAt } from '../agent/storage/wal-model.ts'

// Many starts of processes and large files: slow on a busy machine, and never endless.
t.setTimeout(240_000)

const keys = [makeDataKey()] as const

function folderOf(test: Test): string {
  const folder = mkdtempSync(`${tmpdir()}/skep-wal-`)
  test.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return `${folder}/wal`
}

function reopen(folder: string, more: Partial<WalOptions> = {}): Promise<Wal> {
  return openWal({
    disk: realDisk,
    folder,
    keys,
    log: () => {},
    onFatal: (error) => t.fail(error.message),
    onSpace: () => {},
    ...more,
  })
}

/** The real disk, with another `sync` for the log's own file. */
function withSync(sync: (file: DiskFile) => Promise<void>): Disk {
  return {
    ...realDisk,
    open: async (path, mode) => {
      const file = await realDisk.open(path, mode)
      return mode === 'write' ? { ...file, sync: () => sync(file) } : file
    },
  }
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
  const entries = [
    ...entriesOf(last - 14, last, { bytes: 50_000 }),
    ...entriesOf(last + 1, last + 1, { bytes: 9_000_000 }),
  ]
  t.equal(digestOf(again.restored), digestOf({ ...again.restored, entries }))
  t.same(again.restored.hardState, hardState(1, last - 10))
  await again.close()
})

t.test(
  'old segments go exactly when nothing in them is needed, and the rest is remembered',
  async (t) => {
    const folder = folderOf(t)
    const wal = await reopen(folder)
    await wal.save({ hardState: hardState(7, 1) })
    let last = 0
    while (wal.stats().segments < 2) {
      last++
      await wal.save({ entries: entriesOf(last, last, { bytes: 250_000 }) })
    }
    // The newest entry opened the second segment; the one before it is the last of the first.
    await wal.compact(last - 2)
    t.equal(wal.stats().segments, 2)
    await wal.close()
    const again = await reopen(folder)
    t.same(
      again.restored.entries.map((entry) => entry.index),
      [last - 1, last],
    )
    await again.compact(last - 1)
    t.equal(again.stats().segments, 1)
    await again.close()
    const third = await reopen(folder)
    t.same(third.restored.hardState, hardState(7, 1))
    t.equal(third.restored.entries.length, 1)
    await third.close()
  },
)

t.test(
  'a log that was left at the start of a segment does not write its entries again',
  async (t) => {
    const folder = folderOf(t)
    const wal = await reopen(folder)
    for (let round = 0; round < 6; round++) {
      await wal.save({ entries: entriesOf(round + 1, round + 1, { bytes: 900_000 }) })
    }
    await wal.changeKey(keys)
    await wal.close()
    const again = await reopen(folder)
    await again.save({ hardState: hardState(3) })
    t.equal(
      digestOf((await closed(again, folder)).restored),
      digestOf({ ...again.restored, hardState: hardState(3) }),
    )
  },
)

t.test('an installed snapshot takes the place of the log', async (t) => {
  const folder = folderOf(t)
  const wal = await reopen(folder)
  await wal.save({ hardState: hardState(1), entries: entriesOf(1, 10) })
  const installed = snapshotAt(50, 3)
  await wal.save({ install: installed, hardState: hardState(3, 50) })
  await wal.save({ entries: entriesOf(51, 52, { term: 3 }) })
  await wal.close()
  const again = await reopen(folder)
  t.same(again.restored.installed, installed)
  const want = { installed, compactedTo: 50, hardState: hardState(3, 50) }
  t.equal(digestOf(again.restored), digestOf({ ...want, entries: entriesOf(51, 52, { term: 3 }) }))
  await again.close()
})

t.test(
  'a new data key seals what follows, and the old one is needed until compaction',
  async (t) => {
    const folder = folderOf(t)
    const wal = await reopen(folder)
    await wal.save({ hardState: hardState(1), entries: entriesOf(1, 10) })
    const both = [makeDataKey(), ...keys] as const
    await wal.changeKey(both)
    await wal.save({ entries: entriesOf(11, 12) })
    t.same(wal.stats().keyIds, [keys[0].id, both[0].id])
    await wal.close()
    await t.rejects(reopen(folder), { code: 'damaged-data', message: /data key/ })
    const again = await reopen(folder, { keys: both })
    t.equal(again.restored.entries.length, 12)
    await again.compact(10)
    t.same(again.stats().keyIds, [both[0].id])
    await again.close()
    const last = await reopen(folder, { keys: [both[0]] })
    t.equal(last.restored.entries.length, 2)
    await last.close()
  },
)

t.test('a flipped bit is named with its file and offset, or has touched nothing', async (t) => {
  const folder = folderOf(t)
  const wal = await reopen(folder)
  let last = 0
  for (let round = 0; round < 20; round++) {
    await wal.save({ entries: entriesOf(last + 1, last + 5, { bytes: 50_000 }) })
    last += 5
  }
  await wal.save({ hardState: hardState(2), entries: entriesOf(last + 1, last + 2) })
  const want = digestOf((await closed(wal, folder)).restored)
  const [older = '', current = ''] = readdirSync(folder).map((name) => `${folder}/${name}`)
  const whole = readFileSync(current)
  const sectors = Math.floor(whole.findLastIndex((byte) => byte !== 0) / 512)
  const places: readonly [what: string, path: string, offset: number, isRefused: boolean][] = [
    ['checksum of the head of an older segment', older, 1, true],
    ['generation in the head of an older segment', older, 5, true],
    ['body of the head of an older segment', older, 20, true],
    ['first sector of the first record', older, 512 + 5, true],
    ['length of the first record', older, 512 + 12, true],
    ['a sector in the middle', older, 2_000_000, true],
    ['generation of a sector', older, 512 * 3000 + 5, true],
    ['record number of a sector', older, 512 * 3000 + 8, true],
    ['head of the current segment', current, 40, true],
    ['record before the last one', current, 512 * (sectors - 1) + 100, true],
    ['first sector of the last record', current, 512 * sectors + 14, true],
    ['last byte of the last record', current, 512 * sectors + 511, true],
    ['blank sectors behind the end', current, 512 * (sectors + 9) + 7, false],
  ]
  for (const [what, path, offset, isRefused] of places) {
    const good = readFileSync(path)
    const bad = Buffer.from(good)
    bad[offset] = (bad[offset] ?? 0) ^ 0x10
    writeFileSync(path, bad)
    const opened = await reopen(folder).catch((error: unknown) => error)
    if (hasCode(opened, 'damaged-data')) {
      const sector = Math.floor(offset / 512) * 512
      t.ok(isRefused, `${what}: refused`)
      t.match(opened.message, `${path}: offset ${sector}: `, what)
      t.same(readFileSync(path), bad, `${what}: nothing was changed`)
    } else {
      t.notOk(isRefused, `${what}: read`)
      t.equal(digestOf((opened as Wal).restored), want)
      await (opened as Wal).close()
    }
    writeFileSync(path, good)
  }
})

async function closed(wal: Wal, folder: string): Promise<Wal> {
  await wal.close()
  const again = await reopen(folder)
  await again.close()
  return again
}

t.test(
  'a torn record is blanked out, so that its rest is never mixed with the next one',
  async (t) => {
    const folder = folderOf(t)
    const wal = await reopen(folder)
    await wal.save({ hardState: hardState(1) })
    const [path = ''] = readdirSync(folder).map((name) => `${folder}/${name}`)
    const end = readFileSync(path).findLastIndex((byte) => byte !== 0)
    const start = Math.ceil(end / 512) * 512
    await wal.save({ entries: entriesOf(1, 1, { bytes: 1_500 }) })
    await wal.close()
    // As if the power had gone before the first of its sectors was on the disk.
    const torn = readFileSync(path)
    t.ok(torn.subarray(start + 512).some((byte) => byte !== 0))
    writeFileSync(path, torn.fill(0, start, start + 512))
    const again = await reopen(folder)
    await again.close()
    t.equal(again.restored.entries.length, 0)
    t.same(again.restored.hardState, hardState(1))
    t.ok(
      readFileSync(path)
        .subarray(start)
        .every((byte) => byte === 0),
    )
  },
)

t.test('a removed segment is missed', async (t) => {
  const folder = folderOf(t)
  const wal = await reopen(folder)
  for (let round = 0; round < 10; round++) {
    await wal.save({ entries: entriesOf(round * 20 + 1, round * 20 + 20, { bytes: 50_000 }) })
  }
  await wal.close()
  const [first = ''] = readdirSync(folder)
  rmSync(`${folder}/${first}`)
  await t.rejects(reopen(folder), { code: 'damaged-data', message: /missing/ })
})

t.test('a failed sync ends it: said once, never tried again', async (t) => {
  const folder = folderOf(t)
  let syncs = 0
  let fatal = 0
  let isBad = false
  const disk = withSync(async (file) => {
    syncs++
    if (isBad) throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })
    await file.sync()
  })
  const wal = await reopen(folder, { disk, onFatal: () => fatal++ })
  await wal.save({ hardState: hardState(1) })
  isBad = true
  const before = syncs
  const first = wal.save({ entries: entriesOf(1, 1) })
  const second = wal.save({ entries: entriesOf(2, 2) })
  await t.rejects(first, { code: 'damaged-data', message: /EIO/ })
  await t.rejects(second, { code: 'damaged-data' })
  isBad = false
  await t.rejects(wal.save({ entries: entriesOf(3, 3) }), { code: 'damaged-data' })
  t.equal(syncs, before + 1)
  t.equal(fatal, 1)
  await wal.close()
})

t.test('a sync that hangs for 3 s leaves the event loop running', async (t) => {
  const folder = folderOf(t)
  let release = (): void => {}
  let isStalling = false
  const disk = withSync(async (file) => {
    if (isStalling) await new Promise<void>((resolve) => (release = resolve))
    await file.sync()
  })
  const wal = await reopen(folder, { disk })
  isStalling = true
  const saves = [wal.save({ entries: entriesOf(1, 1) })]
  // The loop turns though the disk stands still: were it held up, this would never end.
  for (let turns = 0; turns < 50; turns++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    saves.push(wal.save({ entries: entriesOf(turns + 2, turns + 2) }))
  }
  isStalling = false
  release()
  await Promise.all(saves)
  t.equal(wal.stats().records, 2, 'what waited shares one record')
  await wal.close()
})

t.test('kill -9 of a writer loses nothing that it was told was safe', async (t) => {
  const folder = folderOf(t)
  const key = Buffer.from(keys[0].key).toString('hex')
  for (let round = 0; round < 20; round++) {
    const writer = spawn(
      process.execPath,
      [`${import.meta.dirname}/../agent/storage/wal-writer.program.ts`, folder, key],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    let acknowledged = 0
    let lines = 0
    const gone = new Promise((resolve) => writer.once('exit', resolve))
    for await (const line of createInterface({ input: writer.stdout })) {
      acknowledged = Number(line)
      // Lines that were on their way when it died still come: they were promises too.
      if (++lines === 5 + round * 3) writer.kill('SIGKILL')
    }
    await gone
    const wal = await reopen(folder)
    const { entries, compactedTo } = wal.restored
    const last = entries[entries.length - 1]?.index ?? compactedTo
    t.ok(last >= acknowledged, `round ${round}: ${acknowledged} promised, ${last} there`)
    t.notMatch(digestOf(wal.restored), /CORRUPT/)
    await wal.close()
  }
})

const isRoot = process.getuid?.() === 0
t.test('a full disk is waited for', { skip: isRoot ? false : 'mounting needs root' }, async (t) => {
  const folder = folderOf(t)
  const mount = folder.replace(/\/wal$/, '')
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=9m', 'tmpfs', mount])
  t.teardown(() => execFileSync('umount', [mount]))
  const states: boolean[] = []
  const wal = await reopen(folder, { onSpace: (isFull) => states.push(isFull) })
  let last = 0
  let isDone = true
  // Until one is not done while others had the time to be: it waits for room.
  while (isDone) {
    isDone = false
    const saving = wal.save({ entries: entriesOf(last + 1, last + 1, { bytes: 250_000 }) })
    last++
    await Promise.race([
      saving.then(() => (isDone = true)),
      until(() => wal.stats().isFull && last > 30),
    ])
  }
  t.same(states, [true])
  t.notOk(await wal.retrySpace())
  const behind = wal.save({ hardState: hardState(5) })
  execFileSync('mount', ['-o', 'remount,size=30m', mount])
  t.ok(await wal.retrySpace())
  await behind
  t.same(states, [true, false])
  const { restored } = await closed(wal, folder)
  t.equal(restored.entries.length, last)
  t.equal(restored.hardState?.term, 5)
})

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!condition() && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
