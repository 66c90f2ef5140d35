/**
 * Two servers, real processes on shared stores, are one deployment: nothing is sticky, and what one has done or heard the
 * other one knows (R43). With Redis, and on PostgreSQL alone.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hashSecret, newId } from '../../src/secrets.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { type App, authorizationUrl, confidentialApp, demoApp, pkce, walk } from '../support/authorize.ts'
import { type DeployedNode, type Deployment, startDeployment } from '../support/deployment.ts'
import { initdb, redisServer } from '../support/machine.ts'
import { type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { type RedisProcess, startRedis } from '../support/redis.ts'
import { quiet } from '../support/stores.ts'
import { at, startTurns, type Turns } from '../support/turns.ts'
import { basic, headerOf, resourceServer } from '../support/wire.ts'

describe.skipIf(!initdb || !redisServer).each(['with Redis', 'on PostgreSQL alone'])('two nodes %s', (stores) => {
  let postgres: OwnPostgres
  let redis: RedisProcess | undefined
  let deployment: Deployment
  let database: Database
  let app: App
  let orders: [string, DeployedNode[]][]
  beforeAll(async () => {
    postgres = await startPostgres()
    redis = stores === 'with Redis' ? await startRedis() : undefined
    const { url } = await postgres.database()
    deployment = await startDeployment({
      database: url,
      redis: redis ? { nodes: [`127.0.0.1:${redis.port}`] } : null,
    })
    database = await openDatabase({ url, log: quiet })
    app = demoApp(deployment.url)
    const [a, b] = deployment.nodes as [DeployedNode, DeployedNode]
    orders = [
      ['A first', [a, b]],
      ['B first', [b, a]],
    ]
  }, 120_000)
  afterAll(async () => {
    await database?.close()
    await deployment?.close()
    await redis?.stop()
    await postgres?.stop()
  })

  const startTurnsOf = (nodes: readonly DeployedNode[]) => startTurns(deployment.url, nodes)
  const token = (turns: Turns, fields: Record<string, string>, { clientId, secret }: App = app) =>
    secret
      ? turns.post(app.token, fields, basic(clientId, secret))
      : turns.post(app.token, { ...fields, client_id: clientId })
  const refresh = (turns: Turns, refresh_token: string, of: App = app) =>
    token(turns, { grant_type: 'refresh_token', refresh_token }, of)
  const introspect = async (turns: Turns, token: string) =>
    (await turns.post(`${app.issuer}/introspect`, { token }, resourceServer)).body
  const codeBy = async (turns: Turns, of: App = app) => {
    const { verifier, challenge } = pkce()
    const { callback } = await walk(of, challenge, {
      ...{ member: 'david', patient: 'Elena Okafor', visitor: turns.visitor },
    })
    const code = callback.searchParams.get('code') ?? ''
    const fields = { grant_type: 'authorization_code', code, redirect_uri: of.redirectUri, code_verifier: verifier }
    return { callback, redeem: () => token(turns, fields, of) }
  }
  const fetchAt = (node: DeployedNode, address: string) => {
    const { url, headers } = at(deployment.url, node, address)
    return fetch(url, { headers, redirect: 'manual' })
  }

  it('a member’s whole journey, with every request to the other node', async () => {
    const asked = new Map<string, Set<string>>()
    for (const [, nodes] of orders) {
      const turns = startTurnsOf(nodes)
      const { callback, redeem } = await codeBy(turns)
      expect(callback.searchParams.get('state')).toBe('a-state-of-the-app')
      const first = await redeem()
      expect(first).toMatchObject({ status: 200, body: { patient: expect.any(String) } })
      const second = await refresh(turns, first.body.refresh_token)
      expect(second).toMatchObject({ status: 200, body: { patient: first.body.patient } })
      for (const { body } of [first, second])
        expect(await introspect(turns, body.access_token)).toMatchObject({
          ...{ active: true, patient: first.body.patient },
        })
      // A lost answer: the same token once more, at the node that has not heard it.
      expect((await refresh(turns, first.body.refresh_token)).status).toBe(200)
      const revoked = await turns.post(`${app.issuer}/revoke`, {
        ...{ token: second.body.refresh_token, client_id: app.clientId },
      })
      expect(revoked.status).toBe(200)
      // At once, by either.
      for (const _ of nodes) {
        expect(await introspect(turns, second.body.access_token)).toEqual({ active: false })
        expect(await refresh(turns, second.body.refresh_token)).toMatchObject({
          ...{ status: 400, body: { error: 'invalid_grant' } },
        })
      }
      // The member is signed in at both: nobody asks for the password again.
      const again = await turns.visitor.open(authorizationUrl(app, pkce().challenge))
      expect(again.html).not.toContain('name="password"')
      expect(again.html).toContain('Elena Okafor')

      turns.taken.forEach(({ node }, i) => {
        expect(node).toBe(nodes[i % 2]?.name)
      })
      for (const { node, path } of turns.taken) {
        const kind = path.replace(/\/interaction\/[^/]+/, '/interaction/…').replace(/\/authorize\/.+/, '/authorize/…')
        asked.set(kind, (asked.get(kind) ?? new Set()).add(node))
      }
    }
    // In one order or the other each step was taken at each node.
    const steps = [...asked].filter(([, by]) => by.size < 2).map(([kind]) => kind)
    expect(steps).toEqual([])
    expect(asked.size).toBeGreaterThan(7)
  })

  it('a code that was redeemed at one node is used up at the other, and ends what came of it', async () => {
    for (const [, nodes] of orders) {
      const turns = startTurnsOf(nodes)
      const { redeem } = await codeBy(turns)
      const { body } = await redeem()
      expect(await redeem()).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
      expect(await refresh(turns, body.refresh_token)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    }
  })

  it('of a refresh token that is presented to both nodes at once, grace is one for both', async () => {
    const turns = startTurnsOf(deployment.nodes)
    const { body } = await (await codeBy(turns)).redeem()
    const answers = await Promise.all(Array.from({ length: 8 }, () => refresh(turns, body.refresh_token)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 400, 400, 400, 400, 400])
    const tokens = answers.filter(({ status }) => status === 200).map((each) => each.body.refresh_token)
    // The first use of one of the three kills the others, wherever they are presented.
    const used = await Promise.all(tokens.map((each) => refresh(turns, each)))
    expect(used.map(({ status }) => status).sort()).toEqual([200, 400, 400])
  })

  it('an app that is suspended, and allowed again, is so at both nodes within a second', async () => {
    const turns = startTurnsOf(deployment.nodes)
    const confidential = confidentialApp(deployment.url)
    const { body } = await (await codeBy(turns, confidential)).redeem()
    let current = body.refresh_token
    const set = async (status: 'active' | 'suspended') => {
      await database.db
        .updateTable('credentials')
        .set({ status })
        .where('client_id', '=', confidential.clientId)
        .execute()
      await pause(1000)
    }
    await set('suspended')
    for (const node of deployment.nodes) {
      expect(await refresh(turns, current, confidential)).toMatchObject({
        ...{ status: 401, body: { error: 'invalid_client' } },
      })
      const page = await fetchAt(node, authorizationUrl(confidential, pkce().challenge))
      expect(page).toMatchObject({ status: 400 })
      expect(page.headers.get('location')).toBeNull()
    }
    await set('active')
    for (const node of deployment.nodes) {
      const answer = await refresh(turns, current, confidential)
      expect(answer.status).toBe(200)
      current = answer.body.refresh_token
      expect((await fetchAt(node, authorizationUrl(confidential, pkce().challenge))).status).toBe(303)
    }
  })

  it('an app’s new redirect URI and secret count at both nodes within a second, and the old ones no more', async () => {
    const confidential = confidentialApp(deployment.url)
    const moved = { ...confidential, redirectUri: 'https://binder.example.com/new-callback', secret: newId() }
    const statusAt = async (node: DeployedNode, of: App) =>
      (await fetchAt(node, authorizationUrl(of, pkce().challenge))).status
    const turns = startTurnsOf(deployment.nodes)
    /** What either node says of its credentials. */
    const errorsOf = async (of: App) => {
      const answers = [await refresh(turns, 'rt_none', of), await refresh(turns, 'rt_none', of)]
      return answers.map(({ body }) => body.error)
    }
    // Both have known it as it was.
    for (const node of deployment.nodes)
      expect([await statusAt(node, confidential), await statusAt(node, moved)]).toEqual([303, 400])
    expect(await errorsOf(confidential)).toEqual(['invalid_grant', 'invalid_grant'])
    const { id } = await database.db
      .updateTable('credentials')
      .set({ redirect_uris: JSON.stringify([moved.redirectUri]) })
      .where('client_id', '=', confidential.clientId)
      .where('issuer', '=', 'prairie/sandbox')
      .returning('id')
      .executeTakeFirstOrThrow()
    await database.db
      .updateTable('credential_secrets')
      .set({ hash: hashSecret(moved.secret) })
      .where('credential_id', '=', id)
      .execute()
    await pause(1000)
    for (const node of deployment.nodes)
      expect([await statusAt(node, confidential), await statusAt(node, moved)]).toEqual([400, 303])
    expect(await errorsOf(confidential)).toEqual(['invalid_client', 'invalid_client'])
    expect(await errorsOf(moved)).toEqual(['invalid_grant', 'invalid_grant'])
  })

  it('both publish the same keys, and sign with the same one', async () => {
    const jwks = await Promise.all(
      deployment.nodes.map(async (node) => (await fetchAt(node, `${app.issuer}/jwks`)).json()),
    )
    expect(jwks[0]).toEqual(jwks[1])
    const turns = startTurnsOf(deployment.nodes)
    const first = await (await codeBy(turns)).redeem()
    const second = await refresh(turns, first.body.refresh_token)
    expect(headerOf(second.body.access_token).kid).toBe(headerOf(first.body.access_token).kid)
  })
})
