// swarm ca: shows the root of trust, or rotates it and follows the rotation over the nodes.

import { createHash } from 'node:crypto'
import type { ClusterJson, ExternalCaJson, NodeJson, TlsInfoJson } from './api-json.ts'
import { writeLine } from './cli-io.ts'
import { type Call, exitError, messageOf } from './command.ts'
import { type ProgressWriter, progressWriter } from './progress-screen.ts'
import { caConfig, readPem, updateCluster } from './swarm.ts'

const lookEveryMs = 200

/** swarm ca */
export async function manageCa(call: Call): Promise<undefined> {
  const { api, flags, io } = call
  const [caCert, caKey] = [await pemFlag(call, 'ca-cert'), await pemFlag(call, 'ca-key')]
  const cluster = await api.get<ClusterJson>('/swarm')
  if (!flags.isOn('rotate')) {
    for (const name of ['ca-cert', 'ca-key', 'cert-expiry', 'compromised', 'external-ca']) {
      if (flags.isSet(name)) {
        throw exitError(`\`--${name}\` flag requires the \`--rotate\` flag to update the CA`, 1)
      }
    }
    writeTrustRoot(call, cluster)
    return undefined
  }
  const isCompromised = flags.isOn('compromised')
  const spec = await rotatedSpec(call, { cluster, caCert, caKey })
  await updateCluster(api, cluster, { spec, isCompromised })
  if (isCompromised) {
    await writeStranded(call)
    return undefined
  }
  if (flags.isOn('detach')) return undefined
  await followRotation(call, progressWriter(io.stdout, { isQuiet: flags.isOn('quiet') }))
  if (!flags.isOn('quiet')) writeTrustRoot(call, await api.get<ClusterJson>('/swarm'))
  return undefined
}

/** Workers know the cluster by the key that nobody should believe any more. */
async function writeStranded({ api, io }: Call): Promise<void> {
  const nodes = await api.get<readonly NodeJson[]>('/nodes')
  const workers = nodes.filter((node) => node.Spec?.Role === 'worker')
  writeLine(io.stdout, 'The key of the cluster and both join tokens are new. Managers have them.')
  if (workers.length === 0) return
  writeLine(io.stdout, 'These nodes must leave and join again (agent leave --force, agent join):')
  for (const node of workers) {
    writeLine(io.stdout, `  ${node.ID ?? ''}  ${node.Description?.Hostname ?? ''}`)
  }
}

/** The file that a flag names, or ''. What is wrong with it is told as of any other flag. */
async function pemFlag({ flags, io, path }: Call, name: string): Promise<string> {
  if (!flags.isSet(name)) return ''
  const file = flags.text(name)
  try {
    return await readPem(io, file)
  } catch (error) {
    throw exitError(
      `invalid argument ${JSON.stringify(file)} for "--${name}" flag: ${messageOf(error)}\n\nUsage:  ${path} [OPTIONS]\n\nRun '${path} --help' for more information`,
      125,
    )
  }
}

async function rotatedSpec(
  { flags, io }: Call,
  rotation: { readonly cluster: ClusterJson; readonly caCert: string; readonly caKey: string },
) {
  const { cluster, caCert, caKey } = rotation
  const hasCert = flags.isSet('ca-cert')
  if (flags.isSet('external-ca') && !hasCert) {
    throw exitError(
      "rotating to an external CA requires the `--ca-cert` flag to specify the external CA's cert - to add an external CA with the current root CA certificate, use the `update` command instead",
      1,
    )
  }
  if (hasCert && !flags.isSet('external-ca') && !flags.isSet('ca-key')) {
    throw exitError(
      'the --ca-cert flag requires that a --ca-key flag and/or --external-ca flag be provided as well',
      1,
    )
  }
  const spec = cluster.Spec ?? {}
  const config: { ForceRotate?: number; ExternalCAs?: readonly ExternalCaJson[] } = await caConfig(
    spec,
    { flags, io, caCert },
  )
  const isOwn = caCert === '' && caKey === ''
  return {
    ...spec,
    CAConfig: {
      ...config,
      ...(caCert === '' ? {} : { SigningCACert: caCert }),
      ...(caKey === '' ? {} : { SigningCAKey: caKey }),
      ...(isOwn ? { ForceRotate: (config.ForceRotate ?? 0) + 1 } : {}),
    },
  }
}

function writeTrustRoot({ io }: Call, cluster: ClusterJson): void {
  const root = cluster.TLSInfo?.TrustRoot ?? ''
  if (root === '') throw exitError('No CA information available', 1)
  writeLine(io.stdout, root.trim())
}

async function followRotation(call: Call, write: ProgressWriter): Promise<void> {
  const { api, io } = call
  const abort = new AbortController()
  const release = io.onInterrupt(() => abort.abort())
  try {
    for (const id of ['desired root digest', certs, roots]) write({ id, action: '' })
    for (let isDone = false; ; ) {
      const cluster = await api.get<ClusterJson>('/swarm')
      if (isDone) return
      isDone = drawRotation(write, cluster, await api.get<readonly NodeJson[]>('/nodes'))
      await io.sleep(lookEveryMs, abort.signal)
      if (!abort.signal.aborted) continue
      if (!isDone) {
        write({ id: '', message: 'Operation continuing in background.' })
        write({ id: '', message: 'Use `agent info` to check progress.' })
      }
      return
    }
  } finally {
    release()
  }
}

const certs = '  rotated TLS certificates'
const roots = '  rotated CA certificates'

function drawRotation(
  write: ProgressWriter,
  cluster: ClusterJson,
  nodes: readonly NodeJson[],
): boolean {
  const wanted: TlsInfoJson = cluster.TLSInfo ?? {}
  const digest = createHash('sha256')
    .update(wanted.TrustRoot ?? '')
    .digest('hex')
  write({ id: 'desired root digest', action: `sha256:${digest}` })
  const infos = nodes.map((node): TlsInfoJson => node.Description?.TLSInfo ?? {})
  const total = infos.length
  const rightCerts = infos.filter(
    (info) =>
      info.CertIssuerPublicKey === wanted.CertIssuerPublicKey &&
      info.CertIssuerSubject === wanted.CertIssuerSubject,
  ).length
  const rightRoots = infos.filter((info) => info.TrustRoot === wanted.TrustRoot).length
  write({ id: certs, action: '', current: rightCerts, total, units: 'nodes' })
  const isTurning = rightCerts < total || cluster.RootRotationInProgress === true
  // A root counts only when every certificate has come from it.
  write({ id: roots, action: ' ', current: isTurning ? 0 : rightRoots, total, units: 'nodes' })
  return !isTurning && rightRoots === total
}
