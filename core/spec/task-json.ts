// JSON of tasks (Docker Engine API: Task, out only; nobody sends one).

import type { NetworkId } from '../base/id.ts'
import { formatTime } from '../base/time.ts'
import type { Network } from '../object/network.ts'
import type { Task, TaskStatus } from '../object/task.ts'
import { compact, formatMeta, formatVersion, genericResourceJson, portJson } from './common-json.ts'
import { formatTaskNetwork } from './network-json.ts'
import { taskSpecJson } from './task-spec-json.ts'

/**
 * Task: what GET /tasks/{id} answers. `networkOf` finds the networks of its attachments; those that
 * are gone are left out.
 */
export function formatTask(
  task: Task,
  networkOf: (id: NetworkId) => Network | undefined = () => undefined,
): unknown {
  const attachments = task.networks.flatMap(({ networkId, addresses }) => {
    const network = networkOf(networkId)
    if (network === undefined) return []
    const list = addresses.length === 0 ? undefined : addresses
    return [compact({ Network: formatTaskNetwork(network), Addresses: list })]
  })
  const generic = task.genericResources ?? []
  return compact({
    ...formatMeta(task),
    Labels: {},
    Spec: taskSpecJson.format(task.spec),
    ServiceID: task.serviceId,
    Slot: task.slot === 0 ? undefined : task.slot,
    NodeID: task.nodeId,
    Status: formatStatus(task.status),
    DesiredState: task.desiredState,
    NetworksAttachments: attachments.length === 0 ? undefined : attachments,
    GenericResources: generic.length === 0 ? undefined : generic.map(genericResourceJson.format),
    JobIteration: task.jobIteration === undefined ? undefined : formatVersion(task.jobIteration),
  })
}

function formatStatus(status: TaskStatus): unknown {
  const { container, ports } = status
  return compact({
    Timestamp: formatTime(status.atMs),
    State: status.state,
    Message: status.message === '' ? undefined : status.message,
    Err: status.error === '' ? undefined : status.error,
    ContainerStatus:
      container === undefined
        ? undefined
        : { ContainerID: container.id, PID: container.pid, ExitCode: container.exitCode },
    PortStatus:
      ports === undefined || ports.length === 0 ? {} : { Ports: ports.map(portJson.format) },
  })
}
