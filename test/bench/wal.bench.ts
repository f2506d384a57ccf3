// How fast the log is on this machine: prints, asserts nothing.
//
//   node test/bench/wal.bench.ts [FOLDER]      a folder on the disk in question; default: tmp

import { closeSync, fdatasync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { makeDataKey } from '../../agent/storage/data-key.ts'
import { realDisk } from '../../agent/storage/disk.ts'
import { openWal, type Wal } from '../../agent/storage/wal.ts'
import type { Entry } from '../../core/raft/types.ts'
import { open, seal } from '../../net/secure/crypto.ts'
import { decode, encode } from '../../net/wire/codec.ts'

const runMs = 2_000

function entryAt(index: number, bytes: number): Entry {
  const data = { id: 'x'.repeat(25), payload: new Uint8Array(bytes - 150).fill(index % 256) }
  return { type: 'normal', index, term: 1, sizeBytes: bytes, data }
}

function report(name: string, times: number[], totalMs: number, unit = 'op'): void {
  const sorted = [...times].sort((left, right) => left - right)
  const at = (part: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0).toFixed(3)
  const rate = Math.round((times.length / totalMs) * 1000)
  console.log(`${name.padEnd(44)} p50 ${at(0.5)} ms  p99 ${at(0.99)} ms  ${rate} ${unit}/s`)
}

async function timed(run: () => Promise<void>): Promise<number> {
  const startedAt = performance.now()
  await run()
  return performance.now() - startedAt
}

/** What the disk itself can do: the floor. */
async function floor(folder: string): Promise<void> {
  const fd = openSync(`${folder}/floor`, 'w+')
  for (let at = 0; at < 64; at++) writeSync(fd, new Uint8Array(65_536), 0, 65_536, at * 65_536)
  const sync = (): Promise<void> =>
    new Promise((resolve, reject) => fdatasync(fd, (error) => (error ? reject(error) : resolve())))
  await sync()
  const bytes = new Uint8Array(4_096).fill(7)
  const times: number[] = []
  const totalMs = await timed(async () => {
    for (let at = 0, start = performance.now(); performance.now() - start < runMs; at++) {
      times.push(
        await timed(async () => {
          writeSync(fd, bytes, 0, bytes.length, (at % 1000) * 4_096)
          await sync()
        }),
      )
    }
  })
  closeSync(fd)
  report('floor: 4 KiB positioned write + fdatasync', times, totalMs)
}

/** `writers` writers, each waiting for its own entry. The log is compacted as it grows. */
async function writers(wal: Wal, count: number, bytes: number): Promise<void> {
  const times: number[] = []
  const before = wal.stats()
  const totalMs = await timed(async () => {
    const end = performance.now() + runMs
    const write = async (): Promise<void> => {
      while (performance.now() < end) {
        const operation = { entries: [entryAt(++last, bytes)] }
        times.push(await timed(() => wal.save(operation)))
        if (last % 5_000 === 0) await wal.compact(last - 1_000)
      }
    }
    await Promise.all(Array.from({ length: count }, write))
  })
  const after = wal.stats()
  report(`log: ${count} writer(s), entries of ${bytes} B`, times, totalMs)
  const records = after.records - before.records
  const perRecord = (times.length / records).toFixed(1)
  console.log(
    `${''.padEnd(44)} ${perRecord} operations a record, ${after.syncs - before.syncs} syncs`,
  )
}

function codec(): void {
  const message = { type: 'append', term: 3, entries: [1, 2, 3].map((at) => entryAt(at, 350)) }
  const packed = encode(message)
  const key = makeDataKey().key
  const block = new Uint8Array(4_096)
  const sealed = seal(key, block)
  const table: readonly (readonly [name: string, run: () => unknown])[] = [
    ['encode an append of 3 entries', () => encode(message)],
    ['decode it, checked', () => decode(packed)],
    ['seal 4 KiB', () => seal(key, block)],
    ['open 4 KiB', () => open(key, sealed)],
  ]
  for (const [name, run] of table) {
    const startedAt = performance.now()
    let count = 0
    for (; performance.now() - startedAt < 500; count++) run()
    console.log(`${name.padEnd(44)} ${Math.round(count * 2)} /s`)
  }
}

const folder = mkdtempSync(`${process.argv[2] ?? tmpdir()}/skep-bench-`)
let last = 0
try {
  await floor(folder)
  const options = { disk: realDisk, folder: `${folder}/wal`, keys: [makeDataKey()] as const }
  const fail = (error: unknown): never => {
    throw error
  }
  const wal = await openWal({ ...options, log: () => {}, onFatal: fail, onSpace: () => {} })
  await writers(wal, 1, 4_096)
  await writers(wal, 1, 350)
  await writers(wal, 32, 4_096)
  await writers(wal, 32, 350)
  await writers(wal, 256, 350)
  await wal.close()
  const openMs = await timed(async () => {
    const again = await openWal({ ...options, log: () => {}, onFatal: fail, onSpace: () => {} })
    console.log(
      `reopened: ${again.restored.entries.length} entries, ${again.stats().segments} segments`,
    )
    await again.close()
  })
  console.log(`${'reopen'.padEnd(44)} ${openMs.toFixed(0)} ms`)
  codec()
} finally {
  rmSync(folder, { recursive: true })
}
