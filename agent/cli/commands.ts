// Every command that is a client of the API, in one table: its flags, its arguments, its help. The code
// behind a row is loaded when the row runs.

import {
  type AnyCommand,
  atLeast,
  between,
  type Command,
  exactly,
  exitError,
  none,
  type PlacedCommand,
  usageLine,
} from './command.ts'
import type { Flag } from './flags.ts'
import { createFlags, detachFlag, quietProgressFlag, updateCommandFlags } from './service-flags.ts'

const listFormatHelp = `Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.`

const inspectFormatHelp = `Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.`

const filterFlag: Flag = {
  name: 'filter',
  short: 'f',
  kind: 'filter',
  help: 'Filter output based on conditions provided',
}
const quietIdsFlag: Flag = { name: 'quiet', short: 'q', kind: 'bool', help: 'Only display IDs' }
const listFlags: readonly Flag[] = [
  quietIdsFlag,
  { name: 'format', kind: 'string', help: listFormatHelp },
  filterFlag,
]
const inspectFormatFlag: Flag = {
  name: 'format',
  short: 'f',
  kind: 'string',
  help: inspectFormatHelp,
}
const prettyFlag: Flag = {
  name: 'pretty',
  kind: 'bool',
  help: 'Print the information in a human friendly format',
}
const taskFlags: readonly Flag[] = [
  { name: 'quiet', short: 'q', kind: 'bool', help: 'Only display task IDs' },
  { name: 'no-trunc', kind: 'bool', help: 'Do not truncate output' },
  { name: 'no-resolve', kind: 'bool', help: 'Do not map IDs to Names' },
  { name: 'format', kind: 'string', help: 'Pretty-print tasks using a Go template' },
  filterFlag,
]
const labelFlag = (what: string): Flag => ({
  name: 'label',
  short: 'l',
  kind: 'labelList',
  help: `${what} labels`,
})
const templateDriverFlag: Flag = {
  name: 'template-driver',
  kind: 'string',
  help: 'Template driver',
  since: '1.37',
}
const availabilityHelp = 'Availability of the node ("active", "pause", "drain")'

const logFlags: readonly Flag[] = [
  { name: 'no-resolve', kind: 'bool', help: 'Do not map IDs to Names in output' },
  { name: 'no-trunc', kind: 'bool', help: 'Do not truncate output' },
  { name: 'raw', kind: 'bool', help: 'Do not neatly format logs', since: '1.30' },
  { name: 'no-task-ids', kind: 'bool', help: 'Do not include task IDs in output' },
  { name: 'follow', short: 'f', kind: 'bool', help: 'Follow log output' },
  {
    name: 'since',
    kind: 'string',
    help: 'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
  },
  { name: 'timestamps', short: 't', kind: 'bool', help: 'Show timestamps' },
  { name: 'details', kind: 'bool', help: 'Show extra details provided to logs', since: '1.30' },
  {
    name: 'tail',
    short: 'n',
    kind: 'string',
    help: 'Number of lines to show from the end of the logs',
    default: 'all',
  },
]

