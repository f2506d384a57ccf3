// Finding and removing what a lab has made on this machine: processes, mounts, cgroups, network
// namespaces, files. All of it carries the lab's label, so that nothing has to be remembered and a
// later run can clean up after one that was killed.
//
//   label = skep-inPIDNS-PID-STARTTIME-NUMBER, of the process that opened the lab
//   /run/netns/LABEL-HOST   /sys/fs/cgroup/[CONTROLLER/]LABEL   TMPDIR/LABEL
//
// Cgroups may be shared with other containers of this machine, where a pid means another process:
// whether a lab is still open is judged only within its own pid namespace.
//
// Everything here is synchronous: it also runs while the process exits.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const netnsFolder = '/run/netns'
const cgroupFolder = '/sys/fs/cgroup'
const labelPattern = /^skep-in(\d+)-(\d+)-(\d+)-\d+/
const killTimeoutMs = 15_000

/** The label of this process's lab of that number. The start time tells it from a later process. */
export function labelOfLab(number: number): string {
  return `skep-in${pidNamespace()}-${process.pid}-${startTime(process.pid)}-${number}`
}

/** Where a lab keeps its files. */
export function folderOf(label: string): string {
  return join(tmpdir(), label)
}

/** Removes what labs of processes that no longer live have left behind; returns their labels. */
export function removeStale(): string[] {
  const labels = new Set<string>()
  for (const name of [...list(netnsFolder), ...list(tmpdir()), ...cgroupNames()]) {
    const match = labelPattern.exec(name)
    if (match === null || match[1] !== pidNamespace()) continue
    if (startTime(Number(match[2])) !== match[3]) labels.add(match[0])
  }
  for (const label of labels) removeAll(label)
  return [...labels]
}

/** Ends and removes all that carries the label. Throws with what would not go. */
export function removeAll(label: string): void {
  killProcesses(label)
  for (const path of mountsUnder(label)) spawnSync('umount', ['--lazy', path])
  for (const path of cgroupsOf(label)) removeCgroup(path)
  for (const name of list(netnsFolder).filter((entry) => isOf(entry, label))) {
    spawnSync('ip', ['netns', 'delete', name])
  }
  rmSync(folderOf(label), { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  const left = leftovers(label)
  if (left.length > 0) throw new Error(`the lab ${label} left behind: ${left.join(', ')}`)
}

/** What carries the label now, in words. */
export function leftovers(label: string): string[] {
  return [
    ...processesOf(label).map((pid) => `process ${pid} (${commandOf(pid)})`),
    ...mountsUnder(label).map((path) => `mount ${path}`),
    ...cgroupsOf(label).map((path) => `cgroup ${path}`),
    ...list(netnsFolder)
      .filter((name) => isOf(name, label))
      .map((name) => `network namespace ${name}`),
    ...(existsSync(folderOf(label)) ? [`folder ${folderOf(label)}`] : []),
  ]
}

function isOf(name: string, label: string): boolean {
  return name === label || name.startsWith(`${label}-`)
}

/** Kills until none is left: a supervisor may start another one between two looks. */
function killProcesses(label: string): void {
  const deadline = performance.now() + killTimeoutMs
  for (;;) {
    const pids = processesOf(label)
    if (pids.length === 0) return
    if (performance.now() > deadline) {
      const names = pids.map((pid) => `${pid} (${commandOf(pid)})`)
      throw new Error(`processes of ${label} outlive SIGKILL: ${names.join(', ')}`)
    }
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // Gone between the look and the shot.
      }
    }
    pause(20)
  }
}

/** Those in the lab's network namespaces, in its cgroups, or with its folder in their command. */
function processesOf(label: string): number[] {
  const inodes = new Set(
    list(netnsFolder)
      .filter((name) => isOf(name, label))
      .map((name) => inodeOf(join(netnsFolder, name))),
  )
  const pids = new Set<number>()
  for (const entry of list('/proc')) {
    const pid = Number(entry)
    if (!Number.isInteger(pid) || pid === process.pid || isZombie(pid)) continue
    const inode = inodeOf(`/proc/${pid}/ns/net`)
    if (inode !== undefined && inodes.has(inode)) pids.add(pid)
    else if (commandOf(pid).includes(`${folderOf(label)}/`)) pids.add(pid)
  }
  for (const path of cgroupsOf(label)) {
    for (const pid of processesInCgroup(path)) if (!isZombie(pid)) pids.add(pid)
  }
  return [...pids]
}

function mountsUnder(label: string): string[] {
  const folder = folderOf(label)
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path === folder || path.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length)
}

/** Of cgroup v2 the tree itself, of v1 each controller's tree. */
function cgroupRoots(): string[] {
  const controllers = list(cgroupFolder)
    .map((name) => join(cgroupFolder, name))
    .filter((path) => existsSync(join(path, 'cgroup.procs')))
  return [cgroupFolder, ...controllers]
}

function cgroupNames(): string[] {
  return cgroupRoots().flatMap(list)
}

function cgroupsOf(label: string): string[] {
  const found = cgroupRoots().flatMap((root) =>
    list(root)
      .filter((name) => isOf(name, label))
      .map((name) => join(root, name)),
  )
  // A controller mounted under two names (cpu, cpuacct) shows the same tree twice.
  return [...new Set(found)]
}

function processesInCgroup(path: string): number[] {
  const here = read(join(path, 'cgroup.procs')).split('\n').filter(Boolean).map(Number)
  return [...here, ...subfolders(path).flatMap(processesInCgroup)].filter((pid) => pid > 0)
}

function removeCgroup(path: string): void {
  for (const child of subfolders(path)) removeCgroup(child)
  // The kernel needs a moment after the last process has gone.
  for (let attempt = 0; attempt < 50; attempt++) {
    try {
      rmdirSync(path)
      return
    } catch (error) {
      if (!existsSync(path)) return
      if (attempt === 49) throw error
      pause(20)
    }
  }
}

function subfolders(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(path, entry.name))
  } catch {
    return []
  }
}

function pidNamespace(): string {
  return String(inodeOf('/proc/self/ns/pid') ?? 0)
}

/** Field 22 of /proc/PID/stat; empty when there is no such process. */
function startTime(pid: number): string {
  const stat = read(`/proc/${pid}/stat`)
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

function isZombie(pid: number): boolean {
  const stat = read(`/proc/${pid}/stat`)
  const state = stat.slice(stat.lastIndexOf(')') + 2)[0]
  return state === undefined || state === 'Z' || state === 'X'
}

function commandOf(pid: number): string {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino
  } catch {
    return undefined
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
