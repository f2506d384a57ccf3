// A program that keeps running on a host of the lab: its log, its signals, its end.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { waitFor } from './wait.ts'

export interface DaemonPlan {
  readonly name: string
  /** Words in front that lead into the host: nsenter and its options. */
  readonly enter: readonly string[]
  readonly command: readonly string[]
  /** The first of these programs forks, and the one that is meant is its child. */
  readonly isForked: boolean
  readonly logPath: string
  readonly env?: Readonly<Record<string, string>>
}

export interface DaemonEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Started by startDaemon; ended by stop or kill, or with the lab. */
export class Daemon {
  readonly name: string
  readonly logPath: string
  readonly ended: Promise<DaemonEnd>
  readonly #child: ChildProcess
  readonly #isForked: boolean
  #end: DaemonEnd | undefined

  constructor(plan: DaemonPlan) {
    const [command = '', ...args] = [...plan.enter, ...plan.command]
    const log = openSync(plan.logPath, 'a')
    this.name = plan.name
    this.logPath = plan.logPath
    this.#isForked = plan.isForked
    const env = { ...process.env, ...plan.env }
    this.#child = spawn(command, args, { stdio: ['ignore', log, log], env })
    closeSync(log)
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.once('exit', (code, signal) => {
        this.#end = { code, signal }
        resolve(this.#end)
      })
    })
    this.ended.catch(() => undefined) // Whoever waits sees it; nobody has to.
  }

  get isRunning(): boolean {
    return this.#end === undefined
  }

  /** The program's pid as this machine sees it; undefined before it is started or after its end. */
  get pid(): number | undefined {
    const pid = this.#child.pid
    if (pid === undefined || !this.isRunning) return undefined
    return this.#isForked ? childOf(pid) : pid
  }

  log(): string {
    return readFileSync(this.logPath, 'utf8')
  }

  signal(signal: NodeJS.Signals): void {
    const pid = this.pid
    if (pid !== undefined) process.kill(pid, signal)
  }

  /** It stands still, as under a debugger, until `resume`. */
  pause(): void {
    this.signal('SIGSTOP')
  }

  resume(): void {
    this.signal('SIGCONT')
    // nsenter stops itself with its child, and has to see its end.
    if (this.#isForked) this.#child.kill('SIGCONT')
  }

  /** SIGTERM, then the end of the program; throws when it takes longer. */
  async stop(timeoutMs = 30_000): Promise<DaemonEnd> {
    this.signal('SIGTERM')
    return this.#awaitEnd(timeoutMs)
  }

  /** SIGKILL, as by a crash: what it has started lives on. */
  async kill(): Promise<DaemonEnd> {
    this.signal('SIGKILL')
    return this.#awaitEnd(10_000)
  }

  async #awaitEnd(timeoutMs: number): Promise<DaemonEnd> {
    const what = `end of ${this.name}`
    return waitFor(
      { what, timeoutMs, everyMs: 10, describe: () => tail(this.log()) },
      () => this.#end,
    )
  }
}

/** The last lines of a log, for an error message. */
export function tail(log: string, lines = 30): string {
  return log.trimEnd().split('\n').slice(-lines).join('\n')
}

function childOf(pid: number): number | undefined {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return children === '' ? undefined : Number(children.split(' ')[0])
  } catch {
    return undefined
  }
}
