// The power may go at any moment: what was acknowledged is there again, what was not is there whole
// or not at all, and the log goes on from there.
//
//   SEEDS=200 node test/e2e/wal-power.test.ts     tries more
//   SEED=17   node test/e2e/wal-power.test.ts     repeats one

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname } from 'node:path'
import t from 'tap'
import { makeDataKey } from '../../agent/storage/data-key.ts'
import { type Disk, realDisk } from '../../agent/storage/disk.ts'
import { openWal, type Wal } from '../../agent/storage/wal.ts'
import { emptyLog, type LogState } from '../../agent/storage/wal-record.ts'
import { below, numberedRandom, type Random } from '../../core/base/random.ts'
import { createPowerDisk, type PowerDisk } from '../agent/storage/power-disk.ts'
import { applied, digestOf, entriesOf, randomOperation } from '../agent/storage/wal-model.ts'

// Many starts of processes and large files: slow on a busy machine, and never endless.
t.setTimeout(240_000)

const keys = [makeDataKey()] as const
const folder = '/state/wal'
const operationsMax = 40

function openOn(disk: Disk, at = folder): Promise<Wal> {
  return openWal({
    disk,
    folder: at,
    keys,
    log: () => {},
    onFatal: (error) => t.fail(error.message),
    onSpace: () => {},
  })
}

/** The same files on a real disk must read the same. */
async function tryReal(found: PowerDisk, want: string): Promise<string> {
  const root = mkdtempSync(`${tmpdir()}/skep-power-`)
  try {
    for (const [path, bytes] of found.files()) {
      mkdirSync(dirname(`${root}${path}`), { recursive: true })
      writeFileSync(`${root}${path}`, bytes)
    }
    const wal = await openOn(realDisk, `${root}${folder}`)
    await wal.close()
    const got = digestOf(wal.restored)
    return got === want ? '' : `on a real disk: ${got.slice(0, 300)} is not ${want.slice(0, 300)}`
  } finally {
    rmSync(root, { recursive: true })
  }
}

/** Cuts the power once and looks: an empty text, or what is wrong. */
async function tryCut(found: PowerDisk, allowed: ReadonlySet<string>): Promise<string> {
  let wal: Wal
  try {
    wal = await openOn(found)
  } catch (error) {
    return `refused: ${String(error)}`
  }
  const digest = digestOf(wal.restored)
  if (!allowed.has(digest)) {
    await wal.close()
    return `came back as ${digest.slice(0, 300)}, not one of ${allowed.size} allowed states`
  }
  const { entries, compactedTo } = wal.restored
  const next = (entries[entries.length - 1]?.index ?? compactedTo) + 1
  const operation = { entries: entriesOf(next, next + 1, { term: 99, bytes: 700 }) }
  await wal.save(operation)
  await wal.close()
  const again = await openOn(found).catch(String)
  if (typeof again === 'string') return `after going on: ${again}`
  const want = digestOf(applied(wal.restored, operation))
  const got = digestOf(again.restored)
  await again.close()
  return got === want ? '' : `after going on: ${got.slice(0, 300)} is not ${want.slice(0, 300)}`
}

/** The process dies, the next one reads the log, and then the power goes: what it read must stay. */
async function tryKill(
  killed: PowerDisk,
  { random, allowed }: { random: Random; allowed: ReadonlySet<string> },
): Promise<string> {
  const next = await openOn(killed)
  await next.close()
  const read = digestOf(next.restored)
  if (!allowed.has(read)) return `after a kill: came back as ${read.slice(0, 300)}`
  const last = await openOn(killed.cut(random))
  await last.close()
  const kept = digestOf(last.restored)
  return kept === read
    ? ''
    : `after a kill: ${read.slice(0, 300)} was read, then ${kept.slice(0, 300)}`
}

/** One life of a log, with power cuts all along it. Returns the cuts and what went wrong. */
async function live(seed: number): Promise<{ cuts: number; wrong: string }> {
  const random = numberedRandom(seed)
  const disk = createPowerDisk()
  const states: LogState[] = [emptyLog]
  let acknowledged = 0
  let cuts = 0
  let wrong = ''
  disk.onSync = async () => {
    if (wrong !== '' || below(random, 3) !== 0) return
    const found = disk.cut(random)
    const allowed = new Set(states.slice(acknowledged).map(digestOf))
    cuts++
    const real = cuts === 1 ? found.cut(random) : undefined
    const what =
      below(random, 3) === 0
        ? await tryKill(disk.kill(), { random, allowed })
        : await tryCut(found, allowed)
    if (real !== undefined && what === '') {
      const wal = await openOn(real.cut(random))
      await wal.close()
      wrong = await tryReal(real, digestOf(wal.restored))
    }
    if (what !== '') wrong = `cut ${cuts}: ${what}`
  }
  const wal = await openOn(disk)
  while (states.length < operationsMax && wrong === '') {
    const saves: Promise<void>[] = []
    const many = 1 + below(random, 4)
    for (let count = 0; count < many; count++) {
      const state = states[states.length - 1] ?? emptyLog
      const operation = randomOperation(state, random)
      const number = states.push(applied(state, operation)) - 1
      const save = wal.save(operation).then(() => {
        if (acknowledged !== number - 1) wrong = `operation ${number} completed out of order`
        acknowledged = number
      })
      saves.push(save)
    }
    await Promise.all(saves)
  }
  await wal.close()
  return { cuts, wrong }
}

const only = process.env['SEED']
const seeds = Number(process.env['SEEDS'] ?? 6)
const first = only === undefined ? 1 + Math.floor(performance.timeOrigin % 1e6) : Number(only)
for (let seed = first; seed < first + (only === undefined ? seeds : 1); seed++) {
  t.test(`a log survives power cuts (SEED=${seed})`, async (t) => {
    const { cuts, wrong } = await live(seed)
    t.equal(wrong, '')
    t.ok(cuts > 0, `${cuts} cuts`)
  })
}
