// Lines of progress. On a terminal each id has a line of its own, rewritten in place: the cursor goes up
// to the line, erases it, writes, and comes down again. Elsewhere each change of a line without a bar is
// printed once more, and bars are left out.
//
//   ESC[3A ESC[2K \r 1/3: running   [=====>     ] \r ESC[3B

import type { CliOutput } from './cli-io.ts'

/** A change of one line. A `message` has no line of its own and ends the lines before it. */
export interface Progress {
  readonly id: string
  readonly action?: string
  readonly current?: number
  readonly total?: number
  /** What is counted; the counts are shown only with it. */
  readonly units?: string
  readonly message?: string
}

/** Writes changes to an output, and remembers which line is whose. */
export type ProgressWriter = (progress: Progress) => void

/** Narrower terminals get no bars. */
const barColumnsMin = 110
const barWidth = 50

/** Makes a writer. A quiet one writes nothing. */
export function progressWriter(output: CliOutput, options: { isQuiet: boolean }): ProgressWriter {
  if (options.isQuiet) return () => {}
  let lines: readonly string[] = []
  return (progress) => {
    if (progress.message !== undefined) {
      lines = []
      output.write(`${progress.id === '' ? '' : `${progress.id}: `}${progress.message}\n`)
      return
    }
    const isNew = !lines.includes(progress.id)
    if (isNew) lines = [...lines, progress.id]
    if (output.isTty) {
      const up = lines.length - lines.indexOf(progress.id)
      const bar = formatBar(progress, output.columns ?? 200)
      const text = `${progress.id}: ${progress.action ?? ''} ${bar}`
      output.write(`${isNew ? '\n' : ''}\x1b[${up}A\x1b[2K\r${text}\r\x1b[${up}B`)
    } else if ((progress.current ?? 0) <= 0 && (progress.total ?? 0) <= 0) {
      output.write(`${progress.id}: ${progress.action ?? ''}\n`)
    }
  }
}

function formatBar(progress: Progress, columns: number): string {
  const { current = 0, total = 0, units } = progress
  if (current <= 0 && total <= 0) return ''
  if (total <= 0) return units === undefined ? '' : `${current} ${units}`
  const filled = Math.min(Math.trunc(Math.trunc((current / total) * 100) / 2), barWidth)
  const bar = `[${'='.repeat(filled)}>${' '.repeat(barWidth - filled)}] `
  const counts =
    units === undefined
      ? ''
      : current > total
        ? `${current} ${units}`
        : `${current}/${total} ${units}`
  return (columns > barColumnsMin ? bar : '') + counts
}
