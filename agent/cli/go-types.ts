// What the API's objects are in docker's own program: Go structs. A template of `inspect` sees them, not
// JSON: a field that the daemon left out is there with its zero value, and a field that no object has is
// an error. Each row is a struct: its fields with their types, in Go's order. `@T` embeds T.

import { formatDuration } from '../../core/base/time.ts'
import { formatGoTime, isMap, makeStruct, type Struct } from './go-print.ts'

const structs: Readonly<Record<string, string>> = {
  'swarm.Version': 'Index:uint64',
  'swarm.Meta': 'Version:swarm.Version CreatedAt:time UpdatedAt:time',
  'swarm.Annotations': 'Name:string Labels:map',
  'swarm.Driver': 'Name:string Options:map',
  'swarm.Platform': 'Architecture:string OS:string',
  'swarm.TLSInfo': 'TrustRoot:string CertIssuerSubject:string CertIssuerPublicKey:string',
  'swarm.Service':
    'ID:string @swarm.Meta Spec:swarm.ServiceSpec PreviousSpec:*swarm.ServiceSpec Endpoint:swarm.Endpoint UpdateStatus:*swarm.UpdateStatus ServiceStatus:*swarm.ServiceStatus JobStatus:*swarm.JobStatus',
  'swarm.ServiceSpec':
    '@swarm.Annotations TaskTemplate:swarm.TaskSpec Mode:swarm.ServiceMode UpdateConfig:*swarm.UpdateConfig RollbackConfig:*swarm.UpdateConfig Networks:[]swarm.NetworkAttachmentConfig EndpointSpec:*swarm.EndpointSpec',
  'swarm.TaskSpec':
    'ContainerSpec:*swarm.ContainerSpec PluginSpec:any NetworkAttachmentSpec:any Resources:*swarm.ResourceRequirements RestartPolicy:*swarm.RestartPolicy Placement:*swarm.Placement Networks:[]swarm.NetworkAttachmentConfig LogDriver:*swarm.Driver ForceUpdate:uint64 Runtime:string',
  'swarm.ContainerSpec':
    'Image:string Labels:map Command:[]string Args:[]string Hostname:string Env:[]string Dir:string User:string Groups:[]string Privileges:any Init:*bool StopSignal:string TTY:bool OpenStdin:bool ReadOnly:bool Mounts:[]mount.Mount StopGracePeriod:*duration Healthcheck:*container.HealthConfig Hosts:[]string DNSConfig:*swarm.DNSConfig Secrets:[]*swarm.SecretReference Configs:[]*swarm.ConfigReference Isolation:string Sysctls:map CapabilityAdd:[]string CapabilityDrop:[]string Ulimits:[]*container.Ulimit OomScoreAdj:int64',
  'container.Ulimit': 'Name:string Hard:int64 Soft:int64',
  'container.HealthConfig':
    'Test:[]string Interval:duration Timeout:duration StartPeriod:duration StartInterval:duration Retries:int',
  'mount.Mount':
    'Type:string Source:string Target:string ReadOnly:bool Consistency:string BindOptions:any VolumeOptions:any ImageOptions:any TmpfsOptions:any ClusterOptions:any',
  'swarm.DNSConfig': 'Nameservers:[]string Search:[]string Options:[]string',
  'swarm.FileTarget': 'Name:string UID:string GID:string Mode:uint32',
  'swarm.SecretReference': 'File:*swarm.FileTarget SecretID:string SecretName:string',
  'swarm.ConfigReference': 'File:*swarm.FileTarget Runtime:any ConfigID:string ConfigName:string',
  'swarm.ResourceRequirements': 'Limits:*swarm.Limit Reservations:*swarm.Resources',
  'swarm.Limit': 'NanoCPUs:int64 MemoryBytes:int64 Pids:int64',
  'swarm.Resources': 'NanoCPUs:int64 MemoryBytes:int64 GenericResources:[]any',
  'swarm.RestartPolicy': 'Condition:string Delay:*duration MaxAttempts:*uint64 Window:*duration',
  'swarm.Placement':
    'Constraints:[]string Preferences:[]any MaxReplicas:uint64 Platforms:[]swarm.Platform',
  'swarm.NetworkAttachmentConfig': 'Target:string Aliases:[]string DriverOpts:map',
  'swarm.ServiceMode':
    'Replicated:*swarm.ReplicatedService Global:*swarm.GlobalService ReplicatedJob:*swarm.ReplicatedJob GlobalJob:*swarm.GlobalJob',
  'swarm.ReplicatedService': 'Replicas:*uint64',
  'swarm.GlobalService': '',
  'swarm.ReplicatedJob': 'MaxConcurrent:*uint64 TotalCompletions:*uint64',
  'swarm.GlobalJob': '',
  'swarm.UpdateConfig':
    'Parallelism:uint64 Delay:duration FailureAction:string Monitor:duration MaxFailureRatio:float32 Order:string',
  'swarm.EndpointSpec': 'Mode:string Ports:[]swarm.PortConfig',
  'swarm.Endpoint':
    'Spec:swarm.EndpointSpec Ports:[]swarm.PortConfig VirtualIPs:[]swarm.EndpointVirtualIP',
  'swarm.EndpointVirtualIP': 'NetworkID:string Addr:string',
  'swarm.PortConfig':
    'Name:string Protocol:string TargetPort:uint32 PublishedPort:uint32 PublishMode:string',
  'swarm.UpdateStatus': 'State:string StartedAt:*time CompletedAt:*time Message:string',
  'swarm.ServiceStatus': 'RunningTasks:uint64 DesiredTasks:uint64 CompletedTasks:uint64',
  'swarm.JobStatus': 'JobIteration:swarm.Version LastExecution:time',
  'swarm.Node':
    'ID:string @swarm.Meta Spec:swarm.NodeSpec Description:swarm.NodeDescription Status:swarm.NodeStatus ManagerStatus:*swarm.ManagerStatus',
  'swarm.NodeSpec': '@swarm.Annotations Role:string Availability:string',
  'swarm.NodeDescription':
    'Hostname:string Platform:swarm.Platform Resources:swarm.Resources Engine:swarm.EngineDescription TLSInfo:swarm.TLSInfo CSIInfo:[]any',
  'swarm.EngineDescription': 'EngineVersion:string Labels:map Plugins:[]swarm.PluginDescription',
  'swarm.PluginDescription': 'Type:string Name:string',
  'swarm.NodeStatus': 'State:string Message:string Addr:string',
  'swarm.ManagerStatus': 'Leader:bool Reachability:string Addr:string',
  'swarm.Secret': 'ID:string @swarm.Meta Spec:swarm.SecretSpec',
  'swarm.SecretSpec': '@swarm.Annotations Data:bytes Driver:*swarm.Driver Templating:*swarm.Driver',
  'swarm.Config': 'ID:string @swarm.Meta Spec:swarm.ConfigSpec',
  'swarm.ConfigSpec': '@swarm.Annotations Data:bytes Templating:*swarm.Driver',
  'network.Inspect':
    'Name:string ID=Id:string Created:time Scope:string Driver:string EnableIPv4:bool EnableIPv6:bool IPAM:network.IPAM Internal:bool Attachable:bool Ingress:bool ConfigFrom:network.ConfigReference ConfigOnly:bool Containers:map Options:map Labels:map Peers:[]network.PeerInfo Services:map',
  'network.IPAM': 'Driver:string Options:map Config:[]network.IPAMConfig',
  'network.IPAMConfig':
    'Subnet:string IPRange:string Gateway:string AuxAddress=AuxiliaryAddresses:map',
  'network.ConfigReference': 'Network:string',
  'network.PeerInfo': 'Name:string IP:string',
}

