// Prints the names of scenarios that print something else than what stands in their files, one a
// line. scripts/mutants.ts runs this in a tree with a planted bug; it needs nothing installed.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { playScenario } from './scenario.ts'

const folder = join(import.meta.dirname, 'scenarios')
for (const name of readdirSync(folder).sort()) {
  const text = readFileSync(join(folder, name), 'utf8')
  let played = ''
  try {
    played = playScenario(text)
  } catch {
    // A failed assertion is a difference too.
  }
  if (played !== text) console.log(name.replace('.txt', ''))
}
