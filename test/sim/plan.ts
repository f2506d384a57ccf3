// What will happen to a simulated cluster, drawn up front from the seed: its size and limits, its
// network and disks, its clients, and a list of faults. Because the list exists before the run, a
// failing run is made small by leaving faults out (shrink.ts).

import { below, numberedRandom, type Random } from '../../core/base/random.ts'
import { type RaftLimits, raftLimits } from '../../core/raft/limits.ts'

/** Whom a fault hits, resolved when it strikes: the leader, whoever triggered it, or one by number. */
export type Target = 'leader' | 'self' | number

export type Action =
  | { readonly do: 'crash'; readonly who: Target; readonly downMs: number; readonly kept: number }
  | { readonly do: 'crashAll'; readonly downMs: number; readonly kept: number }
  | { readonly do: 'pause'; readonly who: Target; readonly ms: number }
  | { readonly do: 'split'; readonly mask: number; readonly ms: number }
  /** Earlier cuts end; this member is alone with so many other voters, and with the learners. */
  | {
      readonly do: 'regroup'
      readonly who: Target
      readonly others: number
      readonly hasLearners: boolean
      readonly ms: number
    }
  | { readonly do: 'cut'; readonly who: Target; readonly way: Way; readonly ms: number }
  | { readonly do: 'link'; readonly who: Target; readonly other: number; readonly ms: number }
  | { readonly do: 'noise'; readonly net: Noise; readonly ms: number }
  | { readonly do: 'slow'; readonly who: Target; readonly factor: number; readonly ms: number }
  | { readonly do: 'stall'; readonly who: Target; readonly ms: number }
  | { readonly do: 'full'; readonly who: Target; readonly ms: number }
  | { readonly do: 'wipe'; readonly who: Target }
  | { readonly do: 'image'; readonly who: Target }
  | { readonly do: 'rewind'; readonly who: Target }
  | { readonly do: 'flip'; readonly who: Target; readonly where: number }
  | { readonly do: 'drift'; readonly who: Target; readonly rate: number }
  | { readonly do: 'change'; readonly change: ChangeKind; readonly who: Target }
  | { readonly do: 'transfer'; readonly who: Target }
  | { readonly do: 'snapshot'; readonly who: Target }
  | { readonly do: 'burst'; readonly count: number; readonly who: Target }
export type Way = 'both' | 'in' | 'out'
/** `leave`: the leader removes itself; `oust`: it removes a voter that it is cut off from. */
export type ChangeKind = 'grow' | 'promote' | 'demote' | 'remove' | 'address' | 'leave' | 'oust'

/** A fault strikes at a time, or a while after the n-th occurrence of an event. */
export interface Fault {
  readonly atMs: number | undefined
  readonly after:
    | { readonly event: string; readonly nth: number; readonly delayMs: number }
    | undefined
  readonly action: Action
}

export interface Noise {
  readonly loss: number
  readonly duplicate: number
  /** Share of messages that arrive up to `lateMs` late. */
  readonly late: number
  readonly lateMs: number
}

export interface Plan {
  readonly seed: number
  readonly size: number
  readonly limits: RaftLimits
  readonly tickMs: number
  readonly heartbeatTicks: number
  readonly electionTicks: number
  readonly delayMsMin: number
  readonly delayMsMax: number
  readonly noise: Noise
  readonly syncMsMin: number
  readonly syncMsMax: number
  readonly applyMs: number
  readonly clients: number
  readonly thinkMs: number
  /** How long a client waits before it asks elsewhere. */
  readonly patienceMs: number
  /** Share of operations that a client begins anywhere, not where the last one was answered. */
  readonly strays: number
  readonly keys: number
  readonly snapshotEvery: number
  readonly rates: readonly number[]
  readonly faults: readonly Fault[]
  /** Then every fault ends, and the cluster must converge and serve. */
  readonly healAtMs: number
  /** Cut off in this way for ever, also after the healing: the others must still serve. */
  readonly lasting: { readonly who: number; readonly way: Way } | undefined
  /** After the healing this member and the next cannot talk, while the others can, for a while. */
  readonly severed: number | undefined
  /** After the healing all but one are lost, and that one goes on in a new epoch. */
  readonly isRecovered: boolean
}

