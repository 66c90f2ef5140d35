/**
 * `POST {issuer}/launches`: where a portal or an EHR, with an access token of its own, makes a launch.
 *
 * Owns: the bearer token (RFC 6750), reading JSON, the form of answers. No browser has business here, so there is no CORS.
 * Does not own: whether a token is good (handed in), or what a launch may say (launches.ts).
 */
import type { Context, Middleware } from 'koa'
import type { Environment } from '../config/settings.ts'
import { InputFaults, LatchkeyError } from '../errors.ts'
import { readJson } from '../web/json.ts'
import type { Launches } from './launches.ts'

const longestBody = 16_384
const scope = 'launches'

/** Words for a body that cannot be read. */
const unreadable: Record<string, string> = {
  unsupported_media_type: 'send the launch as application/json',
  too_large: `the body must have at most ${longestBody} bytes`,
  invalid_request: 'the body is no JSON',
}

/** A live token of a service: whose it is, which API it opens, what it may do. */
interface ServiceToken {
  clientId: string
  api: string
  scope: string
}

const refuse = (ctx: Context, status: number, error: string | null, description: string): void => {
  const challenge = error ? `, error="${error}", error_description="${description}"` : ''
  const needed = error === 'insufficient_scope' ? `, scope="${scope}"` : ''
  ctx.status = status
  ctx.set('WWW-Authenticate', `Bearer realm="launches"${challenge}${needed}`)
  ctx.body = { error: error ?? 'invalid_request', error_description: description }
}

export const launchRoutes = (deps: {
  environment: Environment
  launches: Launches
  /** Undefined for a token that is unknown, expired or revoked, or of a person. */
  authorize: (bearerToken: string) => Promise<ServiceToken | undefined>
}): Middleware => {
  const { environment, launches, authorize } = deps
  const { host } = new URL(environment.issuer)
  const { path, aliases } = environment.endpoints.launches
  const paths = new Set([path, ...aliases])

  const make = async (ctx: Context): Promise<void> => {
    ctx.set('Cache-Control', 'no-store')
    if (ctx.method !== 'POST') {
      ctx.set('Allow', 'POST')
      throw new LatchkeyError('method_not_allowed', 405)
    }
    const [, presented] = /^Bearer +([\w.~+/=-]+)$/i.exec(ctx.get('authorization')) ?? []
    if (!presented) return refuse(ctx, 401, null, 'send Authorization: Bearer with an access token of a service')
    const token = await authorize(presented)
    if (!token) return refuse(ctx, 401, 'invalid_token', 'the access token is unknown, expired or revoked')
    if (!token.scope.split(' ').includes(scope))
      return refuse(ctx, 403, 'insufficient_scope', `the access token does not have the scope ${scope}`)
    try {
      const body = await readJson(ctx, { limit: longestBody })
      const { clientId, api } = token
      const made = await launches.make(body, { clientId, api, requestId: ctx.state.requestId })
      ctx.body = {
        launch: made.launch,
        ...(made.launchUrl === undefined ? {} : { launch_url: made.launchUrl }),
        expires_in: made.expiresIn,
      }
    } catch (error) {
      if (!(error instanceof LatchkeyError)) throw error
      const faults = error instanceof InputFaults ? { faults: error.faults } : null
      const description = faults ? error.message : unreadable[error.code]
      if (description === undefined) throw error
      ctx.status = error.status
      ctx.body = { error: error.code, error_description: description, ...faults }
    }
  }

  return async (ctx, next) => {
    if (ctx.host !== host || !paths.has(ctx.path)) return next()
    // Programs' endpoints answer in JSON whatever Accept says.
    ctx.req.headers.accept = 'application/json'
    await make(ctx)
  }
}
