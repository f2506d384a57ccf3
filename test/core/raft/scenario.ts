// A stage for text scenarios: a few members whose clocks, letters and disks move only when told.
//
// A scenario is a text file. A line that begins with # is a comment; a block of commands ends with
// a line of dashes, and what follows up to the next empty line is what the commands printed.
//
//   cluster a b c               found a cluster of these voters and start them
//   member a log=1,1,4 term=7   start one founder of `voters` with a made-up log, by terms
//   voters a b c                who the founders of `member` lines are
//   limits entriesKept=0        bounds for members started from here on
//   join d                      start a process that knows only the epoch
//   tick a 10                   let time pass for one member (election 10-19 ticks, heartbeat 1)
//   elect a                     let the others forget their leader, then tick a until it campaigns
//   settle                      deliver all letters and sync all disks until nothing moves
//   deliver [a->b] [type]       deliver matching letters once, in order
//   drop, hold [a->b] [type]    lose them, or keep them aside until `release`
//   cut a->b, heal              lose what is posted on this way from now on (a->* and *->a too)
//   disk a manual|auto          a manual disk waits for `sync a`
//   sync a [n]                  the n oldest operations (or all) are durable
//   crash a, start a            what was not durable is lost
//   wipe a, backup a, rewind a  an empty disk; a copy of the disk; that copy put back
//   resume a                    that copy put back under a process that does not start anew
//   twin a x                    a second process x on a copy of the disk of a, with its id
//   recover a                   crash a, and start it as the only member of a new epoch
//   propose a text [request]    read a 7        transfer a [b]      snapshot a
//   change a add|promote|demote|remove|address d
//   full a, freed a             the disk is full, has space again
//   state, log, mail            print members, logs, letters on their way

import { numberedRandom } from '../../../core/base/random.ts'
import { bootstrapState, joinState, recoverState } from '../../../core/raft/birth.ts'
import { type RaftLimits, raftLimits } from '../../../core/raft/limits.ts'
import { createRaft } from '../../../core/raft/raft.ts'
import type {
  Entry,
  Incarnation,
  MembershipChange,
  Message,
  Outgoing,
  Promises,
  Raft,
  RaftEvent,
  RaftUpdate,
  Restored,
  Snapshot,
} from '../../../core/raft/types.ts'
import { applyOperation, type Disk, makeDisk, restore } from '../../sim/disk.ts'

interface Actor {
  readonly name: string
  readonly id: string
  readonly disk: Disk
  isManual: boolean
  raft: Raft | undefined
  staging: string
  texts: Map<string, string>
  applied: string[]
  /** Whence its present start draws its random numbers. */
  drawnFrom: number
  appliedIndex: number
}

interface Letter {
  readonly from: string
  readonly to: string
  readonly message: Message
}

interface Stage {
  readonly actors: Map<string, Actor>
  readonly lines: string[]
  mail: Letter[]
  held: Letter[]
  cuts: Set<string>
  limits: RaftLimits
  voters: string[]
  nonce: number
  changes: number
}

const epoch = { counter: 1, id: 'e1', parent: undefined }

/** Runs a scenario and returns its text with what the commands printed now. */
export function playScenario(text: string): string {
  const stage: Stage = {
    actors: new Map(),
    lines: [],
    mail: [],
    held: [],
    cuts: new Set(),
    limits: raftLimits,
    voters: [],
    nonce: 0,
    changes: 0,
  }
  const result: string[] = []
  let isOutput = false
  for (const line of text.split('\n')) {
    if (isOutput && line !== '') continue
    if (isOutput) {
      result.push(...stage.lines.splice(0), '')
      isOutput = false
      continue
    }
    result.push(line)
    if (line.startsWith('----')) isOutput = true
    else if (line !== '' && !line.startsWith('#')) obey(stage, line)
  }
  if (isOutput) result.push(...stage.lines.splice(0), '')
  return `${result.join('\n').trimEnd()}\n`
}

function obey(stage: Stage, line: string): void {
  const [command = '', ...words] = line.trim().split(/\s+/)
  const run = commands[command]
  if (run === undefined) throw new Error(`unknown command: ${line}`)
  run(stage, words)
}

