// The flags of `service create` and `service update`: those of both, then each one's own.

import type { Flag, FlagKind } from './flags.ts'

/** name, kind, help; `more` adds a short form, a default, the API version. */
function flag(
  name: string,
  kind: FlagKind,
  help: string,
  more: Omit<Flag, 'name' | 'kind' | 'help'> = {},
): Flag {
  return { name, kind, help, ...more }
}

/** --detach and --quiet. */
export const detachFlag = flag(
  'detach',
  'bool',
  'Exit immediately instead of waiting for the service to converge',
  { short: 'd', since: '1.29' },
)
export const quietProgressFlag = flag('quiet', 'bool', 'Suppress progress output', { short: 'q' })

/** Where help of `create` adds what holds when the flag is not given. */
const defaults: Readonly<Record<string, string>> = {
  'stop-grace-period': '10s',
  'restart-condition': '"any"',
  'restart-delay': '5s',
  'update-delay': '0s',
  'update-monitor': '5s',
  'update-failure-action': '"pause"',
  'update-max-failure-ratio': '0',
  'update-order': '"stop-first"',
  'rollback-delay': '0s',
  'rollback-monitor': '5s',
  'rollback-failure-action': '"pause"',
  'rollback-max-failure-ratio': '0',
  'rollback-order': '"stop-first"',
}
/** Defaults of `create` that the flag itself has. */
const flagDefaults: Readonly<Record<string, string>> = {
  'update-parallelism': '1',
  'rollback-parallelism': '1',
  'endpoint-mode': 'vip',
}

const units = '(ns|us|ms|s|m|h)'
const healthUnits = '(ms|s|m|h)'

