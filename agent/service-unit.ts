// Service unit: how systemd starts the agent, and how the agent puts itself there and away again.

import { execFileSync, spawn } from 'node:child_process'
import { existsSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeFolder } from './base/folders.ts'

export const unitName = 'skep.service'
const unitPath = `/etc/systemd/system/${unitName}`

/**
 * What the daemon needs in its environment. One heap of malloc for all threads: with one for each, as
 * the C library has it, an idle agent holds 3 MB more (21 and 24 MB), which threads have freed but keep.
 */
export const daemonEnvironment = { MALLOC_ARENA_MAX: '1' } as const

/** The text of the unit. `command` is the daemon's whole command line. */
export function unitText(command: readonly string[]): string {
  const environment = Object.entries(daemonEnvironment).map(
    (pair) => `Environment=${pair.join('=')}`,
  )
  return `[Unit]
Description=Skep, container orchestrator for small clusters
After=network-online.target docker.service
Wants=network-online.target

[Service]
ExecStart=${command.map(quote).join(' ')}
${environment.join('\n')}
Restart=always
RestartSec=1
# Containers outlive the agent: it adopts them when it is back.
KillMode=process
TimeoutStopSec=30
LimitNOFILE=1048576
TasksMax=infinity
Delegate=yes
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
`
}

/** systemd splits at spaces and expands % and $. */
function quote(word: string): string {
  const escaped = word.replaceAll('%', '%%').replaceAll('$', '$$$$')
  return /[\s"'\\]/.test(escaped) ? `"${escaped.replace(/["\\]/g, '\\$&')}"` : escaped
}

/** True where systemd is the init that runs (sd_booted(3)). */
export function hasSystemd(): boolean {
  return existsSync('/run/systemd/system')
}

/** Writes the unit, enables and starts it. Throws what systemctl says. */
export function installUnit(command: readonly string[]): void {
  writeFileSync(unitPath, unitText(command), { mode: 0o644 })
  systemctl('daemon-reload')
  systemctl('enable', '--now', unitName)
}

/** Stops, disables and removes the unit; true if there was one. */
export function removeUnit(): boolean {
  if (!existsSync(unitPath)) return false
  if (hasSystemd()) systemctl('disable', '--now', unitName)
  rmSync(unitPath, { force: true })
  if (hasSystemd()) systemctl('daemon-reload')
  return true
}

/** Starts the daemon in the background, away from this terminal; its log goes to the file. */
export function startInBackground(command: readonly string[], logPath: string): number {
  makeFolder({ path: dirname(logPath), flag: 'state-dir', mode: 0o700 })
  const log = openSync(logPath, 'a', 0o600)
  const [program = '', ...args] = command
  const env = { ...process.env, ...daemonEnvironment }
  const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log], env })
  child.unref()
  return child.pid ?? 0
}

function systemctl(...args: readonly string[]): void {
  execFileSync('systemctl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
