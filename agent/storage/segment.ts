// A segment: one file of 4 MiB, cut into sectors of 512 bytes, like a ledger of numbered lines.
//
// A disk that loses power leaves each sector either old or new, never half (what cannot do that
// shows up as damage). So each sector says for itself what it is, and an old one betrays itself
// by its generation. That is how a torn tail and damage are told apart, see wal.ts.
//
//   sector  +-----------+----------------+------------+--------------+
//           | CRC32C, 4 | generation, 4  | record, 4  | body, 500    |   all little-endian
//           +-----------+----------------+------------+--------------+
//           the CRC covers the sector's number in the file and all that follows it here
//
//   file    sector 0: head (record 0): length u16, then MessagePack of SegmentHead
//           sectors 1..: records 1, 2, 3 ... each from a sector's start, in as many as it takes:
//           +-----------+-----------------------------------------+------------------+
//           | length, 4 | sealed bytes, over the bodies of sectors | zeros to the end |
//           +-----------+-----------------------------------------+------------------+
//
// A file is used again when its records are no longer needed: a higher generation is written over
// it, without blanking it first, and without a new name. Generations in use have no gaps.

import { assert } from '../../core/base/assert.ts'
import { CodedError } from '../../core/base/error.ts'
import { decode, encode } from '../../net/wire/codec.ts'
import { crc32c } from './crc32c.ts'

export const sectorBytes = 512
const sectorHeadBytes = 12
export const sectorBodyBytes = sectorBytes - sectorHeadBytes
/** Small, for flash: four of these are the whole log of a quiet cluster. */
export const segmentBytes = 4 * 1024 * 1024
export const segmentSectors = segmentBytes / sectorBytes
const lengthBytes = 4
/** The most that one record can hold: a segment without its head. */
export const recordBytesMax = (segmentSectors - 1) * sectorBodyBytes - lengthBytes
const headFormat = 1
export const generationMax = 2 ** 32 - 1

/** What sector 0 says of the file. */
export interface SegmentHead {
  readonly format: number
  /** Records that the generation before holds: it was complete when this one began. */
  readonly recordsBefore: number
  /** Which data key seals the records: one for the whole segment. */
  readonly keyId: string
}

/**
 *   blank    zeros, as preallocated or as cut
 *   written  by the generation that the file has now
 *   stale    by an earlier one
 *   damaged  anything else: no write of ours leaves this
 */
export type SectorState = 'blank' | 'written' | 'stale' | 'damaged'

/** Sectors that a record of `sizeBytes` sealed bytes takes. */
export function sectorsOf(sizeBytes: number): number {
  return Math.ceil((lengthBytes + sizeBytes) / sectorBodyBytes)
}

/** The sectors of a record, to be written at `firstSector`. Record 0 is the head. */
export function formatRecord(options: {
  readonly generation: number
  readonly record: number
  readonly firstSector: number
  readonly sealed: Uint8Array
}): Uint8Array {
  const { generation, record, firstSector, sealed } = options
  assert(sealed.length <= recordBytesMax, 'a record fits in a segment')
  const count = sectorsOf(sealed.length)
  const bytes = new Uint8Array(count * sectorBytes)
  const view = new DataView(bytes.buffer)
  let taken = 0
  for (let index = 0; index < count; index++) {
    const start = index * sectorBytes
    let at = start + sectorHeadBytes
    if (index === 0) {
      view.setUint32(at, sealed.length, true)
      at += lengthBytes
    }
    const part = sealed.subarray(taken, taken + start + sectorBytes - at)
    bytes.set(part, at)
    taken += part.length
    stamp(view, start, { generation, record, sector: firstSector + index })
  }
  return bytes
}

function stamp(
  view: DataView,
  start: number,
  options: { readonly generation: number; readonly record: number; readonly sector: number },
): void {
  view.setUint32(start + 4, options.generation, true)
  view.setUint32(start + 8, options.record, true)
  view.setUint32(start, sumOf(view, start, options.sector), true)
}

const sectorNumber = new Uint8Array(4)
const sectorNumberView = new DataView(sectorNumber.buffer)

