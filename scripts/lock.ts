// Completes package-lock.json after `npm install --package-lock-only`: run it after each change of
// a dependency.
//
// Packages with programs (biome, msgpackr's extractor) name one optional package for each platform.
// A registry mirror may lack those of platforms that Skep does not run on; npm then leaves them out
// of the lock, and `npm ci` refuses the lock as incomplete. What it needs is only their version and
// platform, which tell it to skip them; both stand in the name and in the dependent's own entry.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface Entry {
  readonly version?: string
  readonly cpu?: readonly string[]
  readonly os?: readonly string[]
  readonly optional?: boolean
  readonly dev?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

interface Lock {
  readonly packages: Record<string, Entry>
}

const path = join(import.meta.dirname, '../package-lock.json')
const platformPattern = /-(android|darwin|freebsd|linux|openbsd|netbsd|sunos|win32)-(\w+?)(-musl)?$/

/** The entries that are named as optional dependencies and have none, by their place in the lock. */
function missingEntries(lock: Lock): Map<string, Entry> {
  const missing = new Map<string, Entry>()
  for (const entry of Object.values(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const place = `node_modules/${name}`
      const platform = platformPattern.exec(name)
      if (lock.packages[place] !== undefined || platform === null) continue
      const [, os = '', cpu = ''] = platform
      const dev = entry.dev === true ? { dev: true } : {}
      missing.set(place, { version, cpu: [cpu], ...dev, optional: true, os: [os] })
    }
  }
  return missing
}

const lock = JSON.parse(readFileSync(path, 'utf8')) as Lock
const missing = missingEntries(lock)
// npm keeps the root first and the rest in the order of localeCompare; so do we, for small diffs.
const packages = Object.entries({ ...lock.packages, ...Object.fromEntries(missing) })
packages.sort(([a], [b]) => a.localeCompare(b, 'en'))
writeFileSync(
  path,
  `${JSON.stringify({ ...lock, packages: Object.fromEntries(packages) }, null, 2)}\n`,
)
console.log(`lock: ${missing.size} entries of other platforms added`)
