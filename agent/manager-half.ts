// Manager half: what makes a node a manager. Its keys, its log on the disk, the manager machine and
// the host that serves it. A node opens it when it founds a cluster, when it starts and its keys
// are open, when it is unlocked, and when it is promoted.

import { CodedError } from '../core/base/error.ts'
import type { NodeId } from '../core/base/id.ts'
import type { Log } from '../core/base/note.ts'
import { seededRandom } from '../core/base/random.ts'
import type { Assignments } from '../core/dispatch/protocol.ts'
import { ManagerMachine } from '../core/machine/manager.ts'
import type { ClusterObject } from '../core/object/object.ts'
import { raftLimits } from '../core/raft/limits.ts'
import { createRaft } from '../core/raft/raft.ts'
import type { Outgoing, Raft, Restored } from '../core/raft/types.ts'
import { bootId } from './base/boot-id.ts'
import type { Clock } from './base/clock.ts'
import { ManagerHost } from './host/manager-host.ts'
import type { DataKeys } from './storage/data-key.ts'
import { realDisk } from './storage/disk.ts'
import { openRaftStorage, type RaftStorage } from './storage/raft-storage.ts'
import { recordStart } from './storage/starts.ts'

export interface ManagerHalfOptions {
  /** The state folder. */
  readonly folder: string
  readonly memberId: string
  readonly dataKeys: DataKeys
  /** What a member without a log begins with. */
  readonly founding: Restored | undefined
  readonly clock: Clock
  readonly log: Log
  readonly send: (outgoing: Outgoing) => void
  readonly assign: (nodeId: NodeId, assignments: Assignments) => void
  readonly onReady: (isReady: boolean) => void
  readonly onFatal: (error: unknown) => void
}

export interface ManagerHalf {
  readonly host: ManagerHost
  readonly machine: ManagerMachine
  readonly storage: RaftStorage
  readonly close: () => Promise<void>
}

/** Ticks of `tickMs`: a heartbeat every 100 ms, an election after 500 to 1000 ms. */
const heartbeatTicks = 1
const electionTicks = 5
/** How often a full disk is tried again. */
const spaceRetryMs = 1_000

/**
 * Opens the log and starts the machine. Throws damaged-data if the log is damaged, or is older than
 * the one that this node had: such a member may have promised what it does not remember.
 */
export async function openManager(options: ManagerHalfOptions): Promise<ManagerHalf> {
  const { folder, memberId, clock, log } = options
  const room = watchRoom(clock)
  let raft: Raft | undefined
  const storage = await openRaftStorage({
    disk: realDisk,
    folder: `${folder}/raft`,
    keys: options.dataKeys,
    log,
    onFatal: options.onFatal,
    onSpace: room.changed,
    snapshotsInUse: () => raft?.snapshotsInUse ?? [],
  })
  try {
    const restored = await restore(storage, options)
    const random = seededRandom(clock.randomBytes(16))
    raft = createRaft(
      { id: memberId, heartbeatTicks, electionTicks, limits: raftLimits, random },
      restored,
    )
    const snapshot = await readObjects(storage)
    const machine = new ManagerMachine({
      raft,
      random,
      ...(snapshot === undefined ? {} : { snapshot }),
    })
    const host = new ManagerHost({
      machine,
      storage,
      clock,
      log,
      send: options.send,
      assign: options.assign,
      onReady: options.onReady,
      onFatal: options.onFatal,
    })
    room.follow(storage, (isFull) => {
      if (isFull)
        log('error', 'disk.full', {
          folder,
          remedy: 'make room; the agent tries again every second',
        })
      else log('info', 'disk.has-room', { folder })
      host.dispatch({ type: isFull ? 'diskFull' : 'diskFreed', nowMs: clock.nowMs() })
    })
    return {
      host,
      machine,
      storage,
      close: async () => {
        room.stop()
        host.close()
        await storage.close()
      },
    }
  } catch (error) {
    room.stop()
    await storage.close()
    throw error
  }
}

async function restore(storage: RaftStorage, options: ManagerHalfOptions): Promise<Restored> {
  const { restored } = storage
  const start = await recordStart(realDisk, options.folder, {
    hardState: restored?.hardState,
    bootId: bootId(),
  })
  if (start.rewound !== undefined) {
    throw new CodedError(
      'damaged-data',
      `${options.folder}: ${start.rewound}. This disk went back in time, and the node may have promised what it does not remember. Remove it from the cluster and join it again`,
    )
  }
  if (restored !== undefined) return restored
  const { founding } = options
  if (founding === undefined) {
    throw new CodedError('damaged-data', `${options.folder}/raft: the log of this manager is gone`)
  }
  await storage.begin(founding)
  return founding
}

async function readObjects(
  storage: RaftStorage,
): Promise<{ index: number; objects: readonly ClusterObject[] } | undefined> {
  const snapshot = storage.restored?.snapshot
  if (snapshot === undefined) return undefined
  const objects: ClusterObject[] = []
  for await (const value of storage.readSnapshot(snapshot.id)) objects.push(value as ClusterObject)
  return { index: snapshot.index, objects }
}

/** Follows a disk that fills up and gets room again, also before anybody listens. */
function watchRoom(clock: Clock): {
  readonly changed: (isFull: boolean) => void
  readonly follow: (storage: RaftStorage, tell: (isFull: boolean) => void) => void
  readonly stop: () => void
} {
  let isFull = false
  let isStopped = false
  let cancel: (() => void) | undefined
  let retry: () => Promise<unknown> = async () => undefined
  let tell: (isFull: boolean) => void = () => undefined
  const again = (): void => {
    cancel = clock.after(spaceRetryMs, () => {
      void retry().then(() => {
        if (isFull && !isStopped) again()
      })
    })
  }
  const changed = (isNowFull: boolean): void => {
    if (isFull === isNowFull || isStopped) return
    isFull = isNowFull
    cancel?.()
    if (isFull) again()
    tell(isFull)
  }
  return {
    changed,
    follow: (storage, listener) => {
      retry = () => storage.retrySpace()
      tell = listener
      if (isFull) listener(true)
    },
    stop: () => {
      isStopped = true
      cancel?.()
    },
  }
}
