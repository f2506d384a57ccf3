// What a running process uses: CPU by the scheduler's own count, memory by the kernel's, and how
// often it asks the disk to be done.

import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../../scripts/process.ts'

export interface Memory {
  /** Private to the process: heap, stacks, written pages. */
  readonly anonymousBytes: number
  /** Shared pages by their share. */
  readonly pssBytes: number
  readonly rssBytes: number
}

/** CPU time of all threads of the process since its start, in ms. */
export function cpuMs(pid: number): number {
  const folder = `/proc/${pid}/task`
  const nanoseconds = readdirSync(folder).map((thread) =>
    Number(readFileSync(`${folder}/${thread}/schedstat`, 'utf8').split(' ')[0]),
  )
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e6
}

/** The CPU time that the processes together used while `act` ran, in ms. */
export async function cpuMsDuring(
  pids: readonly number[],
  act: () => Promise<unknown>,
): Promise<number> {
  const total = (): number => pids.reduce((sum, pid) => sum + cpuMs(pid), 0)
  const before = total()
  await act()
  return total() - before
}

export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const bytes = (field: string): number => {
    const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)
    if (found === null) throw new Error(`/proc/${pid}/smaps_rollup has no ${field}`)
    return Number(found[1]) * 1024
  }
  return { anonymousBytes: bytes('Anonymous'), pssBytes: bytes('Pss'), rssBytes: bytes('Rss') }
}

/** How often the process called fsync and fdatasync while `act` ran; needs strace. */
export async function fsyncsDuring(pid: number, act: () => Promise<unknown>): Promise<number> {
  const tracing = run(
    'timeout',
    ['--signal=INT', '120', 'strace', '-f', '-q', '-e', 'trace=fsync,fdatasync', '-p', `${pid}`],
    { timeoutMs: 130_000 },
  )
  try {
    await untilTraced(pid)
    await act()
  } finally {
    const tracer = tracerOf(pid)
    if (tracer !== 0) process.kill(tracer, 'SIGINT')
  }
  const { stderr } = await tracing
  // A call that another thread interrupts is printed twice: its end is the "resumed" line.
  return stderr.split('\n').filter((line) => /\bf(data)?sync\(/.test(line)).length
}

async function untilTraced(pid: number): Promise<void> {
  const deadline = performance.now() + 10_000
  const threads = (): string[] => readdirSync(`/proc/${pid}/task`)
  while (!threads().every((thread) => tracerOf(Number(thread)) !== 0)) {
    if (performance.now() > deadline) throw new Error(`strace did not attach to ${pid}`)
    await sleep(20)
  }
}

function tracerOf(thread: number): number {
  const status = readFileSync(`/proc/${thread}/status`, 'utf8')
  return Number(/^TracerPid:\s+(\d+)$/m.exec(status)?.[1] ?? 0)
}
