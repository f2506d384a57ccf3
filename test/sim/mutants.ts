// Planted bugs, by class of public report. Each is an edit of the source text, made on a copy of
// the tree by scripts/mutants.ts, so that the product carries no switch for them. The text to be
// replaced must stand in its file exactly once: a mutant that no longer fits the code fails loudly.
//
// Classes 9, 19, 33, 34 and 38 live in the host (disk and state machine); they are planted in the
// simulator's host, which stands for it.

export interface Edit {
  readonly file: string
  readonly find: string
  readonly replace: string
}

export interface Mutant {
  readonly name: string
  /** Number of the class of bugs; see the table that scripts/mutants.ts prints. */
  readonly kind: number
  readonly edits: readonly Edit[]
  /** Why it does no harm in this code, so that neither seed nor scenario can see it. */
  readonly harmless?: string
}

export const classes: Readonly<Record<number, string>> = {
  1: 'an entry of an older term is committed by counting replicas (figure 8)',
  2: 'a vote is not durable before the reply',
  3: "a candidate's own vote is not durable before it counts or asks",
  4: 'two votes in a term',
  5: 'the vote is kept when the term grows',
  6: 'a vote for a shorter or older log',
  7: 'a follower acknowledges before its append is durable',
  8: 'a leader counts its own entry before it is durable',
  9: 'the sync is skipped',
  10: 'the log is cut though nothing conflicts',
  11: 'the previous entry is not checked',
  12: 'the last index is acknowledged instead of what the append covers',
  13: "the leader's commit index is taken without regard to what the append covers",
  14: 'a message of an older term is accepted',
  15: 'an old refusal moves next below match',
  16: 'a read without a quorum',
  17: 'a read before an entry of the own term is committed',
  18: 'an old answer confirms a new read',
  19: 'a read before its index is applied',
  20: 'a lease by the local clock',
  21: 'a membership change before an entry of the own term is committed (2015)',
  22: 'two membership changes at a time',
  23: 'a configuration in force at apply, or not rolled back',
  24: 'a removed leader counts itself, or a leaving server never campaigns',
  25: 'a new leader ignores an uncommitted configuration',
  26: 'a snapshot without the configuration in force at its index',
  27: 'a snapshot moves the state back',
  28: 'a snapshot drops a matching tail, or keeps a conflicting one',
  29: 'pieces of two snapshots are mixed, or resumed at a wrong offset',
  30: 'no pre-vote, no check-quorum, or no stickiness',
  31: 'a pre-vote refusal does not spread the term',
  32: 'a retried proposal is appended twice',
  33: 'index and state are not saved together',
  34: 'a torn tail taken for damage, or damage for a torn tail',
  35: 'a wiped member votes under its old id',
  36: 'a majority is half',
  37: 'a storage completion counts after a truncation (ABA)',
  38: 'the state machine is not deterministic',
  39: 'messages of another epoch are accepted',
  40: 'a start acts before its incarnation is durable',
  41: 'an operation is not what the fault model allows (found by this simulator)',
  42: 'a disk put back within one start is believed',
}

const at = (file: string, find: string, replace: string): Edit => ({
  file: `core/raft/${file}.ts`,
  find,
  replace,
})
const inHost = (file: string, find: string, replace: string): Edit => ({
  file: `test/sim/${file}.ts`,
  find,
  replace,
})

const noSuchAppend =
  'an append that fits begins where the logs meet and holds the first entry that differs, so no ' +
  'tail is left behind it (core/raft/README.md); the unit tests of a follower send one by hand'

const noVoteAssertion = at(
  'state',
  '  assert(\n    state.votedFor === undefined || state.votedFor === votedFor,\n    `one vote in term ${state.term}: ${state.votedFor}, not ${votedFor}`,\n  )\n',
  '',
)

