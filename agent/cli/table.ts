// Columns of text, aligned as Go's text/tabwriter aligns them, for that is what docker's tables are.
// A cell ends with a tab; what follows the last tab of a line is not in a column. A column is a run
// of lines that all have a cell there: a line without one ends the run, and widths start anew.
//
//     ID \t NAME \t PORTS        ->  ID        NAME      PORTS
//     k1 \t web  \t                  k1        web

/** Least width of a column, with its padding. */
export interface TableShape {
  readonly widthMin: number
  readonly padding: number
}

/** Shape of docker's lists. */
export const listShape: TableShape = { widthMin: 10, padding: 3 }
/** Shape of `version`. */
export const versionShape: TableShape = { widthMin: 20, padding: 1 }

/** Replaces tabs by spaces so that columns align. Lines end with \n. */
export function alignColumns(text: string, shape: TableShape): string {
  const lines = text.split('\n').map((line) => line.split('\t'))
  const output: string[] = []
  alignBlock({ lines, shape, output, widths: [] }, 0, lines.length)
  return output.join('\n')
}

interface Work {
  readonly lines: readonly (readonly string[])[]
  readonly shape: TableShape
  readonly output: string[]
  readonly widths: readonly number[]
}

function alignBlock(work: Work, from: number, to: number): void {
  const column = work.widths.length
  const hasCell = (at: number): boolean => column < (work.lines[at] ?? []).length - 1
  let written = from
  let at = from
  while (at < to) {
    if (!hasCell(at)) {
      at++
      continue
    }
    writeLines(work, written, at)
    const start = at
    let width = work.shape.widthMin
    for (; at < to && hasCell(at); at++) {
      width = Math.max(width, displayWidth(work.lines[at]?.[column] ?? '') + work.shape.padding)
    }
    alignBlock({ ...work, widths: [...work.widths, width] }, start, at)
    written = at
  }
  writeLines(work, written, to)
}

function writeLines(work: Work, from: number, to: number): void {
  for (const line of work.lines.slice(from, to)) {
    let text = ''
    line.forEach((cell, column) => {
      const width = column < line.length - 1 ? (work.widths[column] ?? 0) : 0
      text += cell + ' '.repeat(Math.max(0, width - displayWidth(cell)))
    })
    work.output.push(text)
  }
}

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u

/** Columns of a terminal that a text takes: East Asian wide characters take two. */
export function displayWidth(text: string): number {
  let width = 0
  for (const character of text) width += wide.test(character) ? 2 : 1
  return width
}

/** Cuts a text to a width, the last column an ellipsis. */
export function ellipsis(text: string, widthMax: number): string {
  if (displayWidth(text) <= widthMax) return text
  let [kept, width] = ['', 0]
  for (const character of text) {
    width += displayWidth(character)
    if (width > widthMax - 1) break
    kept += character
  }
  return `${kept}…`
}
