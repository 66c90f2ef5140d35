import type { Middleware } from 'koa'
import getRawBody from 'raw-body'
import type { Api } from '../config/settings.ts'
import type { FhirAnswer, SandboxFhir } from './fhir/index.ts'
import { outcome } from './fhir/outcome.ts'

const longestBody = 65_536

/**
 * The FHIR server below its base and that base's aliases; everything else goes on, `.well-known` below the base included,
 * because that is the issuer's to say.
 */
export const sandboxRoutes = (fhir: SandboxFhir, api: Pick<Api, 'baseUrl' | 'aliases'>): Middleware => {
  const bases = [api.baseUrl, ...api.aliases].map((url) => {
    const { host, pathname } = new URL(url)
    return { url, host, path: pathname.replace(/\/$/, '') }
  })

  return async (ctx, next) => {
    const base = bases.find(
      ({ host, path }) => host === ctx.host && (ctx.path === path || ctx.path.startsWith(`${path}/`)),
    )
    const url = base && ctx.url.slice(base.path.length)
    if (!base || url === undefined || url.startsWith('/.well-known/')) return next()

    const headers = Object.fromEntries(
      Object.entries(ctx.req.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
    )
    const respond = (answer: FhirAnswer) => {
      ctx.status = answer.status
      ctx.set(answer.headers)
      if (answer.body !== null) ctx.body = answer.body
    }
    if (ctx.method !== 'POST') return respond(await fhir.handle({ method: ctx.method, base: base.url, url, headers }))

    if (!ctx.is('application/x-www-form-urlencoded') && ctx.path.endsWith('/_search')) {
      return respond(refusal(415, 'A search by POST takes a form: Content-Type: application/x-www-form-urlencoded.'))
    }
    const body = await getRawBody(ctx.req, { limit: longestBody, encoding: 'utf8' }).catch(
      (error: { status?: number }) => error,
    )
    if (typeof body !== 'string') {
      return respond(
        body.status === 413
          ? refusal(413, `What is sent may have ${longestBody} bytes at most.`)
          : refusal(400, 'What was sent did not arrive whole.'),
      )
    }
    respond(await fhir.handle({ method: 'POST', base: base.url, url, headers, body }))
  }
}

const refusal = (status: number, description: string): FhirAnswer => ({
  status,
  headers: {
    'Access-Control-Allow-Origin': '*',
    'Cache-Control': 'no-store',
    'Content-Type': 'application/fhir+json; charset=utf-8',
  },
  body: JSON.stringify(outcome(status === 413 ? 'too-long' : 'invalid', description)),
})
