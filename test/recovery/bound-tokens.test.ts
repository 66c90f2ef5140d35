/** A restored store knows to which key the refresh tokens of public apps are bound (R46, RFC 9449 §5). */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exchange, pkce, refresh, walk } from '../support/authorize.ts'
import { type ProofKey, proofKey } from '../support/proofs.ts'
import { type House, openHouse, type Tokens } from './house.ts'

describe('tokens that are newer than the store [RFC 9449 refresh-binding]', { timeout: 120_000 }, () => {
  let house: House
  let key: ProofKey
  let other: ProofKey
  /** Of a family that the copy knows, of one whose code was still to be redeemed, and of one without a key. */
  let known: Tokens
  let unknown: Tokens
  let unbound: Tokens

  const proof = async (by: ProofKey): Promise<Record<string, string>> => ({
    DPoP: await by.proof('POST', house.app().token),
  })
  const renew = async (token: string, by?: ProofKey) => {
    const headers = by ? await proof(by) : {}
    const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token, client_id: 'demo-public' })
    const response = await fetch(house.app().token, { method: 'POST', body, headers })
    return { status: response.status, body: await response.json() }
  }
  const code = async () => {
    const { verifier, challenge } = pkce()
    const { callback } = await walk(house.app(), challenge)
    return { code: callback.searchParams.get('code') ?? '', verifier }
  }
  const redeem = async ({ code, verifier }: { code: string; verifier: string }, by?: ProofKey): Promise<Tokens> => {
    if (!by) return (await exchange(house.app(), code, verifier)).body
    const { redirectUri, token } = house.app()
    const fields = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: redirectUri }
    const body = new URLSearchParams({ ...fields, client_id: 'demo-public' })
    return (await fetch(token, { method: 'POST', body, headers: await proof(by) })).json()
  }

  beforeAll(async () => {
    house = await openHouse('sqlite')
    key = await proofKey()
    other = await proofKey()
    known = await redeem(await code(), key)
    const [late, plain] = [await code(), await code()]
    const copy = join(house.folder, 'copy')
    expect(await house.run('backup', copy)).toMatchObject({ status: 0, err: '' })
    unknown = await redeem(late, key)
    unbound = await redeem(plain)
    for (let i = 0; i < 3; i++) known = (await renew(known.refresh_token, key)).body
    house.later(60)
    await house.stop()
    await house.restore(copy)
    await house.start()
  }, 120_000)
  afterAll(() => house?.close())

  it('keep the key of their family', async () => {
    for (const by of [other, undefined])
      expect((await renew(known.refresh_token, by)).body).toMatchObject({ error_subcode: 'wrong_key' })
    const { status, body } = await renew(known.refresh_token, key)
    expect(status).toBe(200)
    expect((await renew(body.refresh_token, other)).body).toMatchObject({ error_subcode: 'wrong_key' })
    expect((await renew(body.refresh_token, key)).status).toBe(200)
  })

  it('of which nothing is known are bound to the key that they come with', async () => {
    const { status, body } = await renew(unknown.refresh_token, key)
    expect(status).toBe(200)
    expect((await renew(body.refresh_token, other)).body).toMatchObject({ error_subcode: 'wrong_key' })
    expect((await renew(body.refresh_token)).body).toMatchObject({ error_subcode: 'wrong_key' })
    expect((await renew(body.refresh_token, key)).status).toBe(200)
  })

  it('without a key stay so', async () => {
    const { status, body } = await refresh(house.app(), unbound.refresh_token)
    expect([status, body.token_type]).toEqual([200, 'Bearer'])
    expect((await refresh(house.app(), body.refresh_token)).status).toBe(200)
  })
})
