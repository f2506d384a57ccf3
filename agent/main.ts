// Entry of the executable: the first argument says what to do. The daemon and the client are
// loaded only when they are wanted: `agent version` must not pay for them.

import { commit, version } from './base/version.ts'

async function main(args: readonly string[]): Promise<number> {
  if (args[0] === 'daemon') return (await import('./run-daemon.ts')).runDaemon(args.slice(1))
  if (args[0] === 'version') {
    process.stdout.write(`Skep version ${version}, build ${commit}\n`)
    return 0
  }
  process.stderr.write(`agent: '${args[0] ?? ''}' is not an agent command.\n`)
  return 1
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    process.stderr.write(
      `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
    process.exitCode = 1
  },
)