const serviceCommands: readonly Command[] = [
  {
    type: 'command',
    name: 'create',
    usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
    short: 'Create a new service',
    arguments: atLeast(1),
    flags: createFlags,
    isInterspersed: false,
    run: async (call) => (await import('./service.ts')).createService(call),
  },
  {
    type: 'command',
    name: 'inspect',
    usage: '[OPTIONS] SERVICE [SERVICE...]',
    short: 'Display detailed information on one or more services',
    arguments: atLeast(1),
    flags: [inspectFormatFlag, prettyFlag],
    run: async (call) => (await import('./service-inspect.ts')).inspectServices(call),
  },
  {
    type: 'command',
    name: 'logs',
    usage: '[OPTIONS] SERVICE|TASK',
    short: 'Fetch the logs of a service or task',
    arguments: exactly(1),
    flags: logFlags,
    run: async (call) => (await import('./service-logs.ts')).showLogs(call),
  },
  {
    type: 'command',
    name: 'ls',
    aliases: ['list'],
    usage: '[OPTIONS]',
    short: 'List services',
    arguments: none,
    flags: listFlags,
    run: async (call) => (await import('./service-list.ts')).listServices(call),
  },
  {
    type: 'command',
    name: 'ps',
    usage: '[OPTIONS] SERVICE [SERVICE...]',
    short: 'List the tasks of one or more services',
    arguments: atLeast(1),
    flags: taskFlags,
    run: async (call) => (await import('./service-list.ts')).listServiceTasks(call),
  },
  {
    type: 'command',
    name: 'rm',
    aliases: ['remove'],
    usage: 'SERVICE [SERVICE...]',
    short: 'Remove one or more services',
    arguments: atLeast(1),
    flags: [],
    run: async (call) => (await import('./service.ts')).removeServices(call),
  },
  {
    type: 'command',
    name: 'rollback',
    usage: '[OPTIONS] SERVICE',
    short: "Revert changes to a service's configuration",
    arguments: exactly(1),
    flags: [detachFlag, quietProgressFlag],
    run: async (call) => (await import('./service.ts')).rollbackService(call),
  },
  {
    type: 'command',
    name: 'scale',
    usage: 'SERVICE=REPLICAS [SERVICE=REPLICAS...]',
    short: 'Scale one or multiple replicated services',
    arguments: atLeast(1),
    flags: [detachFlag],
    checkArguments: checkScaleArguments,
    run: async (call) => (await import('./service.ts')).scaleServices(call),
  },
  {
    type: 'command',
    name: 'update',
    usage: '[OPTIONS] SERVICE',
    short: 'Update a service',
    arguments: exactly(1),
    flags: updateCommandFlags,
    run: async (call) => (await import('./service.ts')).updateService(call),
  },
]

function checkScaleArguments(args: readonly string[], placed: PlacedCommand): void {
  const wrong = args.find((arg) => !/^[^=]+=[\s\S]+$/.test(arg))
  if (wrong === undefined) return
  throw exitError(
    `invalid scale specifier '${wrong}'.\nSee '${placed.path} --help'.\n\nUsage:  ${usageLine(placed)}\n\n${placed.command.short}`,
    1,
  )
}

const nodeCommands: readonly Command[] = [
  {
    type: 'command',
    name: 'demote',
    usage: 'NODE [NODE...]',
    short: 'Demote one or more nodes from manager in the swarm',
    arguments: atLeast(1),
    flags: [],
    run: async (call) => (await import('./node.ts')).demoteNodes(call),
  },
  {
    type: 'command',
    name: 'inspect',
    usage: '[OPTIONS] self|NODE [NODE...]',
    short: 'Display detailed information on one or more nodes',
    arguments: atLeast(1),
    flags: [inspectFormatFlag, prettyFlag],
    run: async (call) => (await import('./node.ts')).inspectNodes(call),
  },
  {
    type: 'command',
    name: 'ls',
    aliases: ['list'],
    usage: '[OPTIONS]',
    short: 'List nodes in the swarm',
    arguments: none,
    flags: listFlags,
    run: async (call) => (await import('./node.ts')).listNodes(call),
  },
  {
    type: 'command',
    name: 'promote',
    usage: 'NODE [NODE...]',
    short: 'Promote one or more nodes to manager in the swarm',
    arguments: atLeast(1),
    flags: [],
    run: async (call) => (await import('./node.ts')).promoteNodes(call),
  },
  {
    type: 'command',
    name: 'ps',
    usage: '[OPTIONS] [NODE...]',
    short: 'List tasks running on one or more nodes, defaults to current node',
    arguments: atLeast(0),
    flags: taskFlags,
    run: async (call) => (await import('./node.ts')).listNodeTasks(call),
  },
  {
    type: 'command',
    name: 'rm',
    aliases: ['remove'],
    usage: '[OPTIONS] NODE [NODE...]',
    short: 'Remove one or more nodes from the swarm',
    arguments: atLeast(1),
    flags: [
      { name: 'force', short: 'f', kind: 'bool', help: 'Force remove a node from the swarm' },
    ],
    run: async (call) => (await import('./node.ts')).removeNodes(call),
  },
  {
    type: 'command',
    name: 'update',
    usage: '[OPTIONS] NODE',
    short: 'Update a node',
    arguments: exactly(1),
    flags: [
      { name: 'role', kind: 'string', help: 'Role of the node ("worker", "manager")' },
      { name: 'availability', kind: 'string', help: availabilityHelp },
      { name: 'label-add', kind: 'list', help: 'Add or update a node label ("key=value")' },
      { name: 'label-rm', kind: 'list', help: 'Remove a node label if exists' },
    ],
    run: async (call) => (await import('./node.ts')).updateNode(call),
  },
]