export const mutants: readonly Mutant[] = [
  {
    name: 'commit-old-term',
    kind: 1,
    edits: [
      at(
        'leader',
        'if (index <= state.commit || termOf(state, index) !== state.term) return',
        'if (index <= state.commit) return',
      ),
    ],
  },
  {
    name: 'vote-unsynced',
    kind: 2,
    edits: [
      at(
        'election',
        "promise(state, from, { type: 'voteReply', isGranted: true })",
        "send(state, from, { type: 'voteReply', isGranted: true })",
      ),
    ],
  },
  {
    name: 'vote-not-saved',
    kind: 2,
    edits: [
      at(
        'state',
        '  state.votedFor = votedFor\n  state.out.isHardStateDirty = true\n',
        '  state.votedFor = votedFor\n',
      ),
      at(
        'state',
        '  return { term, votedFor, commit, epoch, incarnation, starts, seen, promises }\n',
        '  const nobody = votedFor === undefined ? votedFor : undefined\n  return { term, votedFor: nobody, commit, epoch, incarnation, starts, seen, promises }\n',
      ),
    ],
  },
  {
    name: 'own-vote-unsynced',
    kind: 3,
    edits: [
      at(
        'election',
        '  state.out.selfVoteTerm = state.term\n',
        '  state.out.selfVoteTerm = state.term\n  state.votes.set(state.id, true)\n',
      ),
      at('election', 'promise(state, member.id, ask)', 'send(state, member.id, ask)'),
    ],
  },
  {
    name: 'vote-twice',
    kind: 4,
    edits: [
      at(
        'election',
        '    state.votedFor === from || (state.votedFor === undefined && state.leaderId === undefined)',
        '    state.leaderId === undefined',
      ),
      noVoteAssertion,
    ],
  },
  {
    name: 'vote-kept',
    kind: 5,
    edits: [
      at('state', '  state.term = term\n  state.votedFor = undefined\n', '  state.term = term\n'),
      noVoteAssertion,
    ],
  },
  {
    name: 'vote-any-log',
    kind: 6,
    edits: [
      at(
        'log',
        '  const term = lastTerm(log)\n  return other.lastTerm > term ||',
        '  const term = lastTerm(log)\n  return other.lastTerm >= 0 || other.lastTerm > term ||',
      ),
    ],
  },
  {
    name: 'vote-length-only',
    kind: 6,
    edits: [
      at(
        'log',
        '  return other.lastTerm > term || (other.lastTerm === term && other.lastIndex >= lastIndex(log))',
        '  return other.lastIndex >= lastIndex(log) || other.lastTerm < term - 1_000_000',
      ),
    ],
  },
  {
    name: 'vote-index-first',
    kind: 6,
    edits: [
      at(
        'log',
        '  return other.lastTerm > term || (other.lastTerm === term && other.lastIndex >= lastIndex(log))',
        '  const last = lastIndex(log)\n  return other.lastIndex > last || (other.lastIndex === last && other.lastTerm >= term)',
      ),
    ],
  },
  {
    name: 'ack-unsynced',
    kind: 7,
    edits: [
      at(
        'follower',
        "promise(state, from, { type: 'appendReply', match: last })",
        "send(state, from, { type: 'appendReply', match: last })",
      ),
    ],
  },
  {
    name: 'leader-counts-unsynced',
    kind: 8,
    edits: [
      at(
        'leader',
        'id === state.id ? state.durableIndex',
        'id === state.id ? lastIndex(state.log)',
      ),
    ],
  },
  {
    name: 'no-sync',
    kind: 9,
    edits: [
      inHost(
        'host',
        '  disk.queue.push(operation)\n',
        "  disk.queue.push(operation)\n  const { generation } = node\n  const call = (): void => {\n    if (node.generation === generation) step(world, node, { type: 'persisted', operation: operation.id })\n  }\n  schedule(world, { kind: 'call', at: world.now, node: node.number, call })\n",
      ),
    ],
  },
  {
    name: 'cut-always',
    kind: 10,
    edits: [at('follower', '    if (here === entry.term) continue\n', '')],
  },
  {
    name: 'cut-behind',
    kind: 10,
    edits: [
      at(
        'follower',
        '  appendNew(state, message)\n',
        '  appendNew(state, message)\n  if (lastIndex(state.log) > Math.max(last, state.commit)) truncateLog(state, Math.max(last, state.commit) + 1)\n',
      ),
    ],
  },
  {
    name: 'no-prev-check',
    kind: 11,
    edits: [
      at(
        'follower',
        'if (prevIndex > state.commit && termAt(state.log, prevIndex) !== prevTerm) {',
        'if (prevIndex > lastIndex(state.log)) {',
      ),
    ],
  },
  {
    name: 'ack-last-index',
    kind: 12,
    harmless: noSuchAppend,
    edits: [
      at(
        'follower',
        "promise(state, from, { type: 'appendReply', match: last })",
        "promise(state, from, { type: 'appendReply', match: lastIndex(state.log) })",
      ),
      at(
        'leader',
        '  assert(message.match <= lastIndex(state.log), `${from} acknowledges no more than was sent`)\n',
        '',
      ),
      at(
        'leader',
        '  const isNews = acknowledge(progress, message.match)',
        '  const isNews = acknowledge(progress, Math.min(message.match, lastIndex(state.log)))',
      ),
    ],
  },
  {
    name: 'commit-past-append',
    kind: 13,
    harmless: noSuchAppend,
    edits: [
      at(
        'follower',
        'Math.min(message.commit, last)',
        'Math.min(message.commit, lastIndex(state.log))',
      ),
    ],
  },
  {
    name: 'old-leader-accepted',
    kind: 14,
    edits: [
      at(
        'follower',
        "  if (message.term < state.term) {\n    send(state, from, { type: 'termNotice' })\n    return false\n  }\n",
        '  if (state.leader !== undefined && message.term <= state.term) return false\n',
      ),
      at(
        'follower',
        "  assert(state.leader === undefined || message.term > state.term, 'one leader a term')\n",
        '',
      ),
      at(
        'follower',
        '    becomeFollower(state, message.term, from)',
        '    becomeFollower(state, Math.max(message.term, state.term), from)',
      ),
    ],
  },
  {
    name: 'old-answer-accepted',
    kind: 14,
    edits: [
      at('raft', '  return message.term === state.term\n', '  return true\n'),
      at(
        'followers',
        'if (state.leader === undefined || term !== state.term) return undefined',
        'if (state.leader === undefined || term > state.term) return undefined',
      ),
    ],
  },
  {
    name: 'old-refusal-rules',
    kind: 15,
    edits: [
      at('leader', '  if (message.prevIndex <= progress.match) return\n', ''),
      at('leader', '    if (progress.next - 1 !== message.prevIndex) return\n', ''),
      at(
        'progress',
        '  progress.next = Math.max(next, progress.match + 1)\n',
        '  progress.next = next\n',
      ),
    ],
  },
  {
    name: 'read-without-quorum',
    kind: 16,
    edits: [
      at(
        'reads',
        '    if (!isConfirmed) return\n',
        '    if (!isConfirmed && membership.members.length === 0) return\n',
      ),
    ],
  },
  {
    name: 'read-before-own-term',
    kind: 17,
    edits: [
      at(
        'reads',
        'const index = state.commit >= leader.firstIndex ? state.commit : undefined',
        'const index = state.commit',
      ),
    ],
  },
  {
    name: 'read-old-answer',
    kind: 18,
    edits: [at('reads', 'round: leader.round + 1 })', 'round: leader.round })')],
  },
  {
    name: 'read-before-apply',
    kind: 19,
    edits: [
      inHost(
        'world',
        "node.work.push({ type: 'read', context, index })",
        'answerRead(world, node, context + 0 * index)',
      ),
      inHost(
        'world',
        "import { failRead, retry } from './clients.ts'",
        "import { answerRead, failRead, retry } from './clients.ts'",
      ),
    ],
  },
  {
    name: 'read-by-lease',
    kind: 20,
    edits: [
      at(
        'reads',
        '(leader.progress.get(id)?.roundAcked ?? 0) >= round,',
        'state.now - (leader.progress.get(id)?.heardAt ?? -1e9) < 2 * state.electionTicks,',
      ),
    ],
  },
  {
    name: 'change-before-own-term',
    kind: 21,
    edits: [
      at(
        'proposals',
        'if (state.commit < leaderOf(state).firstIndex) {',
        'if (leaderOf(state).firstIndex < 0) {',
      ),
    ],
  },
  {
    name: 'changes-overlap',
    kind: 22,
    edits: [at('proposals', '  if (newest.index > state.commit) {', '  if (newest.index < 0) {')],
  },
  {
    name: 'two-removed-at-once',
    kind: 22,
    edits: [
      at(
        'membership',
        'members: now.members.filter((member) => member.id !== change.id),',
        'members: now.members.filter((member, place) => member.id !== change.id && (place !== 0 || now.members.length < 4)),',
      ),
    ],
  },
  {
    name: 'change-at-apply',
    kind: 23,
    edits: [
      at(
        'state',
        '  return state.memberships.at(-1)?.membership ?? emptyMembership',
        '  return membershipAt(state, state.commit).membership',
      ),
    ],
  },
  {
    name: 'change-not-rolled-back',
    kind: 23,
    edits: [
      at(
        'state',
        'while ((state.memberships.at(-1)?.index ?? 0) >= from) {',
        'while ((state.memberships.at(-1)?.index ?? 0) >= from + 1e9) {',
      ),
    ],
  },
  {
    name: 'removed-leader-counts',
    kind: 24,
    edits: [
      at(
        'leader',
        '  const index = quorumValue(membershipOf(state), (id) =>',
        '  const { members, removed } = membershipOf(state)\n  const own = { id: state.id, address: "", isVoter: true }\n  const voters = members.filter((member) => member.isVoter)\n  const withUs = voters.length > 1 && !isVoter(membershipOf(state), state.id) ? { members: [own, ...voters.slice(1)], removed } : membershipOf(state)\n  const index = quorumValue(withUs, (id) =>',
      ),
    ],
  },
  {
    name: 'leaving-never-campaigns',
    kind: 24,
    edits: [
      at(
        'state',
        '  return isVoter(membershipAt(state, newest.index - 1).membership, state.id)',
        '  return false',
      ),
    ],
  },
  {
    name: 'read-counts-removed-leader',
    kind: 24,
    edits: [
      at(
        'reads',
        '    const isConfirmed = hasQuorum(membership, (id) =>\n      id === state.id',
        '    const isConfirmed = hasQuorum(membership, (id) =>\n      id === state.id || (id === membership.members[0]?.id && membership.members.every((member) => member.id !== state.id))',
      ),
    ],
  },
  {
    name: 'new-leader-forgets-change',
    kind: 25,
    edits: [
      at(
        'leader',
        "  assert(state.role === 'candidate', 'only a candidate becomes leader')\n",
        '  state.memberships = state.memberships.filter((placed) => placed.index <= state.commit)\n',
      ),
    ],
  },
  {
    name: 'snapshot-newest-change',
    kind: 26,
    edits: [
      at(
        'snapshots',
        '  const placed = membershipAt(state, index)\n',
        '  const placed = membershipAt(state, Number.MAX_SAFE_INTEGER)\n',
      ),
    ],
  },
  {
    name: 'snapshot-without-change',
    kind: 26,
    edits: [
      at(
        'snapshots',
        '  state.memberships = [{ index: snapshot.membershipIndex, membership: snapshot.membership }]\n',
        '',
      ),
    ],
  },
  {
    name: 'snapshot-goes-back',
    kind: 27,
    edits: [
      at('snapshots', '  if (snapshot.index <= state.commit) return true\n', ''),
      at(
        'snapshots',
        "  assert(snapshot.index > state.commit, 'a snapshot never moves the commit index back')\n",
        '',
      ),
      at(
        'snapshots',
        '  commitTo(state, snapshot.index)\n  return true\n',
        '  commitTo(state, Math.max(state.commit, snapshot.index))\n  return true\n',
      ),
    ],
  },
  {
    name: 'snapshot-drops-tail',
    kind: 28,
    edits: [
      at(
        'snapshots',
        '  if (termAt(state.log, snapshot.index) !== snapshot.term) return false\n  commitTo(state, snapshot.index)\n  return true\n',
        '  return termAt(state.log, snapshot.index) === -1\n',
      ),
    ],
  },
  {
    name: 'snapshot-keeps-conflict',
    kind: 28,
    edits: [
      at(
        'snapshots',
        '  if (termAt(state.log, snapshot.index) !== snapshot.term) return false\n',
        '  if (termAt(state.log, snapshot.index) === undefined) return false\n',
      ),
    ],
  },
  {
    name: 'pieces-mixed',
    kind: 29,
    edits: [
      at(
        'snapshots',
        '  const expected = staging?.snapshot.id === snapshotId ? staging.offset : 0\n',
        '  const expected = staging?.offset ?? 0\n',
      ),
      at(
        'snapshots',
        '  if (staging === undefined || staging.snapshot.id !== snapshotId || offset !== expected) {',
        '  if (staging === undefined || offset !== expected) {',
      ),
      at(
        'snapshots',
        '  if (snapshot !== undefined && state.staging?.snapshot.id !== snapshotId) {',
        '  if (snapshot !== undefined && state.staging === undefined) {',
      ),
    ],
  },
  {
    name: 'piece-at-any-offset',
    kind: 29,
    edits: [
      at(
        'snapshots',
        '  if (staging === undefined || staging.snapshot.id !== snapshotId || offset !== expected) {',
        '  if (staging === undefined || staging.snapshot.id !== snapshotId) {',
      ),
    ],
  },
  {
    name: 'no-pre-vote',
    kind: 30,
    edits: [
      at(
        'election',
        "    note(state, 'raft.campaign-lost')\n  }\n  preCampaign(state)\n",
        "    note(state, 'raft.campaign-lost')\n  }\n  if (state.now < 0) preCampaign(state)\n  else campaign(state, false)\n",
      ),
    ],
  },
  {
    name: 'no-check-quorum',
    kind: 30,
    edits: [
      at(
        'leader',
        '  if (!hasQuorum(membershipOf(state), (id) => isRecentlyHeard(state, id))) {',
        '  if (state.now < 0) {',
      ),
    ],
  },
  {
    name: 'no-stickiness',
    kind: 30,
    edits: [
      at(
        'election',
        '  if (state.leader !== undefined) return true\n  return state.leaderId !== undefined && state.now - state.leaderHeardAt < state.electionTicks',
        '  return state.now < 0',
      ),
    ],
  },
  {
    name: 'refusal-spreads-no-term',
    kind: 31,
    edits: [
      at(
        'election',
        '    if (!message.isGranted) becomeFollower(state, message.term, undefined)\n',
        '',
      ),
    ],
  },
  {
    name: 'retry-appended-twice',
    kind: 32,
    edits: [
      at(
        'proposals',
        'const earlier = request === undefined ? undefined : findRequest(state.requests, request)',
        'const earlier = request === undefined ? undefined : findRequest(state.requests, `${request}?`)',
      ),
    ],
  },
  {
    name: 'requests-not-in-snapshot',
    kind: 32,
    edits: [
      at(
        'snapshots',
        '  state.requests = makeRequests(snapshot.requests)\n',
        '  state.requests = makeRequests([])\n',
      ),
    ],
  },
  {
    name: 'index-behind-state',
    kind: 33,
    edits: [
      inHost('host', '  node.applied = snapshot.index\n', '  node.applied = snapshot.index - 1\n'),
    ],
  },
  {
    name: 'torn-tail-is-damage',
    kind: 34,
    edits: [
      inHost(
        'world',
        "  if (survive < disk.queue.length) count(world, 'sim.crash-lost-writes', node.number)\n",
        '  if (survive < disk.queue.length) node.isStopped = true\n',
      ),
    ],
  },
  {
    name: 'damage-is-torn-tail',
    kind: 34,
    edits: [
      inHost(
        'faults',
        '  world.trace?.(`${world.now.toFixed(2)} ${node.id} finds damage and stays down`)\n',
        '  const { image } = node.disk\n  const kept = Math.floor(image.entries.length * _where)\n  const commit = Math.min(image.commit, image.baseIndex + kept)\n  const hardState = { ...image.hardState, commit: Math.min(image.hardState.commit, commit) }\n  node.disk.image = { ...image, hardState, commit, entries: image.entries.slice(0, kept) }\n  node.isLost = false\n  startNode(world, node)\n',
      ),
    ],
  },
  {
    name: 'wiped-member-votes',
    kind: 35,
    edits: [
      at(
        'identity',
        '  if (last !== undefined && isSameStart(last, incarnation)) return true\n',
        '  if (last !== undefined) return true\n',
      ),
      at(
        'state',
        "if (isOld && !isSameStart(incarnation, state.incarnation)) stop(state, { type: 'outdated' })",
        'if (isOld && state.now < 0) return',
      ),
      at('election', '  return lastIndex(state.log) > 0\n', '  return lastIndex(state.log) >= 0\n'),
      at('leader', '    distrust(state, from)\n    appendNoop(state)\n    return\n', ''),
    ],
  },
  {
    name: 'majority-is-half',
    kind: 36,
    edits: [
      at(
        'membership',
        '  return Math.floor(voterCount(membership) / 2) + 1',
        '  return Math.max(1, Math.ceil(voterCount(membership) / 2))',
      ),
    ],
  },
  {
    name: 'majority-rounded-down',
    kind: 36,
    edits: [
      at(
        'membership',
        '  return Math.floor(voterCount(membership) / 2) + 1',
        '  return Math.max(1, Math.floor(voterCount(membership) / 2))',
      ),
    ],
  },
  {
    name: 'completion-after-cut',
    kind: 37,
    edits: [
      at(
        'state',
        '    operation.lastIndex = Math.min(operation.lastIndex, from - 1)\n',
        '    operation.lastIndex = Math.max(operation.lastIndex, 0)\n',
      ),
    ],
  },
  {
    name: 'clock-in-apply',
    kind: 38,
    edits: [
      inHost(
        'host',
        'node.hash = mix(node.hash, write.value)',
        'node.hash = mix(node.hash, `${write.value}${Math.floor(world.now / 1000)}`)',
      ),
    ],
  },
  {
    name: 'any-epoch',
    kind: 39,
    edits: [
      at('identity', '  if (message.epoch !== state.epoch.id) {', '  if (message.epoch === "") {'),
    ],
  },
  {
    name: 'start-unsynced',
    kind: 40,
    edits: [
      at(
        'raft',
        "  note(state, 'raft.started', { incarnation: state.incarnation.counter })\n",
        "  note(state, 'raft.started', { incarnation: state.incarnation.counter })\n  becomeStarted(state)\n",
      ),
    ],
  },
  {
    name: 'grace-counts-as-reachable',
    kind: 41,
    edits: [
      at(
        'followers',
        '  return id === state.id || state.leader?.progress.get(id)?.hasAnswered === true\n',
        '  return true\n',
      ),
    ],
  },
  {
    name: 'conflicting-log-kept',
    kind: 28,
    edits: [
      at(
        'raft',
        '  return entries[snapshot.index - first.index]?.term !== snapshot.term\n',
        '  return entries[snapshot.index - first.index] === undefined\n',
      ),
    ],
  },
  {
    name: 'log-behind-snapshot-kept',
    kind: 41,
    edits: [at('raft', '  if (state.isLogStale) state.out.install = state.snapshot\n', '')],
  },
  {
    name: 'broken-promise-believed',
    kind: 42,
    edits: [
      at(
        'state',
        '  if (promised === undefined || promised.counter >= start.counter) return false\n',
        '  if (promised === undefined || promised.counter > 0) return false\n',
      ),
    ],
  },
  {
    name: 'promise-of-what-was-found',
    kind: 42,
    edits: [
      at(
        'state',
        '  state.seen = {\n',
        '  const { counter, foundTerm, foundIndex } = incarnation\n  state.promises = { ...state.promises, [id]: { counter, term: foundTerm, index: foundIndex } }\n  state.seen = {\n',
      ),
    ],
  },
  {
    name: 'commit-of-earlier-start',
    kind: 42,
    edits: [
      at(
        'follower',
        '  commitTo(state, Math.min(commit, state.matched))\n',
        '  if (commit <= lastIndex(state.log)) commitTo(state, commit)\n',
      ),
    ],
  },
]