interface Dice {
  readonly whole: (min: number, max: number) => number
  readonly chance: (share: number) => boolean
  readonly of: <T>(values: readonly T[]) => T
}

export function makeDice(random: Random): Dice {
  const whole = (min: number, max: number): number => min + below(random, max - min + 1)
  return {
    whole,
    chance: (share) => random.uint32() < share * 2 ** 32,
    of: (values) => values[whole(0, values.length - 1)] as (typeof values)[number],
  }
}

/** The plan of a seed. */
export function drawPlan(seed: number): Plan {
  const dice = makeDice(numberedRandom(seed))
  // A contested seed: time-outs shorter than a round trip, and voters that crash as they vote.
  const isContested = dice.chance(0.2)
  // A reshaped seed: new leaders change the membership, cut off with some of the others.
  const isReshaped = dice.chance(0.2)
  const size = isReshaped ? dice.whole(2, 6) : dice.of([1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7])
  const isWide = dice.chance(isContested ? 0.6 : 0.1)
  const healAtMs = 45_000
  // The shorter, the more members campaign at a time.
  const electionTicks = isContested ? 12 : dice.of([12, 15, 20, 30, 50, 50, 50, 100])
  const plan: Plan = {
    seed,
    size,
    limits: isContested
      ? { ...drawLimits(dice), messageEntriesMax: dice.of([1, 1, 8]) }
      : drawLimits(dice),
    tickMs: 10,
    heartbeatTicks: Math.min(dice.of([5, 10, 10]), Math.floor(electionTicks / 4)),
    electionTicks,
    delayMsMin: isWide ? 20 : 0.2,
    delayMsMax: isWide ? dice.whole(30, 120) : dice.of([1, 2, 10, 30]),
    noise: isContested ? drawBabel(dice) : drawNoise(dice, dice.chance(0.4) ? 0 : 0.3),
    syncMsMin: 0.1,
    syncMsMax: dice.of([0.5, 5, 5, 30, 100]),
    applyMs: dice.of([0, 0, 0, 5, 50]),
    clients: dice.whole(1, 4),
    thinkMs: dice.of([20, 50, 100, 200, 400]),
    patienceMs: dice.of(isContested ? [60, 150, 300] : [150, 500, 1500, 1500]),
    strays: 0,
    keys: dice.whole(1, 4),
    snapshotEvery: dice.of([2, 5, 10, 25, 50, 1_000_000]),
    rates: Array.from({ length: 8 }, () =>
      dice.chance(isContested ? 0.7 : 0.3) ? dice.of([0.8, 0.9, 1.1, 1.25]) : 1,
    ),
    faults: [
      ...drawFaults(dice, healAtMs),
      ...(isContested ? drawContest(dice, healAtMs) : []),
      ...(isReshaped ? drawReshaping(dice) : []),
    ],
    healAtMs,
    lasting:
      size >= 3 && dice.chance(0.15)
        ? { who: dice.whole(0, size - 1), way: dice.of(['both', 'in', 'in', 'out'] as const) }
        : undefined,
    severed: size >= 3 && dice.chance(0.1) ? dice.whole(0, size - 1) : undefined,
    isRecovered: dice.chance(0.05),
  }
  if (dice.chance(0.15)) {
    return { ...plan, faults: [...plan.faults, ...drawRewinding(dice, plan)] }
  }
  if (!dice.chance(0.3)) return dice.chance(0.05) ? oldTerm(plan) : plan
  return dice.of([leapfrog, voteTwice, staleLeader, regrouping, quarrel])(dice, plan)
}