const durationUnits = '(ns|us|ms|s|m|h)'
const caFlags: readonly Flag[] = [
  {
    name: 'cert-expiry',
    kind: 'duration',
    help: `Validity period for node certificates ${durationUnits}`,
    default: '2160h0m0s',
  },
  {
    name: 'external-ca',
    kind: 'externalCa',
    help: 'Specifications of one or more certificate signing endpoints',
  },
]
const swarmFlags: readonly Flag[] = [
  {
    name: 'task-history-limit',
    kind: 'int',
    help: 'Task history retention limit',
    default: '5',
  },
  {
    name: 'dispatcher-heartbeat',
    kind: 'duration',
    help: `Dispatcher heartbeat period ${durationUnits}`,
    default: '5s',
  },
  {
    name: 'max-snapshots',
    kind: 'uint',
    help: 'Number of additional Raft snapshots to retain',
    since: '1.25',
  },
  {
    name: 'snapshot-interval',
    kind: 'uint',
    help: 'Number of log entries between Raft snapshots',
    default: '10000',
    since: '1.25',
  },
  ...caFlags,
]
const addressHelp = 'address (format: "<ip|interface>[:port]")'
const addressFlags: readonly Flag[] = [
  {
    name: 'listen-addr',
    kind: 'nodeAddress',
    help: `Listen ${addressHelp}`,
    default: '0.0.0.0:2377',
  },
  { name: 'advertise-addr', kind: 'string', help: `Advertised ${addressHelp}` },
  {
    name: 'data-path-addr',
    kind: 'string',
    help: 'Address or interface to use for data path traffic (format: "<ip|interface>")',
    since: '1.31',
  },
  { name: 'availability', kind: 'string', help: availabilityHelp, default: 'active' },
]

/** Flags of `init`, for whoever calls `initSwarm` from a command of their own. */
export const initFlags: readonly Flag[] = [
  ...addressFlags,
  {
    name: 'data-path-port',
    kind: 'uint32',
    help: 'Port number to use for data path traffic (1024 - 49151). If no value is set or is set to 0, the default port is used.',
    since: '1.40',
  },
  {
    name: 'force-new-cluster',
    kind: 'bool',
    help: 'Force create a new cluster from current state',
  },
  {
    name: 'autolock',
    kind: 'bool',
    help: 'Enable manager autolocking (requiring an unlock key to start a stopped manager)',
  },
  {
    name: 'default-addr-pool',
    kind: 'ipNetSlice',
    help: 'default address pool in CIDR format',
    default: '[]',
    since: '1.39',
  },
  {
    name: 'default-addr-pool-mask-length',
    kind: 'uint32',
    help: 'default address pool subnet mask length',
    default: '24',
    since: '1.39',
  },
  ...swarmFlags,
]
/** What recovering would do, and no more. */
export const dryRunFlag: Flag = {
  name: 'dry-run',
  kind: 'bool',
  help: 'Only say what would be done',
}
/** Flags of `join`; the token may also be its argument. */
export const joinFlags: readonly Flag[] = [
  ...addressFlags,
  { name: 'token', kind: 'string', help: 'Token for entry into the swarm' },
]
const rotateFlag = (help: string): Flag => ({ name: 'rotate', kind: 'bool', help })
const quietTokenFlag: Flag = { name: 'quiet', short: 'q', kind: 'bool', help: 'Only display token' }

