// What the seeds of a run have seen: the share of seeds in which each event occurred.

import type { Result } from './run.ts'

export interface Table {
  seeds: number
  failures: number
  virtualMs: number
  steps: number
  acked: number
  /** CPU time of runs whose tables were added to this one. */
  addedCpuMs: number
  readonly startedCpuUs: number
  readonly seedsWith: Map<string, number>
}

/** A table as a line of a log. */
export interface TableRow {
  readonly first: number
  readonly seeds: number
  readonly failures: number
  readonly virtualMs: number
  readonly steps: number
  readonly acked: number
  readonly cpuMs: number
  readonly seedsWith: Readonly<Record<string, number>>
}

export function makeTable(): Table {
  const { user, system } = process.cpuUsage()
  return {
    seeds: 0,
    failures: 0,
    virtualMs: 0,
    steps: 0,
    acked: 0,
    addedCpuMs: 0,
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

/** The table so far; `first` is its first seed. */
export function toRow(table: Table, first: number): TableRow {
  const { seeds, failures, virtualMs, steps, acked, seedsWith } = table
  const cpuMs = Math.round(cpuMsOf(table))
  return {
    first,
    seeds,
    failures,
    virtualMs,
    steps,
    acked,
    cpuMs,
    seedsWith: Object.fromEntries(seedsWith),
  }
}

export function addRow(table: Table, row: TableRow): void {
  table.seeds += row.seeds
  table.failures += row.failures
  table.virtualMs += row.virtualMs
  table.steps += row.steps
  table.acked += row.acked
  table.addedCpuMs += row.cpuMs
  for (const [event, seeds] of Object.entries(row.seedsWith)) {
    table.seedsWith.set(event, (table.seedsWith.get(event) ?? 0) + seeds)
  }
}

function cpuMsOf(table: Table): number {
  const { user, system } = process.cpuUsage()
  return table.addedCpuMs + (user + system - table.startedCpuUs) / 1000
}

export function printTable(
  table: Table,
  options: {
    readonly first: number
    readonly isLong: boolean
    readonly print: (line: string) => void
  },
): void {
  const cpuMinutes = cpuMsOf(table) / 60_000
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