/** Flags that both commands have. */
const commonFlags: readonly Flag[] = [
  detachFlag,
  quietProgressFlag,
  flag('workdir', 'string', 'Working directory inside the container', { short: 'w' }),
  flag('user', 'string', 'Username or UID (format: <name|uid>[:<group|gid>])', { short: 'u' }),
  flag(
    'credential-spec',
    'credentialSpec',
    'Credential spec for managed service account (Windows only)',
    { since: '1.29' },
  ),
  flag('hostname', 'string', 'Container hostname', { since: '1.25' }),
  flag('entrypoint', 'command', 'Overwrite the default ENTRYPOINT of the image'),
  flag('cap-add', 'list', 'Add Linux capabilities', { since: '1.41' }),
  flag('cap-drop', 'list', 'Drop Linux capabilities', { since: '1.41' }),
  flag('limit-cpu', 'decimal', 'Limit CPUs'),
  flag('limit-memory', 'bytes', 'Limit Memory'),
  flag('reserve-cpu', 'decimal', 'Reserve CPUs'),
  flag('reserve-memory', 'bytes', 'Reserve Memory'),
  flag('limit-pids', 'int', 'Limit maximum number of processes (default 0 = unlimited)', {
    since: '1.41',
  }),
  flag('stop-grace-period', 'duration', `Time to wait before force killing a container ${units}`),
  flag('replicas', 'uint', 'Number of tasks'),
  flag(
    'max-concurrent',
    'uint',
    'Number of job tasks to run concurrently (default equal to --replicas)',
    { since: '1.41' },
  ),
  flag(
    'replicas-max-per-node',
    'uint',
    'Maximum number of tasks per node (default 0 = unlimited)',
    { since: '1.40' },
  ),
  flag(
    'restart-condition',
    'string',
    'Restart when condition is met ("none", "on-failure", "any")',
  ),
  flag('restart-delay', 'duration', `Delay between restart attempts ${units}`),
  flag('restart-max-attempts', 'uint', 'Maximum number of restarts before giving up'),
  flag('restart-window', 'duration', `Window used to evaluate the restart policy ${units}`),
  flag(
    'update-parallelism',
    'uint',
    'Maximum number of tasks updated simultaneously (0 to update all at once)',
  ),
  flag('update-delay', 'duration', `Delay between updates ${units}`),
  flag(
    'update-monitor',
    'duration',
    `Duration after each task update to monitor for failure ${units}`,
    { since: '1.25' },
  ),
  flag(
    'update-failure-action',
    'string',
    'Action on update failure ("pause", "continue", "rollback")',
  ),
  flag('update-max-failure-ratio', 'float', 'Failure rate to tolerate during an update', {
    since: '1.25',
  }),
  flag('update-order', 'string', 'Update order ("start-first", "stop-first")', { since: '1.29' }),
  flag(
    'rollback-parallelism',
    'uint',
    'Maximum number of tasks rolled back simultaneously (0 to roll back all at once)',
    { since: '1.28' },
  ),
  flag('rollback-delay', 'duration', `Delay between task rollbacks ${units}`, { since: '1.28' }),
  flag(
    'rollback-monitor',
    'duration',
    `Duration after each task rollback to monitor for failure ${units}`,
    { since: '1.28' },
  ),
  flag('rollback-failure-action', 'string', 'Action on rollback failure ("pause", "continue")', {
    since: '1.28',
  }),
  flag('rollback-max-failure-ratio', 'float', 'Failure rate to tolerate during a rollback', {
    since: '1.28',
  }),
  flag('rollback-order', 'string', 'Rollback order ("start-first", "stop-first")', {
    since: '1.29',
  }),
  flag('endpoint-mode', 'string', 'Endpoint mode (vip or dnsrr)'),
  flag('with-registry-auth', 'bool', 'Send registry authentication details to swarm agents'),
  flag(
    'no-resolve-image',
    'bool',
    'Do not query the registry to resolve image digest and supported platforms',
    { since: '1.30' },
  ),
  flag('log-driver', 'string', 'Logging driver for service'),
  flag('log-opt', 'envList', 'Logging driver options'),
  flag('health-cmd', 'string', 'Command to run to check health', { since: '1.25' }),
  flag('health-interval', 'positiveDuration', `Time between running the check ${healthUnits}`, {
    since: '1.25',
  }),
  flag(
    'health-timeout',
    'positiveDuration',
    `Maximum time to allow one check to run ${healthUnits}`,
    {
      since: '1.25',
    },
  ),
  flag('health-retries', 'int', 'Consecutive failures needed to report unhealthy', {
    since: '1.25',
  }),
  flag(
    'health-start-period',
    'positiveDuration',
    `Start period for the container to initialize before counting retries towards unstable ${healthUnits}`,
    { since: '1.29' },
  ),
  flag(
    'health-start-interval',
    'positiveDuration',
    `Time between running the check during the start period ${healthUnits}`,
    { since: '1.44' },
  ),
  flag('no-healthcheck', 'bool', 'Disable any container-specified HEALTHCHECK', { since: '1.25' }),
  flag('tty', 'bool', 'Allocate a pseudo-TTY', { short: 't', since: '1.25' }),
  flag('read-only', 'bool', "Mount the container's root filesystem as read only", {
    since: '1.28',
  }),
  flag('stop-signal', 'string', 'Signal to stop the container', { since: '1.28' }),
  flag('isolation', 'string', 'Service container isolation mode', { since: '1.35' }),
  flag(
    'init',
    'bool',
    'Use an init inside each service container to forward signals and reap processes',
    { since: '1.37' },
  ),
  flag('oom-score-adj', 'int', "Tune host's OOM preferences (-1000 to 1000) ", { since: '1.46' }),
]

/** Every flag of `service create`. */
export const createFlags: readonly Flag[] = [
  ...commonFlags.map(withDefault),
  flag('mode', 'string', 'Service mode ("replicated", "global", "replicated-job", "global-job")', {
    default: 'replicated',
  }),
  flag('name', 'string', 'Service name'),
  flag('label', 'labelList', 'Service labels', { short: 'l' }),
  flag('container-label', 'labelList', 'Container labels'),
  flag('env', 'envList', 'Set environment variables', { short: 'e' }),
  flag('env-file', 'list', 'Read in a file of environment variables'),
  flag('mount', 'mount', 'Attach a filesystem mount to the service'),
  flag('constraint', 'list', 'Placement constraints'),
  flag('placement-pref', 'pref', 'Add a placement preference', { since: '1.28' }),
  flag('network', 'network', 'Network attachments'),
  flag('secret', 'secret', 'Specify secrets to expose to the service', { since: '1.25' }),
  flag('config', 'config', 'Specify configurations to expose to the service', { since: '1.30' }),
  flag('publish', 'port', 'Publish a port as a node port', { short: 'p' }),
  flag('group', 'list', 'Set one or more supplementary user groups for the container', {
    since: '1.25',
  }),
  flag('dns', 'ipList', 'Set custom DNS servers', { since: '1.25' }),
  flag('dns-option', 'list', 'Set DNS options', { since: '1.25' }),
  flag('dns-search', 'searchList', 'Set custom DNS search domains', { since: '1.25' }),
  flag('host', 'hostList', 'Set one or more custom host-to-IP mappings (host:ip)', {
    since: '1.25',
  }),
  flag('sysctl', 'list', 'Sysctl options', { since: '1.40' }),
  flag('ulimit', 'ulimit', 'Ulimit options', { since: '1.41', default: '[]' }),
  flag('generic-resource', 'genericList', 'User defined resources'),
]