const initCommand: Command = {
  type: 'command',
  name: 'init',
  usage: '[OPTIONS]',
  short: 'Initialize a swarm',
  arguments: none,
  flags: initFlags,
  run: async (call) => (await import('./swarm.ts')).initSwarm(call),
}
const leaveCommand: Command = {
  type: 'command',
  name: 'leave',
  usage: '[OPTIONS]',
  short: 'Leave the swarm',
  arguments: none,
  flags: [
    {
      name: 'force',
      short: 'f',
      kind: 'bool',
      help: 'Force this node to leave the swarm, ignoring warnings',
    },
  ],
  run: async (call) => (await import('./swarm.ts')).leaveSwarm(call),
}
const unlockCommand: Command = {
  type: 'command',
  name: 'unlock',
  usage: '',
  short: 'Unlock swarm',
  arguments: none,
  flags: [],
  run: async (call) => (await import('./swarm.ts')).unlockSwarm(call),
}
const joinTokenCommand: Command = {
  type: 'command',
  name: 'join-token',
  usage: '[OPTIONS] (worker|manager)',
  short: 'Manage join tokens',
  arguments: exactly(1),
  flags: [rotateFlag('Rotate join token'), quietTokenFlag],
  run: async (call) => (await import('./swarm.ts')).showJoinToken(call),
}
const caCommand: Command = {
  type: 'command',
  name: 'ca',
  usage: '[OPTIONS]',
  short: 'Display and rotate the root CA',
  arguments: none,
  flags: [
    ...caFlags,
    rotateFlag(
      'Rotate the swarm CA - if no certificate or key are provided, new ones will be generated',
    ),
    {
      name: 'ca-cert',
      kind: 'pemFile',
      help: 'Path to the PEM-formatted root CA certificate to use for the new cluster',
    },
    {
      name: 'ca-key',
      kind: 'pemFile',
      help: 'Path to the PEM-formatted root CA key to use for the new cluster',
    },
    {
      name: 'compromised',
      kind: 'bool',
      help: 'The present key is in wrong hands: workers must join again, and are listed',
    },
    {
      name: 'detach',
      short: 'd',
      kind: 'bool',
      help: 'Exit immediately instead of waiting for the root rotation to converge',
    },
    quietProgressFlag,
  ],
  run: async (call) => (await import('./swarm-ca.ts')).manageCa(call),
}

const swarmCommands: readonly Command[] = [
  caCommand,
  initCommand,
  {
    type: 'command',
    name: 'join',
    usage: '[OPTIONS] HOST:PORT',
    short: 'Join a swarm as a node and/or manager',
    arguments: exactly(1),
    flags: joinFlags,
    run: async (call) => (await import('./swarm.ts')).joinSwarm(call),
  },
  joinTokenCommand,
  leaveCommand,
  unlockCommand,
  {
    type: 'command',
    name: 'unlock-key',
    usage: '[OPTIONS]',
    short: 'Manage the unlock key',
    arguments: none,
    flags: [rotateFlag('Rotate unlock key'), quietTokenFlag],
    run: async (call) => (await import('./swarm.ts')).showUnlockKey(call),
  },
  {
    type: 'command',
    name: 'update',
    usage: '[OPTIONS]',
    short: 'Update the swarm',
    arguments: none,
    flags: [
      {
        name: 'autolock',
        kind: 'bool',
        help: 'Change manager autolocking setting (true|false)',
      },
      {
        name: 'offline-secrets',
        kind: 'bool',
        help: 'Let workers keep sealed copies of secrets for restarts while cut off (true|false)',
        default: 'true',
      },
      ...swarmFlags,
    ],
    isHelpWithoutFlags: true,
    run: async (call) => (await import('./swarm.ts')).updateSwarm(call),
  },
]

const inspectFlags: readonly Flag[] = [inspectFormatFlag, prettyFlag]

const secretCommands: readonly Command[] = [
  {
    type: 'command',
    name: 'create',
    usage: '[OPTIONS] SECRET [file|-]',
    short: 'Create a secret from a file or STDIN as content',
    arguments: between(1, 2),
    flags: [
      { name: 'driver', short: 'd', kind: 'string', help: 'Secret driver', since: '1.31' },
      labelFlag('Secret'),
      templateDriverFlag,
    ],
    run: async (call) => (await import('./object.ts')).createSecret(call),
  },
  ...objectCommands('secret'),
]

const configCommands: readonly Command[] = [
  {
    type: 'command',
    name: 'create',
    usage: '[OPTIONS] CONFIG file|-',
    short: 'Create a config from a file or STDIN',
    arguments: exactly(2),
    flags: [labelFlag('Config'), templateDriverFlag],
    run: async (call) => (await import('./object.ts')).createConfig(call),
  },
  ...objectCommands('config'),
]