function actorOf(stage: Stage, name: string | undefined): Actor {
  const actor = stage.actors.get(name ?? '')
  if (actor === undefined) throw new Error(`no member ${name}`)
  return actor
}

const commands: Readonly<Record<string, (stage: Stage, words: readonly string[]) => void>> = {
  cluster: (stage, words) => {
    stage.voters = [...words]
    for (const name of words) addActor(stage, { name, id: name, restored: founding(stage) })
  },
  voters: (stage, words) => {
    stage.voters = [...words]
  },
  member: (stage, [name = '', ...words]) => {
    const restored = madeUp(stage, words)
    addActor(stage, { name, id: name, restored })
  },
  limits: (stage, words) => {
    const pairs = words.map((word) => word.split('=')).map(([key, value]) => [key, Number(value)])
    stage.limits = { ...stage.limits, ...Object.fromEntries(pairs) }
  },
  join: (stage, [name = '']) => {
    addActor(stage, { name, id: name, restored: joinState(epoch) })
  },
  tick: (stage, [name, ticks]) => {
    step(stage, actorOf(stage, name), { type: 'ticked', ticks: Number(ticks ?? 1) })
  },
  elect: (stage, [name]) => elect(stage, actorOf(stage, name)),
  settle: (stage) => settle(stage),
  deliver: (stage, words) => {
    for (const letter of take(stage, words)) hand(stage, letter)
  },
  drop: (stage, words) => {
    stage.lines.push(`${take(stage, words).length} dropped`)
  },
  hold: (stage, words) => {
    const letters = take(stage, words)
    stage.held.push(...letters)
    stage.lines.push(`${letters.length} held`)
  },
  release: (stage) => {
    stage.mail.push(...stage.held.splice(0))
  },
  cut: (stage, words) => {
    for (const word of words) stage.cuts.add(word)
  },
  heal: (stage) => stage.cuts.clear(),
  disk: (stage, [name, mode]) => {
    actorOf(stage, name).isManual = mode === 'manual'
  },
  sync: (stage, [name, count]) => {
    sync(stage, actorOf(stage, name), Number(count ?? Number.POSITIVE_INFINITY))
  },
  crash: (stage, [name]) => crash(actorOf(stage, name)),
  start: (stage, [name]) => start(stage, actorOf(stage, name)),
  wipe: (stage, [name]) => {
    const actor = actorOf(stage, name)
    crash(actor)
    actor.disk.image = makeDisk(joinState(epoch)).image
    start(stage, actor)
  },
  backup: (stage, [name]) => {
    const actor = actorOf(stage, name)
    actor.disk.backup = { ...actor.disk.image, entries: [...actor.disk.image.entries] }
  },
  rewind: (stage, [name]) => {
    const actor = actorOf(stage, name)
    crash(actor)
    if (actor.disk.backup !== undefined) actor.disk.image = actor.disk.backup
    start(stage, actor)
  },
  resume: (stage, [name]) => {
    const actor = actorOf(stage, name)
    crash(actor)
    const { backup } = actor.disk
    if (backup === undefined) throw new Error(`${name} has no backup to resume`)
    // As it was just before that start, which then draws the same number again.
    const { hardState } = backup
    const [incarnation = joinState(epoch).hardState.incarnation, ...starts] = hardState.starts
    actor.disk.image = { ...backup, hardState: { ...hardState, incarnation, starts } }
    start(stage, actor, actor.drawnFrom)
  },
  twin: (stage, [name, other = '']) => {
    const { id, disk } = actorOf(stage, name)
    addActor(stage, { name: other, id, restored: restore(disk.image) })
  },
  recover: (stage, [name]) => {
    const actor = actorOf(stage, name)
    crash(actor)
    const recovery = { id: actor.id, address: `${actor.id}:1`, epochId: 'e2' }
    const { hardState, entries } = recoverState(restore(actor.disk.image), recovery)
    actor.disk.image = { ...actor.disk.image, hardState, entries, commit: hardState.commit }
    start(stage, actor)
  },
  propose: (stage, [name, text, request]) => {
    const proposal = { data: text, sizeBytes: 10 }
    const entries = [request === undefined ? proposal : { ...proposal, request }]
    step(stage, actorOf(stage, name), { type: 'proposed', entries })
  },
  read: (stage, [name, context]) => {
    step(stage, actorOf(stage, name), { type: 'readRequested', context: Number(context) })
  },
  transfer: (stage, [name, to]) => {
    const event = { type: 'transferRequested' } as const
    step(stage, actorOf(stage, name), to === undefined ? event : { ...event, to })
  },
  change: (stage, [name, kind, id = '']) => {
    const change = makeChange(stage, kind ?? '', id)
    step(stage, actorOf(stage, name), { type: 'membershipProposed', change })
  },
  snapshot: (stage, [name]) => takeSnapshot(stage, actorOf(stage, name)),
  unreachable: (stage, [name, member = '']) => {
    step(stage, actorOf(stage, name), { type: 'unreachable', member })
  },
  full: (stage, [name]) => {
    actorOf(stage, name).isManual = true
    step(stage, actorOf(stage, name), { type: 'diskFull' })
  },
  freed: (stage, [name]) => {
    actorOf(stage, name).isManual = false
    step(stage, actorOf(stage, name), { type: 'diskFreed' })
    sync(stage, actorOf(stage, name), Number.POSITIVE_INFINITY)
  },
  state: (stage, words) => {
    for (const actor of stage.actors.values()) {
      if (words.length === 0 || words.includes(actor.name)) printState(stage, actor)
    }
  },
  log: (stage, words) => {
    for (const actor of stage.actors.values()) {
      if (words.length === 0 || words.includes(actor.name)) printLog(stage, actor)
    }
  },
  mail: (stage) => {
    for (const { from, to, message } of stage.mail) {
      stage.lines.push(`${from}->${to} ${formatMessage(message)}`)
    }
  },
}

