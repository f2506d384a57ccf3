// What an absent field means: Swarm's defaults (swarmkit api/defaults), but where section 12 of
// the design says otherwise. Read by controllers, by inspect (`insertDefaults=true`) and by tests.

import { nsPerSecond } from '../base/time.ts'
import type { ClusterSpec } from './cluster.ts'
import type { EndpointSpec, RestartPolicy, UpdateConfig } from './service.ts'

export const defaultUpdate = {
  parallelism: 1,
  delayNs: 0,
  failureAction: 'pause',
  monitorNs: 5 * nsPerSecond,
  maxFailureRatio: 0,
  order: 'stop-first',
} as const satisfies Required<UpdateConfig>

export const defaultRestart = {
  condition: 'any',
  delayNs: 5 * nsPerSecond,
  maxAttempts: 0,
  windowNs: 0,
} as const satisfies Required<RestartPolicy>

export const defaultEndpoint = { mode: 'vip', ports: [] } as const satisfies EndpointSpec

export const defaultStopGraceNs = 10 * nsPerSecond

export const defaultClusterSpec: ClusterSpec = {
  name: 'default',
  labels: {},
  orchestration: { taskHistoryLimit: 5 },
  raft: {
    snapshotInterval: 10_000,
    keepOldSnapshots: 0,
    logEntriesForSlowFollowers: 500,
    electionTick: 10,
    heartbeatTick: 1,
  },
  dispatcher: { heartbeatPeriodNs: nsPerSecond },
  ca: { nodeCertExpiryNs: 90 * 24 * 3_600 * nsPerSecond },
  taskDefaults: {},
  encryption: { autoLockManagers: false },
}

/** The update configuration with every field set. */
export function fullUpdate(config: UpdateConfig | undefined): Required<UpdateConfig> {
  return { ...defaultUpdate, ...config }
}

/** The restart policy with every field set. */
export function fullRestart(policy: RestartPolicy | undefined): Required<RestartPolicy> {
  return { ...defaultRestart, ...policy }
}
