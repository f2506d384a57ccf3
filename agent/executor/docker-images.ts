// Pulling, by Swarm's rules: an image named by its digest that is here is not pulled; any other is
// asked of its registry first, so that a tag moves on; when that fails, what is here will do.
//
// Two things are ours. Pulls of one image are one pull, however many tasks wait for it. And a
// registry that did not answer is left alone for a minute when the image is here: on a node with
// no way out, a failing look-up costs seconds, and one task has paid them for all.

import { CodedError } from '../../core/base/error.ts'
import type { Log } from '../../core/base/note.ts'
import type { Task } from '../../core/object/task.ts'
import type { Clock } from './clock.ts'
import type { DockerClient } from './docker-client.ts'
import { imageOf } from './docker-container.ts'
import { parseJsonLines, record, text } from './engine-json.ts'
import { isImageId, parseImage } from './image-reference.ts'
import { createSlots, untilAborted } from './slots.ts'

/** How long an unreachable registry is not asked for an image that is here. */
const unreachableMs = 60_000
/** How long a registry may take to its first word before a local image is used instead. */
const firstWordMs = 5_000
/** Pulls at once: each is a connection to the engine and a share of a thin line. */
const pullsMax = 3

export interface Images {
  /** Resolves when the image is here as far as it can be. Throws only the signal's reason. */
  readonly ensure: (task: Task, signal: AbortSignal) => Promise<PullResult>
}

/** Why the last pull failed, for the log and for the error's detail. */
export interface PullResult {
  readonly failure?: string
}

interface Pull {
  readonly result: Promise<PullResult>
  readonly controller: AbortController
  waiters: number
}

export function createImages(options: {
  readonly client: DockerClient
  readonly clock: Clock
  readonly log: Log
}): Images {
  const { client, clock, log } = options
  const pulls = new Map<string, Pull>()
  const unreachableUntilMs = new Map<string, number>()
  const slots = createSlots(pullsMax)

  async function ensure(task: Task, signal: AbortSignal): Promise<PullResult> {
    const { image } = task.spec.container
    if (isImageId(image)) return {}
    const isHere = await isPresent(image, signal)
    const { digest, registry } = parseImage(image)
    if (isHere && digest !== undefined) return {}
    const untilMs = unreachableUntilMs.get(registry)
    if (isHere && untilMs !== undefined && clock.nowMs() < untilMs) {
      return { failure: `${registry} did not answer a short while ago` }
    }
    return await join(task, isHere, signal)
  }

  async function isPresent(image: string, signal: AbortSignal): Promise<boolean> {
    try {
      await client.call(
        { method: 'GET', path: `/images/${encodeURIComponent(image)}/json` },
        signal,
      )
      return true
    } catch (error) {
      if (error instanceof CodedError && error.code === 'not-found') return false
      throw error
    }
  }

  /** One pull for all who want the same; it is given up when the last of them is. */
  async function join(task: Task, isHere: boolean, signal: AbortSignal): Promise<PullResult> {
    const image = imageOf(task.spec.container)
    const key = `${image} ${task.registryAuth ?? ''}`
    const pull = pulls.get(key) ?? begin({ key, image, auth: task.registryAuth, isHere })
    pull.waiters += 1
    try {
      return await untilAborted(pull.result, signal)
    } finally {
      pull.waiters -= 1
      if (pull.waiters === 0) pull.controller.abort(new CodedError('internal', 'nobody waits'))
    }
  }

  function begin(wanted: Wanted & { readonly key: string }): Pull {
    const controller = new AbortController()
    const result = slots
      .run(() => pullOnce(wanted, controller.signal), controller.signal)
      .finally(() => pulls.delete(wanted.key))
    result.catch(() => undefined)
    const pull: Pull = { result, controller, waiters: 0 }
    pulls.set(wanted.key, pull)
    return pull
  }

  interface Wanted {
    readonly image: string
    readonly auth: string | undefined
    readonly isHere: boolean
  }

  async function pullOnce(wanted: Wanted, signal: AbortSignal): Promise<PullResult> {
    const { registry } = parseImage(wanted.image)
    const startMs = clock.nowMs()
    const failure = await pullWithin(wanted, signal)
    if (failure === undefined) {
      unreachableUntilMs.delete(registry)
      return {}
    }
    if (isUnreachable(failure)) unreachableUntilMs.set(registry, clock.nowMs() + unreachableMs)
    log(wanted.isHere ? 'info' : 'warn', 'image.pull-failed', {
      image: wanted.image,
      reason: failure,
      isHere: wanted.isHere,
      ms: clock.nowMs() - startMs,
    })
    return { failure }
  }

  /** The pull's failure; undefined when it went well. */
  async function pullWithin(wanted: Wanted, signal: AbortSignal): Promise<string | undefined> {
    const patience = new AbortController()
    const both = AbortSignal.any([signal, patience.signal])
    let isAnswered = false
    if (wanted.isHere) {
      clock.sleep(firstWordMs, both).then(
        () => isAnswered || patience.abort(),
        () => undefined,
      )
    }
    try {
      for await (const line of await request(wanted, both)) {
        isAnswered = true
        const error = text(line['error']) || text(record(line['errorDetail'])['message'])
        if (error !== '') return error
      }
      return undefined
    } catch (error) {
      signal.throwIfAborted()
      if (patience.signal.aborted) return `no answer in ${firstWordMs / 1000} s ${unreachableMark}`
      // An engine that went away is no verdict about the image.
      if (error instanceof CodedError && error.code !== 'unavailable') return error.message
      throw error
    } finally {
      patience.abort()
    }
  }

  async function request(
    wanted: Wanted,
    signal: AbortSignal,
  ): Promise<ReturnType<typeof parseJsonLines>> {
    const { name, tag, digest } = parseImage(wanted.image)
    const { body } = await client.stream(
      {
        method: 'POST',
        path: '/images/create',
        query: { fromImage: name, tag: digest ?? tag ?? 'latest' },
        headers: wanted.auth === undefined ? {} : { 'x-registry-auth': wanted.auth },
      },
      signal,
    )
    return parseJsonLines(body)
  }

  return { ensure }
}

const unreachableMark = '(registry unreachable)'

/** Go's words for a network that does not reach; the engine passes them on. */
function isUnreachable(failure: string): boolean {
  return [
    unreachableMark,
    'dial tcp',
    'no such host',
    'i/o timeout',
    'Client.Timeout',
    'context deadline exceeded',
    'request canceled while waiting',
    'TLS handshake timeout',
  ].some((words) => failure.includes(words))
}