function founding(stage: Stage): Restored {
  const members = stage.voters.map((id) => ({ id, address: `${id}:1`, isVoter: true }))
  return bootstrapState({ membership: { members, removed: [] }, epoch })
}

/** A founder whose log has entries of the given terms behind the founding configuration. */
function madeUp(stage: Stage, words: readonly string[]): Restored {
  const given = Object.fromEntries(words.map((word) => word.split('=')))
  const { hardState, entries } = founding(stage)
  const terms = String(given['log'] ?? '')
    .split(',')
    .filter((term) => term !== '')
    .map(Number)
  const rest = terms.map((term, at): Entry => {
    const index = at + 2
    return { type: 'normal', index, term, sizeBytes: 10, data: `${index}/${term}` }
  })
  const term = Number(given['term'] ?? terms.at(-1) ?? 1)
  return { hardState: { ...hardState, term }, snapshot: undefined, entries: [...entries, ...rest] }
}

function addActor(stage: Stage, made: { name: string; id: string; restored: Restored }): void {
  const { name, id, restored } = made
  const actor: Actor = {
    name,
    id,
    disk: makeDisk(restored),
    isManual: false,
    raft: undefined,
    staging: '',
    texts: new Map(),
    applied: [],
    drawnFrom: 0,
    appliedIndex: 0,
  }
  stage.actors.set(name, actor)
  start(stage, actor)
}

function start(stage: Stage, actor: Actor, drawnFrom = ++stage.nonce): void {
  const restored = restore(actor.disk.image)
  actor.appliedIndex = restored.snapshot?.index ?? 0
  actor.drawnFrom = drawnFrom
  const random = numberedRandom(drawnFrom)
  const config = {
    id: actor.id,
    heartbeatTicks: 1,
    electionTicks: 10,
    limits: stage.limits,
    random,
  }
  actor.raft = createRaft(config, restored)
  step(stage, actor, { type: 'started' })
}

function crash(actor: Actor): void {
  actor.raft = undefined
  actor.disk.queue = []
  actor.staging = ''
}

function step(stage: Stage, actor: Actor, event: RaftEvent): void {
  if (actor.raft === undefined) return
  const update = actor.raft.step(event)
  print(stage, actor, update)
  carryOut(stage, actor, update)
}

