/** The addresses of the demonstration app: its page, and the `fhirclient` package's browser file. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Context, Middleware } from 'koa'
import type { Environment } from '../config/settings.ts'
import { LatchkeyError } from '../errors.ts'
import type { Views } from '../web/views.ts'
import { createDemoPage, demoUrl, findDemoApi, findFhirClient } from './demo.ts'

/**
 * GET `{issuer}/demo/`, its launch page `{issuer}/demo/launch`, `{issuer}/demo` and `{issuer}/demo/fhir-client.js` of one environment; hands on everything else, and
 * everything where the app is of no use (`findDemoApi`). `fhirClient` is the path of the library's file.
 */
export function demoRoutes({
  environment,
  views,
  fhirClient = findFhirClient(),
}: {
  environment: Environment
  views: Views
  fhirClient?: string | null
}): Middleware {
  const api = findDemoApi(environment)
  if (!api) return (_ctx, next) => next()
  const place = new URL(demoUrl(environment)).pathname
  const library = fhirClient === null ? null : loadLibrary(fhirClient)
  const script = library && `${place}fhir-client.js?v=${library.hash}`

  return async (ctx, next) => {
    if (ctx.state.environment?.id !== environment.id) return next()
    const isPage = ctx.path === place || ctx.path === `${place}launch`
    if (!isPage && `${ctx.path}/` !== place && ctx.path !== `${place}fhir-client.js`) return next()
    if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
      ctx.set('Allow', 'GET, HEAD')
      throw new LatchkeyError('method_not_allowed', 405)
    }
    if (isPage) {
      const { t } = views.translator(ctx)
      views.renderPage(ctx, 'sandbox/demo', createDemoPage({ environment, api, script, t }))
    } else if (ctx.path.endsWith('.js')) sendLibrary(ctx, library)
    else ctx.redirect(demoUrl(environment))
  }
}

interface Library {
  body: Buffer
  hash: string
}

function loadLibrary(path: string): Library {
  const body = readFileSync(path)
  return { body, hash: createHash('sha256').update(body).digest('base64url').slice(0, 16) }
}

function sendLibrary(ctx: Context, library: Library | null): void {
  if (!library) {
    throw new LatchkeyError('not_found', 404, { message: 'the development dependency fhirclient is not installed' })
  }
  ctx.set('Cache-Control', ctx.query.v === library.hash ? 'public, max-age=31536000, immutable' : 'no-cache')
  ctx.status = 200
  ctx.etag = library.hash
  ctx.type = 'text/javascript; charset=utf-8'
  if (ctx.fresh) ctx.status = 304
  else ctx.body = library.body
}
