// The commands that are more than calls of the API: those that start, describe or remove the agent
// on this very machine. agent/cli has the rest.

import { CodedError } from '../core/base/error.ts'
import { systemClock } from './base/clock.ts'
import { type DaemonFlag, daemonFlags, defaultSocket } from './base/config.ts'
import type { DaemonFlagValues } from './bring-up.ts'
import { Api, hostDefault } from './cli/api.ts'
import type { LocalCommands } from './cli/cli.ts'
import { writeLine } from './cli/cli-io.ts'
import { type Call, type Command, none } from './cli/command.ts'
import { dryRunFlag, initFlags, joinFlags } from './cli/commands.ts'
import type { Flag, FlagValues } from './cli/flags.ts'

const daemonFlagRows: readonly Flag[] = Object.entries(daemonFlags).map(([name, row]) => ({
  name,
  kind: 'string',
  help: row.help,
}))

/** Flags that `init` has for the daemon besides those it shares with the API's. */
const hostFlagRows = daemonFlagRows.filter(
  (flag) => !initFlags.some((each) => each.name === flag.name),
)

const serviceFlag: Flag = {
  name: 'no-service',
  kind: 'bool',
  help: 'Start the agent in the background, not as a service of systemd',
}

const daemonCommandRow: Command = {
  type: 'command',
  name: 'daemon',
  usage: '[OPTIONS]',
  short: 'Run the agent in the foreground',
  arguments: none,
  flags: daemonFlagRows,
  run: async ({ flags }) => {
    const { formatDaemonFlags } = await import('./base/config.ts')
    const { runDaemon } = await import('./run-daemon.ts')
    return runDaemon(formatDaemonFlags(daemonValues(flags)))
  },
}

const initCommandRow: Command = {
  type: 'command',
  name: 'init',
  usage: '[OPTIONS]',
  short: 'Start a cluster on this machine, and the agent if it does not run',
  arguments: none,
  flags: [...initFlags, dryRunFlag, ...hostFlagRows, serviceFlag],
  run: async (call) => withAgent(call, (await import('./cli/swarm.ts')).initSwarm),
}

const joinCommandRow: Command = {
  type: 'command',
  name: 'join',
  usage: '[OPTIONS] TOKEN [HOST:PORT]',
  short: 'Make this machine a node of a cluster, and start the agent if it does not run',
  arguments: { min: 0, max: 8 },
  flags: [
    ...joinFlags,
    ...daemonFlagRows.filter((flag) => !joinFlags.some((each) => each.name === flag.name)),
    serviceFlag,
  ],
  run: async (call) => withAgent(call, (await import('./cli/swarm.ts')).joinByToken),
}

const serviceUnitRow: Command = {
  type: 'command',
  name: 'service-unit',
  usage: '[OPTIONS]',
  short: 'Print the unit that starts the agent with systemd',
  arguments: none,
  flags: daemonFlagRows,
  run: async ({ flags, io }) => {
    const { daemonCommand } = await import('./bring-up.ts')
    const { unitText } = await import('./service-unit.ts')
    io.stdout.write(unitText(daemonCommand(daemonValues(flags))))
    return undefined
  },
}

const uninstallRow: Command = {
  type: 'command',
  name: 'uninstall',
  usage: '[OPTIONS]',
  short: 'Remove the agent, its containers and its state from this machine',
  arguments: none,
  flags: [
    { name: 'force', short: 'f', kind: 'bool', help: 'Do not ask' },
    ...daemonFlagRows.filter((flag) => flag.name === 'state-dir' || flag.name === 'socket'),
  ],
  run: async (call) => {
    await askToUninstall(call)
    const { uninstall } = await import('./uninstall.ts')
    const flags = socketValues(call)
    await uninstall({
      flags,
      clock: systemClock,
      leave: () => withApi(call, flags, leaveIfMember),
      say: (line) => writeLine(call.io.stdout, line),
    })
    return undefined
  },
}

/** The rows for `runCli`. */
export const localCommands: LocalCommands = [
  daemonCommandRow,
  initCommandRow,
  joinCommandRow,
  serviceUnitRow,
  uninstallRow,
]

function daemonValues(flags: FlagValues): DaemonFlagValues {
  const names = Object.keys(daemonFlags) as DaemonFlag[]
  return Object.fromEntries(
    names.filter((name) => flags.isSet(name)).map((name) => [name, flags.text(name)]),
  )
}

/** Starts the agent on this machine if it does not run, and then runs with its API. */
async function withAgent<T>(call: Call, run: (call: Call) => Promise<T>): Promise<T> {
  const { bringUp } = await import('./bring-up.ts')
  const flags = socketValues(call)
  await bringUp({
    flags,
    isServiceWanted: !call.flags.isOn('no-service'),
    clock: systemClock,
    say: (line) => writeLine(call.io.stderr, line),
  })
  return withApi(call, flags, run)
}

/** Runs with the API at the socket of these flags, which may not be the one of --host. */
async function withApi<T>(
  call: Call,
  flags: DaemonFlagValues,
  run: (call: Call) => Promise<T>,
): Promise<T> {
  const api = new Api(`unix://${(flags.socket ?? defaultSocket).replace(/^unix:\/\//, '')}`)
  try {
    return await run({ ...call, api })
  } finally {
    api.close()
  }
}

/** The daemon's flags; without --socket the one that --host names. */
function socketValues(call: Call): DaemonFlagValues {
  const values = daemonValues(call.flags)
  if (values.socket !== undefined) return values
  const { host } = call.api
  if (!host.startsWith('unix://')) {
    throw new CodedError(
      'invalid-argument',
      `--host ${host}: this command works on unix sockets only`,
    )
  }
  const path = host.slice('unix://'.length)
  return { ...values, ...(host === hostDefault ? {} : { socket: path }) }
}

async function askToUninstall({ flags, io }: Call): Promise<void> {
  if (flags.isOn('force')) return
  if (!io.stdin.isTty) {
    throw new CodedError(
      'invalid-argument',
      'uninstall removes everything: use --force to say so without a terminal',
    )
  }
  io.stdout.write(
    'WARNING! This removes the agent, the containers of its tasks and all state from this machine.\nAre you sure you want to continue? [y/N] ',
  )
  if ((await io.stdin.readLine()).trim().toLowerCase() !== 'y') {
    throw new CodedError('conflict', 'not uninstalled')
  }
}

async function leaveIfMember({ api }: Call): Promise<void> {
  const info = await api.get<{ readonly Swarm?: { readonly LocalNodeState?: string } }>('/info')
  if ((info.Swarm?.LocalNodeState ?? 'inactive') === 'inactive') return
  await api.post('/swarm/leave', { query: { force: '1' } })
}
