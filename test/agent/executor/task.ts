// A task for tests of the executors: a test names only what it is about.

import { asId, type NodeId, type ServiceId, type TaskId } from '../../../core/base/id.ts'
import type { ContainerSpec, TaskSpec } from '../../../core/object/service.ts'
import type { Task } from '../../../core/object/task.ts'

export const testNode = asId<NodeId>('node0000000000000000000a1')

let tasksMade = 0

/** A task of service `web`, slot 1, with an id of its own. */
export function makeTask(
  container: Partial<ContainerSpec> & { readonly image: string },
  given: Partial<Task> & { readonly with?: Partial<TaskSpec> } = {},
): Task {
  tasksMade += 1
  const { with: spec, ...rest } = given
  return {
    kind: 'task',
    id: asId<TaskId>(`task${String(tasksMade).padStart(21, '0')}`),
    version: 7,
    createdAtMs: 0,
    updatedAtMs: 0,
    serviceId: asId<ServiceId>('service000000000000000001'),
    serviceName: 'web',
    serviceLabels: {},
    slot: 1,
    nodeId: testNode,
    spec: { container, networks: [], forceUpdate: 0, ...spec },
    specVersion: 3,
    ports: [],
    networks: [],
    status: { state: 'assigned', atMs: 0, message: '' },
    desiredState: 'running',
    ...rest,
  }
}
