// The built agent, up to date: built anew when a source is younger than the executable.

import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './process.ts'

const root = join(import.meta.dirname, '..')
const scripts = ['scripts/build.ts', 'scripts/code-cache.ts']
const sources = ['core', 'net', 'agent', 'package-lock.json', ...scripts]
const timeoutMs = 15 * 60_000

/** Path of dist/agent, after building it where needed. Throws when the build fails. */
export async function freshAgent(): Promise<string> {
  const path = join(root, 'dist/agent')
  if (existsSync(path) && statSync(path).mtimeMs > youngestMs()) return path
  const build = ['--disable-warning=ExperimentalWarning', 'scripts/build.ts']
  const ended = await run(process.execPath, build, { timeoutMs, cwd: root, echo: true })
  if (ended.code !== 0) throw new Error(`make build ended with ${ended.code ?? ended.signal}`)
  return path
}

function youngestMs(): number {
  const times = sources.flatMap((source) => {
    const path = join(root, source)
    const inside = statSync(path).isDirectory()
      ? readdirSync(path, { recursive: true, encoding: 'utf8' })
      : []
    return [path, ...inside.map((name) => join(path, name))].map((each) => statSync(each).mtimeMs)
  })
  return Math.max(...times)
}
