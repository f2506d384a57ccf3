// Progress of services: the lines and the bars, drawn from lists of tasks as a manager gives them.

import t from 'tap'
import type { ServiceJson, TaskJson } from '../../../agent/cli/api-json.ts'
import { progressWriter } from '../../../agent/cli/progress-screen.ts'
import { progressView } from '../../../agent/cli/progress-tasks.ts'
import { startApiServer } from './support/api-server.ts'
import { run } from './support/memory-io.ts'

function screen(options: { isTty: boolean; columns?: number }) {
  let text = ''
  const output = {
    ...options,
    drained: () => Promise.resolve(),
    write: (more: string | Uint8Array): void => {
      text += more
    },
  }
  const write = progressWriter(output, { isQuiet: false })
  const taken = (): string => {
    const now = text
    text = ''
    return now
  }
  return { write, taken }
}

const task = (slot: number, state: string, fields: object = {}): TaskJson => ({
  ID: `task${slot}`,
  Slot: slot,
  NodeID: 'n1',
  DesiredState: 'running',
  Status: { State: state },
  ...fields,
})
const service = (mode: object, fields: object = {}): ServiceJson => ({
  ID: 'svc',
  Spec: { Mode: mode },
  ...fields,
})
const nodes = new Set(['n1', 'n2'])

t.test('a replicated service has a line for all and one for each slot', async (t) => {
  const { write, taken } = screen({ isTty: false })
  const web = service({ Replicated: { Replicas: 2 } })
  const view = progressView(web, write)
  const look = (tasks: readonly TaskJson[], isRollback = false): boolean =>
    view({ service: web, tasks, nodes, isRollback })
  t.notOk(look([]))
  t.equal(
    taken(),
    'overall progress: 0 out of 2 tasks\n1/2:  \n2/2:  \noverall progress: 0 out of 2 tasks\n',
  )
  t.notOk(
    look([
      task(4, 'running'),
      task(7, 'preparing', { Status: { State: 'failed', Err: 'no\nway' } }),
    ]),
  )
  t.equal(taken(), '2/2: no way\noverall progress: 1 out of 2 tasks\n')
  t.ok(look([task(4, 'running'), task(7, 'running')], true))
  t.equal(taken(), 'overall progress: rolling back update: 2 out of 2 tasks\n')
  t.ok(look([task(4, 'running'), task(7, 'running')]))
  t.equal(taken(), '', 'what is done is not drawn again')
  t.notOk(look([task(4, 'running'), task(7, 'starting')]))
  t.equal(taken(), 'overall progress: 1 out of 2 tasks\n')
})

t.test('of two tasks in a slot the one that is wanted longer counts', async (t) => {
  const { write, taken } = screen({ isTty: false })
  const web = service({ Replicated: { Replicas: 1 } })
  const view = progressView(web, write)
  const leaving = task(1, 'running', { DesiredState: 'shutdown' })
  const sight = { service: web, nodes, isRollback: false }
  t.notOk(view({ ...sight, tasks: [leaving, task(1, 'ready')] }))
  t.notOk(view({ ...sight, tasks: [task(1, 'running', { NodeID: 'gone' })] }), 'its node is down')
  t.ok(view({ ...sight, tasks: [task(1, 'running'), leaving] }))
  t.match(taken(), 'overall progress: 1 out of 1 tasks\n')
})

t.test('on a terminal each line is rewritten in place', async (t) => {
  const { write, taken } = screen({ isTty: true, columns: 150 })
  const web = service({ Replicated: { Replicas: 1 } })
  const view = progressView(web, write)
  view({ service: web, tasks: [], nodes, isRollback: false })
  t.equal(
    taken(),
    '\n\x1b[1A\x1b[2K\roverall progress: 0 out of 1 tasks \r\x1b[1B' +
      '\n\x1b[1A\x1b[2K\r1/1:   \r\x1b[1B' +
      '\x1b[2A\x1b[2K\roverall progress: 0 out of 1 tasks \r\x1b[2B',
  )
  view({ service: web, tasks: [task(1, 'pending')], nodes, isRollback: false })
  t.match(
    taken(),
    '\x1b[1A\x1b[2K\r1/1: pending   [================>                                  ] \r\x1b[1B',
  )
  const narrow = screen({ isTty: true, columns: 80 })
  narrow.write({ id: 'a', action: 'x', current: 1, total: 9 })
  t.equal(narrow.taken(), '\n\x1b[1A\x1b[2K\ra: x \r\x1b[1B', 'no bar')
})

