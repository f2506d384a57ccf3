// The stage of the demo: one machine of its own in namespaces, with an engine, the two images and
// the built agent in its PATH. Nothing of it touches the user's network, engine, or files, and all
// of it goes when the demo ends, in whatever way.
//
//   this machine ---- namespaces ---- n1   10.99.0.11
//                                     /run            its own: docker.sock, skep/agent.sock
//                                     /var/lib        its own: skep/
//                                     PATH            dist/agent before all else
//
// Hence the commands need no flags that say where things are: they are what a user would type.

import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Daemon } from '../../test/support/daemon.ts'
import { startEngine } from '../../test/support/engine.ts'
import { importImage, webImage } from '../../test/support/images.ts'
import { type Host, type Lab, openLab } from '../../test/support/lab.ts'
import { waitFor } from '../../test/support/wait.ts'
import { type Ended, run } from '../process.ts'
import type { Visits } from './visitors.ts'

const lineTimeoutMs = 120_000

/** Opens the stage with an agent that does not run yet. Needs root. */
export async function openStage(agentPath: string): Promise<Stage> {
  const lab = await openLab({ hosts: 1 })
  try {
    const host = lab.host(0)
    const ownVarLib = join(host.folder, 'var-lib')
    mkdirSync(ownVarLib)
    await mustRun(host, ['mount', '--bind', ownVarLib, '/var/lib'])
    const engine = await startEngine(host)
    await mustRun(host, ['ln', '-s', engine.socket, '/run/docker.sock'])
    for (const version of ['1.0', '2.0']) await importImage(engine, webImage(version))
    return new Stage(lab, agentPath)
  } catch (error) {
    lab.close()
    throw error
  }
}

export class Stage {
  readonly host: Host
  readonly #lab: Lab
  readonly #env: NodeJS.ProcessEnv

  constructor(lab: Lab, agentPath: string) {
    this.#lab = lab
    this.host = lab.host(0)
    const home = join(this.host.folder, 'home')
    const programs = join(this.host.folder, 'bin')
    mkdirSync(home)
    mkdirSync(programs)
    symlinkSync(agentPath, join(programs, 'agent'))
    const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    this.#env = {
      PATH: `${programs}:${systemPath}`,
      HOME: home,
      LANG: 'C.UTF-8',
      DOCKER_CLI_HINTS: 'false',
      NO_COLOR: '1',
    }
  }

  /** Runs a line of shell on the stage's machine; stdout has both outputs, as a terminal would. */
  shell(line: string): Promise<Ended> {
    const [program = '', ...args] = [...this.host.enter, 'bash', '-c', `exec 2>&1\n${line}`]
    return run(program, args, { timeoutMs: lineTimeoutMs, env: this.#env, cwd: '/' })
  }

  /** Runs the line until what it prints passes the check; returns that output. */
  shellUntil(what: string, line: string, isMet: (output: string) => boolean): Promise<string> {
    let last = ''
    const describe = (): string => last
    return waitFor({ what, timeoutMs: 60_000, everyMs: 200, describe }, async () => {
      last = (await this.shell(line)).stdout
      return isMet(last) && last
    })
  }

  /** Lets visitors ask for the page until the returned function ends their visit. */
  async visit(url: string): Promise<() => Promise<Visits>> {
    const program = join(import.meta.dirname, 'visitors.ts')
    const node = [process.execPath, '--disable-warning=ExperimentalWarning']
    const visitors = this.host.start('visitors', [...node, program, url])
    return () => endVisit(visitors)
  }

  close(): void {
    this.#lab.close()
  }
}

async function endVisit(visitors: Daemon): Promise<Visits> {
  await visitors.stop()
  const line = visitors.log().trim().split('\n').at(-1) ?? ''
  const visits: unknown = JSON.parse(line)
  if (typeof visits !== 'object' || visits === null || !('requests' in visits)) {
    throw new Error(`the visitors ended with: ${visitors.log()}`)
  }
  return visits as Visits
}

async function mustRun(host: Host, command: readonly string[]): Promise<void> {
  const ended = await host.run(command)
  if (ended.code === 0) return
  throw new Error(`${command.join(' ')} ended with ${ended.code}: ${ended.stderr.trim()}`)
}
