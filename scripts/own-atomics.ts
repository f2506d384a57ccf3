// Frees the Node that becomes the executable of libatomic.so.1, which a bare Debian does not have.
//
// The official Node wants one function of that library, at eight places, each time for eight bytes.
// So the function is put in, and what names the library is taken out; the rest stays as it was:
//
//   code segment      | .text .fini | 0 0 0 ... |     the function goes where its last page is empty
//   .rela.plt         JUMP_SLOT __atomic_compare_exchange   ->   RELATIVE, address of the function
//   .gnu.version_r    libatomic.so.1: LIBATOMIC_1.0         ->   skipped
//   .dynamic          NEEDED libatomic.so.1                 ->   gone, those after it move up
//
// Words as in elf(5). A Node that wants something else of it is refused, not half mended.

import type { Architecture } from './node-binary.ts'

const library = 'libatomic.so.1'
const known = '__atomic_compare_exchange'
const loadType = 1
const dynamicType = 2
const isCode = 1
const tags = { needed: 1, jmprelSize: 2, strtab: 5, symtab: 6, rela: 7, relaSize: 8, jmprel: 23 }
const versionTags = { versym: 0x6ffffff0, verneed: 0x6ffffffe, count: 0x6fffffff }
const globalVersion = 1

interface Machine {
  /** R_X86_64_RELATIVE, R_AARCH64_RELATIVE. */
  readonly relative: number
  /** bool f(size, object, expected, desired, success, failure), of eight bytes; else it traps. */
  readonly code: string
}

const machines: Readonly<Record<Architecture, Machine>> = {
  x64: {
    relative: 8,
    code: [
      '4883ff08 7517', // cmp rdi, 8; jne trap
      '4c8b01 488b02', // mov r8, [rcx]; mov rax, [rdx]
      'f04c0fb106 0f94c1', // lock cmpxchg [rsi], r8; sete cl
      '7403 488902', // je done; mov [rdx], rax
      '0fb6c1 c3 0f0b', // done: movzx eax, cl; ret; trap: ud2
    ].join(' '),
  },
  arm64: {
    relative: 1027,
    code: [
      '1f2000f1 c1010054', // cmp x0, 8; b.ne trap
      '630040f9 440040f9', // ldr x3, [x3]; ldr x4, [x2]
      '25fc5fc8 bf0004eb a1000054', // retry: ldaxr x5, [x1]; cmp x5, x4; b.ne differs
      '23fc06c8 86ffff35', // stlxr w6, x3, [x1]; cbnz w6, retry
      '20008052 c0035fd6', // mov w0, 1; ret
      '5f3f03d5 450000f9', // differs: clrex; str x5, [x2]
      '00008052 c0035fd6 200020d4', // mov w0, 0; ret; trap: brk 1
    ].join(' '),
  },
}

/** The libraries that an executable wants to be there, in order. */
export function neededLibraries(elf: Buffer): readonly string[] {
  const image = new Image(elf)
  return image.dynamic.filter((row) => row.tag === tags.needed).map((row) => image.text(row.value))
}

/** Edits the executable in place; throws, with nothing promised of it, where it is not as known. */
export function freeOfLibatomic(elf: Buffer, arch: Architecture): void {
  const image = new Image(elf)
  const position = image.dynamic.findIndex(
    (row) => row.tag === tags.needed && image.text(row.value) === library,
  )
  if (position < 0) return
  const versions = skipVersions(image)
  const address = putIn(image, Buffer.from(machines[arch].code.replaceAll(' ', ''), 'hex'))
  const slots = redirect(image, { versions, address, relative: machines[arch].relative })
  if (slots === 0) throw new Error(`build: this Node wants ${library}, and nothing of it is used`)
  const { offset } = image.dynamicSegment
  elf.copyWithin(offset + position * 16, offset + (position + 1) * 16, offset + image.dynamicSize)
}

/** Takes the library out of the chain of wanted versions; returns the numbers they had. */
function skipVersions(image: Image): ReadonlySet<number> {
  const { elf } = image
  const countAt = image.rowOf(versionTags.count)
  let before: number | undefined
  let at = image.offsetOf(image.valueOf(versionTags.verneed))
  for (;;) {
    const next = elf.readUInt32LE(at + 12)
    if (image.text(elf.readUInt32LE(at + 4)) === library) {
      if (before === undefined) {
        const firstAt = image.rowOf(versionTags.verneed) + 8
        elf.writeBigUInt64LE(elf.readBigUInt64LE(firstAt) + BigInt(next), firstAt)
      } else elf.writeUInt32LE(next === 0 ? 0 : at - before + next, before + 12)
      elf.writeBigUInt64LE(elf.readBigUInt64LE(countAt + 8) - 1n, countAt + 8)
      return versionsAt(elf, at)
    }
    if (next === 0) throw new Error(`build: ${library} has no versions in this Node`)
    before = at
    at += next
  }
}