/** What secrets and configs have alike. */
function objectCommands(kind: 'secret' | 'config'): readonly Command[] {
  const upper = kind.toUpperCase()
  return [
    {
      type: 'command',
      name: 'inspect',
      usage: `[OPTIONS] ${upper} [${upper}...]`,
      short: `Display detailed information on one or more ${kind}s`,
      arguments: atLeast(1),
      flags: inspectFlags,
      run: async (call) => (await import('./object.ts')).inspectObjects(call, kind),
    },
    {
      type: 'command',
      name: 'ls',
      aliases: ['list'],
      usage: '[OPTIONS]',
      short: `List ${kind}s`,
      arguments: none,
      flags: listFlags,
      run: async (call) => (await import('./object.ts')).listObjects(call, kind),
    },
    {
      type: 'command',
      name: 'rm',
      aliases: ['remove'],
      usage: `${upper} [${upper}...]`,
      short: `Remove one or more ${kind}s`,
      arguments: atLeast(1),
      flags: [],
      run: async (call) => (await import('./object.ts')).removeObjects(call, kind),
    },
  ]
}

const networkCommands: readonly Command[] = [
  {
    type: 'command',
    name: 'create',
    usage: '[OPTIONS] NETWORK',
    short: 'Create a network',
    arguments: exactly(1),
    flags: [
      {
        name: 'driver',
        short: 'd',
        kind: 'string',
        help: 'Driver to manage the Network',
        default: 'bridge',
      },
      {
        name: 'opt',
        short: 'o',
        kind: 'map',
        help: 'Set driver specific options',
        default: 'map[]',
      },
      { name: 'label', kind: 'labelList', help: 'Set metadata on a network' },
      {
        name: 'internal',
        kind: 'bool',
        help: 'Restrict external access to the network',
      },
      {
        name: 'ipv4',
        kind: 'bool',
        help: 'Enable or disable IPv4 address assignment',
        default: 'true',
      },
      { name: 'ipv6', kind: 'bool', help: 'Enable or disable IPv6 address assignment' },
      {
        name: 'attachable',
        kind: 'bool',
        help: 'Enable manual container attachment',
        since: '1.25',
      },
      { name: 'ingress', kind: 'bool', help: 'Create swarm routing-mesh network', since: '1.29' },
      { name: 'scope', kind: 'string', help: "Control the network's scope", since: '1.30' },
      {
        name: 'config-only',
        kind: 'bool',
        help: 'Create a configuration only network',
        since: '1.30',
      },
      {
        name: 'config-from',
        kind: 'string',
        help: 'The network from which to copy the configuration',
        since: '1.30',
      },
      {
        name: 'ipam-driver',
        kind: 'string',
        help: 'IP Address Management Driver',
        default: 'default',
      },
      {
        name: 'subnet',
        kind: 'strings',
        help: 'Subnet in CIDR format that represents a network segment',
      },
      { name: 'ip-range', kind: 'strings', help: 'Allocate container ip from a sub-range' },
      {
        name: 'gateway',
        kind: 'ipSlice',
        help: 'IPv4 or IPv6 Gateway for the master subnet',
      },
      {
        name: 'aux-address',
        kind: 'map',
        help: 'Auxiliary IPv4 or IPv6 addresses used by Network driver',
        default: 'map[]',
      },
      {
        name: 'ipam-opt',
        kind: 'map',
        help: 'Set IPAM driver specific options',
        default: 'map[]',
      },
    ],
    run: async (call) => (await import('./network.ts')).createNetwork(call),
  },
  {
    type: 'command',
    name: 'inspect',
    usage: '[OPTIONS] NETWORK [NETWORK...]',
    short: 'Display detailed information on one or more networks',
    arguments: atLeast(1),
    flags: [
      inspectFormatFlag,
      { name: 'verbose', short: 'v', kind: 'bool', help: 'Verbose output for diagnostics' },
    ],
    run: async (call) => (await import('./network.ts')).inspectNetworks(call),
  },
  {
    type: 'command',
    name: 'ls',
    aliases: ['list'],
    usage: '[OPTIONS]',
    short: 'List networks',
    arguments: none,
    flags: [
      { name: 'quiet', short: 'q', kind: 'bool', help: 'Only display network IDs' },
      { name: 'no-trunc', kind: 'bool', help: 'Do not truncate the output' },
      { name: 'format', kind: 'string', help: listFormatHelp },
      {
        name: 'filter',
        short: 'f',
        kind: 'filter',
        help: 'Provide filter values (e.g. "driver=bridge")',
      },
    ],
    run: async (call) => (await import('./network.ts')).listNetworks(call),
  },
  {
    type: 'command',
    name: 'prune',
    usage: '[OPTIONS]',
    short: 'Remove all unused networks',
    arguments: none,
    flags: [
      { name: 'force', short: 'f', kind: 'bool', help: 'Do not prompt for confirmation' },
      {
        name: 'filter',
        kind: 'filter',
        help: 'Provide filter values (e.g. "until=<timestamp>")',
      },
    ],
    run: async (call) => (await import('./network.ts')).pruneNetworks(call),
  },
  {
    type: 'command',
    name: 'rm',
    aliases: ['remove'],
    usage: 'NETWORK [NETWORK...]',
    short: 'Remove one or more networks',
    arguments: atLeast(1),
    flags: [
      {
        name: 'force',
        short: 'f',
        kind: 'bool',
        help: 'Do not error if the network does not exist',
      },
    ],
    run: async (call) => (await import('./network.ts')).removeNetworks(call),
  },
]

