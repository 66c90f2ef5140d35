/** Why a refresh is refused, in a word for programs (R9): each reason as it comes about, and as docs/apps.md has it. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createAudit } from '../../src/audit/audit.ts'
import { createEndings } from '../../src/members/endings.ts'
import type { EndReason } from '../../src/members/grants.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import {
  type App,
  confidentialApp,
  demoApp,
  exchange,
  obtainTokens,
  pkce,
  refresh,
  walk,
} from '../support/authorize.ts'
import { patient } from '../support/backend.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { quiet } from '../support/stores.ts'
import { Visitor } from '../support/visitor.ts'
import { claimsOf, post, resourceServer } from '../support/wire.ts'

const DAY = 86_400_000
const issuer = 'prairie/sandbox'

let server: TestServer
let database: Database
let app: App
let skew = 0
const now = () => Date.now() + skew

beforeAll(async () => {
  server = await startServer({ now })
  database = await openDatabase({ url: server.settings.database.url, log: quiet, pool: patient })
  app = demoApp(server.url)
})
afterAll(async () => {
  await database.close()
  await server.close()
})
beforeEach(() => {
  skew = 0
})

interface Held {
  access_token: string
  refresh_token: string
  grantId: string
  visitor: Visitor
}

const connect = async (options: Parameters<typeof obtainTokens>[1] = {}): Promise<Held> => {
  const visitor = new Visitor()
  const tokens = await obtainTokens(app, { ...options, visitor })
  return { ...tokens, grantId: claimsOf(tokens.access_token).grant_id, visitor }
}

/** What an operator's command or another part of the product does. */
const endings = () => createEndings({ database, audit: createAudit({ node: 'operator', now, log: quiet }), now })
const endGrant = ({ grantId }: Held, reason: EndReason) =>
  endings().endGrant(null, { issuer, grantId, reason, actor: 'system', requestId: null })

const waysToEnd: Record<string, (held: Held) => Promise<unknown>> = {
  async revoked_by_member({ visitor }) {
    const list = await visitor.open(`${app.issuer}/connections`)
    await visitor.submit(list, '/end')
  },
  revoked_by_app: ({ refresh_token }) =>
    post(`${app.issuer}/revoke`, { token: refresh_token, client_id: app.clientId }),
  app_suspended: (held) => endGrant(held, 'app_suspended'),
  async token_reused({ refresh_token }) {
    await refresh(app, refresh_token)
    skew = 31_000
    await refresh(app, refresh_token)
  },
  async already_used({ refresh_token }) {
    for (let i = 0; i < 3; i++) await refresh(app, refresh_token)
  },
  async replaced({ visitor }) {
    // The member decides again, for the same app and patient, on something else altogether.
    await obtainTokens(app, { visitor, params: { scope: 'launch/patient offline_access patient/Immunization.rs' } })
  },
  session_ended: (held) => endGrant(held, 'session_ended'),
  async expired({ grantId }) {
    const [row] = await database.db.selectFrom('grants').select('expires_at').where('id', '=', grantId).execute()
    skew = (row?.expires_at ?? 0) - Date.now() + 1000
  },
}

describe('the answer to a refresh', () => {
  it.each(Object.entries(waysToEnd))('%s', async (reason, end) => {
    const held = await connect({ params: { scope: 'launch/patient offline_access patient/Coverage.rs' } })
    await end(held)
    const { status, body } = await refresh(app, held.refresh_token)
    expect(status).toBe(400)
    expect(body).toEqual({ error: 'invalid_grant', error_subcode: reason, error_description: expect.any(String) })
    expect(body.error_description).toMatch(/^[A-Z].*\.$/)
  })

  it('authority_ended: the delegation was taken back', async () => {
    const held = await connect({ member: 'david', patient: 'Elena' })
    const { id } = await database.db
      .selectFrom('delegations')
      .innerJoin('grants', (join) =>
        join
          .onRef('grants.patient_id', '=', 'delegations.patient_id')
          .onRef('grants.member_id', '=', 'delegations.member_id'),
      )
      .select('delegations.id')
      .where('grants.id', '=', held.grantId)
      .executeTakeFirstOrThrow()
    await endings().endDelegation(null, { issuer, delegationId: id, actor: 'system', requestId: null })
    expect((await refresh(app, held.refresh_token)).body).toMatchObject({
      ...{ error: 'invalid_grant', error_subcode: 'authority_ended' },
    })
  })

  it('authority_ended: the member was locked, and may sign in no more', async () => {
    const held = await connect()
    const set = (status: 'active' | 'locked') =>
      database.db.updateTable('members').set({ status }).where('username', '=', 'maria').execute()
    await set('locked')
    expect((await refresh(app, held.refresh_token)).body).toMatchObject({
      ...{ error: 'invalid_grant', error_subcode: 'authority_ended' },
    })
    await set('active')
  })

  it('expired: the refresh token lay unused too long, though the permission goes on', async () => {
    const held = await connect()
    skew = 181 * DAY
    expect((await refresh(app, held.refresh_token)).body).toMatchObject({
      ...{ error: 'invalid_grant', error_subcode: 'expired' },
    })
  })

  it('code_reused: the code was redeemed twice', async () => {
    const { verifier, challenge } = pkce()
    const { callback } = await walk(app, challenge)
    const code = callback.searchParams.get('code') ?? ''
    const { body } = await exchange(app, code, verifier)
    await exchange(app, code, verifier)
    expect((await refresh(app, body.refresh_token)).body).toMatchObject({
      ...{ error: 'invalid_grant', error_subcode: 'code_reused' },
    })
  })

  it('a reason is told to the app that the token was issued to, and to no other', async () => {
    const held = await connect()
    await endGrant(held, 'revoked_by_member')
    const { body } = await refresh(confidentialApp(server.url), held.refresh_token)
    expect(body.error).toBe('invalid_grant')
    expect(body).not.toHaveProperty('error_subcode')
  })

  it('a token that never was has no reason', async () => {
    const { body } = await refresh(app, 'rt_none')
    expect(body.error).toBe('invalid_grant')
    expect(body).not.toHaveProperty('error_subcode')
  })
})

describe('the end date (R9)', () => {
  it('is the same in the answer, after a refresh, and in introspection of either token', async () => {
    const visitor = new Visitor()
    const tokens = await obtainTokens(app, { visitor })
    const ends = tokens.grant_expires_at
    expect(Number.isInteger(ends)).toBe(true)
    expect(ends * 1000).toBeGreaterThan(now() + 90 * DAY)
    const next = await refresh(app, tokens.refresh_token)
    expect(next.body.grant_expires_at).toBe(ends)
    for (const token of [tokens.access_token, next.body.access_token, next.body.refresh_token]) {
      const { body } = await post(`${app.issuer}/introspect`, { token }, resourceServer)
      expect(body).toMatchObject({ active: true, grant_expires_at: ends })
    }
  })
})

describe('docs/apps.md', () => {
  const documented = [
    ...readFileSync('docs/apps.md', 'utf8').matchAll(/^\| 400 \| `invalid_grant` \| `(\w+)` \|/gm),
  ].map(([, code]) => code)

  it('has every reason, with what an app does then', () => {
    expect([...documented].sort()).toEqual(
      [...Object.keys(waysToEnd), 'authority_ended', 'code_reused', 'wrong_key'].sort(),
    )
  })
})
