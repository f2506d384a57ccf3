// Pulling, by Swarm's rules: an image named by its digest that is here is not pulled; any other is
// asked of its registry first, so that a tag moves on; when that fails, what is here will do.
//
// Two things are ours. Pulls of one image are one pull, however many tasks wait for it. And a
// registry that did not answer is left alone for a minute when the image is here: on a node with
// no way out, a failing look-up costs seconds, and one task has paid them for all.

import { CodedError, hasCode } from '../../core/base/error.ts'
import type { Log } from '../../core/base/note.ts'
import type { Task } from '../../core/object/task.ts'
import { type ImageReference, parseImage } from '../../core/spec/image.ts'
import type { Clock } from '../base/clock.ts'
import type { DockerClient } from './docker-client.ts'
import { imageOf } from './docker-container.ts'
import { type JsonRecord, parseJsonLines, record, text } from './engine-json.ts'
import { createSlots, untilAborted } from './slots.ts'

/** How long an unreachable registry is not asked for an image that is here. */
const unreachableMs = 60_000
/** How long a registry may take to its first word before a local image is used instead. */
const patienceMs = 3_000
/** Pulls at once; the engine itself bounds the layers that come at once. */
const pullsMax = 8

export interface Images {
  /**
   * Resolves when the image is here as far as it can be. Throws the signal's reason, and
   * `unavailable` when the engine went away.
   */
  readonly ensure: (task: Task, signal: AbortSignal) => Promise<PullResult>
}

/** Why the pull failed, for the log and for the error's detail; absent when it did not. */
export interface PullResult {
  readonly failure?: string
}

interface Wanted {
  readonly image: ImageReference
  readonly auth: string | undefined
}

interface Pull {
  readonly result: Promise<PullResult>
  readonly controller: AbortController
  waiters: number
  /** True once the engine works on it, no longer waiting for others. */
  isBegun: boolean
  /** True once the registry has said something. */
  isAnswered: boolean
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
    const image = parseImage(task.spec.container.image)
    if (image === undefined) return {}
    const isHere = await isPresent(imageOf(task.spec.container), signal)
    if (isHere && image.digest !== undefined) return {}
    const untilMs = unreachableUntilMs.get(image.domain)
    if (isHere && untilMs !== undefined && clock.nowMs() < untilMs) {
      return { failure: `${image.domain} did not answer a short while ago` }
    }
    return await join({ image, auth: task.registryAuth }, isHere, signal)
  }

  async function isPresent(name: string, signal: AbortSignal): Promise<boolean> {
    try {
      await client.call({ method: 'GET', path: `/images/${encodeURIComponent(name)}/json` }, signal)
      return true
    } catch (error) {
      if (hasCode(error, 'not-found')) return false
      throw error
    }
  }

  /** One pull for all who want the same; it is given up when the last of them is. */
  async function join(wanted: Wanted, isHere: boolean, signal: AbortSignal): Promise<PullResult> {
    const key = `${JSON.stringify(wanted.image)} ${wanted.auth ?? ''}`
    const pull = pulls.get(key) ?? begin(key, wanted)
    const leaving = new AbortController()
    pull.waiters += 1
    try {
      const result = untilAborted(pull.result, AbortSignal.any([signal, leaving.signal]))
      return await (isHere ? Promise.race([result, impatience(wanted, pull, leaving)]) : result)
    } finally {
      leaving.abort()
      pull.waiters -= 1
      if (pull.waiters === 0) pull.controller.abort(new CodedError('timeout', 'nobody waits'))
    }
  }

  /** Resolves when the registry has been silent for too long; never when it has spoken. */
  async function impatience(
    { image }: Wanted,
    pull: Pull,
    leaving: AbortController,
  ): Promise<PullResult> {
    await clock.sleep(patienceMs, leaving.signal)
    if (pull.isAnswered || leaving.signal.aborted) return await pull.result
    const failure = `${image.domain} gave no answer in ${patienceMs / 1000} s`
    const isKnown = (unreachableUntilMs.get(image.domain) ?? 0) > clock.nowMs()
    if (!isKnown) log('info', 'image.local-used', { ...image, reason: failure })
    // A pull that still waits for others to end says nothing of its registry.
    if (pull.isBegun) unreachableUntilMs.set(image.domain, clock.nowMs() + unreachableMs)
    return { failure }
  }

  function begin(key: string, wanted: Wanted): Pull {
    const controller = new AbortController()
    const { signal } = controller
    const work = async (): Promise<PullResult> => {
      pull.isBegun = true
      return await pullOnce(wanted, pull, signal)
    }
    // Held back a turn, so that `pull` is there when the work begins.
    const result = Promise.resolve()
      .then(() => slots.run(work, signal))
      .finally(() => pulls.delete(key))
    // Those who wait hear of a failure; when nobody waits any more, nobody has to.
    result.catch(() => undefined)
    const pull: Pull = { result, controller, waiters: 0, isBegun: false, isAnswered: false }
    pulls.set(key, pull)
    return pull
  }

  async function pullOnce(wanted: Wanted, pull: Pull, signal: AbortSignal): Promise<PullResult> {
    const { domain } = wanted.image
    const startMs = clock.steadyMs()
    const failure = await pullFailure(wanted, pull, signal)
    if (failure === undefined) {
      unreachableUntilMs.delete(domain)
      return {}
    }
    if (isUnreachable(failure)) unreachableUntilMs.set(domain, clock.nowMs() + unreachableMs)
    const ms = Math.round(clock.steadyMs() - startMs)
    log('info', 'image.pull-failed', { ...wanted.image, reason: failure, ms })
    return { failure }
  }

  /** Why the pull failed; undefined when it went well. */
  async function pullFailure(
    wanted: Wanted,
    pull: Pull,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    try {
      for await (const line of await request(wanted, signal)) {
        pull.isAnswered = true
        const error = text(line['error']) || text(record(line['errorDetail'])['message'])
        if (error !== '') return error
      }
      return undefined
    } catch (error) {
      // An engine that went away is no verdict about the image.
      if (error instanceof CodedError && error.code !== 'unavailable' && !signal.aborted) {
        return error.message
      }
      throw error
    }
  }

  async function request(
    { image, auth }: Wanted,
    signal: AbortSignal,
  ): Promise<AsyncIterable<JsonRecord>> {
    const { domain, path, tag, digest } = image
    const { body } = await client.stream(
      {
        method: 'POST',
        path: '/images/create',
        query: { fromImage: `${domain}/${path}`, tag: digest ?? tag ?? 'latest' },
        headers: auth === undefined ? {} : { 'x-registry-auth': auth },
      },
      signal,
    )
    return parseJsonLines(body)
  }

  return { ensure }
}

/** Go's words for a network that does not reach; the engine passes them on. */
function isUnreachable(failure: string): boolean {
  return [
    'dial tcp',
    'no such host',
    'i/o timeout',
    'Client.Timeout',
    'context deadline exceeded',
    'request canceled while waiting',
    'TLS handshake timeout',
  ].some((words) => failure.includes(words))
}
