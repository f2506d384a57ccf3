// Plays every text scenario and compares what it prints with what stands in the file.
// `REWRITE=1 node test/core/raft/scenarios.test.ts` writes the files anew: read the diff.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { playScenario } from './scenario.ts'

const folder = join(import.meta.dirname, 'scenarios')
for (const name of readdirSync(folder).sort()) {
  t.test(name, async (t) => {
    const path = join(folder, name)
    const text = readFileSync(path, 'utf8')
    const played = playScenario(text)
    if (process.env['REWRITE'] === '1') writeFileSync(path, played)
    else t.equal(played, text)
  })
}
