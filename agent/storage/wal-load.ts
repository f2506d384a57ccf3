// Opening a log: finds its segments, checks every sector of them, tells a torn tail from damage,
// and adds the records up. It only reads: repairs are the writer's, when all else is well.

import { present } from '../../core/base/assert.ts'
import { open } from '../../net/secure/crypto.ts'
import { type DataKeys, findDataKey } from './data-key.ts'
import type { Disk } from './disk.ts'
import {
  parseHead,
  readImage,
  type SegmentHead,
  type SegmentImage,
  sectorBytes,
  sectorsOf,
  segmentBytes,
  segmentSectors,
} from './segment.ts'
import {
  createLogReader,
  damaged,
  decodeRecord,
  type LogRecord,
  type LogState,
  type Place,
} from './wal-record.ts'

/** A segment in use, as the writer keeps track of it. */
export interface LiveSegment {
  readonly path: string
  readonly generation: number
  readonly records: number
  /** The highest entry index that it ever held: it can go when that one is not needed. */
  readonly lastIndex: number
  /** The data key that seals its records. */
  readonly keyId: string
}

/** A run of sectors, e.g. a torn record that is to be blanked. */
export interface SectorRange {
  readonly from: number
  readonly to: number
}

/** A log as found. */
export interface LoadedLog {
  readonly state: LogState
  /** Oldest first. The last one is written on. */
  readonly segments: readonly LiveSegment[]
  /** Files that can be used again. */
  readonly spares: readonly string[]
  /** Files of a preallocation that was cut short. */
  readonly leftovers: readonly string[]
  /** Where the next record goes, in the last segment. */
  readonly nextSector: number
  /** Sectors of the last segment that hold a torn record. */
  readonly torn: SectorRange | undefined
  /** The last record (or the head, if there is none): to be written again before it is trusted. */
  readonly tail: SectorRange
}

/** `acceptLossAtTail`: damage in the last record, with nothing behind it, is cut as if torn. */
export interface LoadOptions {
  readonly disk: Disk
  readonly folder: string
  readonly keys: DataKeys
  readonly acceptLossAtTail?: boolean
}

export const segmentSuffix = '.segment'

interface FoundFile {
  readonly path: string
  readonly image: SegmentImage
}
interface Found extends FoundFile {
  readonly head: SegmentHead
}
/** A segment whose sectors and records are all sound. */
interface OpenedSegment extends Found {
  readonly records: readonly LogRecord[]
  readonly places: readonly Place[]
  readonly nextSector: number
  readonly torn: SectorRange | undefined
  /** Of the last record, or of the head. */
  readonly tail: SectorRange
}

/**
 * Reads the log of a folder; undefined if there is none yet. Throws damaged-data with file and
 * offset, not-supported for a newer format. Changes nothing.
 */
export async function loadLog(options: LoadOptions): Promise<LoadedLog | undefined> {
  const { files, leftovers } = await readFiles(options)
  const found = files
    .filter((file) => file.image.generation > 0)
    .map((file): Found => ({ ...file, head: parseHead(file.image, file.path) }))
    .sort((left, right) => right.image.generation - left.image.generation)
  const unused = files.filter((file) => file.image.generation === 0)
  for (const file of unused) refuseWritten(file)
  const [newest] = found
  if (newest === undefined) return undefined
  const live = openChain(found, options)
  const free = found.filter((file) => !live.some((segment) => segment.path === file.path))
  return {
    ...addUp(live),
    spares: [...unused, ...free].map((file) => file.path),
    leftovers,
  }
}

async function readFiles({
  disk,
  folder,
}: LoadOptions): Promise<{ files: readonly FoundFile[]; leftovers: readonly string[] }> {
  const files: FoundFile[] = []
  const leftovers: string[] = []
  const names = await disk.list(folder)
  for (const name of names.filter((each) => each.endsWith(segmentSuffix))) {
    const path = `${folder}/${name}`
    const file = await disk.open(path, 'read')
    try {
      const bytes = await file.read(0, segmentBytes)
      if (bytes.length === segmentBytes) files.push({ path, image: readImage(bytes) })
      // Files have their full length on the disk before their first use.
      else if (bytes.every((byte) => byte === 0)) leftovers.push(path)
      else {
        const place = { path, offset: bytes.length }
        throw damaged(place, `the file ends here, it should have ${segmentBytes} bytes`)
      }
    } finally {
      await file.close()
    }
  }
  return { files, leftovers }
}

/** A file without a sound head must be one that was preallocated and never used. */
function refuseWritten({ path, image }: FoundFile): void {
  for (let sector = 0; sector < segmentSectors; sector++) {
    if (image.state(sector) === 'blank') continue
    const why = sector === 0 ? 'fails its checksum' : 'is blank, what follows is not'
    throw damaged({ path, offset: 0 }, `the head of the segment ${why}`)
  }
}