function carryOut(stage: Stage, actor: Actor, update: RaftUpdate): void {
  const { save, send, restore: restored, committed } = update
  if (save !== undefined) {
    const { chunk, install } = save
    if (chunk !== undefined) actor.staging = (chunk.offset === 0 ? '' : actor.staging) + chunk.data
    if (install !== undefined && restored !== undefined) {
      actor.texts.set(install.id, actor.staging)
      actor.disk.staged.set(install.id, actor.staging)
    }
    actor.disk.queue.push(save)
  }
  for (const outgoing of send) post(stage, actor, outgoing)
  if (restored !== undefined) actor.appliedIndex = restored.index
  if (committed.length > 0) actor.appliedIndex = committed.at(-1)?.index ?? 0
  if (save !== undefined && !actor.isManual) sync(stage, actor, Number.POSITIVE_INFINITY)
}

function sync(stage: Stage, actor: Actor, count: number): void {
  const done = actor.disk.queue.splice(0, count)
  for (const operation of done) {
    actor.disk.image = applyOperation(actor.disk, actor.disk.image, operation)
  }
  const last = done.at(-1)
  if (last !== undefined) step(stage, actor, { type: 'persisted', operation: last.id })
}

function post(stage: Stage, actor: Actor, { to, message }: Outgoing): void {
  for (const way of [`${actor.name}->${to}`, `${actor.name}->*`, `*->${to}`]) {
    if (stage.cuts.has(way)) return
  }
  let letter = message
  if (message.type === 'snapshotChunk') {
    const { offset, sizeBytes, snapshotId } = message
    const text = actor.texts.get(snapshotId) ?? actor.disk.image.file?.text ?? ''
    letter = { ...message, data: text.slice(offset, offset + sizeBytes) }
  }
  stage.mail.push({ from: actor.name, to, message: letter })
}

function take(stage: Stage, words: readonly string[]): Letter[] {
  const way = words.find((word) => word.includes('->'))
  const type = words.find((word) => !word.includes('->'))
  const [from, to] = way?.split('->') ?? ['*', '*']
  const isWanted = (letter: Letter): boolean =>
    (from === '*' || letter.from === from) &&
    (to === '*' || letter.to === to) &&
    (type === undefined || letter.message.type === type)
  const letters = stage.mail.filter(isWanted)
  stage.mail = stage.mail.filter((letter) => !isWanted(letter))
  return letters
}

function hand(stage: Stage, { from, to, message }: Letter): void {
  const actor = stage.actors.get(to)
  const sender = stage.actors.get(from)?.id ?? from
  if (actor !== undefined) step(stage, actor, { type: 'received', from: sender, message })
}

function settle(stage: Stage): void {
  for (let round = 0; round < 200; round++) {
    const letters = stage.mail.splice(0)
    if (letters.length === 0) return
    for (const letter of letters) hand(stage, letter)
  }
  throw new Error('the members never come to rest')
}

/** The others forget their leader without campaigning; then this one campaigns. */
function elect(stage: Stage, actor: Actor): void {
  for (const other of stage.actors.values()) {
    if (other !== actor && other.raft?.role !== 'leader') {
      step(stage, other, { type: 'ticked', ticks: 9 })
      step(stage, other, { type: 'ticked', ticks: 1 })
    }
  }
  const silent = stage.mail.splice(0)
  for (const letter of silent) if (letter.from === actor.name) stage.mail.push(letter)
  for (let ticks = 0; ticks < 20 && actor.raft?.role === 'follower'; ticks++) {
    step(stage, actor, { type: 'ticked', ticks: 1 })
  }
  settle(stage)
}

function takeSnapshot(stage: Stage, actor: Actor): void {
  const { raft } = actor
  if (raft === undefined) return
  const head = raft.snapshotHead(actor.appliedIndex)
  const text = `state-at-${head.index}`
  const snapshot: Snapshot = { ...head, id: text, sizeBytes: text.length }
  actor.texts.set(text, text)
  actor.disk.image = { ...actor.disk.image, file: { snapshot, text } }
  step(stage, actor, { type: 'snapshotTaken', snapshot })
}

function makeChange(stage: Stage, kind: string, id: string): MembershipChange {
  stage.changes++
  if (kind === 'add') return { type: 'addLearner', id, address: `${id}:1` }
  if (kind === 'address') return { type: 'changeAddress', id, address: `${id}:${stage.changes}` }
  if (kind === 'promote' || kind === 'demote' || kind === 'remove') return { type: kind, id }
  throw new Error(`unknown change ${kind}`)
}

