// CRC-32C (Castagnoli, RFC 3720 appendix B.4): the sum that storage puts on every sector and file.
// node:zlib has only the other CRC-32, so here is the table, eight bytes at a step.

const polynomial = 0x82f63b78

/** `tables[k][byte]`: what a byte does to the sum when k bytes follow it in the step. */
const tables: readonly Int32Array[] = makeTables()

function makeTables(): readonly Int32Array[] {
  const all = Array.from({ length: 8 }, () => new Int32Array(256))
  const [first = new Int32Array(256)] = all
  for (let byte = 0; byte < 256; byte++) {
    let sum = byte
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1) === 1 ? (sum >>> 1) ^ polynomial : sum >>> 1
    first[byte] = sum
  }
  for (let step = 1; step < 8; step++) {
    const [table, before] = [all[step], all[step - 1]]
    if (table === undefined || before === undefined) continue
    for (let byte = 0; byte < 256; byte++) {
      const sum = before[byte] ?? 0
      table[byte] = (sum >>> 8) ^ (first[sum & 0xff] ?? 0)
    }
  }
  return all
}

const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
]

/**
 * The sum of bytes `from` up to `to`, as an unsigned number. `before` is the sum of what came
 * before them, so that a long text can be summed in pieces.
 */
export function crc32c(
  bytes: Uint8Array,
  { from = 0, to = bytes.length, before = 0 }: { from?: number; to?: number; before?: number } = {},
): number {
  let sum = ~before
  let at = from
  for (; at + 8 <= to; at += 8) {
    sum ^= byteAt(bytes, at) | (byteAt(bytes, at + 1) << 8)
    sum ^= (byteAt(bytes, at + 2) << 16) | (byteAt(bytes, at + 3) << 24)
    sum =
      (t7[sum & 0xff] as number) ^
      (t6[(sum >>> 8) & 0xff] as number) ^
      (t5[(sum >>> 16) & 0xff] as number) ^
      (t4[sum >>> 24] as number) ^
      (t3[byteAt(bytes, at + 4)] as number) ^
      (t2[byteAt(bytes, at + 5)] as number) ^
      (t1[byteAt(bytes, at + 6)] as number) ^
      (t0[byteAt(bytes, at + 7)] as number)
  }
  for (; at < to; at++) sum = (sum >>> 8) ^ (t0[(sum ^ byteAt(bytes, at)) & 0xff] as number)
  return ~sum >>> 0
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] as number
}
