/**
 * Files for browsers: everything in views/assets, and one stylesheet per plan with its colour.
 *
 * Owns: /assets. The table is made once at start, so no path of a request ever reaches the file system.
 * `url(name)` carries a hash of the content; under that address an answer never changes and is kept for a year.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { Context, Next } from 'koa'
import type { Plan } from '../config/settings.ts'
import { LatchkeyError } from '../errors.ts'
import { brandCss } from './brand.ts'

export interface Assets {
  /** The address of a file; throws for one that does not exist. */
  url(name: string): string
  /** Answers below /assets; hands on everything else. */
  middleware(ctx: Context, next: Next): Promise<void>
}

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
}

/** Reads every file of `dir` (not of folders below it) whose kind browsers are meant to get. */
export function createAssets({ dir, plans }: { dir: string; plans: readonly Plan[] }): Assets {
  const table = new Map<string, { body: Buffer; type: string; hash: string }>()
  const add = (name: string, body: Buffer) => {
    const type = TYPES[extname(name)]
    if (!type) return
    table.set(name, { body, type, hash: createHash('sha256').update(body).digest('base64url').slice(0, 16) })
  }
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isFile()) add(entry.name, readFileSync(join(dir, entry.name)))
  }
  for (const plan of plans) add(`brand/${plan.id}.css`, Buffer.from(brandCss(plan.brand.color)))

  return {
    url(name) {
      const found = table.get(name)
      if (!found) throw new Error(`no asset ${name}`)
      return `/assets/${name}?v=${found.hash}`
    },

    async middleware(ctx, next) {
      if (!ctx.path.startsWith('/assets/')) return next()
      const found = table.get(ctx.path.slice('/assets/'.length))
      if (!found) throw new LatchkeyError('not_found', 404)
      if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
        ctx.set('Allow', 'GET, HEAD')
        throw new LatchkeyError('method_not_allowed', 405)
      }
      const current = ctx.query.v === found.hash
      ctx.set('Cache-Control', current ? 'public, max-age=31536000, immutable' : 'no-cache')
      ctx.status = 200
      ctx.etag = found.hash
      ctx.type = found.type
      if (ctx.fresh) ctx.status = 304
      else ctx.body = found.body
    },
  }
}