// Dramas: seeds that lead the cluster again and again to where one classic mistake would show.
// Everything else about them is calm, so that it gets there.

function calm(plan: Plan): Plan {
  const noise = { loss: 0, duplicate: 0, late: 0, lateMs: 100 }
  const timing = { delayMsMin: 0.2, delayMsMax: 2, syncMsMax: 0.5, applyMs: 0 }
  const limits = { ...raftLimits, entriesKept: plan.limits.entriesKept }
  return { ...plan, ...timing, noise, limits, rates: plan.rates.map(() => 1), faults: [] }
}

type Strike = (event: string, delayMs: number, action: Action) => void

/** Adds faults for each of the first occurrences of an event. */
function onEach(faults: Fault[], count: number, draw: (strike: Strike) => void): void {
  for (let nth = 1; nth <= count; nth++) {
    draw((event, delayMs, action) => {
      faults.push({ atMs: undefined, after: { event, nth, delayMs }, action })
    })
  }
}

/** Figure 8: leaders fall before, or just after, others have their entries, one a letter. */
function leapfrog(dice: Dice, plan: Plan): Plan {
  const faults: Fault[] = []
  onEach(faults, 60, (strike) => {
    const downMs = dice.of([100, 250, 400, 700])
    const delayMs = dice.of([2, 10, 25, 40, 60, 80, 100, 130])
    // Whoever has voted hears nothing of the new leader for a while.
    const deafen = { do: 'cut', who: 'self', way: 'in', ms: dice.of([50, 150]) } as const
    if (dice.chance(0.5)) strike('post.voteReply', 0, deafen)
    if (dice.chance(0.3)) strike('raft.elected', 0, { do: 'burst', who: 'self', count: 1 })
    strike('raft.elected', delayMs, { do: 'crash', who: 'self', downMs, kept: 1 })
  })
  const limits = { ...raftLimits, messageEntriesMax: 1, inflightMessagesMax: 1 }
  const timing = { electionTicks: 20, heartbeatTicks: 5, delayMsMin: 5, delayMsMax: 15 }
  return { ...calm(plan), ...timing, size: dice.of([3, 3, 5]), limits, faults, clients: 1 }
}

/** Members on slow disks fall right after they have voted or won; others' votes arrive late. */
function voteTwice(dice: Dice, plan: Plan): Plan {
  const faults: Fault[] = []
  onEach(faults, 80, (strike) => {
    const fall = (kept: number): Action => ({ do: 'crash', who: 'self', downMs: 1, kept })
    if (dice.chance(0.8)) strike('raft.elected', 0, fall(0))
    if (dice.chance(0.2)) strike('post.voteReply', dice.of([0, 1]), fall(0))
  })
  const noise = { loss: 0, duplicate: 0.1, late: dice.of([0.2, 0.4]), lateMs: 300 }
  const timing = { electionTicks: dice.of([20, 50]), heartbeatTicks: 5, delayMsMax: 20 }
  return { ...calm(plan), ...timing, syncMsMax: 60, size: dice.of([3, 3, 5]), noise, faults }
}

/** A leader whose clock nearly stands still is left alone, and is still asked. */
function staleLeader(dice: Dice, plan: Plan): Plan {
  const faults: Fault[] = []
  onEach(faults, 30, (strike) => {
    const beginMs = dice.of([100, 300, 700])
    const ms = dice.of([700, 1500])
    const endMs = beginMs + ms
    strike('raft.elected', beginMs, { do: 'drift', who: 'self', rate: dice.of([0.05, 0.1, 0.15]) })
    if (dice.chance(0.4)) {
      strike('raft.elected', beginMs, { do: 'change', who: 'self', change: 'leave' })
    }
    const cutMs = beginMs + dice.of([0, 1, 1, 2])
    const others = dice.of([0, 1, 1])
    strike('raft.elected', cutMs, { do: 'regroup', who: 'self', others, hasLearners: true, ms })
    strike('raft.elected', endMs, { do: 'drift', who: 'self', rate: 1 })
  })
  const timing = { electionTicks: dice.of([12, 20]), heartbeatTicks: 3 }
  const asking = { clients: 4, thinkMs: 20, patienceMs: 150, keys: 1, strays: 0.3 }
  return { ...calm(plan), ...timing, ...asking, size: dice.of([3, 3, 4, 4, 5]), faults }
}