const shown = new Set([
  'raft.truncated',
  'raft.membership-rolled-back',
  'raft.snapshot-sending',
  'raft.snapshot-installed',
  'raft.transfer-failed',
  'raft.disk-stalled',
  'raft.member-forgot',
  'raft.campaign-lost',
  'raft.quorum-lost',
])

function print(stage: Stage, actor: Actor, update: RaftUpdate): void {
  const say = (text: string): void => void stage.lines.push(`${actor.name}: ${text}`)
  for (const { event, fields } of update.notes) {
    if (!shown.has(event)) continue
    const { term: _term, ...rest } = fields
    const details = Object.entries(rest).map(([key, value]) => ` ${key}=${value}`)
    say(`${event.slice(5)}${details.join('')}`)
  }
  const { role, fate, committed, accepted, refused, reads } = update
  for (const { reason } of refused) say(`refused: ${reason}`)
  for (const { index, term, isDuplicate } of accepted) {
    say(`accepted ${index}/${term}${isDuplicate ? ' again' : ''}`)
  }
  if (role !== undefined)
    say(`${role.role} in term ${role.term}, leader ${role.leaderId ?? 'none'}`)
  if (fate !== undefined) say(`fate: ${fate.type}`)
  if (committed.length > 0) say(`commits ${committed.map(formatEntry).join(' ')}`)
  for (const { context, index } of reads) say(`read ${context} at ${index}`)
}

function formatEntry(entry: Entry): string {
  const { index, term, type } = entry
  if (type === 'noop') return `${index}/${term}:noop`
  if (type === 'normal') return `${index}/${term}:${entry.data}`
  const members = entry.data.members.map(({ id, isVoter }) => (isVoter ? id : `(${id})`))
  return `${index}/${term}:{${members.join(' ')}}`
}

function printState(stage: Stage, actor: Actor): void {
  const { raft } = actor
  if (raft === undefined) {
    stage.lines.push(`${actor.name}: down`)
    return
  }
  const { role, term, leaderId, firstIndex, lastIndex, commit, votedFor } = raft
  const vote = votedFor === undefined ? '' : ` voted ${votedFor}`
  stage.lines.push(
    `${actor.name}: ${role} term ${term}${vote} leader ${leaderId ?? 'none'} log ${firstIndex}-${lastIndex} commit ${commit}`,
  )
  for (const follower of raft.followers) {
    const { id, state, match, next } = follower
    stage.lines.push(`   ${id}: ${state} match ${match} next ${next}`)
  }
}

function printLog(stage: Stage, actor: Actor): void {
  const { raft } = actor
  if (raft === undefined) return
  const entries: string[] = []
  for (let index = raft.firstIndex; index <= raft.lastIndex; index++) {
    const entry = raft.entryAt(index)
    if (entry !== undefined) entries.push(formatEntry(entry))
  }
  const durable = actor.disk.image.entries.at(-1)?.index ?? actor.disk.image.file?.snapshot.index
  stage.lines.push(
    `${actor.name}: ${entries.join(' ')} (durable ${durable ?? 0}, commit ${raft.commit})`,
  )
}

function formatMessage(message: Message): string {
  const { type, term, epoch: _epoch, incarnation: _incarnation, ...rest } = message
  const fields = Object.entries(rest).flatMap(([key, value]) => {
    if (key === 'entries') return [`entries=${(value as Entry[]).map(formatEntry).join(',')}`]
    if (key === 'promises') return formatPromises(value as Promises)
    if (key === 'starts') return [`starts=${(value as Incarnation[]).map(formatStart).join(',')}`]
    if (key === 'snapshot' || key === 'epochHere' || key === 'about') return []
    return [`${key}=${String(value)}`]
  })
  return `${type} t${term} ${fields.join(' ')}`
}

function formatPromises(promises: Promises): readonly string[] {
  const rows = Object.entries(promises).map(([id, { term, index }]) => `${id}:${index}/${term}`)
  return rows.length === 0 ? [] : [`promises=${rows.join(',')}`]
}

function formatStart({ counter, foundIndex, foundTerm }: Incarnation): string {
  return `${counter}:${foundIndex}/${foundTerm}`
}
