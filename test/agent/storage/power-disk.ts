// A disk that can lose power. It keeps, of every file, what is surely on the platter and what was
// written since the last sync; a cut keeps any part of the latter, sector by sector, and the first
// few of the names that no folder sync has covered. That is all that a real disk promises.

import type { Disk, DiskFile } from '../../../agent/storage/disk.ts'
import { below, type Random } from '../../../core/base/random.ts'

const sectorBytes = 512

interface Write {
  readonly position: number
  readonly bytes: Uint8Array
}
interface Content {
  durable: Uint8Array
  durableSize: number
  current: Uint8Array
  size: number
  pending: Write[]
}
interface NameChange {
  readonly folder: string
  readonly set: ReadonlyMap<string, Content | undefined>
}

export interface PowerDisk extends Disk {
  /** What is found after the power comes back, as a disk of its own. */
  readonly cut: (random: Random) => PowerDisk
  /** What the next process finds after this one died: all that was written, synced or not. */
  readonly kill: () => PowerDisk
  /** Called before each sync of a file or folder: there a cut has the most to choose from. */
  onSync: (() => Promise<void>) | undefined
  /** The files as they are now. */
  readonly files: () => ReadonlyMap<string, Uint8Array>
}

interface Platter {
  readonly names: Map<string, Content>
  readonly durableNames: Map<string, Content>
  readonly changes: readonly NameChange[]
}

/** An empty disk, or one with files that are surely there. */
export function createPowerDisk(start: ReadonlyMap<string, Uint8Array> = new Map()): PowerDisk {
  const names = new Map([...start].map(([path, bytes]) => [path, makeContent(bytes)]))
  return diskOf({ names, durableNames: new Map(names), changes: [] })
}

function diskOf(platter: Platter): PowerDisk {
  const { names, durableNames } = platter
  let changes: readonly NameChange[] = platter.changes
  const rename = (set: ReadonlyMap<string, Content | undefined>, folder: string): void => {
    applyNames(names, set)
    changes = [...changes, { folder, set }]
  }
  const disk: PowerDisk = {
    onSync: undefined,
    open: async (path, mode) => {
      let content = names.get(path)
      if (content === undefined) {
        if (mode !== 'create') throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' })
        content = makeContent(new Uint8Array(0))
        rename(new Map([[path, content]]), parentOf(path))
      }
      return openFile(path, content, () => disk.onSync?.())
    },
    list: async (folder) =>
      [...names.keys()]
        .filter((path) => parentOf(path) === folder)
        .map((path) => path.slice(folder.length + 1))
        .sort(),
    makeFolder: async () => {},
    rename: async (from, to) => {
      rename(
        new Map([
          [to, names.get(from)],
          [from, undefined],
        ]),
        parentOf(to),
      )
    },
    remove: async (path) => rename(new Map([[path, undefined]]), parentOf(path)),
    syncFolder: async (folder) => {
      await disk.onSync?.()
      for (const change of changes) {
        if (change.folder === folder) applyNames(durableNames, change.set)
      }
      changes = changes.filter((change) => change.folder !== folder)
    },
    cut: (random) => {
      const found = new Map(durableNames)
      const kept = below(random, changes.length + 1)
      for (const change of changes.slice(0, kept)) applyNames(found, change.set)
      const luck = below(random, 4)
      return createPowerDisk(
        new Map([...found].map(([path, content]) => [path, survivor(content, { random, luck })])),
      )
    },
    kill: () => {
      const copies = new Map<Content, Content>()
      const copy = (content: Content): Content => {
        const made = copies.get(content) ?? {
          ...content,
          durable: content.durable.slice(),
          current: content.current.slice(),
          pending: [...content.pending],
        }
        copies.set(content, made)
        return made
      }
      const copyNames = (all: ReadonlyMap<string, Content>): Map<string, Content> =>
        new Map([...all].map(([path, content]) => [path, copy(content)]))
      return diskOf({
        names: copyNames(names),
        durableNames: copyNames(durableNames),
        changes: changes.map(({ folder, set }) => ({
          folder,
          set: new Map([...set].map(([path, content]) => [path, content && copy(content)])),
        })),
      })
    },
    files: () =>
      new Map([...names].map(([path, each]) => [path, each.current.subarray(0, each.size)])),
  }
  return disk
}

function makeContent(bytes: Uint8Array): Content {
  const size = bytes.length
  return { durable: bytes.slice(), durableSize: size, current: bytes.slice(), size, pending: [] }
}

function applyNames(
  names: Map<string, Content>,
  set: ReadonlyMap<string, Content | undefined>,
): void {
  for (const [path, content] of set) {
    if (content === undefined) names.delete(path)
    else names.set(path, content)
  }
}

function openFile(
  path: string,
  content: Content,
  onSync: () => Promise<void> | undefined,
): DiskFile {
  const writeNow = (position: number, bytes: Uint8Array): void => {
    const copy = bytes.slice()
    content.current = withWrite(content.current, { position, bytes: copy })
    content.size = Math.max(content.size, position + bytes.length)
    content.pending.push({ position, bytes: copy })
  }
  return {
    path,
    sizeBytes: async () => content.size,
    read: async (position, count) =>
      content.current.slice(position, Math.min(content.size, position + count)),
    writeNow,
    write: async (position, bytes) => writeNow(position, bytes),
    resize: async (size) => {
      content.current = content.current.slice(0, size)
      content.size = Math.min(content.size, size)
    },
    sync: async () => {
      await onSync()
      for (const write of content.pending) content.durable = withWrite(content.durable, write)
      content.durable = content.durable.slice(0, content.size)
      content.durableSize = content.size
      content.pending = []
    },
    close: async () => {},
  }
}

function withWrite(bytes: Uint8Array, { position, bytes: added }: Write): Uint8Array {
  const end = position + added.length
  let target = bytes
  if (end > bytes.length) {
    target = new Uint8Array(end)
    target.set(bytes)
  }
  target.set(added, position)
  return target
}

/** luck 0: nothing unsynced is there; 1: all of it; 2: a first part; 3: any sectors. */
function survivor(
  content: Content,
  { random, luck }: { readonly random: Random; readonly luck: number },
): Uint8Array {
  let bytes: Uint8Array = content.durable.slice(0, content.durableSize)
  const sectors = content.pending.flatMap(cutInSectors)
  const prefix = below(random, sectors.length + 1)
  sectors.forEach((sector, at) => {
    const isKept = luck === 1 || (luck === 2 && at < prefix) || (luck === 3 && below(random, 2) > 0)
    if (isKept) bytes = withWrite(bytes, sector)
  })
  return bytes
}

function cutInSectors({ position, bytes }: Write): Write[] {
  // Preallocation is told by its size: a thousand zero sectors teach nothing more than a few.
  const step = bytes.length > 64 * 1024 ? 64 * sectorBytes : sectorBytes
  const parts: Write[] = []
  let at = 0
  while (at < bytes.length) {
    const end = Math.min(bytes.length, at + step - ((position + at) % step))
    parts.push({ position: position + at, bytes: bytes.subarray(at, end) })
    at = end
  }
  return parts
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