/** Leaders, old and new, find themselves on one side of the cluster, and change the membership. */
function regrouping(dice: Dice, plan: Plan): Plan {
  const faults: Fault[] = []
  const ms = dice.of([400, 1000])
  const changes = [
    'oust',
    'oust',
    'oust',
    'promote',
    'promote',
    'promote',
    'grow',
    'demote',
  ] as const
  const scene = (who: Target, add: (delayMs: number, action: Action) => void): void => {
    // Members must have answered a new leader before it may change anything.
    const beginMs = dice.of([0, 2, 4, 8, 20])
    const others = dice.of([0, 0, 1, 1, 2])
    add(beginMs, { do: 'regroup', who, others, hasLearners: dice.chance(0.5), ms })
    const count = dice.of([0, 1, 1, 2, 3, 4])
    for (let at = 0; at < count; at++) {
      const delayMs = beginMs + dice.of([0, 0, 1, 3, 8])
      add(delayMs, { do: 'change', who, change: dice.of(changes) })
    }
  }
  onEach(faults, 60, (strike) =>
    scene('self', (delayMs, action) => strike('raft.elected', delayMs, action)),
  )
  for (let beginMs = 1000; beginMs < plan.healAtMs - 1500; beginMs += dice.of([500, 1000, 2000])) {
    const grow: Action = { do: 'change', who: 'leader', change: 'grow' }
    if (dice.chance(0.3)) faults.push({ atMs: beginMs - 200, after: undefined, action: grow })
    scene('leader', (delayMs, action) => {
      faults.push({ atMs: beginMs + delayMs, after: undefined, action })
    })
  }
  const timing = {
    electionTicks: dice.of([12, 20]),
    heartbeatTicks: 3,
    syncMsMax: dice.of([0.5, 30]),
  }
  const asking = { clients: 3, thinkMs: 20, patienceMs: 150 }
  return { ...calm(plan), ...timing, ...asking, size: dice.of([3, 4, 4, 5, 5]), faults }
}

/**
 * The membership bug of 2015. A leader, alone with the learners, promotes one. The next, elected by
 * the others, ousts somebody before some of its voters have heard of it; then it is alone with one
 * other, while the old leader meets the rest.
 */
function quarrel(dice: Dice, plan: Plan): Plan {
  const faults: Fault[] = []
  const at = (atMs: number, action: Action): void => {
    faults.push({ atMs, after: undefined, action })
  }
  for (let atMs = 600; atMs < plan.healAtMs - 4000; atMs += 2500) {
    at(atMs, { do: 'change', who: 'leader', change: 'grow' })
    at(atMs + 600, { do: 'regroup', who: 'leader', others: 0, hasLearners: true, ms: 700 })
    at(atMs + 601, { do: 'change', who: 'leader', change: 'promote' })
    at(atMs + 2300, { do: 'change', who: 'leader', change: dice.of(['demote', 'remove']) })
  }
  onEach(faults, 120, (strike) => {
    const deafen = { do: 'cut', who: 'self', way: 'in', ms: 300 } as const
    if (dice.chance(0.4)) strike('post.voteReply', 0, deafen)
    if (dice.chance(0.3)) return
    for (const delayMs of [4, 7, 12]) {
      strike('raft.elected', delayMs, { do: 'change', who: 'self', change: 'oust' })
    }
    const pair = { do: 'regroup', who: 'self', others: 1, hasLearners: false, ms: 1000 } as const
    strike('raft.elected', dice.of([20, 40, 60]), pair)
  })
  const timing = { electionTicks: 20, heartbeatTicks: 3, syncMsMax: dice.of([0.5, 5]) }
  return { ...calm(plan), ...timing, clients: 3, patienceMs: 150, size: 4, faults }
}

