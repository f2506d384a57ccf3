// Entry of the executable: the first argument says what to do.

import { commit, version } from './base/version.ts'

function main(args: readonly string[]): number {
  if (args[0] === 'version') {
    process.stdout.write(`Skep version ${version}, build ${commit}\n`)
    return 0
  }
  process.stderr.write(`agent: '${args[0] ?? ''}' is not an agent command.\n`)
  return 1
}

process.exitCode = main(process.argv.slice(2))
