// The agent under test on a host of the lab: from source, or the executable that AGENT_BIN names.

import { mkdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Ended, run } from '../../scripts/process.ts'
import { type Daemon, type DaemonEnd, tail } from './daemon.ts'
import type { Engine } from './engine.ts'
import type { Host } from './lab.ts'
import { type Answer, type Ask, request, requestJson } from './unix-http.ts'
import { waitFor } from './wait.ts'

const defaultStartTimeoutMs = 30_000

export interface AgentOptions {
  /** Absent: the agent gets no --docker-host and finds no engine. */
  readonly engine?: Engine
  /** More flags for `agent daemon`. */
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** The words that run another agent than agentCommand's, and how long its start may take. */
  readonly command?: readonly string[]
  readonly startTimeoutMs?: number
}

/** Starts `agent daemon` on the host and waits until its socket answers. */
export async function startAgent(host: Host, options: AgentOptions = {}): Promise<Agent> {
  const agent = new Agent(host, options)
  await agent.start()
  return agent
}

/** The words that run the agent: AGENT_BIN, or this Node with agent/main.ts. */
export function agentCommand(): readonly string[] {
  const binary = process.env['AGENT_BIN']
  if (binary !== undefined && binary !== '') return [resolve(binary)]
  const main = join(import.meta.dirname, '../../agent/main.ts')
  return [process.execPath, '--disable-warning=ExperimentalWarning', '--expose-gc', main]
}

export class Agent {
  readonly host: Host
  readonly socket: string
  readonly stateFolder: string
  readonly #options: AgentOptions
  readonly #command: readonly string[]
  #daemon: Daemon | undefined

  constructor(host: Host, options: AgentOptions) {
    this.host = host
    this.socket = join(host.folder, 'agent.sock')
    this.stateFolder = join(host.folder, 'state')
    this.#options = options
    this.#command = options.command ?? agentCommand()
  }

  /** The address in the form of the docker CLI's -H and the agent's --host. */
  get url(): string {
    return `unix://${this.socket}`
  }

  /** The daemon's pid on this machine; undefined when it does not run. */
  get pid(): number | undefined {
    return this.#daemon?.pid
  }

  /** Starts the daemon, also again after stop, kill, or a power cut of the host. */
  async start(): Promise<void> {
    const { address } = this.host
    const { engine, flags, env } = this.#options
    mkdirSync(this.stateFolder, { recursive: true })
    const daemon = this.host.start(
      'agent',
      [
        ...this.#command,
        'daemon',
        ...['--state-dir', this.stateFolder, '--socket', this.socket],
        ...['--listen-addr', `${address}:2377`, '--advertise-addr', address],
        ...(engine === undefined ? [] : ['--docker-host', engine.url]),
        ...(flags ?? []),
      ],
      env,
    )
    this.#daemon = daemon
    const timeoutMs = this.#options.startTimeoutMs ?? defaultStartTimeoutMs
    const what = `answer of the agent on ${this.host.name}`
    const describe = (): string => tail(daemon.log())
    await waitFor({ what, timeoutMs, describe }, async () => {
      if (!daemon.isRunning) throw new Error('it has ended')
      const answer = await this.request({ path: '/_ping' })
      return answer.status === 200
    })
  }

  /** SIGTERM and an orderly end. */
  async stop(): Promise<DaemonEnd | undefined> {
    return this.#daemon?.stop()
  }

  /** kill -9. */
  async kill(): Promise<DaemonEnd | undefined> {
    return this.#daemon?.kill()
  }

  /** Stands still until `resume`. */
  pause(): void {
    this.#daemon?.pause()
  }

  resume(): void {
    this.#daemon?.resume()
  }

  /** Stops (or kills) and starts again with the same state. */
  async restart(how: 'stop' | 'kill' = 'stop'): Promise<void> {
    await (how === 'stop' ? this.stop() : this.kill())
    await this.start()
  }

  /** Forgets everything the node knew; the daemon must not run. */
  wipe(): void {
    if (this.pid !== undefined) throw new Error(`the agent on ${this.host.name} still runs`)
    rmSync(this.stateFolder, { recursive: true, force: true })
  }

  log(): string {
    return this.#daemon?.log() ?? ''
  }

  /** Runs `agent ARGS` as a client of this daemon, on its host. */
  cli(...args: readonly string[]): Promise<Ended> {
    const [program = '', ...rest] = [...this.host.enter, ...this.#command, ...args]
    const env = { ...process.env, AGENT_HOST: this.url, NO_COLOR: '1' }
    return run(program, rest, { timeoutMs: 120_000, env })
  }

  /** The standard output of `agent ARGS`, which has to succeed. */
  async mustCli(...args: readonly string[]): Promise<string> {
    const ended = await this.cli(...args)
    if (ended.code !== 0) {
      throw new Error(`agent ${args.join(' ')} ended with ${ended.code}: ${ended.stderr.trim()}`)
    }
    return ended.stdout.trim()
  }

  request(ask: Omit<Ask, 'socket'>): Promise<Answer> {
    return request({ ...ask, socket: this.socket })
  }

  json(ask: { method?: string; path: string; body?: unknown }): Promise<unknown> {
    return requestJson({ ...ask, socket: this.socket })
  }
}