/**
 * Two are left: one has the longer log and an older term, the other campaigned where nobody heard
 * it. The first must learn the term of the second, or neither ever leads.
 */
function oldTerm(plan: Plan): Plan {
  const faults: Fault[] = []
  const atMs = plan.healAtMs - 3000
  const strike = (action: Action): void => {
    faults.push({ atMs, after: undefined, action })
  }
  strike({ do: 'burst', who: 'leader', count: 3 })
  strike({ do: 'cut', who: 'leader', way: 'both', ms: 3000 })
  for (const nth of [2, 3]) {
    const after = { event: 'raft.campaign', nth, delayMs: 0 }
    const alone: Action = { do: 'cut', who: 'self', way: 'both', ms: 3000 }
    faults.push({ atMs: undefined, after, action: alone })
    faults.push({
      atMs: undefined,
      after,
      action: { do: 'crash', who: 2, downMs: 10_000, kept: 1 },
    })
  }
  const timing = { electionTicks: 50, heartbeatTicks: 10 }
  const lasting = { who: 2, way: 'both' } as const
  return { ...calm(plan), ...timing, size: 3, faults, lasting, isRecovered: false }
}

/** A backup of one member, and attempts to put it back until one finds that it may. */
function drawRewinding(dice: Dice, plan: Plan): Fault[] {
  const who = dice.whole(0, plan.size - 1)
  const beginMs = dice.whole(500, plan.healAtMs / 2)
  const faults: Fault[] = [{ atMs: beginMs, after: undefined, action: { do: 'image', who } }]
  for (let at = 0; at < 12; at++) {
    const atMs = dice.whole(beginMs + 1, plan.healAtMs - 1000)
    faults.push({ atMs, after: undefined, action: { do: 'rewind', who } })
    const nth = dice.whole(2, 12)
    const after = { event: 'raft.elected', nth, delayMs: dice.of([200, 1000, 3000]) }
    faults.push({ atMs: undefined, after, action: { do: 'rewind', who } })
  }
  return faults
}

function drawLimits(dice: Dice): RaftLimits {
  if (dice.chance(0.3)) return raftLimits
  return {
    ...raftLimits,
    messageEntriesMax: dice.of([1, 2, 8, 64]),
    messageBytesMax: dice.of([1, 50, 400, 1_000_000]),
    inflightMessagesMax: dice.of([1, 2, 8, 64]),
    inflightBytesMax: dice.of([1, 100, 1000, 1_000_000]),
    entryBytesMax: 200,
    uncommittedBytesMax: dice.of([400, 2000, 1_000_000]),
    readsMax: dice.of([1, 3, 100]),
    chunkBytesMax: dice.of([30, 100, 1000]),
    entriesKept: dice.of([0, 1, 3, 10, 50]),
    promoteEntriesBehindMax: dice.of([1, 5, 50]),
    deferredMax: dice.of([1, 4, 64]),
  }
}

function drawNoise(dice: Dice, heavy: number): Noise {
  const share = (max: number): number => (dice.chance(0.5) ? (dice.whole(0, 1000) / 1000) * max : 0)
  return {
    loss: share(heavy),
    duplicate: share(heavy),
    late: share(heavy / 10),
    lateMs: dice.of([100, 1000, 5000, 12_000]),
  }
}

