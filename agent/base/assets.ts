// Files that travel inside the executable: pages (*.html) and the programs of worker threads
// (*.worker.ts). scripts/build.ts puts all of them in, under their paths from the repository's root;
// run from source they are read from there. The door to node:sea.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { getAsset, isSea } from 'node:sea'
import { Worker, type WorkerOptions } from 'node:worker_threads'

/** The text of the asset, by its path from the root: "agent/http/dashboard.html". */
export function readAsset(path: string): string {
  return isSea() ? getAsset(path, 'utf8') : readFileSync(sourcePath(path), 'utf8')
}

/** Starts a thread that runs the worker's program: "net/overlay/data-plane.worker.ts". */
export function startWorker(path: string, options: WorkerOptions = {}): Worker {
  if (!isSea()) return new Worker(sourcePath(path), options)
  return new Worker(readAsset(path), { ...options, eval: true })
}

/** True in the executable, false when run from source. */
export function isExecutable(): boolean {
  return isSea()
}

function sourcePath(path: string): string {
  return join(import.meta.dirname, '../..', path)
}
