// Pipeline: the controllers in the order in which they run over one draft. Each sees what the one
// before it has written, so one pass goes from a command to tasks that have nodes.

import type { ServiceId } from '../base/id.ts'
import type { Random } from '../base/random.ts'
import type { Service } from '../object/service.ts'
import { scheduleTasks } from '../schedule/scheduler.ts'
import type { Draft } from '../store/draft.ts'
import type { ControlPass } from './controller.ts'
import { evictTasks } from './enforce.ts'
import { coverNodes } from './global.ts'
import { handOver } from './handover.ts'
import { followIngress } from './ingress.ts'
import { reapTasks } from './reap.ts'
import { scaleReplicas } from './replicated.ts'
import { restartTasks } from './restart.ts'
import { updateTasks } from './update.ts'

const controllers: readonly ((pass: ControlPass, service: Service) => void)[] = [
  evictTasks,
  restartTasks,
  scaleReplicas,
  coverNodes,
  updateTasks,
  handOver,
  followIngress,
]

/** Runs all controllers on the services, then the scheduler; says when to look again at which. */
export function runControllers(
  draft: Draft,
  options: {
    readonly services: Iterable<ServiceId>
    readonly random: Random
    readonly wake: (service: ServiceId, atMs: number) => void
  },
): void {
  for (const id of options.services) {
    const pass: ControlPass = {
      draft,
      random: options.random,
      wake: (atMs) => options.wake(id, atMs),
    }
    for (const control of controllers) {
      const service = draft.get('service', id)
      if (service !== undefined) control(pass, service)
    }
    reapTasks(pass, id)
  }
  scheduleTasks(draft)
}
