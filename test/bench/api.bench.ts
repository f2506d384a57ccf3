// How fast the API is: objects created, each on the disk before its answer, and lists read. The
// objects are services without replicas, so that no container is in the way.

import { type Contender, pageImage, withContenders } from './contenders.ts'
import { type Figure, median, printFigures } from './figures.ts'
import { LeanClient } from './lean-client.ts'
import { specOf } from './swarm-client.ts'

interface Speeds {
  readonly alone: number
  readonly together: number
  readonly listMs: number
}

const spanMs = 4_000
const rounds = 3
const listed = 100
const lists = 100
const clientsTogether = 32

let made = 0

/** Creates with so many clients, each waiting for its answer; returns creates per second. */
async function createFor(contender: Contender, clients: number): Promise<number> {
  const connections = Array.from({ length: clients }, () => new LeanClient(contender.socket))
  const started = performance.now()
  const isOver = (): boolean => performance.now() - started > spanMs
  let created = 0
  const create = async (connection: LeanClient): Promise<void> => {
    while (!isOver()) {
      const plan = { name: `none-${++made}`, image: pageImage, replicas: 0 }
      await connection.post('/services/create', JSON.stringify(specOf(plan)))
      created += 1
    }
  }
  await Promise.all(connections.map(create))
  const perSecond = (1000 * created) / (performance.now() - started)
  for (const connection of connections) connection.close()
  return perSecond
}

/** Median time of GET /services with `listed` services. */
async function timeLists(contender: Contender): Promise<number> {
  for (let each = 0; each < listed; each++) {
    await contender.client.createService({ name: `l-${each}`, image: pageImage, replicas: 0 })
  }
  const times: number[] = []
  for (let each = 0; each < lists; each++) {
    const started = performance.now()
    await contender.client.json('GET', '/services')
    times.push(performance.now() - started)
  }
  return median(times)
}

await withContenders(async ({ ours, swarm }) => {
  const pair = [ours, swarm] as const
  const speeds = new Map<string, Speeds>()
  for (const contender of pair) {
    const listMs = await timeLists(contender)
    const [alone, together]: [number[], number[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      alone.push(await createFor(contender, 1))
      together.push(await createFor(contender, clientsTogether))
    }
    speeds.set(contender.name, { alone: median(alone), together: median(together), listMs })
  }
  const [mine, theirs] = [speeds.get('ours'), speeds.get('swarm')]
  if (mine === undefined || theirs === undefined) throw new Error('not both were measured')
  const figure = (
    what: string,
    key: keyof Speeds,
    rest: Pick<Figure, 'unit' | 'budget'>,
  ): Figure => ({
    what,
    value: mine[key],
    beside: { name: 'swarm', value: theirs[key] },
    ...rest,
  })
  printFigures('API of one manager', [
    figure('creates, 1 client', 'alone', { unit: '/s', budget: { of: 'value', min: 600 } }),
    figure(`creates, ${clientsTogether} clients`, 'together', {
      unit: '/s',
      budget: { of: 'value', min: 5_000 },
    }),
    figure(`GET /services of ${listed}`, 'listMs', { unit: 'ms', budget: { of: 'ratio', max: 1 } }),
  ])
})
