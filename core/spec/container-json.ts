// JSON of a ContainerSpec (Docker Engine API, TaskSpec.ContainerSpec). Key order, and what is left
// out when empty, are the engine's: a spec that was read from it and is sent to us unchanged comes
// back byte for byte.

import type { ConfigId, SecretId } from '../base/id.ts'
import {
  always,
  array,
  badField,
  boolean,
  bytes,
  type Codec,
  durationNs,
  type Field,
  given,
  idText,
  int64,
  labels,
  mapped,
  number,
  object,
  omitZero,
  orNull,
  string,
  strings,
  uint32,
  unlessZero,
  word,
} from '../base/schema.ts'
import { decodeText, encodeText } from '../base/text.ts'
import type {
  ConfigReference,
  ContainerSpec,
  FileTarget,
  HealthConfig,
  Mount,
  Privileges,
  SecretReference,
  Ulimit,
} from '../object/service.ts'
import { driverJson } from './common-json.ts'

type Part<K extends keyof ContainerSpec> = Exclude<ContainerSpec[K], undefined>
type MountPart<K extends keyof Mount> = Exclude<Mount[K], undefined>
type PrivilegePart<K extends keyof Privileges> = Exclude<Privileges[K], undefined>

const credentialSpecJson: Codec<PrivilegePart<'credentialSpec'>> = mapped(
  object<{ readonly config: string; readonly file: string; readonly registry: string }>({
    config: always('Config', string, ''),
    file: always('File', string, ''),
    registry: always('Registry', string, ''),
  }),
  {
    parse: (spec) => Object.fromEntries(Object.entries(spec).filter(([, text]) => text !== '')),
    format: (spec) => ({
      config: spec['config'] ?? '',
      file: spec['file'] ?? '',
      registry: spec['registry'] ?? '',
    }),
  },
)

const seLinuxJson = object<PrivilegePart<'seLinux'>>({
  disable: emptyWritten('Disable', boolean, false),
  user: emptyWritten('User', string, ''),
  role: emptyWritten('Role', string, ''),
  type: emptyWritten('Type', string, ''),
  level: emptyWritten('Level', string, ''),
})

/** A field that is absent here when zero, and written all the same. */
function emptyWritten<V>(name: string, codec: Codec<V>, zero: V): Field<V> {
  const field = unlessZero(name, codec)
  return { ...field, format: (value) => codec.format(value ?? zero) }
}

const seccompModes = ['default', 'unconfined', 'custom'] as const

const seccompJson = object<PrivilegePart<'seccomp'>>({
  mode: always('Mode', modeWord('Seccomp', seccompModes), 'default'),
  profile: unlessZero(
    'Profile',
    mapped(bytes, {
      parse(data, path) {
        const text = decodeText(data)
        if (text === undefined) throw badField(path, 'must be base64 of a JSON text in UTF-8')
        return text
      },
      format: encodeText,
    }),
  ),
})

const appArmorJson = object<PrivilegePart<'appArmor'>>({
  mode: always('Mode', modeWord('AppArmor', ['default', 'disabled']), 'default'),
})

function modeWord(name: string, modes: readonly string[]): Codec<string> {
  const list = modes.map((mode) => `"${mode}"`).join(', ')
  return word(modes, {
    empty: 'default',
    refuse: (text) => `invalid ${name} mode: "${text}", must be one of ${list}`,
  })
}

const privilegesJson = object<Privileges>({
  credentialSpec: orNull('CredentialSpec', credentialSpecJson),
  seLinux: orNull('SELinuxContext', seLinuxJson),
  seccomp: given('Seccomp', seccompJson),
  appArmor: given('AppArmor', appArmorJson),
  noNewPrivileges: unlessZero('NoNewPrivileges', boolean),
})

const propagationWord: Codec<string> = word<string>(
  ['', 'rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave'],
  { isFolded: true, refuse: (text) => `invalid MountPropagation: "${text}"` },
)

const bindJson = object<MountPart<'bind'>>({
  propagation: unlessZero('Propagation', propagationWord),
  nonRecursive: unlessZero('NonRecursive', boolean),
  createMountpoint: unlessZero('CreateMountpoint', boolean),
  readOnlyNonRecursive: unlessZero('ReadOnlyNonRecursive', boolean),
  readOnlyForceRecursive: unlessZero('ReadOnlyForceRecursive', boolean),
})

/** Options that say nothing are dropped, and others name the propagation, as the engine does. */
const bindField: Field<MountPart<'bind'>> = {
  name: 'BindOptions',
  parse(value, path) {
    const bind = value === undefined ? {} : bindJson.parse(value, path)
    return Object.keys(bind).length === 0 ? undefined : { propagation: 'rprivate', ...bind }
  },
  format: (bind) => (bind === undefined ? undefined : bindJson.format(bind)),
}

