// Folders that a flag names: made, or refused at once with the flag's name.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { makeFolder } from '../../agent/base/folders.ts'

const root = join(import.meta.dirname, '../..')
const place = mkdtempSync(join(tmpdir(), 'skep-folders-'))
t.teardown(() => rmSync(place, { recursive: true }))

const folder = (path: string) => ({ path, flag: 'state-dir', mode: 0o700 })

t.test('all that is missing is made, and what is there stays', async (t) => {
  const path = join(place, 'a/b/c')
  makeFolder(folder(path))
  t.equal(statSync(path).mode & 0o777, 0o700)
  mkdirSync(join(path, 'kept'))
  makeFolder(folder(path))
  t.ok(existsSync(join(path, 'kept')))
})

t.test('what cannot be a folder is refused by path and flag', async (t) => {
  const file = join(place, 'file')
  writeFileSync(file, '')
  for (const path of [file, join(file, 'below'), '/proc/x', '/proc/x/y', '/proc/self/fd/x/y']) {
    const refusal = { code: 'invalid-argument', message: `--state-dir ${path}` }
    t.throws(() => makeFolder(folder(path)), refusal, path)
  }
})

t.test('a daemon whose state or socket would lie in /proc refuses to start', async (t) => {
  const wheres = [
    ['--state-dir', '/proc/x', '--socket', join(place, 'agent.sock')],
    ['--state-dir', join(place, 'state'), '--socket', '/proc/x/agent.sock'],
  ]
  for (const [flag = '', path = '', ...rest] of wheres) {
    const words = [join(root, 'agent/main.ts'), 'daemon', flag, path, ...rest]
    const ended = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 20_000 })
    t.equal(ended.status, 1, `${flag} ${path}`)
    t.match(ended.stderr, '/proc/x')
  }
})
