// What the agent holds and does while nothing happens: memory with few and with many services, CPU
// and fsyncs of an idle daemon, and fsyncs of one service more.
//
// The executable is copied first: a file that was just written counts as more resident memory,
// since its pages lie in the cache in large pieces. Anonymous memory is what nobody else can use;
// PSS and RSS stand beside it. Some ten seconds after its start, once idle, the daemon gives back
// the pages of the executable; the figures before and after that are both shown.

import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { installMissing } from '../../scripts/packages.ts'
import { openLab } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'
import { builtAgent, pageImage, type Ring, startOurs } from './contenders.ts'
import { type Figure, printFigures } from './figures.ts'
import { cpuMsDuring, fsyncsDuring, type Memory, memoryOf } from './process-usage.ts'

const megabyte = 1e6
const idleMs = 30_000

/** Anonymous memory with its budget, PSS and RSS. */
function memoryFigures(what: string, memory: Memory, maxMB: number): Figure[] {
  const figure = (kind: string, bytes: number): Figure => ({
    what: `${what}: ${kind}`,
    value: bytes / megabyte,
    unit: 'MB',
  })
  return [
    { ...figure('anonymous', memory.anonymousBytes), budget: { of: 'value', max: maxMB } },
    figure('PSS', memory.pssBytes),
    figure('RSS', memory.rssBytes),
  ]
}

/** Waits until the daemon has given its pages back, which halves its resident memory. */
async function untilTrimmed(pid: number): Promise<void> {
  const before = memoryOf(pid).rssBytes
  await waitFor({ what: 'memory given back', timeoutMs: 60_000, everyMs: 250 }, () => {
    return memoryOf(pid).rssBytes < before * 0.8
  })
}

async function createServices(ours: Ring['ours'], names: readonly string[]): Promise<void> {
  for (const name of names) {
    await ours.client.createService({ name, image: pageImage, replicas: 1 })
  }
  for (const name of names) {
    await ours.client.untilRunning({ name, image: pageImage, replicas: 1 })
  }
}

async function measure(ours: Ring['ours']): Promise<Figure[]> {
  const pid = ours.agent.pid
  if (pid === undefined) throw new Error('the agent has ended')
  const figures: Figure[] = []
  await sleep(2_000)
  figures.push(...memoryFigures('no service, before giving back', memoryOf(pid), 24))
  await untilTrimmed(pid)
  figures.push(...memoryFigures('no service, idle', memoryOf(pid), 24))
  const published = { name: 'page', image: pageImage, replicas: 1, publishedPort: 8080 }
  await ours.client.createService(published)
  await ours.client.untilRunning(published)
  await sleep(10_000)
  figures.push(...memoryFigures('1 service, one published port', memoryOf(pid), 36))

  const idleCpuMs = await cpuMsDuring([pid], () => sleep(idleMs))
  figures.push({
    what: 'idle CPU of a core',
    value: (100 * idleCpuMs) / idleMs,
    unit: '%',
    budget: { of: 'value', max: 0.5 },
  })
  const idleFsyncs = await fsyncsDuring(pid, () => sleep(10_000))
  figures.push({
    what: 'fsyncs in 10 s idle',
    value: idleFsyncs,
    unit: '',
    budget: { of: 'value', max: 0 },
  })
  const fsyncs = await fsyncsDuring(pid, async () => {
    await createServices(ours, ['one'])
    await sleep(1_000)
  })
  figures.push({
    what: 'fsyncs of a service of one replica',
    value: fsyncs,
    unit: '',
    budget: { of: 'value', max: 12 },
  })

  const names = Array.from({ length: 48 }, (_, index) => `many-${index}`)
  await createServices(ours, names)
  await sleep(2_000)
  figures.push(...memoryFigures('50 services, just created', memoryOf(pid), 55))
  await sleep(25_000)
  figures.push(...memoryFigures('50 services, idle', memoryOf(pid), 55))
  const manyCpuMs = await cpuMsDuring([pid], () => sleep(idleMs))
  figures.push({
    what: '50 services, idle CPU of a core',
    value: (100 * manyCpuMs) / idleMs,
    unit: '%',
    budget: { of: 'value', max: 0.5 },
  })
  return figures
}

await installMissing(console.log, [{ program: 'strace', debianPackage: 'strace' }])
const lab = await openLab({ hosts: 1 })
try {
  const copy = join(lab.folder, 'agent')
  copyFileSync(builtAgent(), copy)
  process.env['AGENT_BIN'] = copy
  const ours = await startOurs(lab.host(0))
  printFigures('one manager with an engine', await measure(ours))
  ours.client.close()
} finally {
  lab.close()
}
