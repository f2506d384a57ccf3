// Runs several test files in one process: `node scripts/test-batch.ts FILE...`. Loading tap costs
// more than most files' tests do, and is paid here once.
//
// Each file becomes a subtest of its own. What it imports as 'tap' is that subtest, so its
// teardowns, hooks and time limit end with it, and it cannot tell that others share the process:
//
//   # Subtest: test/core/base/id.test.ts
//       ok 1 - an id is ...               what the file printed by itself, indented
//       1..1
//   ok 1 - test/core/base/id.test.ts # time=12ms
//
// readBatch in tap.ts takes that apart again. A file that ends the process takes the rest with it:
// the runner then gives each of those a process of its own.

import { registerHooks } from 'node:module'
import { join } from 'node:path'
import root, { type Test } from 'tap'

const scheme = 'skep-tap:'
const own = import.meta.url
const byNumber = new Map<string, Test>()

/** What the module 'tap' is for a test file. */
export function testOf(number: string): Test {
  const test = byNumber.get(number)
  if (test === undefined) throw new Error(`no test file has the number ${number}`)
  return test
}

registerHooks({
  resolve: (specifier, context, next) => {
    const asker = context.parentURL ?? ''
    if (specifier !== 'tap' || !asker.endsWith('.test.ts')) return next(specifier, context)
    return { url: `${scheme}${byNumber.size}`, format: 'module', shortCircuit: true }
  },
  load: (url, context, next) => {
    if (!url.startsWith(scheme)) return next(url, context)
    const words = [JSON.stringify(own), JSON.stringify(url.slice(scheme.length))]
    const source = `import { testOf } from ${words[0]}\nexport default testOf(${words[1]})\n`
    return { source, format: 'module', shortCircuit: true }
  },
})

const files = process.argv.slice(2)
root.setTimeout(0) // The runner's limit holds for the whole; tap's own for each file.
for (const file of files) {
  void root.test(file, async (test) => {
    byNumber.set(String(byNumber.size + 1), test)
    await import(join(import.meta.dirname, '..', file))
  })
}
