// Verdicts on nodes: what the judge's own sleep, and the setting of its clock, do to them.

import t from 'tap'
import { asId, type NodeId } from '../../../core/base/id.ts'
import { Liveness } from '../../../core/dispatch/liveness.ts'

const [a, b] = [asId<NodeId>('na'), asId<NodeId>('nb')]

/** Heard every second from `fromMs` to `toMs`, and judged each time. */
function beat(liveness: Liveness, nodes: readonly NodeId[], [fromMs, toMs]: [number, number]) {
  const states: string[] = []
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 1_000) {
    for (const id of nodes) liveness.hear(id, nowMs)
    states.push(...liveness.judge(nowMs).map(({ nodeId, state }) => `${nodeId} ${state}`))
    liveness.wakeAtMs(nowMs)
  }
  return states
}

function watching(...nodes: readonly NodeId[]): Liveness {
  const liveness = new Liveness({ heartbeatMs: () => 1_000 })
  liveness.begin(nodes, 0)
  liveness.wakeAtMs(0)
  return liveness
}

t.test('a node that is silent for the grace is down', async (t) => {
  const liveness = watching(a)
  t.same(beat(liveness, [a], [1_000, 5_000]), [])
  t.same(beat(liveness, [], [6_000, 9_000]), ['na down'])
})

t.test('a leader that stood still blames nobody, and hears all out again', async (t) => {
  const liveness = watching(a, b)
  t.same(beat(liveness, [a, b], [1_000, 5_000]), [])
  liveness.hear(a, 25_000)
  t.same(liveness.judge(25_000), [])
  liveness.wakeAtMs(25_000)
  t.same(beat(liveness, [a], [26_000, 30_000]), ['nb down'], 'who is really gone is found')
})

t.test('a clock that is set back or forward blames nobody', async (t) => {
  const liveness = watching(a)
  const hour = 3_600_000
  t.same(beat(liveness, [a], [2 * hour, 2 * hour + 5_000]), [])
  t.same(beat(liveness, [a], [hour, hour + 5_000]), [])
  t.same(beat(liveness, [], [hour + 6_000, hour + 9_000]), ['na down'])
})
