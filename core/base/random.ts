// Randomness as data. core never asks the world for random bytes: a machine gets a seed in its
// first event and draws from this generator, so that the same events give the same bytes.
// Keys and token secrets never come from here; they arrive as bytes inside the command.

import { assert } from './assert.ts'

/** A source of random 32-bit numbers. */
export interface Random {
  /** A number of 0 to 2^32 - 1. */
  readonly uint32: () => number
}

/**
 * sfc32 (Chris Doty-Humphrey, PractRand): 128 bits of state, passes BigCrush, good enough for ids
 * and jitter. `seed` is at least 16 bytes; later bytes are ignored.
 */
export function seededRandom(seed: Uint8Array): Random {
  assert(seed.length >= 16, 'a seed has at least 16 bytes')
  const view = new DataView(seed.buffer, seed.byteOffset, 16)
  let [a, b, c, d] = [0, 4, 8, 12].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
    number,
  ]
  const uint32 = (): number => {
    const sum = (a + b + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    return sum >>> 0
  }
  for (let round = 0; round < 12; round++) uint32()
  return { uint32 }
}

/** The generator of a plain number, for tests and simulations. */
export function numberedRandom(seed: number): Random {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, seed >>> 0, true)
  view.setUint32(4, Math.floor(seed / 2 ** 32), true)
  view.setUint32(8, 0x9e3779b9, true)
  view.setUint32(12, 1, true)
  return seededRandom(bytes)
}

/** A whole number of 0 to `bound` - 1, without bias. */
export function below(random: Random, bound: number): number {
  assert(bound >= 1 && bound <= 2 ** 32, 'a bound is 1 to 2^32')
  const limit = Math.floor(2 ** 32 / bound) * bound
  for (;;) {
    const value = random.uint32()
    if (value < limit) return value % bound
  }
}
