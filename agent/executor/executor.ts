// Executor: the port through which a worker runs containers. Docker's engine and our own runtime
// stand behind it; the worker cannot tell which.
//
// One container belongs to one task. Every call names the task; an executor finds the container by
// the task's id (a label), so that it can answer after a restart of the agent. Calls for the same
// task never overlap, except that `wait`, `logs` and `exec` may run beside others. Each call may be
// given up through its AbortSignal; what it leaves behind is said at the call.

import type { TaskId } from '../../core/base/id.ts'
import type { NodeDescription } from '../../core/object/node.ts'
import type { PortConfig } from '../../core/object/service.ts'
import type { ContainerStatus, Task } from '../../core/object/task.ts'

export interface Executor {
  readonly kind: 'docker' | 'embedded'
  /** What the node says of itself; asked at start and when the engine comes back. */
  readonly describe: (
    signal: AbortSignal,
  ) => Promise<Omit<NodeDescription, 'runtime' | 'agentVersion'>>
  /**
   * Makes the container, not started: pulls the image by the rules of Swarm (registry first; when
   * it cannot be reached a local image will do), creates volumes. Called again for a task whose
   * container is there already, it does nothing. Throws `not-found` ("No such image: X"),
   * `invalid-argument`, `engine`: the task is then rejected, and no container is left.
   */
  readonly prepare: (task: Task, signal: AbortSignal) => Promise<{ readonly containerId: string }>
  /**
   * Starts it; resolves when it runs (not when it is healthy). Called again for one that runs, it
   * answers the same. Throws `engine` with the engine's words ("starting container failed: ...").
   */
  readonly start: (task: Task, signal: AbortSignal) => Promise<Started>
  /** Resolves when the container has ended; at once when it already has. Throws `not-found`. */
  readonly wait: (id: TaskId, signal: AbortSignal) => Promise<Exit>
  /** Stop signal, then after the grace SIGKILL. Resolves when it has ended; fine when it had. */
  readonly stop: (task: Task, graceNs: number, signal: AbortSignal) => Promise<void>
  /** The task has ended: its secrets and configs are removed, its container stays. Fine when none. */
  readonly release: (id: TaskId) => Promise<void>
  /** Removes the container and its anonymous volumes, killing it if it runs. Fine when gone. */
  readonly remove: (id: TaskId, signal: AbortSignal) => Promise<void>
  /** The containers that are this agent's (by label, for this node), running or not. */
  readonly list: (signal: AbortSignal) => Promise<readonly ExistingContainer[]>
  /** stdout and stderr in order, with times; ends at the end or when the signal aborts. */
  readonly logs: (id: TaskId, options: LogOptions, signal: AbortSignal) => AsyncIterable<LogEntry>
  /** Exits, health changes, and the engine going and coming back. Ends when the signal aborts. */
  readonly watch: (signal: AbortSignal) => AsyncIterable<ExecutorEvent>
  readonly close: () => Promise<void>
}

export interface Started {
  readonly container: ContainerStatus
  /** Host-mode ports as they were really bound. */
  readonly ports: readonly PortConfig[]
  /** Where this node reaches the container, IPv4 first; empty for network `none` or `host`. */
  readonly addresses: readonly string[]
  /** True if a health check decides when it counts as running. */
  readonly hasHealthCheck: boolean
}

export interface Exit {
  readonly exitCode: number
  readonly isOomKilled: boolean
  /** The engine's error, if it had one. */
  readonly error?: string
}

export type ContainerHealth = 'none' | 'starting' | 'healthy' | 'unhealthy'

export interface ExistingContainer {
  readonly taskId: TaskId
  readonly containerId: string
  readonly state: 'created' | 'running' | 'ended'
  readonly health: ContainerHealth
  readonly exit?: Exit
  readonly started?: Started
}

export type ExecutorEvent =
  | { readonly type: 'exited'; readonly taskId: TaskId; readonly exit: Exit }
  | { readonly type: 'health'; readonly taskId: TaskId; readonly health: ContainerHealth }
  /** The engine's socket does not answer. */
  | { readonly type: 'lost'; readonly reason: string }
  /** It answers (again): list anew. Sent once at the start too. */
  | { readonly type: 'connected' }

export interface LogOptions {
  readonly stdout: boolean
  readonly stderr: boolean
  readonly follow: boolean
  /** Milliseconds since 1970; entries from then on. */
  readonly sinceMs?: number
  readonly untilMs?: number
  /** Last lines per task; absent: all. */
  readonly tail?: number
}

export interface LogEntry {
  readonly stream: 'stdout' | 'stderr'
  /** RFC 3339 with nanoseconds, as the engine gave it. */
  readonly time: string
  readonly data: Uint8Array
  /** Extra attributes of the log driver (`--details`). */
  readonly details?: Readonly<Record<string, string>>
}
