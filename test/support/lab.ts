// A lab: hosts in namespaces on one switch, so that real engines and real agents can be started
// side by side, cut off, and powered off, on one machine and without touching its own network.
//
//                LABEL-sw: the switches, and the router between them
//            br0 10.99.0.1, fd99::1   <--- routes --->   br1 10.98.0.1, fd98::1
//           /        |         \                            |
//        p1 |     p2 |       p3 |     ports: cut(), mend()  | p4   (far hosts)
//      eth0 |   eth0 |     eth0 |                      eth0 |
//     10.99.0.11   .12        .13                    10.98.0.14    (LABEL-n1, -n2, ...)
//
// A host of isolation 'machine' has pid, mount and host name namespaces too, with an init of its
// own: killing that ends all that runs on it at once, as a power cut does. Isolation 'network' has
// the network alone; its processes are ordinary ones of this machine. On neither can a registry be
// reached, and asking for one fails at once instead of after a long wait.

import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Ended, run } from '../../scripts/process.ts'
import { Daemon, tail } from './daemon.ts'
import { folderOf, labelOfLab, removeAll, removeStale } from './lab-cleanup.ts'
import { waitFor } from './wait.ts'

export type Isolation = 'machine' | 'network'

export interface LabOptions {
  /** How many hosts; they are called n1, n2, ... */
  readonly hosts: number
  readonly isolation?: Isolation
  /** How many of them, the last ones, stand in another subnet behind a router (default 0). */
  readonly farHosts?: number
}

interface Underlay {
  readonly bridge: string
  /** The first three numbers. */
  readonly subnet: string
  readonly subnet6: string
}

const near: Underlay = { bridge: 'br0', subnet: '10.99.0', subnet6: 'fd99::' }
const far: Underlay = { bridge: 'br1', subnet: '10.98.0', subnet6: 'fd98::' }
const gateway = `${near.subnet}.1`
/** A hidden host's router, as the host sees it. */
const inside = '10.97.0.1'
const registryNames = 'registry-1.docker.io auth.docker.io index.docker.io'

let labsOpened = 0

/** Opens a lab, after removing what dead runs have left. Needs root. Close it in a teardown. */
export async function openLab(options: LabOptions): Promise<Lab> {
  if (process.getuid?.() !== 0) throw new Error('a lab needs root: it makes network namespaces')
  removeStale()
  const lab = new Lab(options)
  try {
    for (const host of lab.hosts) await host.powerOn()
  } catch (error) {
    lab.close()
    throw error
  }
  return lab
}

/** A signal alone would end the process without its exit handlers, which close the labs. */
function exitOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(1))
  }
}

export class Lab {
  readonly label: string
  readonly folder: string
  readonly hosts: readonly Host[]
  readonly #closeOnExit = (): void => this.close()
  #isClosed = false