t.test('a global service waits for its tasks, a job for its completions', async (t) => {
  const { write, taken } = screen({ isTty: false })
  const sight = { nodes, isRollback: false }
  const everywhere = service({ Global: {} })
  const global = progressView(everywhere, write)
  t.notOk(global({ ...sight, service: everywhere, tasks: [] }))
  t.equal(taken(), 'overall progress: waiting for new tasks\n')
  const both = [task(0, 'running'), task(0, 'running', { NodeID: 'n2' })]
  t.ok(global({ ...sight, service: everywhere, tasks: both }))
  t.equal(taken(), 'overall progress: 0 out of 2 tasks\noverall progress: 2 out of 2 tasks\n')

  const status = { JobStatus: { JobIteration: { Index: 3 } } }
  const once = { JobIteration: { Index: 3 } }
  const job = service({ ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 2 } }, status)
  const view = progressView(job, write)
  t.notOk(view({ ...sight, service: job, tasks: [task(0, 'running', once), task(1, 'new', {})] }))
  t.equal(
    taken(),
    'active tasks: 0 out of 1 tasks\n1/2:  \n2/2:  \nactive tasks: 1 out of 1 tasks\n',
  )
  const ended = [task(0, 'complete', once), task(1, 'complete', once)]
  t.ok(view({ ...sight, service: job, tasks: ended }))
  t.equal(taken(), 'active tasks: 0 out of 0 tasks\n')

  const all = service({ GlobalJob: {} }, status)
  const each = progressView(all, write)
  t.notOk(each({ ...sight, service: all, tasks: [] }))
  t.notOk(each({ ...sight, service: all, tasks: [task(0, 'running', once)] }))
  t.ok(each({ ...sight, service: all, tasks: [task(0, 'complete', once)] }))
  t.equal(taken(), 'job progress: waiting for tasks\n')
})

/** A manager whose service is running after so many looks. */
async function startManager(runningAt: number, fields: (look: number) => object = () => ({})) {
  let looks = 0
  return startApiServer({
    'POST /services/': () => ({ body: {} }),
    'GET /services/': () => {
      looks++
      return { body: service({ Replicated: { Replicas: 1 } }, fields(looks)) }
    },
    'GET /tasks': () => ({ body: [task(1, looks >= runningAt ? 'running' : 'starting')] }),
    'GET /nodes': () => ({ body: [{ ID: 'n1', Status: { State: 'ready' } }] }),
  })
}

t.test('a command waits until the service has been stable for five seconds', async (t) => {
  const server = await startManager(3)
  t.teardown(server.close)
  const { exitCode, out } = await run(['-H', server.host, 'service', 'scale', 'web=1'])
  t.equal(exitCode, 0)
  const waits = out.match(/Waiting \d/g) ?? []
  t.strictSame(
    [5, 4, 3, 2, 1].map((seconds) => waits.filter((one) => one === `Waiting ${seconds}`).length),
    [5, 5, 5, 5, 5],
  )
  t.ok(out.startsWith('web scaled to 1\noverall progress: 0 out of 1 tasks\n1/1:  \n'))
  t.ok(out.endsWith('tasks are stable...\nverify: Service web converged\n'))
})

t.test('Ctrl-C leaves the work going on and says where to look', async (t) => {
  const server = await startManager(99)
  t.teardown(server.close)
  const args = ['-H', server.host, 'service', 'update', '--force', 'web']
  const { exitCode, out } = await run(args, { interruptAtSleep: 2 })
  t.equal(exitCode, 0)
  t.match(
    out,
    'Operation continuing in background.\nUse `agent service ps web` to check progress.\n',
  )
})

t.test('a paused update is an error, a rollback is told', async (t) => {
  const status = (State: string, Message: string) => ({ UpdateStatus: { State, Message } })
  const paused = await startManager(99, (look) =>
    look > 2 ? status('paused', 'task x failed') : {},
  )
  t.teardown(paused.close)
  const update = (host: string) => run(['-H', host, 'service', 'update', '--force', 'web'])
  const stopped = await update(paused.host)
  t.strictSame([stopped.exitCode, stopped.err], [1, 'service update paused: task x failed\n'])

  const back = await startManager(3, (look) =>
    look > 2 ? status('rollback_started', 'manually requested rollback') : {},
  )
  t.teardown(back.close)
  const { out } = await update(back.host)
  t.match(out, 'rollback: manually requested rollback\n')
  t.match(out, 'overall progress: rolling back update: 1 out of 1 tasks\n')
})

t.test('--quiet and --detach write no progress', async (t) => {
  const server = await startManager(1)
  t.teardown(server.close)
  for (const flag of ['--quiet', '--detach']) {
    const args = ['-H', server.host, 'service', 'update', '--force', flag, 'web']
    t.equal((await run(args)).out, 'web\n', flag)
  }
})
