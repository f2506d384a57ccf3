// Routes: the table of what we answer ourselves. What is not here goes to the engine, except under
// the words that are the cluster's alone: the engine's own swarm must never answer for ours.

import type { Handler } from './call.ts'
import { createConfig, inspectConfig, listConfigs, removeConfig, updateConfig } from './configs.ts'
import { streamEvents } from './events.ts'
import { serviceLogs, taskLogs } from './logs.ts'
import { inspectNode, listNodes, removeNode, updateNode } from './nodes.ts'
import { createSecret, inspectSecret, listSecrets, removeSecret, updateSecret } from './secrets.ts'
import {
  createService,
  inspectService,
  listServices,
  removeService,
  updateService,
} from './services.ts'
import {
  initSwarm,
  inspectSwarm,
  joinSwarm,
  leaveSwarm,
  recoverSwarm,
  showUnlockKey,
  unlockSwarm,
  updateSwarm,
} from './swarm.ts'
import { info, ping, version } from './system.ts'
import { inspectTask, listTasks } from './tasks.ts'

interface Route {
  readonly method: string
  /** Without version; `{...}` is one part of the path. */
  readonly path: string
  readonly handle: Handler
}

const routes: readonly Route[] = [
  { method: 'GET', path: '/_ping', handle: ping },
  { method: 'HEAD', path: '/_ping', handle: ping },
  { method: 'GET', path: '/version', handle: version },
  { method: 'GET', path: '/info', handle: info },
  { method: 'GET', path: '/events', handle: streamEvents },

  { method: 'GET', path: '/swarm', handle: inspectSwarm },
  { method: 'POST', path: '/swarm/init', handle: initSwarm },
  { method: 'POST', path: '/swarm/update', handle: updateSwarm },
  { method: 'POST', path: '/swarm/leave', handle: leaveSwarm },
  { method: 'POST', path: '/swarm/join', handle: joinSwarm },
  { method: 'POST', path: '/swarm/unlock', handle: unlockSwarm },
  { method: 'GET', path: '/swarm/unlockkey', handle: showUnlockKey },

  { method: 'POST', path: '/skep/recover', handle: recoverSwarm },

  { method: 'GET', path: '/nodes', handle: listNodes },
  { method: 'GET', path: '/nodes/{id}', handle: inspectNode },
  { method: 'POST', path: '/nodes/{id}/update', handle: updateNode },
  { method: 'DELETE', path: '/nodes/{id}', handle: removeNode },

  { method: 'GET', path: '/services', handle: listServices },
  { method: 'POST', path: '/services/create', handle: createService },
  { method: 'GET', path: '/services/{id}', handle: inspectService },
  { method: 'POST', path: '/services/{id}/update', handle: updateService },
  { method: 'DELETE', path: '/services/{id}', handle: removeService },
  { method: 'GET', path: '/services/{id}/logs', handle: serviceLogs },

  { method: 'GET', path: '/tasks', handle: listTasks },
  { method: 'GET', path: '/tasks/{id}', handle: inspectTask },
  { method: 'GET', path: '/tasks/{id}/logs', handle: taskLogs },

  { method: 'GET', path: '/secrets', handle: listSecrets },
  { method: 'POST', path: '/secrets/create', handle: createSecret },
  { method: 'GET', path: '/secrets/{id}', handle: inspectSecret },
  { method: 'POST', path: '/secrets/{id}/update', handle: updateSecret },
  { method: 'DELETE', path: '/secrets/{id}', handle: removeSecret },

  { method: 'GET', path: '/configs', handle: listConfigs },
  { method: 'POST', path: '/configs/create', handle: createConfig },
  { method: 'GET', path: '/configs/{id}', handle: inspectConfig },
  { method: 'POST', path: '/configs/{id}/update', handle: updateConfig },
  { method: 'DELETE', path: '/configs/{id}', handle: removeConfig },
]

const clusterWords = new Set(['swarm', 'nodes', 'services', 'tasks', 'secrets', 'configs'])

/** Who answers: a handler of ours, the engine, or nobody (`page not found`). */
export type Found =
  | { readonly type: 'ours'; readonly handle: Handler; readonly params: readonly string[] }
  | { readonly type: 'engine' }
  | { readonly type: 'nobody' }

/** Looks a request up. `path` is without version and query. */
export function findRoute(method: string, path: string): Found {
  for (const route of compiled) {
    if (route.method !== method) continue
    const match = route.pattern.exec(path)
    if (match === null) continue
    return { type: 'ours', handle: route.handle, params: match.slice(1).map(decode) }
  }
  return clusterWords.has(path.split('/')[1] ?? '') ? { type: 'nobody' } : { type: 'engine' }
}

const compiled = routes.map((route) => ({
  ...route,
  pattern: new RegExp(`^${route.path.replaceAll(/\{[^}]+\}/g, '([^/]+)')}/?$`),
}))

/** A part of the path as it was meant; one that is no proper escape stays as it is. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
