// Types of the two deep entries of undici that docker-client.ts loads. The package has types for
// its front door only; loading that costs 5.5 MB of memory more than these two files.

declare module 'undici/lib/dispatcher/pool.js' {
  import type { Pool } from 'undici'

  const poolClass: typeof Pool
  export = poolClass
}

declare module 'undici/lib/api/api-request.js' {
  import type { Dispatcher } from 'undici'

  function request(
    this: Dispatcher,
    options: Dispatcher.RequestOptions,
  ): Promise<Dispatcher.ResponseData>
  export = request
}
