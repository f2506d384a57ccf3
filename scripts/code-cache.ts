// Makes the code cache of a program for agent/executable.ts, run by the very Node that will use it:
//
//   node FLAGS scripts/code-cache.ts PROGRAM.cjs PROGRAM.cache [warm]
//
// V8 compiles a function when it is first called, so the cache of a program that did not run holds
// little. `warm` runs the commands that people wait for, against a small server that answers as a
// daemon does, and the cache then holds what they needed: less to compile by half at each start.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Script } from 'node:vm'

type Wrapped = (
  exports: unknown,
  require: (name: string) => unknown,
  module: { readonly exports: unknown },
) => void

/** What the server says; its header Skep-Version makes the client take the API's version from it. */
const answers: Readonly<Record<string, unknown>> = {
  '/version': {
    Version: '20.10.24',
    ApiVersion: '1.44',
    MinAPIVersion: '1.24',
    Os: 'linux',
    Arch: 'amd64',
    Components: [
      {
        Name: 'Engine',
        Version: '20.10.24',
        Details: { ApiVersion: '1.41', Experimental: 'false' },
      },
      { Name: 'Skep', Version: '0.1.0', Details: { ApiVersion: '1.44' } },
    ],
  },
  '/nodes': [
    {
      ID: 'uhihq7rqyy7l6q3yf0fqwtrn1',
      Spec: { Role: 'manager', Availability: 'active' },
      Description: { Hostname: 'n1', Engine: { EngineVersion: '20.10.24' } },
      Status: { State: 'ready' },
      ManagerStatus: { Leader: true, Reachability: 'reachable' },
    },
  ],
  '/services': [
    {
      ID: 'uhihq7rqyy7l6q3yf0fqwtrn2',
      Spec: {
        Name: 'web',
        TaskTemplate: { ContainerSpec: { Image: 'web:1.0' } },
        Mode: { Replicated: { Replicas: 1 } },
      },
      ServiceStatus: { RunningTasks: 1, DesiredTasks: 1 },
    },
  ],
}

/** Commands that most people wait for most often; each says a word of `expected`. */
const commands: readonly { readonly words: readonly string[]; readonly expected: string }[] = [
  { words: ['--version'], expected: 'Skep agent version' },
  { words: ['version'], expected: 'Server:' },
  { words: ['node', 'ls'], expected: 'Leader' },
  { words: ['service', 'ls'], expected: 'web:1.0' },
]

async function warm(wrapped: Wrapped): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'skep-cache-'))
  const socket = join(folder, 'agent.sock')
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://agent').pathname
    response.setHeader('Api-Version', '1.44')
    response.setHeader('Skep-Version', '0.1.0')
    response.setHeader('Skep-Node', 'uhihq7rqyy7l6q3yf0fqwtrn1')
    const text = `${JSON.stringify(answers[path.replace(/^\/v[\d.]+/, '')])}\n`
    response.end(text)
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  try {
    for (const { words, expected } of commands) {
      const printed = await runCommand(wrapped, ['-H', `unix://${socket}`, ...words])
      if (!printed.includes(expected)) {
        throw new Error(`code-cache: "${words.join(' ')}" printed no "${expected}": ${printed}`)
      }
    }
  } finally {
    await new Promise((resolve) => server.close(resolve))
    rmSync(folder, { recursive: true })
  }
}

/** Runs the program as one process would, and returns what it prints. It ends by an exit code. */
async function runCommand(wrapped: Wrapped, words: readonly string[]): Promise<string> {
  const deadline = performance.now() + 60_000
  const { argv } = process
  const write = process.stdout.write
  let printed = ''
  try {
    process.argv = [process.execPath, 'agent', ...words]
    process.exitCode = undefined
    process.stdout.write = (text: string | Uint8Array) => {
      printed += text
      return true
    }
    wrapped({}, requireModule, { exports: {} })
    while (process.exitCode === undefined) {
      if (performance.now() > deadline) throw new Error(`code-cache: ${words.join(' ')} hangs`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    if (process.exitCode !== 0) throw new Error(`code-cache: ${words.join(' ')} failed: ${printed}`)
    return printed
  } finally {
    process.stdout.write = write
    process.argv = argv
  }
}

function requireModule(name: string): unknown {
  const found = process.getBuiltinModule(name)
  if (found === undefined) throw new Error(`code-cache: no module ${name}`)
  return found
}

const [program = '', output = '', how] = process.argv.slice(2)
const script = new Script(readFileSync(program, 'latin1'), { filename: basename(program) })
if (how === 'warm') await warm(script.runInThisContext() as Wrapped)
writeFileSync(output, script.createCachedData())
