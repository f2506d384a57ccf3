// Merged logs: order of time for what was written, whatever comes for what is being written.

import t from 'tap'
import type { Executor, LogEntry, LogOptions } from '../../../agent/executor/executor.ts'
import { mergeLogs } from '../../../agent/host/log-merge.ts'
import { asId, type NodeId, type TaskId } from '../../../core/base/id.ts'

const nodeId = asId<NodeId>('n')
const all: LogOptions = { stdout: true, stderr: true, follow: false }

function executor(logs: Readonly<Record<string, readonly string[]>>): Pick<Executor, 'logs'> {
  return {
    logs: async function* (id: TaskId): AsyncIterable<LogEntry> {
      for (const time of logs[id] ?? []) yield { stream: 'stdout', time, data: new Uint8Array(0) }
    },
  }
}

async function times(
  logs: Readonly<Record<string, readonly string[]>>,
  log = all,
): Promise<string[]> {
  const tasks = Object.keys(logs).map((id) => asId<TaskId>(id))
  const { signal } = new AbortController()
  const seen: string[] = []
  for await (const entry of mergeLogs(executor(logs), { tasks, nodeId, log, signal })) {
    seen.push(`${entry.taskId}@${entry.time}`)
  }
  return seen
}

t.test('the lines of several tasks come in order of time', async (t) => {
  const seen = await times({
    a: ['2026-01-01T00:00:01Z', '2026-01-01T00:00:03.5Z'],
    b: ['2026-01-01T00:00:02.000000001Z', '2026-01-01T00:00:03.45Z'],
    c: [],
  })
  t.same(seen, [
    'a@2026-01-01T00:00:01Z',
    'b@2026-01-01T00:00:02.000000001Z',
    'b@2026-01-01T00:00:03.45Z',
    'a@2026-01-01T00:00:03.5Z',
  ])
})

t.test('one task that writes backwards does not hold up the others', async (t) => {
  const seen = await times({
    a: ['2026-01-01T00:00:05Z', '2026-01-01T00:00:01Z'],
    b: ['2026-01-01T00:00:06Z'],
  })
  t.equal(seen.length, 3)
  t.equal(seen.at(-1), 'b@2026-01-01T00:00:06Z')
})

t.test('following passes on what comes and ends when all have ended', async (t) => {
  const seen = await times({ a: ['1', '2'], b: ['3'] }, { ...all, follow: true })
  t.same(seen.sort(), ['a@1', 'a@2', 'b@3'])
})
