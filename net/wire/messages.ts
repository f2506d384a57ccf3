// What the multiplexer itself says: the hello with its versions, and errors as data. Kinds of
// messages between nodes are named by those who handle them; here is the form they all have.
//
// Two agents of different versions work together as long as the ranges of protocol versions that
// they speak overlap; the highest common one is used. What is optional within a version is a
// feature, used only if both have named it.

import { CodedError, errorCodes } from '../../core/base/error.ts'
import { readCount, readFields, readList, readText } from './check.ts'
import { type DecodeLimits, decode, encode } from './codec.ts'

/** The protocol versions that this agent speaks. */
export const protocolVersions = { min: 1, max: 1 } as const

export interface Hello {
  readonly versionMin: number
  readonly versionMax: number
  /** Version of the agent, for people. */
  readonly agentVersion: string
  readonly features: readonly string[]
  /** What this side takes at most; the other side keeps to it. */
  readonly requestsMax: number
  readonly streamsMax: number
  readonly streamWindowBytes: number
  readonly messageBytesMax: number
}

/** What both sides have agreed on. */
export interface Agreement {
  readonly version: number
  readonly features: ReadonlySet<string>
  readonly peer: Hello
}

/** Bounds of the small messages that are read here. */
const smallLimits: DecodeLimits = { bytesMax: 16 * 1024, depthMax: 6, itemsMax: 512 }
const errorTextMax = 4_096

export function encodeHello(hello: Hello): Uint8Array {
  return encode(hello)
}

export function decodeHello(payload: Uint8Array): Hello {
  const fields = readFields(decode(payload, smallLimits), 'hello')
  const count = (name: string, min: number): number =>
    readCount(fields, name, { min, max: 2 ** 32 - 1 })
  return {
    versionMin: count('versionMin', 0),
    versionMax: count('versionMax', 0),
    agentVersion: readText(fields, 'agentVersion', 128),
    features: readList(fields, 'features', {
      max: 64,
      item: (value) => readText({ value }, 'value', 64),
    }),
    requestsMax: count('requestsMax', 1),
    streamsMax: count('streamsMax', 0),
    streamWindowBytes: count('streamWindowBytes', 1),
    messageBytesMax: count('messageBytesMax', 1),
  }
}

/** Throws unavailable, naming both ranges, if the two have no version in common. */
export function agree(ours: Hello, peer: Hello): Agreement {
  const version = Math.min(ours.versionMax, peer.versionMax)
  if (version < Math.max(ours.versionMin, peer.versionMin)) {
    const range = (hello: Hello): string =>
      `agent ${hello.agentVersion} speaks protocol versions ${hello.versionMin} to ${hello.versionMax}`
    throw new CodedError(
      'unavailable',
      `no common protocol version: here ${range(ours)}, there ${range(peer)}; upgrade the older`,
    )
  }
  const features = new Set(ours.features.filter((feature) => peer.features.includes(feature)))
  return { version, features, peer }
}

/** An error as it travels: code, text, and its detail if that is small plain data. */
export function encodeError(error: CodedError): Uint8Array {
  const { code, message, detail } = error
  const text = message.slice(0, errorTextMax).toWellFormed()
  try {
    const whole = encode({ code, message: text, detail })
    if (whole.length <= smallLimits.bytesMax) return whole
  } catch {
    // A detail that is not plain data stays here; the message says what matters.
  }
  return encode({ code, message: text })
}

/** The error that the other side has met. A code that only a newer agent knows is unavailable. */
export function decodeError(payload: Uint8Array): CodedError {
  const fields = readFields(decode(payload, smallLimits), 'error')
  const code = readText(fields, 'code', 64)
  const detail = fields['detail'] === undefined ? {} : readFields(fields['detail'], 'detail')
  return new CodedError(
    Object.hasOwn(errorCodes, code) ? (code as keyof typeof errorCodes) : 'unavailable',
    readText(fields, 'message', errorTextMax),
    { detail: { ...detail } },
  )
}

/** [kind, body] and what may follow, as a message, request or stream begins. */
export interface Envelope {
  readonly kind: string
  readonly body: unknown
  readonly timeoutMs: number
}

export function encodeEnvelope(kind: string, body: unknown, timeoutMs = 0): Uint8Array {
  return encode([kind, body ?? null, timeoutMs])
}

export function decodeEnvelope(payload: Uint8Array, limits: DecodeLimits): Envelope {
  const list = decode(payload, limits)
  if (!Array.isArray(list)) throw new CodedError('bad-request', 'a message must be a list')
  const fields = { kind: list[0], timeoutMs: list[2] ?? 0 }
  return {
    kind: readText(fields, 'kind', 64),
    body: list[1],
    timeoutMs: readCount(fields, 'timeoutMs', { min: 0, max: 2 ** 31 - 1 }),
  }
}
