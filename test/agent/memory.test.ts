// Giving memory back: what may be dropped, when, and that a process lives on without it.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { cleanMappings, lookEveryMs, startTrimming } from '../../agent/base/memory.ts'

const root = join(import.meta.dirname, '../..')

function mapping(head: string, anonymousKb: number): string {
  return `${head}\nSize:  8 kB\nRss:   8 kB\nAnonymous:   ${anonymousKb} kB\nVmFlags: rd mr\n`
}

t.test('only clean, read-only, private mappings of the executable are dropped', async (t) => {
  const smaps = [
    mapping('00400000-00402000 r--p 00000000 08:01 17    /opt/agent', 0),
    mapping('00402000-00406000 r-xp 00002000 08:01 17    /opt/agent', 0),
    mapping('00406000-00407000 r--p 00006000 08:01 17    /opt/agent', 4),
    mapping('00407000-00408000 rw-p 00007000 08:01 17    /opt/agent', 4),
    mapping('00408000-00409000 r--s 00008000 08:01 17    /opt/agent', 0),
    mapping('00500000-00501000 r--p 00000000 00:00 0 ', 0),
    mapping('00600000-00601000 r-xp 00000000 08:01 18    /lib/libc.so.6', 0),
    mapping('7ffe0000-7ffe1000 r-xp 00000000 00:00 0     [vdso]', 0),
  ].join('')
  t.same(cleanMappings(smaps, '/opt/agent'), [
    { address: 0x400000n, sizeBytes: 0x2000n },
    { address: 0x402000n, sizeBytes: 0x4000n },
  ])
})

t.test('a mapping whose pages are not told is an error, not a guess', async (t) => {
  const head = '00400000-00402000 r-xp 00000000 08:01 17    /opt/agent\nSize: 8 kB\n'
  t.throws(() => cleanMappings(head, '/opt/agent'), { code: 'damaged-data' })
  const next = mapping('00500000-00501000 r--p 00000000 00:00 0 ', 0)
  t.throws(() => cleanMappings(head + next, '/opt/agent'), { code: 'damaged-data' })
})

/** Runs the trimmer over intervals that used so much CPU; returns in which of them it gave back. */
function intervalsTrimmed(cpuMsOfIntervals: readonly number[]): number[] {
  const trimmed: number[] = []
  let cpuMs = 300
  let interval = 0
  let look = (): void => undefined
  startTrimming({
    clock: {
      after: (ms, callback) => {
        if (ms !== lookEveryMs) throw new Error(`looks after ${ms} ms`)
        look = callback
        return () => undefined
      },
    },
    cpuUsedMs: () => cpuMs,
    giveBack: () => {
      trimmed.push(interval)
      cpuMs += 30
      return { rssBytesBefore: 2, rssBytesAfter: 1 }
    },
  })
  for (const used of cpuMsOfIntervals) {
    cpuMs += used
    look()
    interval += 1
  }
  return trimmed
}

t.test('memory is given back after the start and after a burst, once each', async (t) => {
  t.same(intervalsTrimmed([10, 10, 10, 10]), [0], 'a quiet start')
  t.same(intervalsTrimmed([500, 10, 10]), [1], 'a busy start')
  t.same(intervalsTrimmed([10, 3_000, 3_000, 10, 10]), [0, 3], 'a burst later')
  t.same(intervalsTrimmed([10, 400, 10, 10]), [0], 'a little work is not worth it')
  t.same(intervalsTrimmed([10, ...Array(25).fill(50)]), [0, 10, 20], 'little by little it is')
})

t.test('the resident memory falls, and the process goes on working', async (t) => {
  const script = `
    import { createHash } from 'node:crypto'
    import { createServer, get } from 'node:http'
    import { giveBackMemory } from './agent/base/memory.ts'
    const work = () => new Promise((resolve) => {
      const server = createServer((_, answer) => answer.end(createHash('sha256').digest('hex')))
      server.listen(0, '127.0.0.1', () => get({ host: '127.0.0.1', port: server.address().port, agent: false }, (got) => {
        got.resume().on('end', () => server.close(resolve))
      }))
    })
    await work()
    let garbage = Array.from({ length: 2e5 }, (_, index) => ({ index }))
    garbage = undefined
    const first = giveBackMemory()
    await work()
    const second = giveBackMemory()
    await work()
    console.log(JSON.stringify([first, second]))`
  const flags = ['--disable-warning=ExperimentalWarning', '--expose-gc', '--input-type=module']
  const ended = spawnSync(process.execPath, [...flags, '-e', script], { cwd: root })
  t.equal(ended.signal, null, 'no crash')
  t.equal(ended.stderr.toString(), '')
  const [first, second] = JSON.parse(ended.stdout.toString())
  const megabytes = (first.rssBytesBefore - first.rssBytesAfter) / 1e6
  t.ok(megabytes > 10, `${megabytes} MB given back`)
  t.ok(second.rssBytesAfter < first.rssBytesBefore, 'and again')
})
