// A tar archive of a few files, in memory: enough to make an image without any program.
//
// Each member is a header of 512 bytes and its content, filled up to 512; two empty blocks end it.

const blockBytes = 512

/** A file of the archive. A `link` is symbolic and has no content. */
export interface TarMember {
  readonly path: string
  readonly mode?: number
  readonly content?: string | Uint8Array
  readonly link?: string
  readonly isFolder?: boolean
}

/** The members as one ustar archive, owned by root, dated 1970: the same input, the same bytes. */
export function tarOf(members: readonly TarMember[]): Uint8Array {
  const blocks = members.flatMap((member) => {
    const content = Buffer.from(member.content ?? '')
    const padding = Buffer.alloc((blockBytes - (content.length % blockBytes)) % blockBytes)
    return [headerOf(member, content.length), content, padding]
  })
  return Buffer.concat([...blocks, Buffer.alloc(2 * blockBytes)])
}

function headerOf(member: TarMember, size: number): Buffer {
  if (Buffer.byteLength(member.path) > 100) throw new Error(`tar: ${member.path} is over 100 bytes`)
  const header = Buffer.alloc(blockBytes)
  const octal = (value: number, at: number, digits: number): void => {
    header.write(`${value.toString(8).padStart(digits, '0')}\0`, at, 'latin1')
  }
  const type = member.isFolder === true ? '5' : member.link === undefined ? '0' : '2'
  header.write(member.path, 0, 'utf8')
  octal(member.mode ?? (type === '0' ? 0o644 : 0o755), 100, 7)
  octal(0, 108, 7)
  octal(0, 116, 7)
  octal(size, 124, 11)
  octal(0, 136, 11)
  header.write(type, 156, 'latin1')
  header.write(member.link ?? '', 157, 'utf8')
  header.write('ustar\x0000', 257, 'latin1')
  // The checksum is summed with its own field full of blanks.
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return header
}
