// Debian packages that engines in network namespaces need: found by the programs they bring, and
// installed only where one is missing.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './process.ts'

/** A program, and the package that has it. */
export interface Need {
  readonly program: string
  readonly debianPackage: string
}

const needs: readonly Need[] = [
  { program: 'dockerd', debianPackage: 'docker.io' },
  { program: 'iptables', debianPackage: 'iptables' },
  { program: 'ip', debianPackage: 'iproute2' },
  { program: 'nsenter', debianPackage: 'util-linux' },
  { program: 'curl', debianPackage: 'curl' },
  { program: 'pgrep', debianPackage: 'procps' },
]

// The images are made of this very file; Debian's other busybox is not static.
const staticBusybox = 'busybox-static'
const timeoutMs = 10 * 60_000

/**
 * Installs what is missing for engines in namespaces and of `more`, as root on Debian. Throws with
 * the packages and what to do where it cannot.
 */
export async function installMissing(
  say: (line: string) => void,
  more: readonly Need[] = [],
): Promise<void> {
  const missing = [...needs, ...more]
    .filter((need) => !isInPath(need.program))
    .map((need) => need.debianPackage)
  if (!(await isStaticBusybox())) missing.push(staticBusybox)
  if (missing.length === 0) return
  if (!isInPath('apt-get')) {
    throw new Error(`missing here: ${missing.join(', ')} (names of Debian packages); install them`)
  }
  say(`installing ${missing.join(', ')}`)
  await aptGet('update', '-qq')
  await aptGet('install', '-y', '-qq', '--no-install-recommends', ...missing)
  // From Debian 13 on the client is a package of its own, and nothing here fails without it.
  if (missing.includes('docker.io') && !isInPath('docker')) {
    await aptGet('install', '-y', '-qq', '--no-install-recommends', 'docker-cli').catch(() => '')
  }
}

/** Whether a program is in PATH, or where root's programs are. */
export function isInPath(program: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin']
  return folders.some((folder) => folder !== '' && existsSync(join(folder, program)))
}

async function isStaticBusybox(): Promise<boolean> {
  if (!existsSync('/bin/busybox')) return false
  const ended = await run('dpkg', ['-s', staticBusybox], { timeoutMs }).catch(() => undefined)
  // Where there is no dpkg, a busybox that is there has to do.
  return ended === undefined || ended.code === 0
}

async function aptGet(...args: readonly string[]): Promise<string> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const ended = await run('apt-get', args, { timeoutMs, env })
  if (ended.code === 0) return ended.stdout
  throw new Error(`apt-get ${args.join(' ')} ended with ${ended.code}:\n${ended.stderr.trim()}`)
}
