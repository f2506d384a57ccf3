// Bring-up: how `agent init` gets a daemon to talk to. One that answers is used; else one is
// started, by systemd where it runs, so that the node is back after a reboot, and in the
// background where it does not.

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { CodedError } from '../core/base/error.ts'
import { isExecutable } from './base/assets.ts'
import type { Clock } from './base/clock.ts'
import {
  type DaemonFlag,
  defaultSocket,
  defaultStateFolder,
  formatDaemonFlags,
} from './base/config.ts'
import { hasSystemd, installUnit, startInBackground, unitName } from './service-unit.ts'

export type DaemonFlagValues = Readonly<Partial<Record<DaemonFlag, string>>>

export interface BringUpOptions {
  readonly flags: DaemonFlagValues
  /** `--no-service`: in the background even where systemd runs. */
  readonly isServiceWanted: boolean
  readonly clock: Clock
  readonly say: (line: string) => void
}

const startMsMax = 20_000

/** The words that start this agent's daemon with these flags. */
export function daemonCommand(flags: DaemonFlagValues): readonly string[] {
  const self = isExecutable()
    ? [process.execPath]
    : [process.execPath, ...process.execArgv, process.argv[1] ?? '']
  return [...self, 'daemon', ...formatDaemonFlags(flags)]
}

/** The log of a daemon in the background. */
export function backgroundLogPath(flags: DaemonFlagValues): string {
  return join(flags['state-dir'] ?? defaultStateFolder, 'agent.log')
}

/**
 * Makes sure that a daemon answers on the socket. Throws unavailable with the end of its log if it
 * does not come up.
 */
export async function bringUp(options: BringUpOptions): Promise<void> {
  const { flags, clock, say } = options
  const socketPath = (flags.socket ?? defaultSocket).replace(/^unix:\/\//, '')
  if (await isAnswering(socketPath)) return
  const command = daemonCommand(flags)
  const why = whyNoService(options)
  let pid: number | undefined
  if (why === undefined) {
    installUnit(command)
    say(`Started the agent as ${unitName}; it starts again at every boot.`)
  } else {
    pid = startInBackground(command, backgroundLogPath(flags))
    say(`Started the agent in the background (${why}); its log is ${backgroundLogPath(flags)}.`)
  }
  const deadlineMs = clock.steadyMs() + startMsMax
  while (!(await isAnswering(socketPath))) {
    const isOver = clock.steadyMs() > deadlineMs || (pid !== undefined && !isAlive(pid))
    if (isOver) throw notStarted(socketPath, flags, why === undefined)
    await clock.sleep(25)
  }
}

function whyNoService(options: BringUpOptions): string | undefined {
  if (!options.isServiceWanted) return '--no-service'
  if (!hasSystemd()) return 'no systemd runs here'
  return process.getuid?.() === 0 ? undefined : 'only root installs a service'
}

/** True if somebody accepts connections on the unix socket. */
export function isAnswering(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    const end = (isThere: boolean): void => {
      socket.destroy()
      resolve(isThere)
    }
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
  })
}

function notStarted(socketPath: string, flags: DaemonFlagValues, isService: boolean): CodedError {
  const where = isService ? `journalctl -u ${unitName}` : backgroundLogPath(flags)
  const tail = isService ? '' : `:\n${tailOf(backgroundLogPath(flags))}`
  return new CodedError(
    'unavailable',
    `the agent did not come up at ${socketPath}; see ${where}${tail}`,
  )
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** The last lines of a file, at most 2 KiB. */
function tailOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(-2_048).trimEnd()
  } catch {
    return '(no log)'
  }
}