/** New leaders change the membership at once, twice, and on one side of a split. */
function drawReshaping(dice: Dice): Fault[] {
  const faults: Fault[] = []
  const changes = ['remove', 'remove', 'remove', 'grow', 'promote', 'promote', 'demote'] as const
  for (let at = 0; at < 20; at++) {
    const nth = dice.whole(1, 25)
    const delayMs = dice.of([0, 0, 5, 50, 200])
    const ms = dice.of([300, 1000, 2500])
    const strike = (later: number, action: Action): void => {
      const after = { event: 'raft.elected', nth, delayMs: delayMs + later }
      faults.push({ atMs: undefined, after, action })
    }
    if (dice.chance(0.7)) strike(0, { do: 'split', mask: dice.whole(1, 126), ms })
    else strike(0, { do: 'cut', who: 'self', way: dice.of(['out', 'both']), ms })
    strike(1, { do: 'change', change: dice.of(changes), who: 'self' })
    if (dice.chance(0.6)) strike(2, { do: 'change', change: dice.of(changes), who: 'self' })
    if (dice.chance(0.3)) {
      const downMs = dice.of([1, 100, 600])
      strike(dice.of([3, 20]), { do: 'crash', who: 'self', downMs, kept: dice.of([0, 1]) })
    }
  }
  return faults
}

/** Old letters of every kind keep arriving, some of them twice. */
function drawBabel(dice: Dice): Noise {
  return {
    loss: dice.of([0, 0.05, 0.2]),
    duplicate: dice.of([0, 0.1]),
    late: dice.of([0.02, 0.1, 0.3]),
    lateMs: dice.of([200, 600, 2000]),
  }
}

const triggers = [
  'raft.elected',
  'raft.elected',
  'raft.campaign',
  'raft.membership-appended',
  'raft.membership-committed',
  'raft.snapshot-sending',
  'raft.snapshot-installed',
  'raft.truncated',
  'raft.transfer-started',
  'raft.stepped-down',
  'raft.started',
  'sim.write-proposed',
  'sim.write-acked',
  'sim.crash',
  'post.vote',
  'post.voteReply',
  'post.voteReply',
  'post.append',
  'post.appendReply',
  'post.appendReply',
  'post.preVoteReply',
  'post.timeoutNow',
  'post.snapshotChunk',
] as const

function drawFaults(dice: Dice, healAtMs: number): Fault[] {
  // Some seeds are calm, some are restless: a fault every few hundred milliseconds.
  const isRestless = dice.chance(0.4)
  const count = isRestless ? dice.whole(40, 150) : dice.whole(0, 40)
  const faults: Fault[] = []
  // Each seed favours a few kinds, so that the same kind strikes again before the last has healed.
  const favourites = Array.from({ length: dice.whole(1, 4) }, () => dice.of(kinds))
  for (let at = 0; at < count; at++) {
    const kind = dice.chance(0.6) ? dice.of(favourites) : dice.of(kinds)
    const isTriggered = dice.chance(isRestless ? 0.3 : 0.5)
    faults.push({
      atMs: isTriggered ? undefined : dice.whole(500, healAtMs - 1000),
      after: isTriggered
        ? {
            event: dice.of(triggers),
            nth: dice.chance(0.5) ? dice.whole(1, 8) : dice.whole(1, 80),
            delayMs: dice.of([0, 0, 0, 1, 5, 20, 200]),
          }
        : undefined,
      action: drawAction(dice, kind, { isRestless, isTriggered }),
    })
  }
  return faults
}

/**
 * Leaders that come and go before they have replicated what they took on, and voters that crash in
 * the very moment of voting: the ways to figure 8, to two votes in a term, to conflicting tails.
 */