  constructor(options: LabOptions) {
    labsOpened += 1
    this.label = labelOfLab(labsOpened)
    this.folder = folderOf(this.label)
    mkdirSync(this.folder, { recursive: true })
    process.once('exit', this.#closeOnExit)
    if (labsOpened === 1) exitOnSignals()
    this.#addSwitch()
    const { hosts, isolation = 'machine', farHosts = 0 } = options
    this.hosts = Array.from({ length: hosts }, (_, index) => {
      const underlay = index < hosts - farHosts ? near : far
      return new Host({ lab: this, number: index + 1, isolation, underlay })
    })
  }

  /** Host by its place, from 0. */
  host(index: number): Host {
    const host = this.hosts[index]
    if (host === undefined) throw new Error(`the lab has no host ${index + 1}`)
    return host
  }

  namespace(name: string): string {
    return `${this.label}-${name}`
  }

  /** Ends and removes everything. Safe to call twice. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    process.removeListener('exit', this.#closeOnExit)
    removeAll(this.label)
  }

  #addSwitch(): void {
    const name = this.namespace('sw')
    ip('netns', 'add', name)
    ip('-n', name, 'link', 'set', 'lo', 'up')
    for (const { bridge, subnet, subnet6 } of [near, far]) {
      ip('-n', name, 'link', 'add', bridge, 'type', 'bridge')
      ip('-n', name, 'addr', 'add', `${subnet}.1/24`, 'dev', bridge)
      ip('-n', name, 'addr', 'add', `${subnet6}1/64`, 'dev', bridge, 'nodad')
      ip('-n', name, 'link', 'set', bridge, 'up')
    }
    // The two subnets are joined by the switch's namespace, which is their router.
    const forwards = ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']
    const script = forwards.map((key) => `echo 1 >/proc/sys/net/${key}`).join('; ')
    must('nsenter', [`--net=/run/netns/${name}`, '--', 'sh', '-ec', script])
  }
}

export class Host {
  readonly name: string
  readonly address: string
  readonly address6: string
  readonly folder: string
  readonly namespace: string
  readonly isolation: Isolation
  readonly lab: Lab
  readonly #port: string
  /** Namespace of the router that it is hidden behind. */
  #router: string | undefined
  readonly #underlay: Underlay
  #init: Daemon | undefined
  #boots = 0

  constructor(plan: { lab: Lab; number: number; isolation: Isolation; underlay: Underlay }) {
    this.lab = plan.lab
    this.name = `n${plan.number}`
    this.#underlay = plan.underlay
    this.address = `${plan.underlay.subnet}.${10 + plan.number}`
    this.address6 = `${plan.underlay.subnet6}${10 + plan.number}`
    this.folder = join(plan.lab.folder, this.name)
    this.namespace = plan.lab.namespace(this.name)
    this.isolation = plan.isolation
    this.#port = `p${plan.number}`
    mkdirSync(this.folder, { recursive: true })
    this.#plugIn()
  }

  /** How often the host was powered on; 0 for one that has no power switch. */
  get boots(): number {
    return this.#boots
  }

  /** Words in front of a command that make it run here. */
  get enter(): readonly string[] {
    if (this.isolation === 'network') return ['nsenter', `--net=/run/netns/${this.namespace}`, '--']
    const pid = this.#init?.pid
    if (pid === undefined) throw new Error(`host ${this.name} is powered off`)
    return ['nsenter', `--target=${pid}`, '--mount', '--uts', '--net', '--pid', '--']
  }

  /** Runs a program here to its end. */
  run(command: readonly string[], timeoutMs = 30_000): Promise<Ended> {
    const [program = '', ...args] = [...this.enter, ...command]
    return run(program, args, { timeoutMs })
  }

  /** The body of a page as a client on this host sees it; throws when there is none. */
  async fetch(url: string, timeoutMs = 5_000): Promise<string> {
    const seconds = String(timeoutMs / 1000)
    const command = ['curl', '--silent', '--show-error', '--fail', '--max-time', seconds, url]
    const ended = await this.run(command, timeoutMs + 5_000)
    if (ended.code !== 0) throw new Error(`${url} on ${this.name}: ${ended.stderr.trim()}`)
    return ended.stdout
  }

  /** Starts a program here that keeps running; its output goes to NAME.log in the host's folder. */
  start(name: string, command: readonly string[], env: Record<string, string> = {}): Daemon {
    const logPath = join(this.folder, `${name}.log`)
    // nsenter forks when it enters a pid namespace.
    const isForked = this.isolation === 'machine'
    return new Daemon({
      name: `${name} on ${this.name}`,
      enter: this.enter,
      command,
      isForked,
      logPath,
      env,
    })
  }

  /** Makes the host's namespaces and its init. Files of an earlier life are still there. */
  async powerOn(): Promise<void> {
    if (this.isolation === 'network' || this.#init?.isRunning === true) return
    const ready = join(this.folder, 'ready')
    rmSync(ready, { force: true })
    writeFileSync(join(this.folder, 'resolv.conf'), resolvConf)
    writeFileSync(join(this.folder, 'hosts'), hostsFile(this.name))
    const init = new Daemon({
      name: `init of ${this.name}`,
      enter: ['nsenter', `--net=/run/netns/${this.namespace}`, '--'],
      command: [
        ...['unshare', '--mount', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'],
        ...['--propagation', 'private', '--', 'bash', '-c', initScript],
        ...['skep-lab-init', this.name, this.folder],
      ],
      isForked: true,
      logPath: join(this.folder, 'init.log'),
    })
    this.#init = init
    this.#boots += 1
    await waitFor({ what: `host ${this.name}`, timeoutMs: 20_000, everyMs: 10 }, () => {
      if (!init.isRunning) throw new Error(tail(init.log()))
      return existsSync(ready) && init.pid !== undefined
    })
  }

  /** A power cut: everything on the host ends at once, and nothing is written any more. */
  async powerOff(): Promise<void> {
    const init = this.#init
    if (init === undefined)
      throw new Error(`host ${this.name} has no power switch: ${this.isolation}`)
    await init.kill()
  }

  /** Pulls the plug out of the switch, or puts it back. Both ends keep their addresses. */
  cut(): void {
    ip('-n', this.lab.namespace('sw'), 'link', 'set', this.#port, 'down')
  }

  mend(): void {
    ip('-n', this.lab.namespace('sw'), 'link', 'set', this.#port, 'up')
  }

  /** Makes the way to this host worse in words of netem ("delay 50ms loss 1%"); '' ends that. */
  impair(netem: string): void {
    const enter = [`--net=/run/netns/${this.lab.namespace('sw')}`, '--', 'tc', 'qdisc']
    const target = ['dev', this.#port, 'root']
    if (netem === '') must('nsenter', [...enter, 'delete', ...target])
    else must('nsenter', [...enter, 'replace', ...target, 'netem', ...netem.split(' ')])
  }

  /** A cut of one way only: nothing comes in any more, or nothing gets out. */
  block(way: 'in' | 'out'): void {
    this.#filter(way, '--insert')
  }

  unblock(way: 'in' | 'out'): void {
    this.#filter(way, '--delete')
  }

  /**
   * Narrows the way to and from this host: so many bits a second, with a queue of 400 ms, and each
   * packet is lost with that probability.
   */
  throttle({ rate, loss }: { readonly rate: string; readonly loss: number }): void {
    const queue = ['root', 'tbf', 'rate', rate, 'burst', '16kb', 'latency', '400ms']
    for (const [namespace, device] of [
      [this.namespace, 'eth0'],
      [this.#router ?? this.lab.namespace('sw'), this.#port],
    ] as const) {
      const tc = ['tc', 'qdisc', 'replace', 'dev', device, ...queue]
      must('nsenter', [`--net=/run/netns/${namespace}`, '--', ...tc])
    }
    for (const chain of ['INPUT', 'OUTPUT']) {
      const match = ['--match', 'statistic', '--mode', 'random', '--probability', String(loss)]
      this.#iptables(this.namespace, '--insert', chain, ...match, '--jump', 'DROP')
    }
  }

  /**
   * Puts a router that translates addresses between this host and the switch: the host keeps its
   * address and can dial out, but nobody can dial it.
   *
   *   br0 -- wan 10.99.0.(100 + n), masquerade -- pN -- eth0 10.99.0.(10 + n)
   */
  hide(): void {
    const [own, middle] = [this.namespace, this.lab.namespace('sw')]
    const router = this.lab.namespace(`${this.name}-rt`)
    const { bridge, subnet } = this.#underlay
    const number = Number(this.name.slice(1))
    this.#router = router
    ip('netns', 'add', router)
    ip('-n', middle, 'link', 'set', this.#port, 'netns', router)
    ip(
      ...['link', 'add', 'wan', 'netns', router, 'type', 'veth'],
      ...['peer', 'name', `w${number}`, 'netns', middle],
    )
    ip('-n', middle, 'link', 'set', `w${number}`, 'master', bridge, 'up')
    ip('-n', router, 'link', 'set', 'lo', 'up')
    ip('-n', router, 'addr', 'add', `${subnet}.${100 + number}/24`, 'dev', 'wan')
    ip('-n', router, 'link', 'set', 'wan', 'up')
    ip('-n', router, 'addr', 'add', `${inside}/24`, 'dev', this.#port)
    ip('-n', router, 'link', 'set', this.#port, 'up')
    ip('-n', router, 'route', 'add', `${this.address}/32`, 'dev', this.#port)
    const forward = 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    must('nsenter', [`--net=/run/netns/${router}`, '--', 'sh', '-ec', forward])
    const nat = ['--table', 'nat', '--append', 'POSTROUTING', '--out-interface', 'wan']
    this.#iptables(router, ...nat, '--jump', 'MASQUERADE')
    ip('-n', own, 'addr', 'flush', 'dev', 'eth0')
    ip('-n', own, 'addr', 'add', `${this.address}/32`, 'dev', 'eth0')
    ip('-n', own, 'route', 'replace', 'default', 'via', inside, 'dev', 'eth0', 'onlink')
  }

  #iptables(namespace: string, ...words: readonly string[]): void {
    must('nsenter', [`--net=/run/netns/${namespace}`, '--', 'iptables', '--wait', ...words])
  }

  #filter(way: 'in' | 'out', action: '--insert' | '--delete'): void {
    const [chain = '', flag = ''] =
      way === 'in' ? ['INPUT', '--in-interface'] : ['OUTPUT', '--out-interface']
    this.#iptables(this.namespace, action, chain, flag, 'eth0', '--jump', 'DROP')
  }

  #plugIn(): void {
    const own = this.namespace
    const distant = this.lab.namespace('sw')
    ip('netns', 'add', own)
    ip(
      'link',
      'add',
      'eth0',
      'netns',
      own,
      'type',
      'veth',
      'peer',
      'name',
      this.#port,
      'netns',
      distant,
    )
    ip('-n', own, 'link', 'set', 'lo', 'up')
    ip('-n', own, 'addr', 'add', `${this.address}/24`, 'dev', 'eth0')
    ip('-n', own, 'addr', 'add', `${this.address6}/64`, 'dev', 'eth0', 'nodad')
    ip('-n', own, 'link', 'set', 'eth0', 'up')
    ip('-n', distant, 'link', 'set', this.#port, 'master', this.#underlay.bridge, 'up')
    ip('-n', own, 'route', 'add', 'default', 'via', `${this.#underlay.subnet}.1`)
    if (this.isolation === 'network') this.#refuseNameServers()
  }

  /** Without a mount namespace the machine's name servers stand in resolv.conf: not reachable. */
  #refuseNameServers(): void {
    for (const line of readFileSync('/etc/resolv.conf', 'utf8').split('\n')) {
      const server = /^nameserver\s+(\S+)/.exec(line)?.[1]
      if (server === undefined || server.startsWith('127.')) continue
      const family = server.includes(':') ? '-6' : '-4'
      ip(family, '-n', this.namespace, 'route', 'add', 'unreachable', server)
    }
  }
}

// The switch has no name server: its port 53 refuses at once, and the registry is nobody's.
const resolvConf = `nameserver ${gateway}\noptions timeout:1 attempts:1\n`

function hostsFile(name: string): string {
  return `127.0.0.1 localhost\n::1 localhost\n127.0.1.1 ${name}\n127.0.0.1 ${registryNames}\n`
}

/**
 * The init of a 'machine': its own /sys (of its network namespace, with the cgroups kept), an empty
 * /run, its name and name service; then it only reaps what is orphaned.
 */
const initScript = `
set -e
name=$1 folder=$2
hostname "$name"
cgroups=$(mktemp -d "$folder/cgroups.XXXX")
mount --rbind /sys/fs/cgroup "$cgroups"
umount -l /sys
mount -t sysfs sysfs /sys
mount --rbind "$cgroups" /sys/fs/cgroup
umount -l "$cgroups"
rmdir "$cgroups"
mount -t tmpfs tmpfs /run
mkdir -p /run/docker /run/lock /run/netns
for file in resolv.conf hosts; do
  mount --bind "$folder/$file" "$(readlink -f /etc/$file)"
done
set +e
trap : TERM INT
touch "$folder/ready"
while :; do sleep infinity & wait; done
`

function ip(...args: readonly string[]): void {
  must('ip', args)
}

function must(command: string, args: readonly string[]): void {
  const result: SpawnSyncReturns<string> = spawnSync(command, args, { encoding: 'utf8' })
  if (result.status === 0) return
  const why = result.error?.message ?? result.stderr.trim()
  throw new Error(`${command} ${args.join(' ')}: ${why}`)
}
