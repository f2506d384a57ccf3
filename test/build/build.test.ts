// The executable as users get it: built from this checkout, small enough, and it starts.

import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checkArm64 } from '../../scripts/check-arm64.ts'
import { neededLibraries } from '../../scripts/own-atomics.ts'

const root = join(import.meta.dirname, '../..')
const bytesMax = 120_000_000

// Building twice and an emulated daemon take longer than tap's own limit of 30 s.
t.setTimeout(600_000)

function build(arch: string): { status: number | null; output: string } {
  const args = ['--disable-warning=ExperimentalWarning', 'scripts/build.ts', '--arch', arch]
  const ended = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
  return { status: ended.status, output: ended.stdout + ended.stderr }
}

t.test('dist/agent is one file of at most 120 MB that tells its version', async (t) => {
  const built = build(process.arch)
  t.equal(built.status, 0, built.output)
  const path = join(root, 'dist/agent')
  t.ok(statSync(path).size <= bytesMax, `${statSync(path).size} bytes`)
  const ended = spawnSync(path, ['version'], { encoding: 'utf8', cwd: '/' })
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  t.match(ended.stdout, version)
  t.equal(ended.stderr, '', 'no warning: of experiments, or of a rejected code cache')
  t.equal(ended.status, 0)
  const common = ['dl', 'm', 'stdc++', 'gcc_s', 'pthread', 'c']
  const wanted = neededLibraries(readFileSync(path)).map(
    (name) => /^(lib|ld-)?(.+?)\.so/.exec(name)?.[2],
  )
  t.same(wanted.slice(0, -1), common, 'no library that a bare Debian does not have')
})

/** Why the other architecture cannot be run here, or false. */
function reasonToSkip(): string | false {
  if (process.arch !== 'x64') return 'this machine is the other one: see dist/agent'
  if (process.getuid?.() !== 0) return 'needs root for a host of its own'
  const qemu = spawnSync('qemu-aarch64-static', ['--version'])
  return qemu.status === 0 ? false : 'needs the package qemu-user-static'
}

t.test('dist/agent-arm64 runs under emulation', { skip: reasonToSkip() }, async (t) => {
  const built = build('arm64')
  t.equal(built.status, 0, built.output)
  t.ok(statSync(join(root, 'dist/agent-arm64')).size <= bytesMax)
  const check = await checkArm64()
  t.match(check.version, /^\S+/)
  if (check.absent.length === 0) t.match(check.nodes, 'Leader')
  else t.comment(`not in this build: ${check.absent.join(', ')}`)
})
