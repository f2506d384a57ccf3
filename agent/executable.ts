// Entry of the executable made by scripts/build.ts: loads one of the two programs inside of it.
//
//   agent  <- main.ts          the commands, 250 kB: all that most runs need
//   daemon <- run-daemon.ts    the rest, when main.ts imports it
//
// Each is a file of JavaScript with its code cache beside it: functions that V8 has compiled at build
// time, and among them those that a command runs when it runs. The cache that a single executable
// makes of its own main file lacks these, and costs a command a quarter more time.

import { getRawAsset } from 'node:sea'
import { Script } from 'node:vm'

/** What the build wraps around each program. */
type Wrapped = (
  exports: unknown,
  require: (name: string) => unknown,
  module: { readonly exports: unknown },
) => void

function load(program: string): unknown {
  const source = Buffer.from(getRawAsset(`${program}.cjs`)).toString('latin1')
  const cache = Buffer.from(getRawAsset(`${program}.cache`))
  const filename = `${program}.cjs`
  // Built for another architecture without its emulator there is none.
  const script = new Script(source, cache.length === 0 ? filename : { filename, cachedData: cache })
  if (script.cachedDataRejected === true) process.emitWarning(`code cache of ${filename} rejected`)
  const module = { exports: {} }
  const wrapped = script.runInThisContext() as Wrapped
  wrapped(module.exports, requireModule, module)
  return module.exports
}

function requireModule(name: string): unknown {
  if (name.endsWith('/run-daemon.ts')) return load('daemon')
  const found = process.getBuiltinModule(name)
  if (found === undefined) throw new Error(`the executable holds no module ${name}`)
  return found
}

load('agent')
