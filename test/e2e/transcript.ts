// What a command line printed, made comparable: ids and times are replaced, nothing else.

import type { Ended } from '../../scripts/process.ts'

/**
 * Replaces ids, container ids and ages, and lets the columns of a table shrink with them. One id of
 * fifty is cut to letters alone: it is known by its place, first in a row or after a task's slot.
 */
export function normalise(text: string): string {
  return text
    .replace(/\b[0-9a-z]{25}\b/g, '<id>')
    .replace(/\b[0-9a-f]{64}\b/g, '<hash>')
    .replace(/^[0-9a-z]{12}(?=$| \*| {2})|(?<=\.\d+\.)[0-9a-z]{12}(?=@)/gm, '<id>')
    .replace(/(^|[ .])(?=[a-z]*[0-9])[0-9a-z]{12}(?=[ @\n]|$)/gm, '$1<id>')
    .replace(/\b(\d+ \w+|about an? \w+|less than a second) ago\b/gi, '<age> ago')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replace(/ +$/gm, '')
    .replace(/ {3,}/g, '   ')
}

/** Both streams and the exit code, as the transcripts of a real Swarm show them. */
export function printed(ended: Ended): string {
  const exit = ended.code === 0 ? '' : `(exit status ${ended.code})\n`
  return normalise(`${ended.stdout}${ended.stderr}${exit}`)
}
