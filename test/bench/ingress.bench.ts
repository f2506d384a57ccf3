// What the ingress proxy costs for a task on this node: requests over new connections, and bytes
// of one large answer, beside haproxy as a relay of TCP and beside Docker's own docker-proxy. The
// page's server and the clients are the same for all, and on the same machine, so the rate tells
// little; the CPU that the proxy alone used tells all.

import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { installMissing } from '../../scripts/packages.ts'
import { mustDocker } from '../support/docker-cli.ts'
import { type Host, openLab } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'
import { pageImage, type Ring, startOurs } from './contenders.ts'
import { type Figure, median, printFigures } from './figures.ts'
import { cpuMs } from './process-usage.ts'

interface Proxy {
  readonly name: string
  readonly port: number
  readonly pid: number
}

/** What one load cost a proxy. */
interface Cost {
  readonly perSecond: number
  readonly cpuUsPerRequest: number
  readonly cpuMsPerGB: number
}

const rounds = 3
const requests = 1_000
const largeRequests = 8
const largeMB = 64

async function startHaproxy(host: Host, target: string): Promise<Proxy> {
  const port = 8081
  const path = join(host.folder, 'haproxy.cfg')
  writeFileSync(
    path,
    `global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen page
  bind 127.0.0.1:${port}
  server task ${target}:8080
`,
  )
  const daemon = host.start('haproxy', ['haproxy', '-db', '-f', path])
  const { pid } = daemon
  await waitFor({ what: 'page by haproxy', timeoutMs: 10_000, describe: () => daemon.log() }, () =>
    host.fetch(`http://127.0.0.1:${port}/`),
  )
  return { name: 'haproxy', port, pid: pid ?? daemon.pid ?? 0 }
}

/** Publishes a port of another container by the engine; on loopback docker-proxy relays it. */
async function startDockerProxy(ours: Ring['ours']): Promise<Proxy> {
  const port = 8082
  const call = { host: ours.engine.url }
  const run = ['run', '--detach', '--publish', `127.0.0.1:${port}:8080`, pageImage]
  await addLargePage(ours, await mustDocker(call, ...run))
  await ours.host.fetch(`http://127.0.0.1:${port}/`)
  const pid = readdirSync('/proc').find((entry) => {
    if (!/^\d+$/.test(entry)) return false
    const words = wordsOf(entry)
    if (words[0]?.endsWith('docker-proxy') !== true || !words.includes(`${port}`)) return false
    // Other engines of this machine may have published the same port in their namespaces.
    return networkOf(entry) === networkOf(`${ours.engine.pid}`)
  })
  if (pid === undefined) throw new Error('no docker-proxy runs')
  return { name: 'docker-proxy', port, pid: Number(pid) }
}

function networkOf(pid: string): string {
  return readlinkSync(`/proc/${pid}/ns/net`)
}

function wordsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

async function addLargePage(ours: Ring['ours'], containerId: string): Promise<void> {
  const make = `head -c ${largeMB * 1_000_000} /dev/zero > /www/large`
  await mustDocker({ host: ours.engine.url }, 'exec', containerId, 'sh', '-c', make)
}

async function load(host: Host, proxy: Proxy, path: string, count: number, atOnce: number) {
  const program = join(import.meta.dirname, 'ingress-load.program.ts')
  const before = cpuMs(proxy.pid)
  const words = [`${proxy.port}`, path, `${count}`, `${atOnce}`]
  const ended = await host.run([process.execPath, program, ...words], 120_000)
  if (ended.code !== 0) throw new Error(`${proxy.name}: ${ended.stderr}`)
  const { ms, bytes } = JSON.parse(ended.stdout) as { ms: number; bytes: number }
  return { ms, bytes, cpuMs: cpuMs(proxy.pid) - before }
}

async function measure(host: Host, proxy: Proxy): Promise<Cost> {
  const small = await load(host, proxy, '/', requests, 8)
  const large = await load(host, proxy, '/large', largeRequests, 2)
  return {
    perSecond: (1000 * requests) / small.ms,
    cpuUsPerRequest: (1000 * small.cpuMs) / requests,
    cpuMsPerGB: large.cpuMs / (large.bytes / 1e9),
  }
}

function figuresBeside(ours: readonly Cost[], name: string, costs: readonly Cost[]): Figure[] {
  const isBudgeted = name === 'haproxy'
  const figure = (key: keyof Cost, what: string, unit: Figure['unit'], max?: number): Figure => ({
    what,
    unit,
    value: median(ours.map((cost) => cost[key])),
    beside: { name, value: median(costs.map((cost) => cost[key])) },
    ...(max !== undefined && isBudgeted ? { budget: { of: 'ratio', max } } : {}),
  })
  return [
    figure('perSecond', 'requests', '/s'),
    figure('cpuUsPerRequest', 'CPU of a request', 'us', 1.3),
    figure('cpuMsPerGB', 'CPU of a GB', 'ms', 0.5),
  ]
}

await installMissing(console.log, [{ program: 'haproxy', debianPackage: 'haproxy' }])
const lab = await openLab({ hosts: 1 })
try {
  const ours = await startOurs(lab.host(0))
  const plan = { name: 'page', image: pageImage, replicas: 1, publishedPort: 8080 }
  await ours.client.createService(plan)
  const [task] = await ours.client.untilRunning(plan)
  if (task === undefined || ours.agent.pid === undefined) throw new Error('nothing to measure')
  await addLargePage(ours, task.containerId)
  const format = '{{.NetworkSettings.IPAddress}}'
  const inspect = ['inspect', '--format', format, task.containerId]
  const address = await mustDocker({ host: ours.engine.url }, ...inspect)
  const agent: Proxy = { name: 'ours', port: 8080, pid: ours.agent.pid }
  const others = [await startHaproxy(ours.host, address), await startDockerProxy(ours)]
  const costs = new Map<string, Cost[]>([agent, ...others].map((proxy) => [proxy.name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const proxy of [agent, ...others]) {
      costs.get(proxy.name)?.push(await measure(ours.host, proxy))
    }
  }
  const mine = costs.get('ours') ?? []
  printFigures(
    'ingress to a task on this node',
    others.flatMap(({ name }) => figuresBeside(mine, name, costs.get(name) ?? [])),
  )
  ours.client.close()
} finally {
  lab.close()
}
