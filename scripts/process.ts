// Runs a program in a process group of its own, with a time limit, and keeps what it printed.
// Whatever way it ends, nothing of its group outlives it.

import { spawn } from 'node:child_process'

/** How a program ended. `timedOut` comes with the signal that the limit sent. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly timedOut: boolean
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
}

export interface RunOptions {
  readonly timeoutMs: number
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Standard input: nothing by default. */
  readonly input?: string | Uint8Array
  /** Pass output on as it comes, besides keeping it. */
  readonly echo?: boolean
}

/** After the limit: how long a program may clean up between SIGTERM and SIGKILL. */
const graceMs = 10_000

const groups = new Set<number>()

/** Runs `command` and waits for its end; never rejects for an exit code, only when it cannot start. */
export function run(command: string, args: readonly string[], options: RunOptions): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const started = performance.now()
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const pid = child.pid
    if (pid !== undefined) groups.add(pid)
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    let timedOut = false
    const limit = setTimeout(() => {
      timedOut = true
      if (pid !== undefined) signalGroup(pid, 'SIGTERM')
    }, options.timeoutMs)
    const hardLimit = setTimeout(() => {
      if (pid !== undefined) signalGroup(pid, 'SIGKILL')
      child.stdout.destroy()
      child.stderr.destroy()
    }, options.timeoutMs + graceMs)
    child.stdout.on('data', (chunk: Buffer) => {
      stdout.push(chunk)
      if (options.echo === true) process.stdout.write(chunk)
    })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr.push(chunk)
      if (options.echo === true) process.stderr.write(chunk)
    })
    child.stdin.on('error', () => undefined) // It may end without having read its input.
    child.stdin.end(options.input)
    const settle = (): void => {
      clearTimeout(limit)
      clearTimeout(hardLimit)
      if (pid !== undefined) groups.delete(pid)
    }
    child.on('error', (error) => {
      settle()
      reject(error)
    })
    // What a program leaves behind in its group would hold our pipes open: end it with its leader.
    child.on('exit', () => {
      if (pid !== undefined) signalGroup(pid, 'SIGKILL')
    })
    child.on('close', (code, signal) => {
      settle()
      resolve({
        code,
        signal,
        timedOut,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
        ms: performance.now() - started,
      })
    })
  })
}

/** Ends every group that still runs when this process is told to stop. */
export function endGroupsOnSignal(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      for (const pid of groups) signalGroup(pid, 'SIGTERM')
      setTimeout(() => {
        for (const pid of groups) signalGroup(pid, 'SIGKILL')
        process.exit(130)
      }, graceMs).unref()
    })
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // The group is gone already.
  }
}
