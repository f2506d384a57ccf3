// Keys, the state folder, its lock and its start file, on real files.

import { spawn } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { realDisk } from '../../../agent/storage/disk.ts'
import { loadState, saveState } from '../../../agent/storage/files.ts'
import {
  addDataKey,
  dropDataKeys,
  formatUnlockKey,
  loadManagerKeys,
  loadNodeKey,
  makeManagerKeys,
  makeUnlockKey,
  parseUnlockKey,
  saveManagerKeys,
} from '../../../agent/storage/keystore.ts'
import { recordStart } from '../../../agent/storage/starts.ts'
import { openStateFolder } from '../../../agent/storage/state-folder.ts'
import { makeSigningKeys, sign, verify } from '../../../net/secure/crypto.ts'
import { hardState } from './wal-model.ts'

function folderOf(test: Test): string {
  const folder = mkdtempSync(`${tmpdir()}/skep-state-`)
  test.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

t.test('an unlock key is read and written in the form that Swarm gives it', async (t) => {
  const text = 'SWMKEY-1-jz+lRoTssQW+fOY4Sk/zSjzpYKdjw2Xvr1eHeiTcgiw'
  t.equal(formatUnlockKey(parseUnlockKey(text)), text)
  t.equal(formatUnlockKey(makeUnlockKey()).length, text.length)
  for (const bad of [
    '',
    'wrong',
    'SWMKEY-1-',
    'SWMKEY-2-aaaa',
    `${text}=`,
    `${text.slice(0, -2)}`,
    'SWMKEY-1-a b',
  ]) {
    t.throws(() => parseUnlockKey(bad), { code: 'bad-request', message: 'invalid key string' }, bad)
  }
})

t.test('a sealed ring opens with its key only, and shows nothing of what it holds', async (t) => {
  const place = { disk: realDisk, folder: folderOf(t) }
  t.same(await loadManagerKeys(place), { type: 'absent' })
  const keys = makeManagerKeys(makeSigningKeys())
  const unlockKey = makeUnlockKey()
  await saveManagerKeys(place, { keys, unlockKey: undefined })
  t.same(await loadManagerKeys(place), { type: 'open', keys, isSealed: false })
  t.same(await loadManagerKeys(place, unlockKey), { type: 'open', keys, isSealed: false })
  t.equal(statSync(`${place.folder}/manager.key`).mode & 0o777, 0o600)
  t.ok(findInFolder(place.folder, keys.managerKey.privateKey), 'plain: the search does find it')

  await saveManagerKeys(place, { keys, unlockKey })
  t.same(await loadManagerKeys(place), { type: 'locked' })
  t.same(await loadManagerKeys(place, unlockKey), { type: 'open', keys, isSealed: true })
  const refusal = { message: 'swarm could not be unlocked: invalid key provided' }
  const otherLength = parseUnlockKey('SWMKEY-1-aaaa')
  await t.rejects(loadManagerKeys(place, makeUnlockKey()), refusal)
  await t.rejects(loadManagerKeys(place, otherLength), refusal)
  const { managerKey, clusterKey, dataKeys } = keys
  const secrets = [managerKey.privateKey, clusterKey?.privateKey, dataKeys[0].key, unlockKey]
  for (const secret of secrets) t.notOk(findInFolder(place.folder, secret ?? new Uint8Array(1)))
})

function findInFolder(folder: string, secret: Uint8Array): boolean {
  return readdirSync(folder).some((name) => {
    const bytes = readFileSync(`${folder}/${name}`)
    return bytes.includes(secret) || bytes.includes(Buffer.from(secret).toString('base64'))
  })
}

t.test(
  'keys work after they were stored, and old data keys go when they are not needed',
  async (t) => {
    const place = { disk: realDisk, folder: folderOf(t) }
    const clusterKey = makeSigningKeys()
    const first = makeManagerKeys(clusterKey)
    const second = addDataKey(first)
    await saveManagerKeys(place, { keys: second, unlockKey: undefined })
    const ring = await loadManagerKeys(place)
    const keys = ring.type === 'open' ? ring.keys : first
    const message = new Uint8Array([1, 2, 3])
    const signature = sign(keys.clusterKey?.privateKey ?? new Uint8Array(32), message)
    t.ok(verify(clusterKey.publicKey, { message, signature }))
    t.same(keys.dataKeys[1], first.dataKeys[0])
    t.equal(dropDataKeys(keys, [first.dataKeys[0].id]).dataKeys.length, 2)
    t.same(dropDataKeys(keys, []).dataKeys, [second.dataKeys[0]])
    const node = await loadNodeKey(place)
    t.same(await loadNodeKey(place), node)
  },
)

t.test('a state file with a flipped bit is refused wherever it is', async (t) => {
  const folder = folderOf(t)
  const path = `${folder}/file`
  await saveState(realDisk, path, { value: { hello: 'world', bytes: new Uint8Array(3) } })
  const good = readFileSync(path)
  for (let at = 0; at < good.length; at++) {
    const bad = Buffer.from(good)
    bad[at] = (bad[at] ?? 0) ^ 1
    writeFileSync(path, bad)
    await t.rejects(loadState(realDisk, path), { code: 'damaged-data' }, `byte ${at}`)
  }
  writeFileSync(path, good.subarray(0, 10))
  await t.rejects(loadState(realDisk, path), { code: 'damaged-data' })
  t.same(await loadState(realDisk, `${folder}/none`), { type: 'absent' })
})

t.test('a state folder belongs to root, and a newer or damaged version is refused', async (t) => {
  const folder = `${folderOf(t)}/state`
  mkdirSync(folder, { mode: 0o755 })
  const open = await openStateFolder(realDisk, folder)
  t.equal(statSync(folder).mode & 0o777, 0o700)
  await loadNodeKey({ disk: realDisk, folder })
  writeFileSync(`${folder}/manager.key.new`, 'left by a crash')
  open.close()
  const again = await openStateFolder(realDisk, folder)
  t.notOk(readdirSync(folder).includes('manager.key.new'))
  again.close()
  writeFileSync(`${folder}/version`, '2\n')
  await t.rejects(openStateFolder(realDisk, folder), {
    code: 'not-supported',
    message: /version 2, this agent knows versions up to 1/,
  })
  for (const text of ['', 'x', '-1', '0']) {
    writeFileSync(`${folder}/version`, text)
    await t.rejects(openStateFolder(realDisk, folder), { code: 'damaged-data' })
  }
  rmSync(`${folder}/version`)
  await t.rejects(openStateFolder(realDisk, folder), { code: 'damaged-data', message: /missing/ })
})

t.test('a second agent is kept out, and let in when the first is killed', async (t) => {
  const folder = folderOf(t)
  const held = await openStateFolder(realDisk, folder)
  await t.rejects(openStateFolder(realDisk, folder), { code: 'conflict' }, 'in one process')
  held.close()
  const code = `
    const { openStateFolder } = await import(${JSON.stringify(`${import.meta.dirname}/../../../agent/storage/state-folder.ts`)})
    const { realDisk } = await import(${JSON.stringify(`${import.meta.dirname}/../../../agent/storage/disk.ts`)})
    await openStateFolder(realDisk, ${JSON.stringify(folder)})
    console.log('held')
    setInterval(() => {}, 1000)`
  const other = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gone = new Promise((resolve) => other.once('exit', resolve))
  for await (const _ of createInterface({ input: other.stdout })) break
  await t.rejects(openStateFolder(realDisk, folder), {
    code: 'conflict',
    message: new RegExp(`in use by another agent .process ${other.pid} on `),
  })
  other.kill('SIGKILL')
  await gone
  const mine = await openStateFolder(realDisk, folder)
  mine.close()
})

t.test('a log that is behind its start file is told', async (t) => {
  const folder = folderOf(t)
  const start = (
    state: { incarnation: number; term: number; commit: number } | undefined,
    bootId = 'b1',
  ): ReturnType<typeof recordStart> => {
    const found =
      state === undefined
        ? undefined
        : {
            ...hardState(state.term, state.commit),
            incarnation: { counter: state.incarnation, nonce: 1, foundTerm: 0, foundIndex: 0 },
          }
    return recordStart(realDisk, folder, { hardState: found, bootId })
  }
  t.same(await start(undefined), { count: 1, isSameBoot: false, rewound: undefined })
  t.same(await start({ incarnation: 1, term: 1, commit: 5 }), {
    count: 2,
    isSameBoot: true,
    rewound: undefined,
  })
  t.match(await start({ incarnation: 2, term: 3, commit: 9 }, 'b2'), {
    count: 3,
    isSameBoot: false,
  })
  t.match(await start({ incarnation: 1, term: 3, commit: 9 }), { rewound: /incarnation 1.* 2/ })
  t.match(await start({ incarnation: 2, term: 2, commit: 9 }), { rewound: /term 2/ })
  t.match(await start({ incarnation: 2, term: 3, commit: 8 }), { rewound: /commit 8/ })
  t.match(await start(undefined), { rewound: /incarnation 0/ })
  t.match(await start({ incarnation: 2, term: 3, commit: 9 }), { rewound: undefined })
  rmSync(`${folder}/starts`)
  t.match(await start({ incarnation: 3, term: 3, commit: 9 }), { rewound: /is gone/ })
})
