// Every flag of service create and update, against the requests that the docker CLI 28 made for the same
// command lines, recorded on a socket (fixtures/service-requests.json).

import { readFileSync } from 'node:fs'
import t from 'tap'
import { type Routes, startApiServer } from './support/api-server.ts'
import { run } from './support/memory-io.ts'

interface Recorded {
  readonly args: readonly string[]
  readonly path: string
  readonly body: unknown
}

const file = new URL('./fixtures/service-requests.json', import.meta.url)
const recorded: { readonly service: unknown; readonly requests: readonly Recorded[] } = JSON.parse(
  readFileSync(file, 'utf8'),
)

/** Objects whose ids are their names with -id behind. */
const routes: Routes = {
  'POST /services/create': () => ({ status: 201, body: { ID: 'newid' } }),
  'POST /services/': () => ({ body: {} }),
  'GET /services/': () => ({ body: recorded.service }),
  'GET /networks/': ({ path }) => ({ body: { Id: `${path.split('/')[2]}-id` } }),
  'GET /secrets': ({ query }) => ({ body: named(query) }),
  'GET /configs': ({ query }) => ({ body: named(query) }),
}

function named(query: URLSearchParams): unknown {
  const filters: { readonly name?: Readonly<Record<string, boolean>> } = JSON.parse(
    query.get('filters') ?? '{}',
  )
  return Object.keys(filters.name ?? {}).map((name) => ({ ID: `${name}-id`, Spec: { Name: name } }))
}

/** The body with lists in an order, where docker's own order is that of a map. */
function ordered(body: unknown): unknown {
  return JSON.parse(JSON.stringify(body), (key, value) =>
    ['Env', 'Secrets', 'Configs', 'Ports', 'GenericResources'].includes(key) && Array.isArray(value)
      ? value.map(sortedText).toSorted()
      : value,
  )
}

function sortedText(value: unknown): string {
  const isObject = typeof value === 'object' && value !== null
  return JSON.stringify(isObject ? Object.entries(value).toSorted() : value)
}

t.test('a command line gives the request that docker makes of it', async (t) => {
  const server = await startApiServer(routes)
  t.teardown(server.close)
  for (const { args, path, body } of recorded.requests) {
    const seen = server.requests.length
    const result = await run(['-H', server.host, ...args], { env: { EMPTY: '1' } })
    const name = args.slice(1).join(' ')
    t.equal(result.exitCode, 0, `${name}: ${result.err}`)
    const sent = server.requests.slice(seen).find((request) => request.method === 'POST')
    const query = sent?.query.toString() ?? ''
    t.equal(`${sent?.path}${query === '' ? '' : `?${query}`}`, path, name)
    t.strictSame(ordered(sent?.body), ordered(body), name)
  }
})

t.test('update honours --health-start-interval, which docker 28 drops', async (t) => {
  const server = await startApiServer(routes)
  t.teardown(server.close)
  const args = ['service', 'update', '-d', '--health-start-interval', '3s', 'web']
  t.equal((await run(['-H', server.host, ...args])).exitCode, 0)
  const body = JSON.stringify(server.requests.at(-1)?.body)
  t.match(body, '"StartInterval":3000000000')
})

t.test('an image that a registry knows is pinned, and its platforms are asked for', async (t) => {
  const server = await startApiServer({
    ...routes,
    'GET /distribution/': () => ({
      body: {
        Descriptor: { digest: `sha256:${'a'.repeat(64)}` },
        Platforms: [
          { architecture: 'amd64', os: 'linux' },
          { architecture: 'arm', os: 'linux', variant: 'v7' },
          { architecture: 'arm', os: 'linux', variant: 'v6' },
          { architecture: 'unknown', os: 'unknown' },
        ],
      },
    }),
  })
  t.teardown(server.close)
  await run(['-H', server.host, 'service', 'create', '-d', 'docker.io/library/web'])
  const body: unknown = server.requests.at(-1)?.body
  t.match(body, {
    TaskTemplate: {
      ContainerSpec: { Image: `web:latest@sha256:${'a'.repeat(64)}` },
      Placement: { Platforms: [{ Architecture: 'amd64', OS: 'linux' }, { OS: 'linux' }] },
    },
  })
})

t.test('what contradicts itself is refused before anything is sent', async (t) => {
  const server = await startApiServer(routes)
  t.teardown(server.close)
  const create = ['service', 'create']
  const cases: readonly (readonly [readonly string[], string])[] = [
    [
      [...create, '--mode', 'global', '--replicas', '2', 'i'],
      'replicas can only be used with replicated or replicated-job mode',
    ],
    [[...create, '--mode', 'odd', 'i'], 'Unknown mode: odd, only replicated and global supported'],
    [
      [...create, '--mode', 'global-job', '--update-delay', '1s', 'i'],
      'update and rollback configuration is not supported for jobs',
    ],
    [
      [...create, '--no-healthcheck', '--health-cmd', 'x', 'i'],
      '--no-healthcheck conflicts with --health-* options',
    ],
    [
      ['service', 'update', '--rollback', '--image', 'x', 'web'],
      'other flags may not be combined with --rollback',
    ],
    [
      ['service', 'update', '--generic-resource-rm', 'nope', 'web'],
      'could not find generic-resource `nope` to remove it',
    ],
    [
      [...create, '--secret', 'a', '--secret', 'a', 'i'],
      'duplicate secret target for a not allowed',
    ],
  ]
  for (const [args, message] of cases) {
    const { exitCode, err } = await run(['-H', server.host, ...args])
    t.equal(err, `${message}\n`)
    t.equal(exitCode, 1)
  }
  t.notOk(server.requests.some((request) => request.method === 'POST'))
})