/** Every flag of `service update`. */
export const updateCommandFlags: readonly Flag[] = [
  ...commonFlags,
  flag('image', 'string', 'Service image tag'),
  flag('args', 'command', 'Service command args'),
  flag('rollback', 'bool', 'Rollback to previous specification', { since: '1.25' }),
  flag('force', 'bool', 'Force update even if no changes require it', { since: '1.25' }),
  flag('env-add', 'envList', 'Add or update an environment variable'),
  flag('env-rm', 'list', 'Remove an environment variable'),
  flag('group-add', 'list', 'Add an additional supplementary user group to the container', {
    since: '1.25',
  }),
  flag(
    'group-rm',
    'list',
    'Remove a previously added supplementary user group from the container',
    { since: '1.25' },
  ),
  flag('label-add', 'labelList', 'Add or update a service label'),
  flag('label-rm', 'list', 'Remove a label by its key'),
  flag('container-label-add', 'labelList', 'Add or update a container label'),
  flag('container-label-rm', 'list', 'Remove a container label by its key'),
  flag('mount-add', 'mount', 'Add or update a mount on a service'),
  flag('mount-rm', 'list', 'Remove a mount by its target path'),
  flag('publish-add', 'port', 'Add or update a published port'),
  flag('publish-rm', 'port', 'Remove a published port by its target port'),
  flag('constraint-add', 'list', 'Add or update a placement constraint'),
  flag('constraint-rm', 'list', 'Remove a constraint'),
  flag('placement-pref-add', 'pref', 'Add a placement preference', { since: '1.28' }),
  flag('placement-pref-rm', 'pref', 'Remove a placement preference', { since: '1.28' }),
  flag('network-add', 'network', 'Add a network', { since: '1.29' }),
  flag('network-rm', 'list', 'Remove a network', { since: '1.29' }),
  flag('secret-add', 'secret', 'Add or update a secret on a service', { since: '1.25' }),
  flag('secret-rm', 'list', 'Remove a secret', { since: '1.25' }),
  flag('config-add', 'config', 'Add or update a config file on a service', { since: '1.30' }),
  flag('config-rm', 'list', 'Remove a configuration file', { since: '1.30' }),
  flag('dns-add', 'ipList', 'Add or update a custom DNS server', { since: '1.25' }),
  flag('dns-rm', 'list', 'Remove a custom DNS server', { since: '1.25' }),
  flag('dns-option-add', 'list', 'Add or update a DNS option', { since: '1.25' }),
  flag('dns-option-rm', 'list', 'Remove a DNS option', { since: '1.25' }),
  flag('dns-search-add', 'searchList', 'Add or update a custom DNS search domain', {
    since: '1.25',
  }),
  flag('dns-search-rm', 'list', 'Remove a DNS search domain', { since: '1.25' }),
  flag('host-add', 'hostList', 'Add a custom host-to-IP mapping ("host:ip")', { since: '1.25' }),
  flag('host-rm', 'list', 'Remove a custom host-to-IP mapping ("host:ip")', { since: '1.25' }),
  flag('sysctl-add', 'list', 'Add or update a Sysctl option', { since: '1.40' }),
  flag('sysctl-rm', 'list', 'Remove a Sysctl option', { since: '1.40' }),
  flag('ulimit-add', 'ulimit', 'Add or update a ulimit option', { since: '1.41', default: '[]' }),
  flag('ulimit-rm', 'list', 'Remove a ulimit option', { since: '1.41' }),
  flag('generic-resource-add', 'genericList', 'Add a Generic resource', { since: '1.32' }),
  flag('generic-resource-rm', 'list', 'Remove a Generic resource', { since: '1.32' }),
]

function withDefault(one: Flag): Flag {
  const shown = defaults[one.name]
  const help = shown === undefined ? one.help : `${one.help} (default ${shown})`
  const value = flagDefaults[one.name]
  return value === undefined ? { ...one, help } : { ...one, help, default: value }
}