/** Every command that is a client of the API. */
export const apiCommands: readonly AnyCommand[] = [
  { type: 'group', name: 'config', short: 'Manage Swarm configs', commands: configCommands },
  { type: 'group', name: 'network', short: 'Manage networks', commands: networkCommands },
  { type: 'group', name: 'node', short: 'Manage Swarm nodes', commands: nodeCommands },
  { type: 'group', name: 'secret', short: 'Manage Swarm secrets', commands: secretCommands },
  { type: 'group', name: 'service', short: 'Manage Swarm services', commands: serviceCommands },
  { type: 'group', name: 'swarm', short: 'Manage Swarm', commands: swarmCommands },
  initCommand,
  leaveCommand,
  unlockCommand,
  caCommand,
  {
    type: 'command',
    name: 'join',
    usage: '[OPTIONS] TOKEN [HOST:PORT]',
    short: 'Join a swarm as a node and/or manager',
    arguments: between(0, 2),
    flags: joinFlags,
    run: async (call) => (await import('./swarm.ts')).joinByToken(call),
  },
  {
    type: 'command',
    name: 'recover',
    usage: '[OPTIONS]',
    short: 'Go on with this manager alone after the majority of managers was lost',
    arguments: none,
    flags: [
      dryRunFlag,
      {
        name: 'yes-the-others-are-gone',
        kind: 'bool',
        help: 'Also while other managers answer, and with nodes that have followed them',
      },
      {
        name: 'advertise-addr',
        kind: 'string',
        help: 'Advertised address (format: "<ip|interface>[:port]")',
      },
    ],
    run: async (call) => (await import('./swarm.ts')).recoverSwarm(call),
  },
  {
    ...joinTokenCommand,
    name: 'token',
    short: 'Show how to add a worker or a manager',
    run: async (call) => (await import('./swarm.ts')).showToken(call),
  },
  {
    type: 'command',
    name: 'ps',
    usage: '[OPTIONS]',
    short: 'List the tasks of all services',
    arguments: none,
    flags: taskFlags,
    run: async (call) => (await import('./service-list.ts')).listTasks(call),
  },
  {
    type: 'command',
    name: 'logs',
    usage: '[OPTIONS] SERVICE|TASK',
    short: 'Fetch the logs of a service or task',
    arguments: exactly(1),
    flags: logFlags,
    run: async (call) => (await import('./service-logs.ts')).showLogs(call),
  },
  {
    type: 'command',
    name: 'events',
    usage: '[OPTIONS]',
    short: 'Get real time events from the server',
    arguments: none,
    flags: [
      { name: 'since', kind: 'string', help: 'Show all events created since timestamp' },
      { name: 'until', kind: 'string', help: 'Stream events until this timestamp' },
      filterFlag,
      { name: 'format', kind: 'string', help: inspectFormatHelp },
    ],
    run: async (call) => (await import('./system-events.ts')).showEvents(call),
  },
  {
    type: 'command',
    name: 'info',
    usage: '[OPTIONS]',
    short: 'Display system-wide information',
    arguments: none,
    flags: [inspectFormatFlag],
    run: async (call) => (await import('./system-info.ts')).showInfo(call),
  },
  {
    type: 'command',
    name: 'version',
    usage: '[OPTIONS]',
    short: 'Show the version information',
    arguments: none,
    flags: [inspectFormatFlag],
    run: async (call) => (await import('./version.ts')).showVersion(call),
  },
]