function sumOf(view: DataView, start: number, sector: number): number {
  sectorNumberView.setUint32(0, sector, true)
  const bytes = new Uint8Array(view.buffer, view.byteOffset + start, sectorBytes)
  return crc32c(bytes, { from: 4, before: crc32c(sectorNumber) })
}

/** The sectors of one file in memory, while it is read. */
export interface SegmentImage {
  /** Of the head's sector; 0: the file was never used. */
  readonly generation: number
  readonly state: (sector: number) => SectorState
  /** The record number in a written sector. */
  readonly recordAt: (sector: number) => number
  /** The announced length of the record that starts at a written sector. */
  readonly lengthAt: (sector: number) => number
  /** The body bytes of the record that starts here. */
  readonly sealedAt: (sector: number, sizeBytes: number) => Uint8Array
}

/** Reads the bytes of a file, which are a whole segment. Never throws: states say what it is. */
export function readImage(bytes: Uint8Array): SegmentImage {
  assert(bytes.length === segmentBytes, 'a segment image is a whole segment')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isSound = (sector: number): boolean => {
    const start = sector * sectorBytes
    return view.getUint32(start, true) === sumOf(view, start, sector)
  }
  const isBlank = (sector: number): boolean => {
    const start = sector * sectorBytes
    for (let at = start; at < start + sectorBytes; at += 4) {
      if (view.getUint32(at, true) !== 0) return false
    }
    return true
  }
  const generation = isSound(0) ? view.getUint32(4, true) : 0
  const state = (sector: number): SectorState => {
    if (isBlank(sector)) return 'blank'
    if (!isSound(sector)) return 'damaged'
    const written = view.getUint32(sector * sectorBytes + 4, true)
    if (written === generation) return 'written'
    return written < generation && written > 0 ? 'stale' : 'damaged'
  }
  return {
    generation,
    state,
    recordAt: (sector) => view.getUint32(sector * sectorBytes + 8, true),
    lengthAt: (sector) => view.getUint32(sector * sectorBytes + sectorHeadBytes, true),
    sealedAt: (sector, sizeBytes) => {
      const sealed = new Uint8Array(sizeBytes)
      let filled = 0
      let at = sector * sectorBytes + sectorHeadBytes + lengthBytes
      while (filled < sizeBytes) {
        const room = sectorBytes - (at % sectorBytes)
        const part = bytes.subarray(at, at + Math.min(room, sizeBytes - filled))
        sealed.set(part, filled)
        filled += part.length
        at += room + sectorHeadBytes
      }
      return sealed
    },
  }
}

/** The sector with the head of a generation. */
export function formatHead(generation: number, head: Omit<SegmentHead, 'format'>): Uint8Array {
  assert(generation >= 1 && generation <= generationMax, 'a generation is 1 to 2^32 - 1')
  const full: SegmentHead = { format: headFormat, ...head }
  return formatRecord({ generation, record: 0, firstSector: 0, sealed: encode(full) })
}

/** The head of a written image. Throws damaged-data, or not-supported for a newer format. */
export function parseHead(image: SegmentImage, path: string): SegmentHead {
  const length = image.lengthAt(0)
  const fail = (why: string): CodedError =>
    new CodedError('damaged-data', `${path}: offset 0: the segment's head ${why}`, {
      detail: { path, offset: 0 },
    })
  if (image.recordAt(0) !== 0) throw fail('is the sector of a record')
  if (length > sectorBodyBytes - lengthBytes) throw fail(`has ${length} bytes`)
  const head = decode(image.sealedAt(0, length))
  if (typeof head !== 'object' || head === null) throw fail('is no record')
  const { format, recordsBefore, keyId } = head as Record<string, unknown>
  if (typeof format === 'number' && format > headFormat) {
    throw new CodedError(
      'not-supported',
      `${path}: the log has format ${format}, this build reads up to ${headFormat}: ` +
        'start the newer version of the agent again',
    )
  }
  if (format !== headFormat || typeof recordsBefore !== 'number' || typeof keyId !== 'string') {
    throw fail('lacks a field')
  }
  return { format, recordsBefore, keyId }
}
