// What the seeds of a run have seen: the share of seeds in which each event occurred.

import type { Result } from './run.ts'

export interface Table {
  seeds: number
  failures: number
  virtualMs: number
  steps: number
  acked: number
  readonly startedCpuUs: number
  readonly seedsWith: Map<string, number>
}

export function makeTable(): Table {
  const { user, system } = process.cpuUsage()
  return {
    seeds: 0,
    failures: 0,
    virtualMs: 0,
    steps: 0,
    acked: 0,
    startedCpuUs: user + system,
    seedsWith: new Map(),
  }
}

export function addResult(table: Table, result: Result): void {
  table.seeds++
  if (result.failure !== undefined) table.failures++
  table.virtualMs += result.virtualMs
  table.steps += result.steps
  table.acked += result.acked
  for (const event of result.counts.keys()) {
    table.seedsWith.set(event, (table.seedsWith.get(event) ?? 0) + 1)
  }
}

export function printTable(
  table: Table,
  options: {
    readonly first: number
    readonly isLong: boolean
    readonly print: (line: string) => void
  },
): void {
  const { user, system } = process.cpuUsage()
  const cpuMinutes = (user + system - table.startedCpuUs) / 60e6
  const hours = table.virtualMs / 3_600_000
  const last = options.first + table.seeds - 1
  options.print(
    `seeds ${options.first}-${last}: ${table.seeds} run, ${table.failures} failed, ` +
      `${hours.toFixed(1)} cluster-hours in ${cpuMinutes.toFixed(2)} CPU minutes ` +
      `(${(hours / cpuMinutes).toFixed(1)} per minute), ${table.steps} steps, ${table.acked} writes`,
  )
  if (!options.isLong) return
  for (const [event, seeds] of [...table.seedsWith].sort((a, b) => b[1] - a[1])) {
    const share = ((100 * seeds) / table.seeds).toFixed(1).padStart(6)
    options.print(`${share} %  ${event}`)
  }
}