/** Opens segments, newest first, back to the oldest that is needed. Returns them oldest first. */
function openChain(found: readonly Found[], options: LoadOptions): readonly OpenedSegment[] {
  const live: OpenedSegment[] = []
  let firstGeneration = 0
  for (const file of found) {
    const newer = live[0]
    const { generation } = file.image
    if (newer !== undefined && newer.image.generation <= firstGeneration) break
    if (newer !== undefined && generation !== newer.image.generation - 1) {
      const why = `the segment of generation ${newer.image.generation - 1} is missing beside this one`
      throw damaged({ path: newer.path, offset: 0 }, why)
    }
    const segment = openSegment(file, { ...options, newer })
    live.unshift(segment)
    for (const record of segment.records) {
      firstGeneration = Math.max(firstGeneration, record.firstGeneration ?? 0)
    }
  }
  const oldest = present(live[0], 'a log in use has a segment')
  if (oldest.image.generation > Math.max(1, firstGeneration)) {
    const why = `the segments of generations ${firstGeneration} to ${oldest.image.generation - 1} are missing`
    throw damaged({ path: oldest.path, offset: 0 }, why)
  }
  return live
}

function openSegment(
  file: Found,
  options: LoadOptions & { readonly newer: OpenedSegment | undefined },
): OpenedSegment {
  const { path, image, head } = file
  const { newer } = options
  const records: LogRecord[] = []
  const places: Place[] = []
  let tail: SectorRange = { from: 0, to: 1 }
  let sector = 1
  let torn: SectorRange | undefined
  while (newer === undefined || records.length < newer.head.recordsBefore) {
    const number = records.length + 1
    const span = findRecord(image, { number, sector })
    if ('missingSector' in span) {
      torn = judge(file, { ...span, ...options, number, sector })
      break
    }
    const place = { path, offset: sector * sectorBytes }
    const key = findDataKey(options.keys, { id: head.keyId, path }).key
    const plain = open(key, image.sealedAt(sector, span.sizeBytes))
    if (plain === undefined) throw damaged(place, `record ${number} fails its seal`)
    records.push(decodeRecord(plain, place))
    places.push(place)
    tail = { from: sector, to: sector + span.sectors }
    sector = tail.to
  }
  return { ...file, records, places, nextSector: sector, torn, tail }
}

type Span =
  | { readonly sizeBytes: number; readonly sectors: number }
  | { readonly missingSector: number }

/** The record that begins at a sector, or the first of its sectors that is not there. */
function findRecord(
  image: SegmentImage,
  { number, sector }: { readonly number: number; readonly sector: number },
): Span {
  const isThere = (at: number): boolean =>
    at < segmentSectors && image.state(at) === 'written' && image.recordAt(at) === number
  if (!isThere(sector)) return { missingSector: sector }
  const sizeBytes = image.lengthAt(sector)
  const sectors = sectorsOf(sizeBytes)
  for (let at = sector + 1; at < sector + sectors; at++) {
    if (!isThere(at)) return { missingSector: at }
  }
  return { sizeBytes, sectors }
}

/** The torn tail that begins at `sector`, undefined if the log just ends there; or throws. */
function judge(
  { path, image }: Found,
  options: {
    readonly number: number
    readonly sector: number
    readonly missingSector: number
    readonly newer: OpenedSegment | undefined
    readonly acceptLossAtTail?: boolean
  },
): SectorRange | undefined {
  const { number, sector, missingSector } = options
  const place = { path, offset: missingSector * sectorBytes }
  if (options.newer !== undefined) {
    const count = options.newer.head.recordsBefore
    throw damaged(place, `record ${number} of ${count} is missing, and a newer segment exists`)
  }
  let end = sector
  for (let at = sector; at < segmentSectors; at++) {
    const state = image.state(at)
    if (state === 'written' && image.recordAt(at) > number) {
      throw damaged(place, `record ${number} is missing, and record ${image.recordAt(at)} exists`)
    }
    if (state === 'written' || state === 'damaged') end = at + 1
  }
  const isDamaged = missingSector < segmentSectors && image.state(missingSector) === 'damaged'
  if (isDamaged && options.acceptLossAtTail !== true) {
    throw damaged(place, `a sector of record ${number}, the last one, fails its checksum`)
  }
  return end > sector ? { from: sector, to: end } : undefined
}

function addUp(live: readonly OpenedSegment[]): Omit<LoadedLog, 'spares' | 'leftovers'> {
  const reader = createLogReader()
  const segments: LiveSegment[] = []
  let pieceStart = 0
  for (const { path, image, head, records, places } of live) {
    let lastIndex = 0
    records.forEach((record, index) => {
      reader.apply(record, present(places[index], 'the place of a record'))
      lastIndex = Math.max(lastIndex, reader.lastIndex())
      if (record.piece?.number === 0) pieceStart = segments.length
      if (record.piece?.isLast === true) {
        // Its first pieces may stand in segments before: those are needed as long as this one.
        for (let at = pieceStart; at < segments.length; at++) {
          const before = present(segments[at], 'the segment of a piece')
          segments[at] = { ...before, lastIndex: Math.max(before.lastIndex, lastIndex) }
        }
      }
    })
    const { generation } = image
    segments.push({ path, generation, records: records.length, lastIndex, keyId: head.keyId })
  }
  const { nextSector, torn, tail, path } = present(live[live.length - 1], 'the last segment')
  const place = { path, offset: nextSector * sectorBytes }
  return { state: reader.finish(place), segments, nextSector, torn, tail }
}
