// Secrets and configs as commands: what is taken, what is refused and in which words.

import t from 'tap'
import { CodedError, formatError } from '../../../core/base/error.ts'
import { asId, type ConfigId, type SecretId, type ServiceId } from '../../../core/base/id.ts'
import { numberedRandom } from '../../../core/base/random.ts'
import type { Command, CommandAnswer } from '../../../core/command/command.ts'
import { runCommand } from '../../../core/command/run.ts'
import type { Service, ServiceSpec } from '../../../core/object/service.ts'
import { Store } from '../../../core/store/store.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const noData = new Uint8Array()

/** A store that commands are run on, each committed at once. */
class Desk {
  readonly store = new Store()
  readonly #random = numberedRandom(3)
  #index = 0

  run(command: Command): CommandAnswer {
    this.#index += 1
    const draft = this.store.draft({ index: this.#index, nowMs: 1_000 })
    const answer = runCommand(draft, command, {
      random: this.#random,
      hasQuorumWithout: () => true,
    })
    this.#commit(draft.changes())
    return answer
  }

  /** The text of the refusal, as clients see it. */
  refusal(command: Command): string {
    try {
      this.run(command)
    } catch (error) {
      if (error instanceof CodedError) return formatError(error)
      throw error
    }
    return 'taken'
  }

  change(id: string, more: Partial<Service>): void {
    const service = this.store.committed.get('service', id)
    if (service === undefined) throw new Error('no service')
    this.#index += 1
    this.#commit([{ type: 'put', object: { ...service, ...more, version: this.#index } }])
  }

  #commit(changes: Parameters<Store['propose']>[1]): void {
    this.store.propose(this.#index, changes)
    this.store.apply(this.#index, changes)
  }

  secret(name: string, data = 'x'): SecretId {
    const spec = { name, labels: {}, data: bytes(data) }
    return asId<SecretId>(this.run({ type: 'secret.create', spec }).id)
  }

  config(name: string, data = 'x'): ConfigId {
    const spec = { name, labels: {}, data: bytes(data) }
    return asId<ConfigId>(this.run({ type: 'config.create', spec }).id)
  }
}

function serviceSpec(
  name: string,
  wants: { secrets?: readonly (readonly [SecretId, string])[]; config?: [ConfigId, string] },
): ServiceSpec {
  const file = (target: string) => ({ name: target, uid: '0', gid: '0', mode: 0o444 })
  return {
    name,
    labels: {},
    mode: { type: 'replicated', replicas: 1 },
    task: {
      container: {
        image: 'a',
        secrets: (wants.secrets ?? []).map(([secretId, secretName]) => ({
          secretId,
          secretName,
          file: file(secretName),
        })),
        ...(wants.config === undefined
          ? {}
          : {
              configs: [
                {
                  configId: wants.config[0],
                  configName: wants.config[1],
                  file: file(wants.config[1]),
                },
              ],
            }),
      },
      networks: [],
      forceUpdate: 0,
    },
  }
}

const rpc = 'rpc error: code ='

t.test('create: names, sizes and what this build does not honour', async (t) => {
  const desk = new Desk()
  desk.secret('taken')
  desk.config('taken')
  const longest = 'a'.repeat(64)
  const driver = { name: 'vault', options: {} }
  const cases: readonly (readonly [string, Command, string | RegExp])[] = [
    [
      'a secret of a name that a secret has',
      { type: 'secret.create', spec: { name: 'taken', labels: {}, data: bytes('y') } },
      `${rpc} AlreadyExists desc = secret taken already exists`,
    ],
    [
      'a config of a name that a config has',
      { type: 'config.create', spec: { name: 'taken', labels: {}, data: bytes('y') } },
      `${rpc} AlreadyExists desc = config taken already exists`,
    ],
    [
      'the longest name',
      { type: 'secret.create', spec: { name: longest, labels: {}, data: bytes('y') } },
      'taken',
    ],
    [
      'a longer one',
      { type: 'secret.create', spec: { name: `${longest}b`, labels: {}, data: bytes('y') } },
      /InvalidArgument desc = invalid name, only 64/,
    ],
    [
      'no name',
      { type: 'config.create', spec: { name: '', labels: {}, data: bytes('y') } },
      `${rpc} InvalidArgument desc = name must be provided`,
    ],
    [
      'no data',
      { type: 'secret.create', spec: { name: 'a', labels: {}, data: noData } },
      `${rpc} InvalidArgument desc = secret data must be larger than 0 and less than 512000 bytes`,
    ],
    [
      'a secret of one byte too many',
      { type: 'secret.create', spec: { name: 'a', labels: {}, data: new Uint8Array(512_000) } },
      `${rpc} InvalidArgument desc = secret data must be larger than 0 and less than 512000 bytes`,
    ],
    [
      'the largest secret',
      { type: 'secret.create', spec: { name: 'a', labels: {}, data: new Uint8Array(511_999) } },
      'taken',
    ],
    [
      'the largest config',
      { type: 'config.create', spec: { name: 'a', labels: {}, data: new Uint8Array(1_023_999) } },
      'taken',
    ],
    [
      'a config of one byte too many',
      { type: 'config.create', spec: { name: 'b', labels: {}, data: new Uint8Array(1_024_000) } },
      `${rpc} InvalidArgument desc = config data must be larger than 0 and less than 1024000 bytes`,
    ],
    [
      'a secret driver',
      { type: 'secret.create', spec: { name: 'b', labels: {}, data: noData, driver } },
      /^--driver vault: secret drivers are not available/,
    ],
    [
      'a template',
      {
        type: 'config.create',
        spec: { name: 'b', labels: {}, data: bytes('y'), templating: driver },
      },
      /^--template-driver vault: templates are not available/,
    ],
  ]
  for (const [name, command, want] of cases) t.match(desk.refusal(command), want, name)
})

t.test('update: labels alone, and only of the version that was read', async (t) => {
  const desk = new Desk()
  const id = desk.secret('pw', 'old')
  const { version } = desk.store.committed.get('secret', id) ?? { version: 0 }
  const update = (more: { name?: string; data?: Uint8Array; at?: number }): string =>
    desk.refusal({
      type: 'secret.update',
      id,
      version: more.at ?? version,
      spec: { name: more.name ?? 'pw', labels: { a: 'b' }, data: more.data ?? noData },
    })
  const only = `${rpc} InvalidArgument desc = only updates to Labels are allowed`
  t.equal(update({ name: 'other' }), only)
  t.equal(update({ data: bytes('new') }), only)
  t.equal(update({ at: version + 1 }), `${rpc} Unknown desc = update out of sequence`)
  t.same(desk.store.committed.get('secret', id)?.spec.labels, {})
  t.equal(update({ data: bytes('old') }), 'taken')
  const after = desk.store.committed.get('secret', id)
  t.same(after?.spec, { name: 'pw', labels: { a: 'b' }, data: bytes('old') })
  t.equal(update({}), `${rpc} Unknown desc = update out of sequence`)
})

t.test('a service may refer only to what is there', async (t) => {
  const desk = new Desk()
  const id = desk.secret('pw')
  const create = (spec: ServiceSpec): string => desk.refusal({ type: 'service.create', spec })
  const lost = asId<SecretId>('lost')
  t.equal(
    create(serviceSpec('web', { secrets: [[lost, 's9']] })),
    `${rpc} InvalidArgument desc = secret not found: s9`,
  )
  t.equal(
    create(serviceSpec('web', { secrets: [[id, 'renamed']] })),
    `${rpc} InvalidArgument desc = secret not found: renamed`,
    'id and name must be those of one secret',
  )
  const config = asId<ConfigId>('lost')
  t.equal(
    create(serviceSpec('web', { config: [config, 'c9'] })),
    `${rpc} InvalidArgument desc = config not found: c9`,
  )
  t.equal(create(serviceSpec('web', { secrets: [[id, 'pw']] })), 'taken')
  const web = desk.store.committed.named('service', 'web')
  t.equal(
    desk.refusal({
      type: 'service.update',
      id: web?.id ?? asId<ServiceId>(''),
      version: web?.version ?? 0,
      spec: serviceSpec('web', { secrets: [[lost, 's9']] }),
      rollback: false,
    }),
    `${rpc} InvalidArgument desc = secret not found: s9`,
  )
})

t.test(
  'remove: not while a service refers to it, or may go back to a spec that does',
  async (t) => {
    const desk = new Desk()
    const secret = desk.secret('pw')
    const config = desk.config('cf')
    const wants = serviceSpec('web', { secrets: [[secret, 'pw']], config: [config, 'cf'] })
    const web = desk.run({ type: 'service.create', spec: wants }).id
    const api = desk.run({ type: 'service.create', spec: { ...wants, name: 'api' } }).id
    const removals = () => [
      desk.refusal({ type: 'secret.remove', id: secret }),
      desk.refusal({ type: 'config.remove', id: config }),
    ]
    const inUse = (users: string) =>
      ["secret 'pw'", "config 'cf'"].map(
        (what) => `${rpc} InvalidArgument desc = ${what} is in use by the following ${users}`,
      )
    t.same(removals(), inUse('services: api, web'))
    desk.run({ type: 'service.remove', id: asId<ServiceId>(api) })
    t.same(removals(), inUse('service: web'))

    const plain = serviceSpec('web', {})
    const updateStatus = { state: 'updating', message: '' } as const
    desk.change(web, { spec: plain, previousSpec: wants, updateStatus })
    t.same(removals(), inUse('service: web'), 'a running update may be rolled back')
    desk.change(web, { updateStatus: { state: 'completed', message: '' } })
    t.same(removals(), ['taken', 'taken'])
    t.same(
      removals(),
      ['secret', 'config'].map(
        (kind) => `${kind} ${kind === 'secret' ? secret : config} not found`,
      ),
    )

    const version = desk.store.committed.get('service', web)?.version ?? 0
    const rollback = { type: 'service.update', version, spec: plain, rollback: true } as const
    t.equal(
      desk.refusal({ ...rollback, id: asId<ServiceId>(web) }),
      `${rpc} InvalidArgument desc = secret not found: pw`,
      'there is no way back to a secret that is gone',
    )
  },
)
