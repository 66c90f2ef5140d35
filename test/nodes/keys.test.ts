/**
 * Keys that change while two servers, real processes on one PostgreSQL, are at work: tokens of either verify everywhere
 * (R1, R43). A day is a few seconds here: the test makes keys older than they are.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../../src/cli.ts'
import { createVerifier } from '../../src/resource-server/index.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { type App, demoApp, obtainTokens, refresh } from '../support/authorize.ts'
import { type DeployedNode, type Deployment, startDeployment } from '../support/deployment.ts'
import { initdb } from '../support/machine.ts'
import { type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { quiet } from '../support/stores.ts'
import { headerOf, post, resourceServer } from '../support/wire.ts'

describe.skipIf(!initdb)('keys of two servers', { timeout: 180_000 }, () => {
  let postgres: OwnPostgres
  let deployment: Deployment
  let database: Database
  let app: App

  beforeAll(async () => {
    postgres = await startPostgres()
    const { url } = await postgres.database()
    deployment = await startDeployment({ database: url })
    database = await openDatabase({ url, log: quiet })
    app = demoApp(deployment.url)
  }, 120_000)
  afterAll(async () => {
    await database?.close()
    await deployment?.close()
    await postgres?.stop()
  })

  const latchkey = async (...args: string[]) => {
    let out = ''
    const write = (text: string) => (out += text)
    const line = [...args, '--config', `${deployment.folder}/latchkey.yaml`]
    const status = await runCommand(line, { env: {}, out: { write }, err: { write } })
    expect({ status, out }).toMatchObject({ status: 0 })
    return out
  }
  /** What was made is a day older than it is. */
  const dayPasses = async () => {
    const before = Date.now() - 86_400_000
    await database.db.updateTable('signing_keys').set({ created_at: before }).where('state', '=', 'next').execute()
    await database.db.updateTable('signing_keys').set({ retired_at: before }).where('state', '=', 'retired').execute()
    await database.db
      .updateTable('sealed_secrets')
      .set({ created_at: before })
      .where('purpose', 'like', 'next %')
      .execute()
  }
  /** A request to one node, past the balancer. */
  const at = (node: DeployedNode | undefined, url: string) => ({
    url: url.replace(deployment.url, `http://127.0.0.1:${node?.port}`),
    headers: { 'x-forwarded-host': new URL(deployment.url).host, 'x-forwarded-for': '127.0.0.1' },
  })
  const kidsAt = async (node: DeployedNode | undefined): Promise<string[]> => {
    const { url, headers } = at(node, `${app.issuer}/jwks`)
    const { keys } = (await (await fetch(url, { headers })).json()) as { keys: { kid: string }[] }
    return keys.map(({ kid }) => kid)
  }
  const kidAt = async (node: DeployedNode | undefined, refreshToken: string) => {
    const { url, headers } = at(node, app.token)
    const fields = { grant_type: 'refresh_token', refresh_token: refreshToken, client_id: app.clientId }
    const { body } = await post(url, fields, headers)
    return { ...body, kid: headerOf(body.access_token).kid }
  }
  const introspectAt = async (node: DeployedNode | undefined, token: string) => {
    const { url, headers } = at(node, `${app.issuer}/introspect`)
    return (await post(url, { token }, { ...headers, ...resourceServer })).body
  }

  /** Apps that refresh, and FHIR servers that verify each token; answers what went wrong, and what signed. */
  const startWork = (refreshTokens: string[]) => {
    const wrong: string[] = []
    const kids = new Set<string>()
    let verified = 0
    let working = true
    // None of these ever asks because of a key that it does not know: what it reads now and then has to be enough.
    const never = 3_600_000
    const library = createVerifier({
      ...{ issuer: app.issuer, audience: app.fhirBase },
      ...{ jwksCacheSeconds: 2, jwksCooldownSeconds: never / 1000 },
    })
    const jose = createRemoteJWKSet(new URL(`${app.issuer}/jwks`), { cacheMaxAge: 2000, cooldownDuration: never })
    const introspect = async (token: string) => {
      const { status, body } = await post(`${app.issuer}/introspect`, { token }, resourceServer)
      if (body.active !== true) throw new Error(`introspection: ${status} ${JSON.stringify(body)}`)
    }
    const checks = [
      (token: string) => library.verify(token),
      (token: string) => jwtVerify(token, jose, { issuer: app.issuer, audience: app.fhirBase }),
      introspect,
    ]
    const work = async (first: string) => {
      let [token, accessToken] = [first, '']
      while (working) {
        const { status, body } = await refresh(app, token)
        if (status !== 200) {
          wrong.push(`refresh: ${status} ${JSON.stringify(body)}`)
          return
        }
        // The one before is good as well, for as long as it lives.
        for (const each of [accessToken, body.access_token].filter(Boolean))
          for (const check of checks) {
            await check(each).catch((error: unknown) => wrong.push(`${headerOf(each).kid} ${error}`))
            verified++
          }
        kids.add(headerOf(body.access_token).kid)
        token = body.refresh_token
        accessToken = body.access_token
        await pause(20)
      }
    }
    const running = refreshTokens.map(work)
    return {
      kids,
      async stop() {
        working = false
        await Promise.all(running)
        return { wrong, verified }
      },
    }
  }

  it('rotate under load, twice, with a server that restarts in the middle: not one failure', async () => {
    const tokens = await Promise.all([1, 2, 3, 4].map(async () => (await obtainTokens(app)).refresh_token))
    const work = startWork(tokens)
    const [first, second] = deployment.nodes
    const rotate = () => latchkey('keys', 'rotate', 'prairie/sandbox')
    await pause(1000)
    expect(await rotate()).toContain('is made and published; it signs from')
    for (let round = 0; round < 2; round++) {
      // Everybody reads the keys anew: a day is longer than any copy.
      await pause(3500)
      await dayPasses()
      expect(await rotate()).toContain('signs now')
      if (round === 0) {
        await second?.stop()
        await second?.start()
      }
      await pause(1500)
      await dayPasses()
      // And the next rotation begins with it.
      expect(await rotate()).toContain('is published no more')
      expect((await kidsAt(first)).sort()).toEqual((await kidsAt(second)).sort())
    }
    const { wrong, verified } = await work.stop()
    expect(wrong).toEqual([])
    expect(verified).toBeGreaterThan(200)
    expect(work.kids.size).toBe(3)
  })

  it('a compromised key: unpublished everywhere and signing nowhere within a second, and apps refresh', async () => {
    const [first, second] = deployment.nodes
    const { access_token, refresh_token } = await obtainTokens(app)
    const { kid } = headerOf(access_token)
    expect(await kidsAt(first)).toContain(kid)
    const said = await latchkey('keys', 'revoke', kid, '--compromised')
    expect(said).toContain('Apps need do nothing')
    // Whoever reads the keys from now on does not get it.
    expect([...(await kidsAt(first)), ...(await kidsAt(second))]).not.toContain(kid)
    await pause(1000)
    for (const node of [first, second]) expect(await introspectAt(node, access_token)).toEqual({ active: false })
    const one = await kidAt(first, refresh_token)
    const two = await kidAt(second, one.refresh_token)
    expect(one.kid).not.toBe(kid)
    expect(two.kid).toBe(one.kid)
  })

  it('a key that one server has known for a moment is known to the other as soon as it meets it', async () => {
    const [first, second] = deployment.nodes
    let { access_token, refresh_token } = await obtainTokens(app)
    for (let i = 0; i < 5; i++) {
      const { kid } = headerOf(access_token)
      await latchkey('keys', 'revoke', kid, '--compromised')
      // The first one is made to look; the other one hears of it from the token, or from whoever reads its keys.
      await kidsAt(first)
      const next = await kidAt(first, refresh_token)
      expect(next.kid).not.toBe(kid)
      expect(await introspectAt(second, next.access_token)).toMatchObject({ active: true })
      expect(await kidsAt(second)).toContain(next.kid)
      ;({ access_token, refresh_token } = next)
    }
  })
})
