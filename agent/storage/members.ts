// The signed table of members on the disk: by it a node that starts knows whom to dial and whom to
// trust, also when no manager is there, or its own keys are locked.

import { readBytes, readFields } from '../../net/wire/check.ts'
import { realDisk } from './disk.ts'
import { loadState, saveState } from './files.ts'

const bytesMax = 8 * 1024 * 1024
/** Writes come one after the other, and of those that wait the newest is enough. */
let writing: Promise<void> = Promise.resolve()
let newest: Uint8Array | undefined

function pathOf(folder: string): string {
  return `${folder}/members.state`
}

/** The signed table; undefined if there is none. Throws damaged-data. */
export async function loadMembers(folder: string): Promise<Uint8Array | undefined> {
  const file = await loadState(realDisk, pathOf(folder))
  if (file.type !== 'value') return undefined
  return readBytes(readFields(file.value, 'members'), 'signed', { max: bytesMax })
}

/** Writes it down, whole or not at all. Throws disk-full. */
export function saveMembers(folder: string, signed: Uint8Array): Promise<void> {
  newest = signed
  const next = writing.then(async () => {
    if (newest === signed) await saveState(realDisk, pathOf(folder), { value: { signed } })
  })
  writing = next.catch(() => undefined)
  return next
}

export async function removeMembers(folder: string): Promise<void> {
  await writing
  await realDisk.remove(pathOf(folder))
  await realDisk.syncFolder(folder)
}
