// Small files that must be whole: either the old one or the new one, whenever the power goes.
//
// The way of a careful scribe: write the new page aside, let it dry (fsync), lay it over the old
// one (rename), and only then tell anybody (fsync of the folder).
//
//   file    +----------+------------+-----------+------------------------------------+
//           | SKEPFILE | CRC32C, 4  | kind, 4   | MessagePack of the value, or sealed |
//           +----------+------------+-----------+------------------------------------+
//           the CRC covers all behind it; kind 0: plain, 1: sealed (nacl.secretbox)

import { CodedError } from '../../core/base/error.ts'
import { open, seal } from '../../net/secure/crypto.ts'
import { decode, encode } from '../../net/wire/codec.ts'
import { crc32c } from './crc32c.ts'
import { type Disk, errnoOf, isNoSpace } from './disk.ts'

const magic = 'SKEPFILE'
const headBytes = magic.length + 8
const kinds = { plain: 0, sealed: 1 } as const
/** What a file is called while it is written. Left-overs are overwritten by the next one. */
const asideSuffix = '.new'
/** Larger things belong into a snapshot. */
const fileBytesMax = 64 * 1024 * 1024

/** A file as read: its value, or that it needs a key which was not given or is another. */
export type StateFile =
  | { readonly type: 'absent' }
  | { readonly type: 'sealed' }
  | { readonly type: 'value'; readonly value: unknown; readonly isSealed: boolean }

/**
 * Puts bytes in the place of a file, whole or not at all; on the disk when it resolves.
 * Throws disk-full, and then the old file stands; other errors of node:fs as they are.
 */
export async function replaceFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const aside = `${path}${asideSuffix}`
  try {
    const file = await disk.open(aside, 'create')
    try {
      await file.resize(0)
      await file.write(0, bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await disk.rename(aside, path)
    await disk.syncFolder(path.slice(0, path.lastIndexOf('/')) || '/')
  } catch (error) {
    if (!isNoSpace(error)) throw error
    const text = `${path} cannot be written: ${String(error)}. Make room on its file system`
    throw new CodedError('disk-full', text, { detail: { path }, cause: error })
  }
}

/** The bytes of a file, undefined if there is none. Throws too-large beyond 64 MiB. */
export async function readWhole(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  try {
    const file = await disk.open(path, 'read')
    try {
      const sizeBytes = await file.sizeBytes()
      if (sizeBytes <= fileBytesMax) return await file.read(0, sizeBytes)
      const text = `${path} has ${sizeBytes} bytes, ${fileBytesMax} are allowed`
      throw new CodedError('too-large', text, { detail: { path } })
    } finally {
      await file.close()
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Stores plain data as a whole, sealed if a key is given. Errors as `replaceFile`. */
export async function saveState(
  disk: Disk,
  path: string,
  { value, key }: { readonly value: unknown; readonly key?: Uint8Array | undefined },
): Promise<void> {
  const plain = encode(value)
  const body = key === undefined ? plain : seal(key, plain)
  const bytes = new Uint8Array(headBytes + body.length)
  const view = new DataView(bytes.buffer)
  bytes.set(Buffer.from(magic, 'latin1'))
  view.setUint32(magic.length + 4, key === undefined ? kinds.plain : kinds.sealed, true)
  bytes.set(body, headBytes)
  view.setUint32(magic.length, crc32c(bytes, { from: magic.length + 4 }), true)
  await replaceFile(disk, path, bytes)
}

/** Reads what `saveState` stored. Throws damaged-data, naming the file, if it is not that. */
export async function loadState(
  disk: Disk,
  path: string,
  key?: Uint8Array | undefined,
): Promise<StateFile> {
  const bytes = await readWhole(disk, path)
  if (bytes === undefined) return { type: 'absent' }
  const fail = (why: string): CodedError =>
    new CodedError('damaged-data', `${path} ${why}: restore it from a backup of the state folder`, {
      detail: { path },
    })
  if (Buffer.from(bytes.subarray(0, magic.length)).toString('latin1') !== magic) {
    throw fail('is no state file')
  }
  if (bytes.length < headBytes) throw fail('is cut off')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(magic.length, true) !== crc32c(bytes, { from: magic.length + 4 })) {
    throw fail('fails its checksum')
  }
  const isSealed = view.getUint32(magic.length + 4, true) === kinds.sealed
  const body = bytes.subarray(headBytes)
  const plain = isSealed ? openBody(key, body) : body
  if (plain === undefined) return { type: 'sealed' }
  try {
    return { type: 'value', value: decode(plain), isSealed }
  } catch (error) {
    throw fail(`cannot be read (${String(error)})`)
  }
}

function openBody(key: Uint8Array | undefined, body: Uint8Array): Uint8Array | undefined {
  return key === undefined ? undefined : open(key, body)
}
