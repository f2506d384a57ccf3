// `agent daemon`: the daemon in the foreground, until a signal or a fatal error ends it.

import { rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CodedError } from '../core/base/error.ts'
import { systemClock } from './base/clock.ts'
import { parseDaemonConfig } from './base/config.ts'
import { makeFolder } from './base/folders.ts'
import { createLog } from './base/log.ts'
import { startDaemon } from './daemon.ts'
import { pidFileName } from './uninstall.ts'

/** Exit code 0 after SIGTERM or SIGINT, 125 for bad flags, 1 for what could not be started. */
export async function runDaemon(args: readonly string[]): Promise<number> {
  const config = readConfig(args)
  if (typeof config === 'string') {
    process.stderr.write(`${config}\n`)
    return 125
  }
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat,
    write: (line) => process.stderr.write(line),
    nowMs: systemClock.nowMs,
  })
  let stop: (code: number) => void = () => undefined
  const stopped = new Promise<number>((resolve) => {
    stop = resolve
  })
  const onFatal = (error: unknown): void => {
    log('error', 'agent.fatal', { error: describe(error) })
    // Nothing may be promised any more: not even an orderly end.
    process.exit(1)
  }
  process.on('uncaughtException', onFatal)
  process.on('unhandledRejection', onFatal)
  process.once('SIGTERM', () => stop(0))
  process.once('SIGINT', () => stop(0))
  try {
    const pidPath = join(config.stateFolder, pidFileName)
    makeFolder({ path: config.stateFolder, flag: 'state-dir', mode: 0o700 })
    makeFolder({ path: dirname(config.socketPath), flag: 'socket', mode: 0o755 })
    const daemon = await startDaemon({ config, clock: systemClock, log, onFatal })
    writeFileSync(pidPath, String(process.pid))
    const code = await stopped
    await daemon.close()
    rmSync(pidPath, { force: true })
    return code
  } catch (error) {
    log('error', 'agent.failed', { error: describe(error) })
    return 1
  }
}

function readConfig(args: readonly string[]): ReturnType<typeof parseDaemonConfig> | string {
  try {
    return parseDaemonConfig(args)
  } catch (error) {
    if (error instanceof CodedError) return error.message
    throw error
  }
}

function describe(error: unknown): string {
  if (error instanceof CodedError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
