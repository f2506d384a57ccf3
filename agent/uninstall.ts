// Uninstall: takes everything off this machine that the agent put there: the service, the daemon,
// the containers of its tasks, the state.

import { existsSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CodedError } from '../core/base/error.ts'
import type { Clock } from './base/clock.ts'
import { defaultSocket, defaultStateFolder } from './base/config.ts'
import { type DaemonFlagValues, isAnswering } from './bring-up.ts'
import { removeUnit } from './service-unit.ts'

/** The file in the state folder that names the daemon's process. */
export const pidFileName = 'agent.pid'

const stopMsMax = 30_000

export interface UninstallOptions {
  readonly flags: DaemonFlagValues
  readonly clock: Clock
  /** Leaves the cluster through the API; called only while a daemon answers. */
  readonly leave: () => Promise<void>
  readonly say: (line: string) => void
}

/** Removes all of it; what is not there is passed over. Throws timeout if the daemon does not end. */
export async function uninstall(options: UninstallOptions): Promise<void> {
  const { flags, clock, leave, say } = options
  const socketPath = (flags.socket ?? defaultSocket).replace(/^unix:\/\//, '')
  const stateFolder = flags['state-dir'] ?? defaultStateFolder
  const removed = [stateFolder, socketPath].filter((path) => existsSync(path))
  if (await isAnswering(socketPath)) await leave()
  if (removeUnit()) say('Removed the service.')
  const pid = daemonPid(stateFolder)
  if (pid !== undefined) {
    process.kill(pid, 'SIGTERM')
    const deadlineMs = clock.steadyMs() + stopMsMax
    while (daemonPid(stateFolder) === pid) {
      if (clock.steadyMs() > deadlineMs) {
        const text = `the agent (process ${pid}) did not end within ${stopMsMax / 1000} s; end it and run this again`
        throw new CodedError('timeout', text)
      }
      await clock.sleep(50)
    }
    say('Stopped the agent.')
  }
  for (const path of removed) rmSync(path, { recursive: true, force: true })
  if (socketPath === defaultSocket) removeIfEmpty(dirname(socketPath))
  const what = removed.length === 0 ? 'Nothing of it was here' : `Removed ${removed.join(' and ')}`
  say(`${what}. This executable is yours to delete.`)
}

/** The folder of the socket was made for it, and others may have come to use it. */
function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // Not there, or not empty: both are well.
  }
}

/** The process that runs the daemon of this state folder, if one does. */
function daemonPid(stateFolder: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(stateFolder, pidFileName), 'utf8'))
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return Number.isInteger(pid) && words.includes('daemon') ? pid : undefined
  } catch {
    return undefined
  }
}
