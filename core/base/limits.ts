// Limits: every bound that someone outside can run into, with its unit in the name and its reason.
// The first group is the API's own (clients rely on it); the second is ours, so far out that nobody
// sane meets them, and there so that one request cannot fill the log, the memory or the disk.

import { assert } from './assert.ts'

export const limits = {
  /** A service's name is a DNS label (RFC 1035), and so is a network's. */
  nameCharactersMax: 63,
  /** Names of secrets and configs, as the API has them. */
  secretNameCharactersMax: 64,
  /** A secret is smaller than this: it travels in one log entry and lies on tmpfs. */
  secretBytesMax: 500 * 1024,
  /** A config is smaller than this. */
  configBytesMax: 1000 * 1024,
  /** Less memory than this and no container starts (the engine's own bound). */
  memoryBytesMin: 4 * 1024 * 1024,
  /** A thousandth of a CPU, the least share that the kernel can tell from nothing. */
  nanoCpusMin: 1_000_000,
  /** Shorter health intervals than a millisecond would only run the check. */
  healthDurationNsMin: 1_000_000,
  /** Certificates that live less than an hour would be renewed all the time. */
  certificateExpiryNsMin: 3_600_000_000_000,
  portMax: 65_535,
  /** The largest id of a user or group; the one above it means "nobody was named". */
  userIdMax: 0xff_ff_ff_fe,
  /** The bits that chmod(2) knows: read, write, execute, and the three above them. */
  fileModeMax: 0o7777,
  /** The data path port is one of IANA's registered ports. */
  dataPathPortMin: 1_024,
  dataPathPortMax: 49_151,
  /** A /29 has 8 addresses: fewer leave none for tasks. */
  subnetSizeMax: 29,

  /** The JSON of one service spec: it is copied into each of its tasks. */
  serviceSpecBytesMax: 1024 * 1024,
  /** Tasks of one service: each is an object of some kB in every manager's memory. */
  replicasMax: 10_000,
  /** Labels of one object. */
  labelsMax: 1_000,
  /** A label's key; DNS-like names end at 253, and some people put paths there. */
  labelKeyCharactersMax: 1_024,
  /** A label's value: proxies are configured by labels, a page of text is allowed. */
  labelValueCharactersMax: 64 * 1024,
  /** Items of any list in a spec: mounts, ports, variables, constraints. */
  listItemsMax: 10_000,
  /** Published ports of one service: each is a socket on every node. */
  portsMax: 1_000,
  /** Raft entries between snapshots, at least: fewer would write nothing but snapshots. */
  snapshotIntervalMin: 1,
  /** Ended tasks kept per slot; each is some kB. */
  taskHistoryMax: 1_000,
  /** The longest heartbeat period: a lost node must be noticed within the hour. */
  heartbeatPeriodNsMax: 3_600_000_000_000,
  /** Earlier keys of the cluster that are kept, for nodes that were away: each was a deed. */
  formerKeysMax: 16,
  /** Problems that one error lists; more are counted. */
  problemsMax: 20,
} as const

assert(limits.secretBytesMax < limits.serviceSpecBytesMax, 'a secret fits where a spec fits')
assert(limits.configBytesMax < limits.serviceSpecBytesMax, 'a config fits where a spec fits')
