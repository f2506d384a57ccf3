// Images made on the spot from Debian's static busybox, since tests reach no registry.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Engine } from './engine.ts'
import { type TarMember, tarOf } from './tar.ts'

/** What an image is made of besides busybox and its commands. */
export interface ImagePlan {
  readonly name: string
  readonly tag: string
  readonly command: readonly string[]
  readonly exposed?: readonly string[]
  readonly files?: readonly TarMember[]
}

const busybox = '/bin/busybox'

// Process 1 of a container gets no default action for SIGTERM: it has to handle it, else each stop
// lasts the whole grace period.
const webStart = `#!/bin/sh
mkdir -p /www
cat > /www/index.html <<END
<html><body>ddd-web version $(cat /version) on $(hostname)</body></html>
END
echo "ddd-web $(cat /version) listening on :8080 as $(hostname)"
httpd -f -v -p 8080 -h /www & server=$!
trap 'kill $server; exit 0' TERM INT
wait $server
`

/** The image of a page on port 8080 that tells the version and its container's host name. */
export function webImage(tag: string, name = 'nigelpoulton/ddd-web'): ImagePlan {
  return {
    name,
    tag,
    command: ['/start.sh'],
    exposed: ['8080'],
    files: [
      { path: 'version', content: `${tag}\n` },
      { path: 'start.sh', mode: 0o755, content: webStart },
    ],
  }
}

/** An image with busybox's commands alone, that sleeps until SIGTERM. */
export function shellImage(name = 'skep/shell', tag = '1'): ImagePlan {
  const command = ['sh', '-c', "trap 'exit 0' TERM INT; sleep 1000000 & wait"]
  return { name, tag, command }
}

/** Puts the image into the engine's store; returns its id. */
export async function importImage(engine: Engine, plan: ImagePlan): Promise<string> {
  const changes = [
    `CMD ${JSON.stringify(plan.command)}`,
    ...(plan.exposed ?? []).map((port) => `EXPOSE ${port}`),
  ]
  const query = new URLSearchParams({ fromSrc: '-', repo: plan.name, tag: plan.tag })
  for (const change of changes) query.append('changes', change)
  const answer = await engine.request({
    method: 'POST',
    path: `/images/create?${query}`,
    body: imageArchive(plan),
  })
  const last = answer.body.trim().split('\n').at(-1) ?? ''
  const progress = JSON.parse(last === '' ? '{}' : last) as { status?: string; error?: string }
  if (answer.status !== 200 || progress.status === undefined || progress.error !== undefined) {
    throw new Error(`import of ${plan.name}:${plan.tag}: ${answer.status} ${answer.body.trim()}`)
  }
  return progress.status
}

/** The two images of the story, in both versions, and the shell. */
export async function importTestImages(engine: Engine): Promise<void> {
  for (const plan of [webImage('1.0'), webImage('2.0'), shellImage()]) {
    await importImage(engine, plan)
  }
}

function imageArchive(plan: ImagePlan): Uint8Array {
  const folders = ['bin', 'etc', 'tmp', 'www', 'proc', 'sys', 'dev']
  return tarOf([
    ...folders.map((path): TarMember => ({ path, isFolder: true, ...modeOf(path) })),
    { path: 'bin/busybox', mode: 0o755, content: readFileSync(busybox) },
    ...commandNames().map((name): TarMember => ({ path: `bin/${name}`, link: 'busybox' })),
    { path: 'etc/passwd', content: 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' },
    { path: 'etc/group', content: 'root:x:0:\nnogroup:x:65534:\n' },
    ...(plan.files ?? []),
  ])
}

function modeOf(folder: string): { mode: number } {
  return { mode: folder === 'tmp' ? 0o1777 : 0o755 }
}

function commandNames(): string[] {
  const names = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n')
  return names.filter((name) => name !== 'busybox')
}
