// Fuzzes the channel for SOAK_SECONDS with ever new seeds: handshake, records, parsers, frames,
// conversations. What it finds is repeated by
//
//   node test/soak/channel.soak.ts FUZZER SEED

import { fuzzers } from '../support/channel-fuzz.ts'

const [onlyName, onlySeed] = process.argv.slice(2)
const seconds = Number(process.env['SOAK_SECONDS'] ?? 10)

async function round(name: string, seed: number): Promise<void> {
  try {
    await fuzzers[name]?.(seed)
  } catch (error) {
    console.error(`${name}: ${error instanceof Error ? error.stack : String(error)}`)
    console.error(`repeat: node test/soak/channel.soak.ts ${name} ${seed}`)
    process.exit(1)
  }
}

if (onlyName !== undefined) {
  if (fuzzers[onlyName] === undefined) throw new Error(`no fuzzer ${onlyName}`)
  await round(onlyName, Number(onlySeed))
  console.log(`${onlyName} ${onlySeed}: nothing found`)
} else {
  const end = performance.now() + seconds * 1_000
  const first = Math.floor(Date.now() % 2 ** 31)
  let seed = first
  for (; performance.now() < end; seed++) {
    for (const name of Object.keys(fuzzers)) await round(name, seed)
  }
  console.log(`channel: ${seed - first} rounds of ${Object.keys(fuzzers).length} fuzzers`)
}
