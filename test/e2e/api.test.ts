// The API before a real engine, used by the real docker CLI: what is not the cluster's works as if
// the agent were not there.

import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createApiServer } from '../../agent/http/server.ts'
import { run } from '../../scripts/process.ts'
import { createMemoryBackend } from '../agent/http/memory-backend.ts'
import { docker, mustDocker } from '../support/docker-cli.ts'
import { type Engine, startEngine } from '../support/engine.ts'
import { importImage, webImage } from '../support/images.ts'
import { openLab } from '../support/lab.ts'
import { request } from '../support/unix-http.ts'
import { waitFor } from '../support/wait.ts'

const image = 'nigelpoulton/ddd-web:1.0'

interface Started {
  readonly engine: Engine
  readonly folder: string
  readonly socket: string
  /** For the docker CLI. */
  readonly host: string
}

async function start(t: Test): Promise<Started> {
  const lab = await openLab({ hosts: 1, isolation: 'network' })
  const engine = await startEngine(lab.host(0))
  await importImage(engine, webImage('1.0'))
  const socket = join(engine.host.folder, 'api.sock')
  const server = createApiServer({
    backend: createMemoryBackend(),
    engineSocket: engine.socket,
    socketPath: socket,
    log: () => {},
  })
  await server.listen()
  t.teardown(async () => {
    await server.close()
    await engine.stop()
    lab.close()
  })
  return { engine, folder: engine.host.folder, socket, host: `unix://${socket}` }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

t.test('the docker CLI before the agent', async (t) => {
  const { engine, folder, socket, host } = await start(t)
  const call = { host }

  await t.test('runs containers, with their output, input and exit code', async (t) => {
    const talk = 'cat; echo err >&2; exit 3'
    const ended = await docker(
      { ...call, input: 'in' },
      ...['run', '--rm', '--interactive', image, 'sh', '-c', talk],
    )
    t.match(ended, { code: 3, stdout: 'in', stderr: 'err\n' })
  })

  const id = await mustDocker(call, 'run', '--detach', '--name', 'bee', image)
  t.match(await mustDocker(call, 'ps', '--quiet', '--no-trunc'), id)

  await t.test('hears an engine that closes as it answers, each time', async (t) => {
    // `docker ps` once failed with "write EPIPE": the end of a request without a body was a write
    // of its own, and the engine had answered and gone by then.
    for (let round = 0; round < 100; round++) {
      const answer = await request({ socket, path: '/v1.44/containers/json' })
      t.equal(answer.status, 200, answer.body)
    }
  })

  await t.test('carries bytes in and out unchanged', async (t) => {
    const bytes = randomBytes(3_000_000)
    const [source, back] = [join(folder, 'source'), join(folder, 'back')]
    writeFileSync(source, bytes)
    await mustDocker(call, 'cp', source, 'bee:/tmp/copy')
    await mustDocker(call, 'cp', 'bee:/tmp/copy', back)
    t.equal(digest(readFileSync(back)), digest(bytes))
    const sum = await mustDocker(call, 'exec', 'bee', 'sha256sum', '/tmp/copy')
    t.match(sum, digest(bytes))
    const [archive, direct] = [join(folder, 'image.tar'), join(folder, 'direct.tar')]
    await mustDocker(call, 'save', '--output', archive, image)
    await mustDocker({ host: engine.url }, 'save', '--output', direct, image)
    t.equal(digest(readFileSync(archive)), digest(readFileSync(direct)))
    t.match(await mustDocker(call, 'load', '--input', archive), `Loaded image: ${image}`)
  })

  await t.test('builds', async (t) => {
    const context = join(folder, 'context')
    mkdirSync(context)
    writeFileSync(join(context, 'Dockerfile'), `FROM ${image}\nRUN echo built > /built\n`)
    const env = { DOCKER_BUILDKIT: '0' }
    await mustDocker({ ...call, env }, 'build', '--tag', 'skep/built:1', context)
    t.equal(await mustDocker(call, 'run', '--rm', 'skep/built:1', 'cat', '/built'), 'built')
  })

  await t.test('gives a terminal to exec', async (t) => {
    const line = `docker --host ${host} exec --interactive --tty bee sh -c 'tty && echo yes'`
    const ended = await run('script', ['--quiet', '--return', '--command', line, '/dev/null'], {
      timeoutMs: 20_000,
    })
    // script itself shows the end of its input, anywhere in between.
    t.match(ended.stdout.replaceAll('^@', ''), /\/dev\/pts\/\d+\r\nyes\r\n/)
    t.equal(ended.code, 0)
  })

  await t.test('follows logs until the container ends, and hears of events', async (t) => {
    const since = String(Date.now() / 1000)
    const logs = docker(call, 'logs', '--follow', 'bee')
    await mustDocker(call, 'kill', 'bee')
    t.match(await logs, { code: 0, stdout: /listening on :8080/ })
    const until = String(Date.now() / 1000)
    const range = ['--since', since, '--until', until]
    const events = await mustDocker(call, 'events', ...range, '--format', '{{.Type}} {{.Action}}')
    t.match(events, 'container kill\ncontainer die')
  })

  await t.test('opens the session of a build: the engine speaks HTTP/2 on it', async (t) => {
    const stream = connect(socket)
    t.teardown(() => stream.destroy())
    let text = ''
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    stream.write(
      'POST /v1.44/session HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n' +
        'X-Docker-Expose-Session-Uuid: s1\r\nX-Docker-Expose-Session-Name: s\r\n\r\n',
    )
    await waitFor({ what: 'HTTP/2 preface', timeoutMs: 5_000 }, () =>
      text.includes('PRI * HTTP/2.0'),
    )
    t.match(text, /^HTTP\/1\.1 101 /)
  })

  await t.test('is told when the engine is away, and served when it is back', async (t) => {
    await engine.stop()
    const away = await docker(call, 'ps')
    t.match(away.stderr, `Cannot reach the container engine at unix://${engine.socket}`)
    const version = await docker(call, 'version', '--format', '{{.Server.APIVersion}}')
    t.match(version, { code: 0, stdout: '1.44\n' })
    await engine.start()
    t.equal((await docker(call, 'ps')).code, 0)
  })

  await t.test('sees its cluster beside the containers, in old versions too', async (t) => {
    await mustDocker(call, 'swarm', 'init', '--advertise-addr', '127.0.0.1')
    t.match(await mustDocker(call, 'info'), /Swarm: active\n {2}NodeID: [0-9a-z]{25}\n/)
    const created = await docker(call, 'service', 'create', '--detach', '--name', 'web', image)
    t.match(created.stderr, `image ${image} could not be accessed on a registry to record`)
    const old = { ...call, env: { DOCKER_API_VERSION: '1.24' } }
    t.match(await mustDocker(old, 'service', 'ls'), /web +replicated +1\/1 /)
    t.match(await mustDocker(call, 'service', 'ps', 'web'), /web\.1 .* n1 +Running +Running /)
    await mustDocker(call, 'service', 'rm', 'web')
  })
})
