// A few rounds of each fuzzer of the channel, always the same ones; test/soak goes on with others.

import t from 'tap'
import { fuzzers } from '../../support/channel-fuzz.ts'

const rounds = 25

for (const [name, round] of Object.entries(fuzzers)) {
  t.test(`${rounds} rounds of ${name} break nothing`, async (t) => {
    for (let seed = 1; seed <= rounds; seed++) {
      await t.resolves(round(seed), `seed ${seed}`)
    }
  })
}
