/** Bodies that programs send as JSON. */
import type { Context } from 'koa'
import { LatchkeyError } from '../errors.ts'
import { readText } from './forms.ts'

/** Whatever the body says. 415 for another type than JSON, 413 over `limit` bytes, 400 for what is no JSON. */
export async function readJson(ctx: Context, { limit }: { limit: number }): Promise<unknown> {
  const text = await readText(ctx, { type: 'application/json', limit })
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new LatchkeyError('invalid_request', 400, { detail: 'the body is no JSON', cause })
  }
}
