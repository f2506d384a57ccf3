// Five nodes, three of them managers: how long joining takes, and how long each kind of loss is
// felt. Ours beside a real Swarm on as many engines in the same lab, in turns. ROUNDS (7) is how
// often each is done; medians are printed.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Agent, startAgent } from '../support/agent.ts'
import { type Engine, startEngine } from '../support/engine.ts'
import { importImage, webImage } from '../support/images.ts'
import { type Host, openLab } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'
import { builtAgent, pageImage } from './contenders.ts'
import { type Budget, type Figure, median, printFigures } from './figures.ts'
import { LeanClient } from './lean-client.ts'
import { cpuMs, memoryOf } from './process-usage.ts'
import { SwarmClient } from './swarm-client.ts'

const rounds = Number(process.env['ROUNDS'] || 7)
const managers = 3
const nodes = 5
const name = 'web-fe'
const idleMs = 15_000

interface Tokens {
  readonly JoinTokens: { readonly Manager: string; readonly Worker: string }
}
interface NodeJson {
  readonly ID: string
  readonly Description: { readonly Hostname: string }
  readonly Status: { readonly State: string }
  readonly ManagerStatus?: { readonly Leader?: boolean; readonly Reachability: string }
}

/** One node of a contender: its host, its engine and what serves the API there. */
interface Member {
  readonly host: Host
  readonly engine: Engine
  readonly client: SwarmClient
  readonly socket: string
  readonly agent: Agent | undefined
}

/** The daemon that makes the cluster: ours, or the engine itself. */
function daemonOf(member: Member): Agent | Engine {
  return member.agent ?? member.engine
}

async function startMember(host: Host, isOurs: boolean): Promise<Member> {
  const engine = await startEngine(host)
  await importImage(engine, webImage('1.0'))
  const agent = isOurs ? await startAgent(host, { engine, command: [builtAgent()] }) : undefined
  const socket = agent?.socket ?? engine.socket
  return { host, engine, agent, socket, client: new SwarmClient({ socket }) }
}

class Contender {
  readonly name: string
  readonly members: readonly Member[]
  readonly times = new Map<string, number[]>()

  constructor(name: string, members: readonly Member[]) {
    this.name = name
    this.members = members
  }

  member(index: number): Member {
    const member = this.members[index]
    if (member === undefined) throw new Error(`${this.name} has no member ${index}`)
    return member
  }

  async timed(what: string, run: () => Promise<unknown>): Promise<void> {
    const started = performance.now()
    await run()
    this.note(what, performance.now() - started)
  }

  note(what: string, value: number): void {
    this.times.set(what, [...(this.times.get(what) ?? []), value])
  }

  async join(index: number): Promise<void> {
    const { JoinTokens } = (await this.member(0).client.json('GET', '/swarm')) as Tokens
    const { address } = this.member(index).host
    await this.member(index).client.json('POST', '/swarm/join', {
      ListenAddr: `${address}:2377`,
      AdvertiseAddr: address,
      RemoteAddrs: [`${this.member(0).host.address}:2377`],
      JoinToken: index < managers ? JoinTokens.Manager : JoinTokens.Worker,
      Availability: 'active',
    })
  }

  /** The nodes as this member lists them. */
  async nodes(asked: Member): Promise<readonly NodeJson[]> {
    return (await asked.client.json('GET', '/nodes')) as NodeJson[]
  }

  /** Polls until it is so; returns what was so. */
  until(what: string, isSo: () => Promise<boolean>, timeoutMs = 120_000): Promise<true> {
    const where = `${this.name}: ${what}`
    return waitFor({ what: where, timeoutMs, everyMs: 20 }, async () => {
      try {
        return (await isSo()) || undefined
      } catch {
        return undefined
      }
    })
  }

  untilWhole(asked = this.member(0)): Promise<true> {
    return this.until('all nodes ready', async () => {
      const all = await this.nodes(asked)
      const isFine = (node: NodeJson): boolean =>
        node.Status.State === 'ready' &&
        (node.ManagerStatus?.Reachability ?? 'reachable') === 'reachable'
      return all.length === nodes && all.every(isFine)
    })
  }

  async leader(): Promise<number> {
    let found = -1
    await this.until('leader', async () => {
      const leader = (await this.nodes(this.member(0))).find((node) => node.ManagerStatus?.Leader)
      found = this.members.findIndex(({ host }) => host.name === leader?.Description.Hostname)
      return found >= 0
    })
    return found
  }

