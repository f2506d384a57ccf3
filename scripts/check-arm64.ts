// Runs dist/agent-arm64 on this machine under qemu's user emulation: `version`, and as root on a
// host of its own beside a real engine `daemon`, `init` and `node ls`. Emulation is ten times
// slower than the machine, so the limits here are generous; figures are not taken from it.

import { join } from 'node:path'
import { Agent } from '../test/support/agent.ts'
import { startEngine } from '../test/support/engine.ts'
import { openLab } from '../test/support/lab.ts'
import { emulatorOf } from './build.ts'
import { type Ended, run } from './process.ts'

const timeoutMs = 120_000
const verbs = ['daemon', 'init', 'node'] as const

/** What ran, in words; `absent` are verbs that this build does not have. */
export interface Arm64Check {
  readonly version: string
  readonly absent: readonly string[]
  readonly nodes: string | undefined
}

/** Throws with the output of the first step that fails, and when there is no emulator. */
export async function checkArm64(): Promise<Arm64Check> {
  const emulator = await emulatorOf('arm64')
  if (emulator === undefined) {
    throw new Error('check-arm64: qemu-aarch64-static is missing; install qemu-user-static')
  }
  const command = [...emulator, join(import.meta.dirname, '../dist/agent-arm64')]
  const version = must('version', await runWords([...command, 'version'])).trim()
  const absent: string[] = []
  for (const verb of verbs) {
    const ended = await runWords([...command, verb, '--help'])
    if (ended.code !== 0) absent.push(verb)
  }
  if (absent.includes('daemon')) return { version, absent, nodes: undefined }
  return { version, absent, nodes: await runDaemon(command, absent) }
}

async function runDaemon(
  command: readonly string[],
  absent: readonly string[],
): Promise<string | undefined> {
  const lab = await openLab({ hosts: 1 })
  try {
    const engine = await startEngine(lab.host(0))
    const agent = new Agent(lab.host(0), { engine, command, startTimeoutMs: timeoutMs })
    await agent.start()
    if (!absent.includes('init')) must('init', await agent.cli('init'))
    return absent.includes('node') ? undefined : must('node ls', await agent.cli('node', 'ls'))
  } finally {
    lab.close()
  }
}

function runWords(words: readonly string[]): Promise<Ended> {
  const [program = '', ...args] = words
  return run(program, args, { timeoutMs })
}

function must(what: string, ended: Ended): string {
  if (ended.code === 0) return ended.stdout
  const how = ended.timedOut ? 'ran too long' : `ended with ${ended.code ?? ended.signal}`
  throw new Error(`check-arm64: ${what} ${how}:\n${ended.stdout}${ended.stderr}`)
}

if (import.meta.main) console.log(await checkArm64())
