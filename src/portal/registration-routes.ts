/**
 * The registration endpoint (RFC 7591), and the address of each registration (RFC 7592).
 *
 * Owns: methods, the bearer token, size and type of bodies, the form of answers and errors. No browser has business here, so
 * there is no CORS. Does not own: any rule of registering (registration.ts).
 */
import type { Context, Middleware } from 'koa'
import type { Environment } from '../config/settings.ts'
import { InputFaults, LatchkeyError } from '../errors.ts'
import { readJson } from '../web/json.ts'
import type { RegistrationOf } from './registration.ts'

const longestBody = 16_384

/** `error_description` is printable ASCII without quotes and backslashes (RFC 6749 section 5.2). */
const ascii = (text: string): string => text.replaceAll(/[’‘]/g, "'").replaceAll(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, ' ')

/** Words for faults that are not of metadata. */
const descriptions: Record<string, string> = {
  unsupported_media_type: 'Send the metadata as application/json.',
  too_large: `The metadata must have at most ${longestBody} bytes.`,
  invalid_request: 'The body is no JSON.',
  method_not_allowed: 'This method is not for this address.',
}

const bearerOf = (ctx: Context): string | undefined => {
  const header = ctx.get('authorization')
  if (header === '') return undefined
  // What is presented and is no bearer token opens nothing: as good as an unknown one.
  return /^Bearer +([\w.~+/-]+=*) *$/i.exec(header)?.[1] ?? ''
}

const tell = (ctx: Context, error: LatchkeyError, presented: boolean): void => {
  const description = ascii(descriptions[error.code] ?? error.message)
  ctx.status = error.status
  if (error.status === 401)
    // RFC 6750 section 3.1: who presented nothing is told no error.
    ctx.set(
      'WWW-Authenticate',
      `Bearer${presented ? ` error="invalid_token", error_description="${description}"` : ''}`,
    )
  ctx.body = {
    // What is wrong with the request itself has no code of its own in RFC 7591.
    error: error.code in descriptions ? 'invalid_request' : error.code,
    error_description: description,
    ...(error instanceof InputFaults ? { faults: error.faults } : {}),
  }
}

export const registrationRoutes = (deps: { environment: Environment; registration: RegistrationOf }): Middleware => {
  const { environment, registration } = deps
  const { host } = new URL(environment.issuer)
  const { path, aliases } = environment.endpoints.registration
  const paths = [path, ...aliases]

  const allow = (ctx: Context, methods: readonly string[]): void => {
    if (methods.includes(ctx.method)) return
    ctx.set('Allow', methods.join(', '))
    throw new LatchkeyError('method_not_allowed', 405)
  }

  const register = async (ctx: Context, bearer: string | undefined): Promise<void> => {
    allow(ctx, ['POST'])
    const given = await readJson(ctx, { limit: longestBody })
    ctx.body = await registration.register(given, bearer, ctx.state.requestId)
    ctx.status = 201
  }

  const manage = async (ctx: Context, clientId: string, bearer: string | undefined): Promise<void> => {
    allow(ctx, ['GET', 'PUT', 'DELETE'])
    if (ctx.method === 'DELETE') {
      await registration.remove(clientId, bearer, ctx.state.requestId)
      ctx.status = 204
      return
    }
    ctx.body =
      ctx.method === 'GET'
        ? await registration.read(clientId, bearer)
        : await registration.update(clientId, await readJson(ctx, { limit: longestBody }), bearer, ctx.state.requestId)
  }

  return async (ctx, next) => {
    const base =
      ctx.host === host ? paths.find((each) => ctx.path === each || ctx.path.startsWith(`${each}/`)) : undefined
    if (base === undefined) return next()
    // Programs' endpoints answer in JSON whatever Accept says.
    ctx.req.headers.accept = 'application/json'
    ctx.set('Cache-Control', 'no-store')
    ctx.set('Pragma', 'no-cache')
    const bearer = bearerOf(ctx)
    try {
      if (ctx.path === base) await register(ctx, bearer)
      else await manage(ctx, ctx.path.slice(base.length + 1), bearer)
    } catch (error) {
      // A fault of ours is told like any other (web/errors.ts).
      if (!(error instanceof LatchkeyError) || error.status >= 500) throw error
      tell(ctx, error, bearer !== undefined)
    }
  }
}