  /** From now until a manager other than this one takes a write. */
  async nextWrite(without: number): Promise<void> {
    const index = [0, 1, 2].find((each) => each !== without) ?? 0
    const client = new SwarmClient({ socket: this.member(index).socket })
    await this.until('write', async () => {
      const Name = `c-${Math.random().toString(36).slice(2)}`
      const Data = Buffer.alloc(100).toString('base64')
      await Promise.race([
        client.json('POST', '/configs/create', { Name, Data }),
        sleep(3_000).then(() => Promise.reject(new Error('late'))),
      ])
      return true
    })
    client.close()
  }
}

async function build(contender: Contender): Promise<void> {
  const { address } = contender.member(0).host
  await contender.timed('init', () => contender.member(0).client.init(address))
  for (let index = 1; index < nodes; index++) {
    const what = index < managers ? 'join as manager' : 'join as worker'
    await contender.timed(what, () => contender.join(index))
  }
  await contender.untilWhole()
}

async function lose(contender: Contender, how: 'kill' | 'stop'): Promise<void> {
  const leader = await contender.leader()
  const daemon = daemonOf(contender.member(leader))
  const what = how === 'kill' ? 'leader kill -9 -> write' : 'leader stopped -> write'
  await contender.timed(what, async () => {
    const gone = how === 'kill' ? daemon.kill() : daemon.stop()
    await contender.nextWrite(leader)
    await gone
  })
  await daemon.start()
  await contender.untilWhole(contender.member(leader === 0 ? 1 : 0))
}

async function loseWorker(contender: Contender): Promise<void> {
  const [asked, victim] = [contender.member(0), contender.member(nodes - 1)]
  const plan = { name, image: pageImage, replicas: 10 }
  await asked.client.createService(plan)
  await asked.client.untilRunning(plan)
  const started = performance.now()
  const isDown = contender.until('worker down', async () => {
    const lost = (await contender.nodes(asked)).find(
      (node) => node.Description.Hostname === victim.host.name,
    )
    return lost?.Status.State === 'down'
  })
  await victim.host.powerOff()
  await isDown
  contender.note('worker lost -> Down', performance.now() - started)
  await contender.until('replacements', async () => {
    const all = await contender.nodes(asked)
    const lost = all.find((node) => node.Description.Hostname === victim.host.name)?.ID
    const tasks = (await asked.client.json('GET', '/tasks')) as {
      NodeID: string
      DesiredState: string
      Status: { State: string }
    }[]
    const running = tasks.filter(
      (task) =>
        task.NodeID !== lost && task.DesiredState === 'running' && task.Status.State === 'running',
    )
    return running.length === 10
  })
  contender.note('worker lost -> all replaced', performance.now() - started)
  await victim.host.powerOn()
  await victim.engine.start()
  await victim.agent?.start()
  await contender.untilWhole()
  await clear(contender)
}

async function createFifty(contender: Contender): Promise<void> {
  const { client } = contender.member(0)
  const plan = { name, image: pageImage, replicas: 50 }
  await contender.timed('create 50 replicas on 5 nodes', async () => {
    await client.createService(plan)
    await client.untilRunning(plan)
  })
  await clear(contender)
}

async function clear(contender: Contender): Promise<void> {
  await contender.member(0).client.removeService(name)
  for (const { engine } of contender.members) {
    await contender.until('end of containers', async () => {
      const left = await engine.json({ path: '/containers/json?all=1' })
      return Array.isArray(left) && left.length === 0
    })
  }
}

/** Configs of 100 bytes made through the leader's socket, each answered before the next. */
async function creates(contender: Contender, clients: number): Promise<void> {
  const { socket } = contender.member(await contender.leader())
  const connections = Array.from({ length: clients }, () => new LeanClient(socket))
  const Data = Buffer.alloc(100).toString('base64')
  const started = performance.now()
  let created = 0
  const create = async (connection: LeanClient): Promise<void> => {
    while (performance.now() - started < 4_000) {
      const Name = `c-${Math.random().toString(36).slice(2)}`
      await connection.post('/configs/create', JSON.stringify({ Name, Data }))
      created++
    }
  }
  await Promise.all(connections.map(create))
  const unit = clients === 1 ? '1 client' : `${clients} clients`
  contender.note(`config creates, ${unit}`, (1000 * created) / (performance.now() - started))
  for (const connection of connections) connection.close()
}

