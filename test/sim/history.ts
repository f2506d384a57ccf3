// Is a recorded history of reads and writes of one register linearizable?
//
// Every write writes a value of its own, so each read says which write it saw. Then the question
// needs no search (Gibbons and Korach, "Testing Shared Memories", 1997, theorem 4.6). Take a write
// and all reads of its value as one cluster, with the zone between the earliest end and the latest
// begin among them. If the end comes first the zone is forward: the register must hold that value
// all through it. Else it is backward: there is a moment within it that all of them overlap.
// A history is linearizable if and only if no two forward zones overlap and no backward zone lies
// within a forward one, and no read ends before its write begins.
// history.test.ts compares this with a plain search on small random histories.

export interface Operation {
  readonly kind: 'read' | 'write'
  /** Undefined: the register before the first write. */
  readonly value: string | undefined
  readonly beginMs: number
  /** Infinity if no answer came: it may have taken effect at any time after its begin, or never. */
  readonly endMs: number
}

interface Zone {
  readonly value: string | undefined
  readonly from: number
  readonly to: number
  readonly isForward: boolean
}

/** Why the history is not linearizable, or undefined if it is. */
export function findAnomaly(operations: readonly Operation[]): string | undefined {
  const clusters = new Map<string | undefined, { write: Operation; reads: Operation[] }>()
  const birth: Operation = { kind: 'write', value: undefined, beginMs: -2, endMs: -1 }
  clusters.set(undefined, { write: birth, reads: [] })
  for (const write of operations) {
    if (write.kind === 'write') clusters.set(write.value, { write, reads: [] })
  }
  for (const read of operations) {
    if (read.kind === 'write' || read.endMs === Number.POSITIVE_INFINITY) continue
    const cluster = clusters.get(read.value)
    if (cluster === undefined) return `a read saw ${read.value}, which nobody wrote`
    if (read.endMs < cluster.write.beginMs) return `a read saw ${read.value} before it was written`
    cluster.reads.push(read)
  }
  const zones: Zone[] = []
  for (const [value, { write, reads }] of clusters) {
    // A write without an answer that nobody saw may not have happened.
    if (reads.length === 0 && write.endMs === Number.POSITIVE_INFINITY) continue
    const earliestEnd = Math.min(write.endMs, ...reads.map((read) => read.endMs))
    const latestBegin = Math.max(write.beginMs, ...reads.map((read) => read.beginMs))
    const isForward = earliestEnd < latestBegin
    const [from, to] = isForward ? [earliestEnd, latestBegin] : [latestBegin, earliestEnd]
    zones.push({ value, from, to, isForward })
  }
  return findOverlap(zones)
}

function findOverlap(zones: readonly Zone[]): string | undefined {
  const forward = zones.filter((zone) => zone.isForward).sort((a, b) => a.from - b.from)
  for (let at = 1; at < forward.length; at++) {
    const [before, zone] = [forward[at - 1], forward[at]]
    if (before === undefined || zone === undefined || zone.from >= before.to) continue
    return `${describe(before)} and ${describe(zone)} overlap`
  }
  for (const zone of zones) {
    if (zone.isForward) continue
    const around = lastBeginningBefore(forward, zone.from)
    if (around !== undefined && around.from < zone.from && zone.to < around.to) {
      return `${describe(zone)} lies within ${describe(around)}`
    }
  }
  return undefined
}

function lastBeginningBefore(forward: readonly Zone[], at: number): Zone | undefined {
  let [low, high] = [0, forward.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((forward[middle]?.from ?? 0) < at) low = middle + 1
    else high = middle
  }
  return forward[low - 1]
}

function describe(zone: Zone): string {
  const way = zone.isForward ? 'value' : 'moment of'
  return `${way} ${zone.value ?? 'nothing'} (${zone.from.toFixed(2)}-${zone.to.toFixed(2)} ms)`
}