/** Values of the types that are no structs, when the daemon says nothing. */
const zeros: Readonly<Record<string, unknown>> = {
  string: '',
  bool: false,
  int: 0,
  int64: 0,
  uint32: 0,
  uint64: 0,
  float32: 0,
  map: {},
}

/** A value of the API's JSON as the Go type that docker reads it into. */
export function goValue(value: unknown, type: string): unknown {
  const isMissing = value === undefined || value === null
  // null is Go's nil pointer; undefined, elsewhere, is no value at all.
  if (type.startsWith('*')) return isMissing ? null : goValue(value, type.slice(1))
  if (type.startsWith('[]')) {
    return Array.isArray(value) ? value.map((one) => goValue(one, type.slice(2))) : []
  }
  if (type === 'time') return goTime(value)
  if (type === 'duration') return goDuration(value)
  if (type === 'bytes') return goBytes(value)
  if (type === 'any') return value ?? undefined
  if (structs[type] === undefined) return isMissing ? zeros[type] : value
  return goStruct(isMap(value) ? value : {}, type)
}

function goStruct(value: Readonly<Record<string, unknown>>, type: string): Struct {
  const fields: Record<string, unknown> = {}
  const types: Record<string, string> = {}
  const shown: unknown[] = []
  for (const field of (structs[type] ?? '').split(' ')) {
    if (field === '') continue
    if (field.startsWith('@')) {
      const inner = goStruct(value, field.slice(1))
      Object.assign(fields, inner.fields, { [field.split('.')[1] ?? '']: inner })
      Object.assign(types, inner.types)
      shown.push(inner)
      continue
    }
    const [names = '', fieldType = ''] = field.split(':')
    const [name = '', key = name] = names.split('=')
    fields[name] = goValue(value[key], fieldType)
    types[name] = fieldType
    shown.push(fields[name])
  }
  const made = { ...makeStruct(type, fields), types, shown, json: value }
  // A version prints as its number.
  return type === 'swarm.Version' ? { ...made, text: String(fields['Index']) } : made
}

/** Bytes, base64 in JSON: Go prints them as numbers, and as text where a template asks for text. */
function goBytes(value: unknown): Struct {
  const bytes = Buffer.from(typeof value === 'string' ? value : '', 'base64')
  const numbers = `[${[...bytes].join(' ')}]`
  return {
    ...makeStruct('[]uint8', {}),
    text: numbers,
    asText: bytes.toString('utf8'),
    json: value ?? null,
  }
}

/** Nanoseconds, which Go prints as a duration and writes to JSON as a number. */
function goDuration(value: unknown): Struct {
  const ns = typeof value === 'number' ? value : 0
  return { ...makeStruct('time.Duration', {}), text: formatDuration(ns), json: ns }
}

/** A time, which Go prints in its own way and writes to JSON as it was. */
function goTime(value: unknown): Struct {
  const text = typeof value === 'string' ? value : '0001-01-01T00:00:00Z'
  return { ...makeStruct('time.Time', {}), text: formatGoTime(text), json: text }
}
