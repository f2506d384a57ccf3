// The Node that becomes the executable: the pinned version for either architecture, stripped.
//
// For this machine's architecture it lies in node_modules. The other one is fetched with npm and
// checked against the lock file. Symbols are a fifth of the file; they go before the program is
// put in, since its note comes after; so does libatomic. The result is kept, named after its source.

import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { freeOfLibatomic } from './own-atomics.ts'
import { run } from './process.ts'

export const architectures = ['x64', 'arm64'] as const
export type Architecture = (typeof architectures)[number]

const root = join(import.meta.dirname, '..')
const cache = join(root, 'node_modules/.cache/skep')
const timeoutMs = 10 * 60_000

/** GNU's strip works on one architecture; Debian has one for each. */
const strips: Readonly<Record<Architecture, { program: string; debianPackage: string }>> = {
  x64: { program: 'x86_64-linux-gnu-strip', debianPackage: 'binutils-x86-64-linux-gnu' },
  arm64: { program: 'aarch64-linux-gnu-strip', debianPackage: 'binutils-aarch64-linux-gnu' },
}

interface Pinned {
  readonly name: string
  readonly version: string
  readonly integrity: string
}

/** Path of the stripped Node of `arch`; makes it if it is not there. Throws with what is missing. */
export async function strippedNode(arch: Architecture): Promise<string> {
  const pinned = pinnedNode(arch)
  const digest = createHash('sha256').update(pinned.integrity).digest('hex').slice(0, 12)
  const path = join(cache, `${pinned.name}-${pinned.version}-${digest}-free`)
  if (existsSync(path)) return path
  mkdirSync(cache, { recursive: true })
  const source = await nodeBinary(arch, pinned)
  const program = await stripProgram(arch)
  const partial = `${path}.${process.pid}`
  await must(program, ['--strip-unneeded', '-o', partial, source])
  const elf = readFileSync(partial)
  freeOfLibatomic(elf, arch)
  writeFileSync(partial, elf)
  chmodSync(partial, 0o755)
  renameSync(partial, path)
  return path
}

function pinnedNode(arch: Architecture): Pinned {
  const name = `node-linux-${arch}`
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { version?: string; integrity?: string }>>
  }
  const entry = lock.packages[`node_modules/${name}`]
  if (entry?.version === undefined || entry.integrity === undefined) {
    throw new Error(`build: package-lock.json has no ${name} with version and integrity`)
  }
  return { name, version: entry.version, integrity: entry.integrity }
}

async function nodeBinary(arch: Architecture, pinned: Pinned): Promise<string> {
  const installed = join(root, 'node_modules', pinned.name, 'bin/node')
  if (arch === process.arch && existsSync(installed)) return installed
  const folder = join(cache, `${pinned.name}-${pinned.version}`)
  const path = join(folder, 'package/bin/node')
  if (existsSync(path)) return path
  const partial = `${folder}.${process.pid}`
  mkdirSync(partial, { recursive: true })
  console.log(`build: fetching ${pinned.name} ${pinned.version}`)
  const spec = `${pinned.name}@${pinned.version}`
  // npm belongs to the machine's own Node, not to the one that runs this.
  const ownFolder = dirname(process.execPath)
  const searchPath = (process.env['PATH'] ?? '').split(':').filter((entry) => entry !== ownFolder)
  const env = { ...process.env, PATH: searchPath.join(':') }
  await must('npm', ['pack', spec, '--silent', '--pack-destination', partial], env)
  const archive = join(partial, `${pinned.name}-${pinned.version}.tgz`)
  const integrity = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`
  if (integrity !== pinned.integrity) {
    rmSync(partial, { recursive: true })
    throw new Error(
      `build: ${spec} has ${integrity}, package-lock.json wants ${pinned.integrity}; not used`,
    )
  }
  await must('tar', ['-xzf', archive, '-C', partial, 'package/bin/node'])
  rmSync(archive)
  renameSync(partial, folder)
  return path
}

async function stripProgram(arch: Architecture): Promise<string> {
  const { program, debianPackage } = strips[arch]
  if (await isThere(program)) return program
  if (arch === process.arch && (await isThere('strip'))) return 'strip'
  if (process.getuid?.() === 0 && (await isThere('apt-get'))) {
    console.log(`build: installing ${debianPackage}`)
    await must('apt-get', ['update', '-qq'])
    await must('apt-get', ['install', '-y', '-qq', '--no-install-recommends', debianPackage])
    return program
  }
  throw new Error(`build: ${program} is missing; install the package ${debianPackage}`)
}

/** Whether a program can be found and started. */
export async function isThere(name: string): Promise<boolean> {
  return run(name, ['--version'], { timeoutMs }).then(
    (ended) => ended.code === 0,
    () => false,
  )
}

/** Runs a program that has to succeed; the error carries what it printed. */
export async function must(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const ended = await run(command, args, { timeoutMs, env })
  if (ended.code !== 0) {
    const how = ended.timedOut ? 'ran too long' : `ended with ${ended.code ?? ended.signal}`
    throw new Error(`${command} ${args.join(' ')} ${how}:\n${ended.stdout}${ended.stderr}`)
  }
  return ended.stdout
}