const mountJson = object<Mount>({
  type: always(
    'Type',
    word(['bind', 'volume', 'tmpfs', 'npipe', 'cluster', 'image'], {
      empty: 'bind',
      isFolded: true,
      refuse: (text) => `invalid MountType: "${text}"`,
    }),
    'bind',
  ),
  source: unlessZero('Source', string),
  target: omitZero('Target', string, ''),
  readOnly: unlessZero('ReadOnly', boolean),
  consistency: unlessZero('Consistency', string),
  bind: bindField,
  volume: given(
    'VolumeOptions',
    object<MountPart<'volume'>>({
      noCopy: unlessZero('NoCopy', boolean),
      labels: unlessZero('Labels', labels),
      subpath: unlessZero('Subpath', string),
      driver: given('DriverConfig', driverJson),
    }),
  ),
  image: given(
    'ImageOptions',
    object<MountPart<'image'>>({ subpath: unlessZero('Subpath', string) }),
  ),
  tmpfs: given(
    'TmpfsOptions',
    object<MountPart<'tmpfs'>>({
      sizeBytes: unlessZero('SizeBytes', int64),
      mode: unlessZero('Mode', uint32),
      options: unlessZero('Options', array(strings)),
    }),
  ),
})

const healthJson = object<HealthConfig>({
  test: unlessZero('Test', strings),
  intervalNs: unlessZero('Interval', durationNs),
  timeoutNs: unlessZero('Timeout', durationNs),
  startPeriodNs: unlessZero('StartPeriod', durationNs),
  startIntervalNs: unlessZero('StartInterval', durationNs),
  retries: unlessZero('Retries', int64),
})

const fileTargetJson = object<FileTarget>({
  name: always('Name', string, ''),
  uid: always('UID', string, ''),
  gid: always('GID', string, ''),
  mode: always('Mode', uint32, 0),
})

const secretReferenceJson = object<SecretReference>({
  file: orNull('File', fileTargetJson),
  secretId: always('SecretID', idText<SecretId>(), '' as SecretId),
  secretName: always('SecretName', string, ''),
})

const configReferenceJson = object<ConfigReference>({
  file: given('File', fileTargetJson),
  isRuntime: given(
    'Runtime',
    mapped(object<Record<never, never>>({}), { parse: () => true, format: () => ({}) }),
  ),
  configId: always('ConfigID', idText<ConfigId>(), '' as ConfigId),
  configName: always('ConfigName', string, ''),
})

const ulimitJson = object<Ulimit>({
  name: always('Name', string, ''),
  hard: always('Hard', number, 0),
  soft: always('Soft', number, 0),
})

const dnsJson = object<Part<'dns'>>({
  nameservers: unlessZero('Nameservers', strings),
  search: unlessZero('Search', strings),
  options: unlessZero('Options', strings),
})

/** Isolation is written as "default" where we have nothing. */
const isolationField: Field<Part<'isolation'>> = {
  name: 'Isolation',
  parse(value, path) {
    const isolation = value === undefined ? 'default' : isolationWord.parse(value, path)
    return isolation === 'default' ? undefined : isolation
  },
  format: (isolation) => isolation ?? 'default',
}

const isolationWord = word(['default', 'process', 'hyperv'], {
  empty: 'default',
  isFolded: true,
  refuse: (text) => `invalid Isolation: "${text}", must be "default", "process" or "hyperv"`,
})

export const containerJson: Codec<ContainerSpec> = object<ContainerSpec>({
  image: omitZero('Image', string, ''),
  labels: unlessZero('Labels', labels),
  command: unlessZero('Command', strings),
  args: unlessZero('Args', strings),
  hostname: unlessZero('Hostname', string),
  env: unlessZero('Env', strings),
  dir: unlessZero('Dir', string),
  user: unlessZero('User', string),
  groups: unlessZero('Groups', strings),
  privileges: given('Privileges', privilegesJson),
  init: given('Init', boolean),
  stopSignal: unlessZero('StopSignal', string),
  tty: unlessZero('TTY', boolean),
  openStdin: unlessZero('OpenStdin', boolean),
  readOnly: unlessZero('ReadOnly', boolean),
  mounts: unlessZero('Mounts', array(mountJson)),
  stopGraceNs: given('StopGracePeriod', durationNs),
  health: given('Healthcheck', healthJson),
  hosts: unlessZero('Hosts', strings),
  dns: given('DNSConfig', dnsJson),
  secrets: unlessZero('Secrets', array(secretReferenceJson)),
  configs: unlessZero('Configs', array(configReferenceJson)),
  isolation: isolationField,
  sysctls: unlessZero('Sysctls', labels),
  capabilityAdd: unlessZero('CapabilityAdd', strings),
  capabilityDrop: unlessZero('CapabilityDrop', strings),
  ulimits: unlessZero('Ulimits', array(ulimitJson)),
  oomScoreAdj: unlessZero('OomScoreAdj', int64),
})
