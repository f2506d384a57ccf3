// Names of services that were given none: a quality and a thing, "quiet_harbor", as users of
// `service create` expect. All words are plain and harmless in any order.

import { below, type Random } from '../base/random.ts'

const qualities =
  'amber bold brave bright brisk calm clear clever cosy crisp eager early fair fresh gentle glad golden green happy hardy honest humble jolly keen kind lively lucid lucky mellow merry mild modest neat nimble noble patient plain plucky polite proud quick quiet rapid ready sharp silent silver smooth snug sober solid steady still stout sunny swift tidy tranquil true warm wise witty young'.split(
    ' ',
  )

const things =
  'acorn anchor apple badger barley beacon birch bramble breeze bridge brook canyon cedar cherry cloud clover comet coral crane creek cricket cypress dune falcon fern finch forest fox garden glacier grove harbor hazel heron hive island juniper lagoon lantern lark linden lotus maple marsh meadow mill mountain oak orchard otter owl pebble pine plover pond poppy prairie raven reed ridge river robin sparrow spring spruce stone stream summit swan thistle thrush valley walnut willow wren'.split(
    ' ',
  )

/** Names tried before a number is added. */
const triesMax = 8

/** A new name; `isTaken` says which are in use. */
export function makeServiceName(random: Random, isTaken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const name = `${pick(random, qualities)}_${pick(random, things)}`
    const full = attempt < triesMax ? name : `${name}_${below(random, 1_000_000)}`
    if (!isTaken(full)) return full
  }
}

function pick(random: Random, words: readonly string[]): string {
  return words[below(random, words.length)] ?? ''
}
