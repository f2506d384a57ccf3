// The stage of the demo: machines of its own in namespaces, each with an engine, the two images and
// the built agent in its PATH. Nothing of it touches the user's network, engine, or files, and all
// of it goes when the demo ends, in whatever way.
//
//   this machine ---- namespaces ---- n1   10.99.0.11      (n2, n3, ...: far ones behind a router)
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

/** How many machines, and how many of them, the last ones, stand in another subnet. */
export interface StagePlan {
  readonly hosts: number
  readonly farHosts: number
}

/** Opens the stage; no agent runs yet. Needs root. */
export async function openStage(agentPath: string, plan: StagePlan): Promise<Stage> {
  const lab = await openLab(plan)
  try {
    await Promise.all(lab.hosts.map(furnish))
    return new Stage(lab, agentPath)
  } catch (error) {
    lab.close()
    throw error
  }
}

async function furnish(host: Host): Promise<void> {
  const ownVarLib = join(host.folder, 'var-lib')
  mkdirSync(ownVarLib)
  await mustRun(host, ['mount', '--bind', ownVarLib, '/var/lib'])
  const engine = await startEngine(host)
  await mustRun(host, ['ln', '-s', engine.socket, '/run/docker.sock'])
  for (const version of ['1.0', '2.0']) await importImage(engine, webImage(version))
}

export class Stage {
  readonly hosts: readonly Host[]
  /** What one step has learned and a later one types. */
  readonly notes = new Map<string, string>()
  readonly #lab: Lab
  readonly #agentPath: string

  constructor(lab: Lab, agentPath: string) {
    this.#lab = lab
    this.#agentPath = agentPath
    this.hosts = lab.hosts
    for (const host of lab.hosts) {
      mkdirSync(join(host.folder, 'home'))
      mkdirSync(join(host.folder, 'bin'))
      symlinkSync(agentPath, join(host.folder, 'bin', 'agent'))
    }
  }

  /** The machine of this number, from 1. */
  host(number = 1): Host {
    return this.#lab.host(number - 1)
  }

  /** Runs a line of shell on a machine; stdout has both outputs, as a terminal would. */
  shell(line: string, number = 1): Promise<Ended> {
    const host = this.host(number)
    const [program = '', ...args] = [...host.enter, 'bash', '-c', `exec 2>&1\n${line}`]
    return run(program, args, { timeoutMs: lineTimeoutMs, env: envOf(host), cwd: '/' })
  }

  /** Starts the agent on a machine where it was killed, as its service unit would. */
  startAgent(number: number): void {
    this.host(number).start('agent', [this.#agentPath, 'daemon'])
  }

  /** Runs the line until what it prints passes the check; returns that output. */
  shellUntil(
    what: string,
    line: string,
    isMet: (output: string) => boolean,
    number = 1,
  ): Promise<string> {
    let last = ''
    const describe = (): string => last
    return waitFor({ what, timeoutMs: 60_000, everyMs: 200, describe }, async () => {
      last = (await this.shell(line, number)).stdout
      return isMet(last) && last
    })
  }

  /** Lets visitors ask for the page until the returned function ends their visit. */
  async visit(url: string, number = 1): Promise<() => Promise<Visits>> {
    const program = join(import.meta.dirname, 'visitors.ts')
    const node = [process.execPath, '--disable-warning=ExperimentalWarning']
    const visitors = this.host(number).start('visitors', [...node, program, url])
    return () => endVisit(visitors)
  }

  close(): void {
    this.#lab.close()
  }
}

function envOf(host: Host): NodeJS.ProcessEnv {
  const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  return {
    PATH: `${join(host.folder, 'bin')}:${systemPath}`,
    HOME: join(host.folder, 'home'),
    LANG: 'C.UTF-8',
    DOCKER_CLI_HINTS: 'false',
    NO_COLOR: '1',
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
