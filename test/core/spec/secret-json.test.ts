// Secrets and configs that a real engine (20.10.24) was sent, what it gave back and what it refused.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { CodedError, formatError } from '../../../core/base/error.ts'
import type { ConfigId, SecretId } from '../../../core/base/id.ts'
import { limits } from '../../../core/base/limits.ts'
import {
  formatConfig,
  formatSecret,
  parseConfigSpec,
  parseSecretSpec,
} from '../../../core/spec/secret-json.ts'
import {
  validateConfig,
  validateSecret,
  validateSecretChange,
} from '../../../core/spec/validate.ts'

interface Asked {
  readonly kind: 'secret' | 'config'
  readonly name: string
  readonly sent: unknown
  readonly given?: { readonly Spec: unknown }
  readonly message?: string
}

const path = new URL('fixtures/secrets.json', import.meta.url)
const asked = JSON.parse(readFileSync(path, 'utf8')) as readonly Asked[]
const meta = { version: 3, createdAtMs: 0, updatedAtMs: 0 }

for (const { kind, name, sent, given, message = '' } of asked) {
  t.test(`a ${kind} is answered as the engine does: ${name}`, async (t) => {
    const want = message.startsWith('illegal base64')
      ? 'Spec.Data: must be base64 with padding'
      : message
    t.equal(
      refusal(() =>
        kind === 'secret'
          ? validateSecret(parseSecretSpec(sent))
          : validateConfig(parseConfigSpec(sent)),
      ),
      want,
    )
    if (given === undefined) return
    const json =
      kind === 'secret'
        ? formatSecret({ kind, id: 's' as SecretId, ...meta, spec: parseSecretSpec(sent) })
        : formatConfig({ kind, id: 'c' as ConfigId, ...meta, spec: parseConfigSpec(sent) })
    t.equal(JSON.stringify((json as { readonly Spec: unknown }).Spec), JSON.stringify(given.Spec))
  })
}

function refusal(act: () => void): string {
  try {
    act()
  } catch (error) {
    if (error instanceof CodedError) return formatError(error)
    throw error
  }
  return ''
}

t.test('sizes end one byte below the limit', async (t) => {
  const named = { name: 'a', labels: {} }
  const secret = (size: number) => () => validateSecret({ ...named, data: new Uint8Array(size) })
  const config = (size: number) => () => validateConfig({ ...named, data: new Uint8Array(size) })
  t.equal(refusal(secret(limits.secretBytesMax - 1)), '')
  t.match(refusal(secret(limits.secretBytesMax)), /less than 512000 bytes/)
  t.equal(refusal(config(limits.configBytesMax - 1)), '')
  t.match(refusal(config(limits.configBytesMax)), /less than 1024000 bytes/)
})

t.test('a secret stays what it is, but for its labels', async (t) => {
  const before = { name: 'a', labels: {}, data: Uint8Array.of(1, 2) }
  const change = (after: object) => () => validateSecretChange(before, { ...before, ...after })
  const want = 'rpc error: code = InvalidArgument desc = only updates to Labels are allowed'
  t.equal(refusal(change({ name: 'b' })), want)
  t.equal(refusal(change({ data: Uint8Array.of(1, 3) })), want)
  t.equal(refusal(change({ data: Uint8Array.of(1) })), want)
  t.equal(refusal(change({ data: new Uint8Array() })), '', 'no bytes: no change')
  t.equal(refusal(change({ labels: { a: 'b' } })), '')
})