function versionsAt(elf: Buffer, at: number): ReadonlySet<number> {
  const found = new Set<number>()
  let aux = at + elf.readUInt32LE(at + 8)
  for (let index = 0; index < elf.readUInt16LE(at + 2); index += 1) {
    found.add(elf.readUInt16LE(aux + 6))
    aux += elf.readUInt32LE(aux + 12)
  }
  return found
}

/** Lets the code segment end with these bytes; returns their address. */
function putIn(image: Image, code: Buffer): number {
  const { elf } = image
  const segment = image.segments.find((row) => row.type === loadType && (row.flags & isCode) !== 0)
  if (segment === undefined) throw new Error('build: this Node has no code segment')
  const size = Math.ceil(segment.size / 16) * 16 + code.length
  const at = segment.offset + size - code.length
  const next = Math.min(...image.segments.map((row) => row.offset).filter((each) => each >= at))
  const room = elf.subarray(at, next)
  if (room.length < code.length || room.subarray(0, code.length).some((byte) => byte !== 0)) {
    throw new Error(`build: no room for ${code.length} bytes behind the code of this Node`)
  }
  code.copy(elf, at)
  elf.writeBigUInt64LE(BigInt(size), segment.headerAt + 32)
  elf.writeBigUInt64LE(BigInt(size), segment.headerAt + 40)
  return segment.address + size - code.length
}

/** Points all slots for symbols of these versions to the address; returns how many there were. */
function redirect(
  image: Image,
  plan: {
    readonly versions: ReadonlySet<number>
    readonly address: number
    readonly relative: number
  },
): number {
  const { elf } = image
  let slots = 0
  for (const [start, size] of [
    [tags.jmprel, tags.jmprelSize],
    [tags.rela, tags.relaSize],
  ] as const) {
    const first = image.offsetOf(image.valueOf(start))
    for (let at = first; at < first + image.valueOf(size); at += 24) {
      const symbol = elf.readUInt32LE(at + 12)
      const versionAt = image.offsetOf(image.valueOf(versionTags.versym)) + symbol * 2
      if (symbol === 0 || !plan.versions.has(elf.readUInt16LE(versionAt))) continue
      const symbolAt = image.offsetOf(image.valueOf(tags.symtab)) + symbol * 24
      const name = image.text(elf.readUInt32LE(symbolAt))
      if (name !== known) throw new Error(`build: this Node wants ${name} of ${library}, too`)
      elf.writeUInt16LE(globalVersion, versionAt)
      elf.writeBigUInt64LE(BigInt(plan.relative), at + 8)
      elf.writeBigInt64LE(BigInt(plan.address), at + 16)
      slots += 1
    }
  }
  return slots
}

interface Segment {
  readonly headerAt: number
  readonly type: number
  readonly flags: number
  readonly offset: number
  readonly address: number
  /** In the file. */
  readonly size: number
}

/** An executable of 64 bits, little-endian: where its parts lie in the file. */
class Image {
  readonly elf: Buffer
  readonly segments: readonly Segment[]
  readonly dynamicSegment: Segment
  readonly dynamic: readonly { readonly tag: number; readonly value: number }[]

  constructor(elf: Buffer) {
    this.elf = elf
    const count = elf.readUInt16LE(56)
    const first = Number(elf.readBigUInt64LE(32))
    this.segments = Array.from({ length: count }, (_, index) => {
      const headerAt = first + index * elf.readUInt16LE(54)
      const word = (at: number): number => Number(elf.readBigUInt64LE(headerAt + at))
      const [type, flags] = [elf.readUInt32LE(headerAt), elf.readUInt32LE(headerAt + 4)]
      return { headerAt, type, flags, offset: word(8), address: word(16), size: word(32) }
    })
    const dynamic = this.segments.find((row) => row.type === dynamicType)
    if (dynamic === undefined) throw new Error('build: not a dynamic executable')
    this.dynamicSegment = dynamic
    this.dynamic = Array.from({ length: dynamic.size / 16 }, (_, index) => {
      const at = dynamic.offset + index * 16
      return {
        tag: Number(elf.readBigUInt64LE(at)),
        value: Number(elf.readBigUInt64LE(at + 8)),
      }
    })
  }

  get dynamicSize(): number {
    return this.dynamicSegment.size
  }

  /** Where the row of the tag lies in the file. */
  rowOf(tag: number): number {
    const index = this.dynamic.findIndex((row) => row.tag === tag)
    if (index < 0) throw new Error(`build: the dynamic section has no tag 0x${tag.toString(16)}`)
    return this.dynamicSegment.offset + index * 16
  }

  valueOf(tag: number): number {
    return Number(this.elf.readBigUInt64LE(this.rowOf(tag) + 8))
  }

  offsetOf(address: number): number {
    const segment = this.segments.find(
      (row) => row.type === loadType && address >= row.address && address < row.address + row.size,
    )
    if (segment === undefined) throw new Error(`build: address ${address} is in no segment`)
    return address - segment.address + segment.offset
  }

  /** A name in the table of names. */
  text(index: number): string {
    const at = this.offsetOf(this.valueOf(tags.strtab)) + index
    return this.elf.toString('latin1', at, this.elf.indexOf(0, at))
  }
}