function drawContest(dice: Dice, healAtMs: number): Fault[] {
  const faults: Fault[] = []
  const after = (event: string, action: Action): void => {
    const delayMs = dice.of([0, 0, 1, 5, 30])
    faults.push({ atMs: undefined, after: { event, nth: dice.whole(1, 80), delayMs }, action })
  }
  for (let at = 0; at < 25; at++) {
    const downMs = dice.of([1, 1, 20, 200, 1000])
    after('post.voteReply', { do: 'crash', who: 'self', downMs, kept: 0 })
    after('raft.elected', { do: 'crash', who: 'self', downMs, kept: dice.of([0, 1]) })
    after('raft.elected', { do: 'burst', who: 'self', count: dice.whole(1, 4) })
    after('raft.elected', { do: 'cut', who: 'self', way: dice.of(['out', 'in']), ms: 300 })
    after('raft.elected', { do: 'pause', who: 'self', ms: dice.of([200, 500]) })
    faults.push({
      atMs: dice.whole(500, healAtMs - 1000),
      after: undefined,
      action: { do: 'split', mask: dice.whole(1, 126), ms: dice.of([100, 300, 800]) },
    })
  }
  return faults
}

const kinds = [
  'crash',
  'crash',
  'crash',
  'crashAll',
  'pause',
  'split',
  'split',
  'cut',
  'cut',
  'cut',
  'link',
  'noise',
  'slow',
  'stall',
  'full',
  'wipe',
  'rewind',
  'flip',
  'drift',
  'change',
  'change',
  'change',
  'change',
  'change',
  'transfer',
  'snapshot',
  'burst',
] as const

function drawAction(
  dice: Dice,
  kind: (typeof kinds)[number],
  how: { readonly isRestless: boolean; readonly isTriggered: boolean },
): Action {
  const anyone: Target = dice.chance(0.5) ? 'leader' : dice.whole(0, 15)
  const who: Target = how.isTriggered && dice.chance(0.5) ? 'self' : anyone
  const ms = dice.of(
    how.isRestless ? [20, 100, 300, 800, 2000] : [50, 300, 800, 2000, 5000, 15_000],
  )
  switch (kind) {
    case 'crash':
      return {
        do: 'crash',
        who,
        downMs: dice.of(how.isRestless ? [1, 10, 100, 400, 1500] : [1, 50, 500, 3000, 10_000]),
        kept: dice.of([0, 0, 0.5, 1]),
      }
    case 'crashAll':
      return { do: 'crashAll', downMs: dice.of([1, 100, 2000]), kept: dice.of([0, 0, 0.5, 1]) }
    case 'pause':
      return {
        do: 'pause',
        who,
        ms: dice.of(how.isRestless ? [100, 300, 700, 1500] : [100, 700, 2000, 8000]),
      }
    case 'split':
      return { do: 'split', mask: dice.whole(1, 126), ms }
    case 'cut':
      return { do: 'cut', who, way: dice.of(['both', 'in', 'out'] as const), ms }
    case 'link':
      return { do: 'link', who, other: dice.whole(0, 15), ms }
    case 'noise':
      return { do: 'noise', net: drawNoise(dice, 0.6), ms }
    case 'slow':
      return { do: 'slow', who, factor: dice.of([5, 50, 500]), ms }
    case 'stall':
      return { do: 'stall', who, ms }
    case 'full':
      return { do: 'full', who, ms }
    case 'wipe':
      return { do: 'wipe', who }
    case 'rewind':
      return dice.chance(0.5) ? { do: 'image', who } : { do: 'rewind', who }
    case 'flip':
      return { do: 'flip', who, where: dice.whole(0, 1000) / 1000 }
    case 'drift':
      return { do: 'drift', who, rate: dice.of([0.7, 0.9, 1, 1.1, 1.4]) }
    case 'change': {
      const change = dice.of([
        'grow',
        'grow',
        'promote',
        'promote',
        'remove',
        'remove',
        'demote',
        'address',
      ] as const)
      return { do: 'change', change, who }
    }
    case 'transfer':
      return { do: 'transfer', who: dice.chance(0.5) ? 'leader' : who }
    case 'snapshot':
      return { do: 'snapshot', who }
    case 'burst':
      return { do: 'burst', count: dice.whole(2, 40), who: dice.chance(0.8) ? 'leader' : who }
  }
}
