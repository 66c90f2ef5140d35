/**
 * Where each issuer serves its plan's user-access brand bundle (SMART App Launch 2.2, "Brands").
 *
 * Owns: what of the configuration goes into it, since when it says so, CORS, ETag, caching.
 * Does not own: its form (smart/brands.ts).
 * A bundle has the endpoints of its own sort: who looks for a plan is not offered the sandbox.
 */
import type { Context, Middleware } from 'koa'
import type { Audit } from '../audit/audit.ts'
import type { Environment, Settings } from '../config/settings.ts'
import { LatchkeyError } from '../errors.ts'
import { hashSecret, sha256 } from '../secrets.ts'
import { type BrandInput, brandBundle, stampedBundle } from '../smart/brands.ts'
import type { Database } from '../storage/database.ts'
import { lockByName } from '../storage/transaction-hooks.ts'

export interface BrandDocument {
  body: string
  etag: string
}

const inputOf = (environment: Environment, publicUrl: string): BrandInput => {
  const { plan, sandbox } = environment
  const { brand, contacts, userAccessBrand } = plan
  const peers = plan.environments.filter((each) => each.sandbox === sandbox)
  return {
    ...userAccessBrand,
    id: plan.id,
    name: plan.name,
    website: contacts.website,
    logoUrl: brand.logoUrl && new URL(brand.logoUrl, publicUrl).href,
    endpoints: peers
      .flatMap(({ id, apis }) => apis.map((api) => ({ name: `${id.split('/')[1]}.${api.id}`, api })))
      .map(({ name, api }, index) => ({
        // Ids have 64 characters at most.
        id: name.length <= 64 ? name : `endpoint-${index}`,
        name: `${plan.name}: ${api.name}`,
        address: api.baseUrl,
        status: sandbox ? ('test' as const) : ('active' as const),
      })),
    // The same at every issuer of the sort.
    root: (peers[0] ?? environment).issuer,
  }
}

/** The bundles of all issuers, by the issuer's id. Their timestamps outlive this process, and move when what they say does. */
export const createBrands = async (deps: {
  settings: Settings
  database: Database
  audit: Audit
  now: () => number
}): Promise<ReadonlyMap<string, BrandDocument>> => {
  const { settings, database, audit, now } = deps

  const changedAt = (issuer: string, hash: string): Promise<number> =>
    database.transaction(async (trx) => {
      await lockByName(trx, `brand ${issuer}`)
      const known = await trx.selectFrom('brands').selectAll().where('issuer', '=', issuer).executeTakeFirst()
      if (known?.hash === hash) return known.changed_at
      const at = now()
      await trx
        .insertInto('brands')
        .values({ issuer, hash, changed_at: at })
        .onConflict((conflict) => conflict.column('issuer').doUpdateSet({ hash, changed_at: at }))
        .execute()
      await audit.record(trx, { type: 'brand.changed', issuer, actor: 'system', details: { hash } })
      return at
    })

  const documents = new Map<string, BrandDocument>()
  for (const environment of settings.plans.flatMap((plan) => plan.environments)) {
    const bundle = brandBundle(inputOf(environment, settings.publicUrl))
    const stamped = stampedBundle(bundle, await changedAt(environment.id, hashSecret(JSON.stringify(bundle))))
    const body = JSON.stringify(stamped)
    documents.set(environment.id, { body, etag: `W/"${sha256(body).slice(0, 22)}"` })
  }
  return documents
}

/**
 * Does somebody who names these have it already (RFC 9110 section 13.1.2)? Not by Koa, to which `Cache-Control: no-cache` means
 * that nothing is known: `fetch` sends that with every `If-None-Match` of a script.
 */
const isKnown = (named: string, etag: string): boolean =>
  named.split(',').some((each) => each.trim() === '*' || each.trim().replace(/^W\//, '') === etag.replace(/^W\//, ''))

/** `GET {issuer}/brands.json`, for everybody and for scripts of any origin. */
export const brandRoutes = (environment: Environment, document: BrandDocument): Middleware => {
  const { host } = new URL(environment.issuer)
  const { path, aliases } = environment.endpoints.brands
  const paths = new Set([path, ...aliases])

  const answer = (ctx: Context): void => {
    ctx.set('Access-Control-Allow-Origin', '*')
    ctx.set('Access-Control-Expose-Headers', 'ETag')
    if (ctx.method === 'OPTIONS') {
      ctx.set('Access-Control-Allow-Methods', 'GET, HEAD')
      ctx.set('Access-Control-Allow-Headers', ctx.get('access-control-request-headers') || 'If-None-Match')
      ctx.status = 204
      return
    }
    if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
      ctx.set('Allow', 'GET, HEAD, OPTIONS')
      throw new LatchkeyError('method_not_allowed', 405)
    }
    ctx.status = 200
    ctx.set('ETag', document.etag)
    ctx.set('Cache-Control', 'public, max-age=300')
    if (isKnown(ctx.get('if-none-match'), document.etag)) {
      ctx.status = 304
      return
    }
    ctx.type = 'application/fhir+json'
    ctx.body = document.body
  }

  return async (ctx, next) => {
    if (ctx.host !== host || !paths.has(ctx.path)) return next()
    // Programs' endpoints answer in JSON whatever Accept says.
    ctx.req.headers.accept = 'application/json'
    answer(ctx)
  }
}
