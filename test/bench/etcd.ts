// Three real etcds on loopback, each with a disk folder of its own, and a client that speaks their
// own protocol: gRPC is HTTP/2 with five bytes before each message, and a put is two byte strings.
// So nothing is between them and the figures but Node's HTTP/2, as ours have Node's sockets.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type ClientHttp2Session, connect } from 'node:http2'
import { type AddressInfo, createServer } from 'node:net'
import { waitFor } from '../support/wait.ts'

export interface EtcdTiming {
  readonly heartbeatMs: number
  readonly electionMs: number
}

export interface EtcdNode {
  readonly name: string
  readonly clientPort: number
  readonly pid: number
  /** Resolves when its put is committed. Rejects with what etcd says, or when it is gone. */
  readonly put: (key: string, value: Uint8Array) => Promise<void>
  /** SIGKILL. */
  readonly kill: () => Promise<void>
}

export interface EtcdCluster {
  readonly nodes: () => readonly EtcdNode[]
  readonly leader: () => Promise<EtcdNode>
  /** Starts one that was killed, on its own folder. */
  readonly restart: (node: EtcdNode) => Promise<void>
  readonly close: () => Promise<void>
}

const timeoutMs = 20_000

/** Starts three and waits until they have a leader. Each has a folder under `root`. */
export async function startEtcd(root: string, timing: EtcdTiming): Promise<EtcdCluster> {
  const ports = await freePorts(6)
  const places = ['a', 'b', 'c'].map((name, at) => ({
    name,
    client: `http://127.0.0.1:${ports[at]}`,
    peer: `http://127.0.0.1:${ports[at + 3]}`,
  }))
  const initial = places.map(({ name, peer }) => `${name}=${peer}`).join()
  const start = async ({ name, client, peer }: (typeof places)[number]): Promise<EtcdNode> => {
    const args = [
      ...['--name', name, '--data-dir', `${root}/${name}`],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', initial, '--log-level', 'error'],
      ...['--heartbeat-interval', `${timing.heartbeatMs}`],
      ...['--election-timeout', `${timing.electionMs}`],
      // As often as ours: 100,000 would leave its snapshots out of the figures.
      ...['--snapshot-count', '10000'],
    ]
    const child = spawn('etcd', args, { stdio: ['ignore', 'ignore', 'ignore'] })
    return makeNode(child, { name, url: client })
  }
  const nodes = await Promise.all(places.map(start))
  const cluster: EtcdCluster = {
    nodes: () => nodes,
    leader: () =>
      waitFor({ what: 'leader of etcd', timeoutMs, everyMs: 20 }, async () => {
        for (const node of nodes) if (await isLeader(node)) return node
        return undefined
      }),
    restart: async (gone) => {
      const at = nodes.indexOf(gone)
      const place = places[at]
      if (place === undefined) throw new Error(`no etcd ${gone.name}`)
      nodes[at] = await start(place)
      await waitFor({ what: `etcd ${gone.name}`, timeoutMs }, () => answers(nodes[at]))
    },
    close: async () => {
      await Promise.all(nodes.map((node) => node.kill()))
    },
  }
  try {
    await cluster.leader()
    return cluster
  } catch (error) {
    await cluster.close()
    throw error
  }
}

function makeNode(
  child: ChildProcess,
  { name, url }: { readonly name: string; readonly url: string },
): EtcdNode {
  const gone = once(child, 'exit')
  let session: ClientHttp2Session | undefined
  const sessionNow = (): ClientHttp2Session => {
    if (session === undefined || session.closed || session.destroyed) {
      session = connect(url)
      session.on('error', () => session?.destroy())
    }
    return session
  }
  return {
    name,
    clientPort: Number(new URL(url).port),
    pid: child.pid ?? 0,
    put: (key, value) => call(sessionNow(), '/etcdserverpb.KV/Put', formatPut(key, value)),
    kill: async () => {
      session?.destroy()
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await gone
    },
  }
}

/** One unary call. The reply's body is of no interest: its status is. */
function call(session: ClientHttp2Session, path: string, body: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    let status: unknown
    let message: unknown
    const read = (headers: Readonly<Record<string, unknown>>): void => {
      status = headers['grpc-status'] ?? status
      message = headers['grpc-message'] ?? message
    }
    stream.on('response', read)
    stream.on('trailers', read)
    stream.on('error', reject)
    stream.on('close', () => {
      if (status === '0') resolve()
      else reject(new Error(`${path}: status ${String(status)} ${String(message ?? '')}`))
    })
    stream.resume()
    stream.end(body)
  })
}

/** PutRequest { bytes key = 1; bytes value = 2 } behind gRPC's five bytes. */
function formatPut(key: string, value: Uint8Array): Uint8Array {
  const fields = [
    { tag: 0x0a, bytes: new TextEncoder().encode(key) },
    { tag: 0x12, bytes: value },
  ]
  const parts = fields.flatMap(({ tag, bytes }) => [
    Uint8Array.of(tag, ...formatVarint(bytes.length)),
    bytes,
  ])
  const message = Buffer.concat(parts)
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

function formatVarint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...formatVarint(Math.floor(value / 128))]
}

/** By the JSON that etcd speaks too, which is fine for a question or two. */
async function statusOf(node: EtcdNode): Promise<Readonly<Record<string, unknown>>> {
  const url = `http://127.0.0.1:${node.clientPort}/v3/maintenance/status`
  const signal = AbortSignal.timeout(1_000)
  const reply = await fetch(url, { method: 'POST', body: '{}', signal })
  return (await reply.json()) as Readonly<Record<string, unknown>>
}

async function isLeader(node: EtcdNode): Promise<boolean> {
  try {
    const { leader, header } = await statusOf(node)
    return leader !== undefined && leader === (header as { member_id?: string }).member_id
  } catch {
    return false
  }
}

async function answers(node: EtcdNode | undefined): Promise<boolean> {
  return node !== undefined && (await statusOf(node))['leader'] !== undefined
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}
