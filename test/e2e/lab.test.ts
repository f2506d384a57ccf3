// The ground that all other end-to-end tests stand on: hosts, engines, images, and that nothing of
// them stays behind.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { docker, mustDocker } from '../support/docker-cli.ts'
import { startEngine } from '../support/engine.ts'
import { importImage, webImage } from '../support/images.ts'
import { type Isolation, openLab } from '../support/lab.ts'
import { leftovers, removeStale } from '../support/lab-cleanup.ts'
import { waitFor } from '../support/wait.ts'

t.setTimeout(240_000)

const isolations: readonly Isolation[] = ['machine', 'network']

for (const isolation of isolations) {
  t.test(`an engine on a host of isolation ${isolation} serves a page`, async (t) => {
    const lab = await openLab({ hosts: 2, isolation })
    t.teardown(() => lab.close())
    const engine = await startEngine(lab.host(0))
    const call = { host: engine.url }

    await importImage(engine, webImage('1.0'))
    const run = ['run', '--detach', '--publish', '8080:8080', '--hostname', 'bee']
    const id = await mustDocker(call, ...run, 'nigelpoulton/ddd-web:1.0')
    const page = await waitFor({ what: 'page from the other host', timeoutMs: 10_000 }, () =>
      lab.host(1).fetch(`http://${lab.host(0).address}:8080/`),
    )
    t.match(page, 'ddd-web version 1.0 on bee')

    const pull = await docker(call, 'pull', 'nigelpoulton/ddd-web:3.0')
    t.not(pull.code, 0, 'no registry can be reached')
    t.match(
      pull.stderr,
      /connection refused|unreachable|no route/,
      'known at once, by no time limit',
    )

    const stopped = await docker(call, 'stop', '--time', '50', id)
    t.equal(stopped.code, 0)
    const exitCode = await mustDocker(call, 'inspect', '--format', '{{.State.ExitCode}}', id)
    t.equal(exitCode, '0', 'process 1 handles SIGTERM')
    await mustDocker(call, 'start', id)

    lab.close()
    t.same(leftovers(lab.label), [], 'nothing is left')
  })
}

t.test('containers outlive their engine, but not a power cut', async (t) => {
  const lab = await openLab({ hosts: 1 })
  t.teardown(() => lab.close())
  const host = lab.host(0)
  const engine = await startEngine(host)
  const call = { host: engine.url }
  await importImage(engine, webImage('1.0'))
  const image = 'nigelpoulton/ddd-web:1.0'
  const id = await mustDocker(call, 'run', '--detach', '--network', 'host', image)
  await waitFor({ what: 'page', timeoutMs: 10_000 }, () => host.fetch('http://127.0.0.1:8080/'))

  await engine.kill()
  t.match(await host.fetch('http://127.0.0.1:8080/'), 'version 1.0')
  await engine.start()

  await host.powerOff()
  await host.powerOn()
  await t.rejects(host.fetch('http://127.0.0.1:8080/'))
  await engine.start()
  const state = await mustDocker(call, 'inspect', '--format', '{{.State.Status}}', id)
  t.equal(state, 'exited')
})

t.test('a host that is cut off is out of reach until it is mended', async (t) => {
  const lab = await openLab({ hosts: 2 })
  t.teardown(() => lab.close())
  const [a, b] = [lab.host(0), lab.host(1)]
  const ping = ['busybox', 'ping', '-c', '1', '-W', '1', b.address]
  t.equal((await a.run(ping)).code, 0)
  b.cut()
  t.not((await a.run(ping)).code, 0)
  b.mend()
  await waitFor({ what: 'answer of n2', timeoutMs: 10_000 }, async () => {
    return (await a.run(ping)).code === 0
  })
})

t.test('what a killed run left behind is removed by the next', async (t) => {
  const script = `
    import { openLab } from './test/support/lab.ts'
    const lab = await openLab({ hosts: 1 })
    lab.host(0).start('sleeper', ['sleep', '1000'])
    console.log(lab.label)
    process.kill(process.pid, 'SIGKILL')`
  const root = `${import.meta.dirname}/../..`
  const killed = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root })
  t.equal(killed.signal, 'SIGKILL')
  const label = killed.stdout.toString().trim()
  t.match(readFileSync('/proc/self/mountinfo', 'utf8'), label, 'its namespaces are still there')
  removeStale()
  t.same(leftovers(label), [])
})
