// How long it takes until containers run: created, scaled, replaced after a death, updated. Ours
// beside a Swarm of one node, in turns, so that both meet the same machine.

import { type Contender, pageImage, pageImageNew, withContenders } from './contenders.ts'
import { type Figure, median, printFigures } from './figures.ts'

/** A thing to do with a contender, timed by itself. */
interface Exercise {
  readonly what: string
  readonly runs: number
  readonly run: (contender: Contender) => Promise<number>
}

const name = 'web-fe'

const exercises: readonly Exercise[] = [
  { what: 'create 10 replicas', runs: 3, run: (contender) => create(contender, 10) },
  { what: 'create 50 replicas', runs: 1, run: (contender) => create(contender, 50) },
  { what: 'scale 10 -> 50', runs: 1, run: scale },
  { what: 'container killed -> replaced', runs: 3, run: replace },
  { what: 'update of 10, 2 at a time', runs: 1, run: update },
]

async function create(contender: Contender, replicas: number): Promise<number> {
  const plan = { name, image: pageImage, replicas }
  const started = performance.now()
  await contender.client.createService(plan)
  await contender.client.untilRunning(plan)
  return performance.now() - started
}

async function scale(contender: Contender): Promise<number> {
  await create(contender, 10)
  const plan = { name, image: pageImage, replicas: 50 }
  const started = performance.now()
  await contender.client.updateService(plan)
  await contender.client.untilRunning(plan)
  return performance.now() - started
}

/** From the kill of a container to another task in its place that runs. */
async function replace(contender: Contender): Promise<number> {
  const { client, engine } = contender
  const plan = { name, image: pageImage, replicas: 3 }
  await client.createService(plan)
  const before = await client.untilRunning(plan)
  const victim = before[0]
  if (victim === undefined) throw new Error('no task to kill')
  const started = performance.now()
  await engine.request({ method: 'POST', path: `/containers/${victim.containerId}/kill` })
  for (;;) {
    const after = await client.untilRunning(plan)
    if (after.every((task) => task.id !== victim.id)) return performance.now() - started
  }
}

async function update(contender: Contender): Promise<number> {
  await create(contender, 10)
  const plan = { name, image: pageImageNew, replicas: 10, updateParallelism: 2 }
  const started = performance.now()
  await contender.client.updateService(plan)
  await contender.client.untilRunning(plan)
  return performance.now() - started
}

/** Removes the service, and waits until its containers are gone: they would cost the next one. */
async function clear(contender: Contender): Promise<void> {
  await contender.client.removeService(name)
  for (;;) {
    const left = await contender.engine.json({ path: '/containers/json?all=1' })
    if (Array.isArray(left) && left.length === 0) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function measure(exercise: Exercise, pair: readonly Contender[]): Promise<Figure> {
  const times = new Map(pair.map((contender) => [contender.name, [] as number[]]))
  for (let run = 0; run < exercise.runs; run++) {
    for (const contender of run % 2 === 0 ? pair : pair.toReversed()) {
      times.get(contender.name)?.push(await exercise.run(contender))
      await clear(contender)
    }
  }
  const [ours = [], swarm = []] = [times.get('ours'), times.get('swarm')]
  console.log(`  ${exercise.what}: ours ${list(ours)}, swarm ${list(swarm)} ms`)
  return {
    what: exercise.what,
    value: median(ours) / 1000,
    unit: 's',
    beside: { name: 'swarm', value: median(swarm) / 1000 },
    budget: { of: 'ratio', max: 1 },
  }
}

function list(values: readonly number[]): string {
  return values.map((value) => value.toFixed(0)).join(' ')
}

await withContenders(async ({ ours, swarm }) => {
  const figures: Figure[] = []
  for (const exercise of exercises) figures.push(await measure(exercise, [ours, swarm]))
  printFigures('until all containers run, one node', figures)
})