async function idle(contender: Contender): Promise<void> {
  const leader = contender.member(await contender.leader())
  const { pid } = daemonOf(leader)
  if (pid === undefined) return
  const bytes = async (): Promise<number> => {
    const files = ['rx_bytes', 'tx_bytes'].map((file) => `/sys/class/net/eth0/statistics/${file}`)
    const { stdout } = await leader.host.run(['cat', ...files])
    return stdout
      .trim()
      .split('\n')
      .reduce((sum, line) => sum + Number(line), 0)
  }
  await sleep(5_000)
  const before = { cpu: cpuMs(pid), bytes: await bytes() }
  await sleep(idleMs)
  contender.note('idle leader: CPU', (100 * (cpuMs(pid) - before.cpu)) / idleMs)
  contender.note('idle leader: traffic', ((await bytes()) - before.bytes) / idleMs)
  contender.note('idle leader: memory', memoryOf(pid).anonymousBytes / 1e6)
}

interface Row {
  readonly what: string
  readonly unit: Figure['unit']
  readonly budget?: Budget
}

const rows: readonly Row[] = [
  { what: 'init', unit: 's' },
  { what: 'join as manager', unit: 's' },
  { what: 'join as worker', unit: 's' },
  { what: 'leader kill -9 -> write', unit: 's', budget: { of: 'value', max: 1 } },
  { what: 'leader stopped -> write', unit: 's', budget: { of: 'value', max: 0.3 } },
  { what: 'worker lost -> Down', unit: 's' },
  { what: 'worker lost -> all replaced', unit: 's', budget: { of: 'value', max: 5 } },
  { what: 'create 50 replicas on 5 nodes', unit: 's', budget: { of: 'ratio', max: 1 } },
  { what: 'config creates, 1 client', unit: '/s', budget: { of: 'value', min: 600 } },
  { what: 'config creates, 32 clients', unit: '/s', budget: { of: 'value', min: 5_000 } },
  { what: 'idle leader: CPU', unit: '%', budget: { of: 'value', max: 0.5 } },
  { what: 'idle leader: traffic', unit: 'kB/s', budget: { of: 'value', max: 6 } },
  { what: 'idle leader: memory', unit: 'MB' },
]

const lab = await openLab({ hosts: nodes * 2 })
try {
  const members = await Promise.all(
    lab.hosts.map((host, index) => startMember(host, index < nodes)),
  )
  const ours = new Contender('ours', members.slice(0, nodes))
  const swarm = new Contender('swarm', members.slice(nodes))
  const pair = [ours, swarm] as const
  for (const contender of pair) await build(contender)
  for (const contender of pair) await idle(contender)
  const exercises = [
    ...[(each: Contender) => creates(each, 1), (each: Contender) => creates(each, 32)],
    (each: Contender) => lose(each, 'kill'),
    (each: Contender) => lose(each, 'stop'),
  ]
  for (let round = 0; round < rounds; round++) {
    for (const contender of round % 2 === 0 ? pair : pair.toReversed()) {
      for (const exercise of exercises) await exercise(contender)
    }
  }
  // These take half a minute each with Swarm.
  for (let round = 0; round < Math.max(1, Math.floor(rounds / 3)); round++) {
    for (const contender of pair) {
      await createFifty(contender)
      await loseWorker(contender)
    }
  }
  const scale = (value: number, unit: Row['unit']): number => (unit === 's' ? value / 1000 : value)
  const figures = rows.map(({ what, unit, budget }): Figure => {
    const [mine = [], theirs = []] = [ours.times.get(what), swarm.times.get(what)]
    console.log(`  ${what}: ours ${list(mine)}; swarm ${list(theirs)}`)
    return {
      what,
      unit,
      value: scale(median(mine), unit),
      beside: { name: 'swarm', value: scale(median(theirs), unit) },
      ...(budget === undefined ? {} : { budget }),
    }
  })
  printFigures(`three managers and two workers, ${rounds} rounds`, figures)
  for (const { client } of members) client.close()
} finally {
  lab.close()
}

function list(values: readonly number[]): string {
  return values.map((value) => value.toFixed(value < 100 ? 1 : 0)).join(' ')
}
