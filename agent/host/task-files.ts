// Task files: secrets and configs as files that containers can read. They are only ever in memory:
//
//   FOLDER                      a tmpfs of our own, root's alone
//     TASK                      one folder for each task that has files
//       0  1  2                 one file for each reference, with its owner and mode
//
// The engine mounts each file into the container, read-only. The tmpfs outlives the agent, as the
// containers do: one that starts finds the folders of the tasks that still run, and removes the
// rest. Where no tmpfs can be mounted the task is refused; nothing is written to a disk instead.

import {
  chmod,
  chown,
  mkdir,
  readdir,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  writeFile,
} from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { CodedError } from '../../core/base/error.ts'
import type { TaskId } from '../../core/base/id.ts'
import type { Log } from '../../core/base/note.ts'
import type { FileId } from '../../core/dispatch/protocol.ts'
import type { FileTarget } from '../../core/object/service.ts'
import type { Task } from '../../core/object/task.ts'
import { mountTmpfs, unmount } from '../../net/linux/mount.ts'
import type { PlacedFile, TaskFiles } from '../executor/docker-container.ts'

export interface TaskFilesOptions {
  /** Where the tmpfs is mounted. One agent alone uses it. */
  readonly folder: string
  /** The bytes of a secret or config, if they have come to this node. */
  readonly content: (id: FileId) => Uint8Array | undefined
  readonly log: Log
}

export interface HostedTaskFiles extends TaskFiles {
  /** Removes everything, the tmpfs too: the node leaves its cluster. */
  readonly erase: () => Promise<void>
}

/** Where secrets and configs appear in the container unless their target is a whole path. */
const secretFolder = '/run/secrets'
const configFolder = '/'
/** f_type of statfs(2). */
const tmpfsType = 0x01021994
/** Folders that are not whole yet begin so; no task's id does. */
const unfinished = '.'

interface WantedFile {
  readonly id: FileId
  readonly what: string
  /** The whole path in the container. */
  readonly target: string
  readonly file: FileTarget
}

/** The files of tasks under `folder`. Nothing is mounted before the first task that has any. */
export function createTaskFiles({ folder, content, log }: TaskFilesOptions): HostedTaskFiles {
  /** Tasks whose files this process has placed: their containers may not be there yet. */
  const placed = new Set<TaskId>()
  let mounting: Promise<void> | undefined

  async function mounted(): Promise<void> {
    mounting ??= mountOnce(folder)
    try {
      await mounting
    } catch (error) {
      mounting = undefined
      throw error
    }
  }

  async function remove(id: TaskId): Promise<void> {
    placed.delete(id)
    await rm(join(folder, id), { recursive: true, force: true })
  }

  return {
    place: async (task) => {
      const wanted = wantedFiles(task)
      if (wanted.length === 0) return []
      const own = join(folder, task.id)
      const files = wanted.map(({ target }, index) => ({ source: join(own, `${index}`), target }))
      placed.add(task.id)
      await mounted()
      if (!(await exists(own)))
        await write(
          folder,
          task.id,
          wanted.map((one) => filled(one, content)),
        )
      return files satisfies readonly PlacedFile[]
    },
    remove,
    sweep: async (kept) => {
      const names = (await isMounted(folder)) ? await readdir(folder) : []
      for (const name of names) {
        const id = name.replace(unfinished, '') as TaskId
        if (placed.has(id) || (kept.has(id) && !name.startsWith(unfinished))) continue
        log('info', 'task.files-removed', { task: id })
        await rm(join(folder, name), { recursive: true, force: true })
      }
    },
    erase: async () => {
      if (!(await isMounted(folder))) return
      mounting = undefined
      for (const name of await readdir(folder)) {
        await rm(join(folder, name), { recursive: true, force: true })
      }
      unmount(folder)
      await rmdir(folder)
      // Another agent may have its own beside it.
      await rmdir(dirname(folder)).catch(() => undefined)
    },
  }
}

/** The files that the task's spec asks for, in its order. */
function wantedFiles(task: Task): readonly WantedFile[] {
  const { secrets = [], configs = [] } = task.spec.container
  return [
    ...secrets.map(({ secretId: id, secretName, file }) => ({
      id,
      what: `secret ${secretName}`,
      parent: secretFolder,
      file,
    })),
    ...configs.map(({ configId: id, configName, file }) => ({
      id,
      what: `config ${configName}`,
      parent: configFolder,
      file,
    })),
  ].flatMap(({ id, what, parent, file }) => {
    if (file === undefined) return []
    const { name } = file
    const target = posix.isAbsolute(name) ? posix.normalize(name) : posix.join(parent, name)
    return [{ id, what, target, file }]
  })
}

interface FilledFile extends WantedFile {
  readonly data: Uint8Array
}

function filled(wanted: WantedFile, content: TaskFilesOptions['content']): FilledFile {
  const data = content(wanted.id)
  if (data !== undefined) return { ...wanted, data }
  throw new CodedError('not-found', `${wanted.what} has not come to this node`)
}

/** Whole or not at all: written aside, then given its name. */
async function write(folder: string, task: TaskId, files: readonly FilledFile[]): Promise<void> {
  const aside = join(folder, `${unfinished}${task}`)
  try {
    await rm(aside, { recursive: true, force: true })
    await mkdir(aside, { mode: 0o700 })
    for (const [index, { what, file, data }] of files.entries()) {
      const path = join(aside, `${index}`)
      await writeFile(path, data, { mode: 0o600, flag: 'wx' })
      await chown(path, number(what, 'UID', file.uid), number(what, 'GID', file.gid))
      // After the owner: a change of owner takes some bits of the mode away.
      await chmod(path, file.mode)
    }
    await rename(aside, join(folder, task))
  } catch (error) {
    await rm(aside, { recursive: true, force: true })
    throw error
  }
}

function number(what: string, field: 'UID' | 'GID', text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text)
  throw new CodedError('invalid-argument', `${what}: ${field} "${text}" is not a number`)
}

async function mountOnce(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  if (await isMounted(folder)) return
  try {
    mountTmpfs(folder)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new CodedError(
      'failed-precondition',
      `secrets and configs are kept in memory only, and this node has no place there: ${why}; run the agent as root with CAP_SYS_ADMIN`,
      { cause },
    )
  }
}

/** True if the folder is a tmpfs of its own, not merely a folder in one. */
async function isMounted(folder: string): Promise<boolean> {
  if (!(await exists(folder))) return false
  const [own, parent, system] = await Promise.all([
    stat(folder),
    stat(dirname(folder)),
    statfs(folder),
  ])
  return own.dev !== parent.dev && system.type === tmpfsType
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
