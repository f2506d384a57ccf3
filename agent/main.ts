// Entry of the executable. The daemon has a way of its own, so that it does not carry the client's
// code in its memory; everything else is a command of the table.

async function main(args: readonly string[]): Promise<number> {
  const [word, ...rest] = args
  if (word === 'daemon' && !rest.includes('--help') && !rest.includes('-h')) {
    const { runDaemon } = await import('./run-daemon.ts')
    return runDaemon(rest)
  }
  const { runCli } = await import('./cli/cli.ts')
  const { processIo } = await import('./cli/process-io.ts')
  const { systemClock } = await import('./base/clock.ts')
  const { localCommands } = await import('./local-commands.ts')
  const io = processIo({
    now: systemClock.nowMs,
    sleep: (ms, signal) => systemClock.sleep(ms, signal).catch(() => undefined),
  })
  return runCli(args, io, localCommands)
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    process.stderr.write(`${text}\n`)
    process.exitCode = 1
  },
)
