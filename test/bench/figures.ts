// Figures of a benchmark: each one beside what it is compared with and beside its budget.
//
//   what                     ours   beside            ratio   budget
//   agent version, wall   28.1 ms   hello: 26.3 ms    1.07x   <= 1.5x
//   idle, anonymous       41.2 MB                             <= 36 MB   OVER BUDGET
//
// A machine that does other work as well makes every time longer, so times are judged by their
// ratio to something else measured in the same run. A budget that is not met is printed, not
// failed: scripts/bench.ts counts those lines.

export interface Figure {
  readonly what: string
  readonly value: number
  readonly unit: Unit
  /** The same of another program, measured in the same run. */
  readonly beside?: { readonly name: string; readonly value: number }
  readonly budget?: Budget
}

/** One bound: of the figure itself in its unit, or of its ratio to what stands beside it. */
export interface Budget {
  readonly of: 'value' | 'ratio'
  readonly max?: number
  readonly min?: number
}

/** Number of digits after the point that are worth reading. */
const units = {
  ms: 1,
  s: 2,
  MB: 1,
  '%': 2,
  '/s': 0,
  us: 0,
  'kB/s': 2,
  '': 0,
} as const satisfies Readonly<Record<string, number>>
export type Unit = keyof typeof units

/** The words by which scripts/bench.ts finds a figure that is over its budget. */
export const overBudget = 'OVER BUDGET'

/** Prints a table of figures under a title. */
export function printFigures(title: string, figures: readonly Figure[]): void {
  const rows = figures.map(cellsOf)
  const widths = columns.map((name, column) =>
    Math.max(name.length, ...rows.map((cells) => cells[column]?.length ?? 0)),
  )
  console.log(`\n${title}`)
  for (const cells of [columns, ...rows]) {
    const padded = cells.map((cell, column) =>
      rightAligned.has(column)
        ? cell.padStart(widths[column] ?? 0)
        : cell.padEnd(widths[column] ?? 0),
    )
    console.log(`  ${padded.join('   ').trimEnd()}`)
  }
}

const columns: readonly string[] = ['what', 'ours', 'beside', 'ratio', 'budget', '']
const rightAligned: ReadonlySet<number> = new Set([1, 3])

function cellsOf(figure: Figure): string[] {
  const { what, value, unit, beside, budget } = figure
  return [
    what,
    formatValue(value, unit),
    beside === undefined ? '' : `${beside.name}: ${formatValue(beside.value, unit)}`,
    beside === undefined ? '' : `${ratioOf(figure).toFixed(2)}x`,
    budget === undefined ? '' : formatBudget(budget, unit),
    budget === undefined || isMet(figure, budget) ? '' : overBudget,
  ]
}

function ratioOf(figure: Figure): number {
  return figure.beside === undefined ? Number.NaN : figure.value / figure.beside.value
}

function isMet(figure: Figure, budget: Budget): boolean {
  const judged = budget.of === 'value' ? figure.value : ratioOf(figure)
  return judged <= (budget.max ?? Infinity) && judged >= (budget.min ?? -Infinity)
}

function formatBudget(budget: Budget, unit: Unit): string {
  const bounds = [
    ...(budget.max === undefined ? [] : [{ sign: '<=', bound: budget.max }]),
    ...(budget.min === undefined ? [] : [{ sign: '>=', bound: budget.min }]),
  ]
  const suffix = budget.of === 'ratio' ? 'x' : unit === '' ? '' : ` ${unit}`
  return bounds.map(({ sign, bound }) => `${sign} ${bound}${suffix}`).join(', ')
}

function formatValue(value: number, unit: Unit): string {
  return `${value.toFixed(units[unit])} ${unit}`.trimEnd()
}

/** The middle one of an odd number of values; of an even number, the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.floor((sorted.length - 1) / 2)]
  if (upper === undefined || lower === undefined) throw new Error('median of no values')
  return (upper + lower) / 2
}
