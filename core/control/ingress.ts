// Ingress ports of tasks: they belong to the node's proxy, not to the container, so they change
// under a living task without a restart.

import { equal } from '../base/equal.ts'
import type { Service } from '../object/service.ts'
import type { Task } from '../object/task.ts'
import type { ControlPass } from './controller.ts'
import { hostPorts, isActive } from './slots.ts'

/** Gives the active tasks of a service its present ingress ports. */
export function followIngress(pass: ControlPass, service: Service): void {
  const ingress = service.endpoint.ports.filter((port) => port.publishMode === 'ingress')
  for (const task of pass.draft.tasksOfService(service.id)) {
    if (!isActive(task)) continue
    const ports = [...hostPorts(task.ports), ...ingress]
    if (!samePorts(ports, task.ports)) {
      pass.draft.put<Task>({ ...task, ports })
    }
  }
}

function samePorts(a: Task['ports'], b: Task['ports']): boolean {
  return a.length === b.length && a.every((port) => b.some((other) => equal(port, other)))
}
