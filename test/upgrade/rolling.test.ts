/**
 * The previous release and this one take each other's place, node by node, forward and back, on shared PostgreSQL and Redis
 * and under load: not one request fails, nobody is signed out, and nothing that one release wrote is strange to the other.
 *
 * Which commit the previous release is stands in the file `previous-release`; each release replaces it (releases.ts).
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { limit, rounds, startWork } from '../failure/stage.ts'
import { confidentialApp, demoApp, obtainTokens, pkce, walkToConsent } from '../support/authorize.ts'
import { type DeployedNode, type Deployment, startDeployment } from '../support/deployment.ts'
import { initdb, redisServer } from '../support/machine.ts'
import { type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { type RedisProcess, startRedis } from '../support/redis.ts'
import { startTurns } from '../support/turns.ts'
import type { Page, Visitor } from '../support/visitor.ts'
import { basic, resourceServer } from '../support/wire.ts'
import { type Checkout, checkoutPrevious } from './releases.ts'

const present = join(import.meta.dirname, '../..')
const run = promisify(execFile)

describe.skipIf(!initdb || !redisServer)('the previous release and this one', () => {
  let previous: Checkout
  let postgres: OwnPostgres
  let redis: RedisProcess
  let deployment: Deployment
  beforeAll(async () => {
    previous = checkoutPrevious()
    postgres = await startPostgres()
    redis = await startRedis()
    // Its tables are made by the previous release.
    const { url } = await postgres.database({ empty: true })
    deployment = await startDeployment({
      ...{ database: url, redis: { nodes: [`127.0.0.1:${redis.port}`] }, checkout: previous.folder },
    })
  }, 300_000)
  afterAll(async () => {
    await deployment?.close()
    await redis?.stop()
    await postgres?.stop()
    previous?.dispose()
  })

  /** The command line of one release. */
  const latchkey = async (checkout: string, ...args: string[]): Promise<string> => {
    const line = ['bin/latchkey.js', ...args, '--config', join(deployment.folder, 'latchkey.yaml')]
    const { stdout } = await run(process.execPath, line, { cwd: checkout, env: { PATH: process.env.PATH } })
    return stdout
  }

  /** By this release's command, while the previous one runs. */
  const attest = async (client: string): Promise<void> => {
    const answers = {
      ...{ sold: 'never', shared: 'never', used: 'service', consent: 'yes', device: 'no', kept: 'device' },
      ...{ deleted: 'yes', policy: 'no', stop: 'Delete the app.' },
    }
    const file = join(deployment.folder, 'answers.json')
    writeFileSync(file, JSON.stringify(answers))
    await latchkey(present, 'apps', 'attest', client, '--issuer', 'prairie/sandbox', '--person', 'A', '--answers', file)
  }

  const releases = new Map<DeployedNode, string>()
  /** Replaces one node's release as docs/operating.md says. */
  const replace = async (node: DeployedNode, checkout: string): Promise<void> => {
    const { balancer, nodes } = deployment
    const index = nodes.indexOf(node)
    // This release leaves the balancer by itself; the first one that could be previous has to be taken out.
    const leaves = releases.get(node) === present
    if (!leaves) {
      balancer.only(1 - index)
      await pause(500)
    }
    expect(await node.stop()).toBe(0)
    await node.start({ checkout })
    releases.set(node, checkout)
    balancer.only(null)
    while (!balancer.targets[index]?.ready) await pause(20)
  }

  /**
   * Presses Share. The form of one release means nothing to the other, which shows its own page: the member presses again. A
   * page comes with its style sheet, so that this goes to the other node.
   */
  const share = async ({ visitor, page }: { visitor: Visitor; page: Page }): Promise<string> => {
    let shown = page
    for (let pressed = 0; pressed < 3; pressed += 1) {
      shown = await visitor.submit(shown, '/consent')
      const code = new URL(shown.url).searchParams.get('code')
      if (code) return code
      expect(shown.html).toContain('name="csrf"')
      await (await visitor.send(`${deployment.url}/assets/style.css`)).arrayBuffer()
    }
    throw new Error(`nothing was shared: ${shown.status} ${shown.url}`)
  }

  /** Each step of a member and an app at the release that did not take the step before, beginning with either. */
  const journeys = async (): Promise<void> => {
    const app = confidentialApp(deployment.url)
    const credentials = basic(app.clientId, app.secret ?? '')
    for (const nodes of [deployment.nodes, deployment.nodes.toReversed()]) {
      const { visitor, post } = startTurns(deployment.url, nodes)
      const { verifier, challenge } = pkce()
      const code = await share(
        await walkToConsent(app, challenge, { member: 'david', patient: 'Lucy Okafor', visitor }),
      )
      const fields = {
        ...{ grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: app.redirectUri },
      }
      let { status, body } = await post(app.token, fields, credentials)
      expect({ status, body }).toMatchObject({ status: 200, body: { patient: expect.any(String) } })
      const refresh = (refresh_token: string) =>
        post(app.token, { grant_type: 'refresh_token', refresh_token }, credentials)
      const introspect = (token: string) => post(`${app.issuer}/introspect`, { token }, resourceServer)
      for (let generation = 0; generation < 2; generation++) {
        const { access_token, refresh_token, patient } = body
        for (const _ of nodes) {
          const told = await introspect(access_token)
          expect(told.body).toMatchObject({ active: true, patient })
        }
        ;({ status, body } = await refresh(refresh_token))
        expect({ status, body }).toMatchObject({ status: 200, body: { patient } })
        // Its answer was lost: once more, at the other.
        if (generation === 1) expect((await refresh(refresh_token)).status).toBe(200)
      }
      await post(`${app.issuer}/revoke`, { token: body.refresh_token }, credentials)
      for (const _ of nodes) {
        expect((await introspect(body.access_token)).body).toEqual({ active: false })
        expect((await refresh(body.refresh_token)).body).toMatchObject({ error: 'invalid_grant' })
      }
    }
  }

  it('roll forward, back and forward under load: no request fails, and nobody notices (R43)', {
    timeout: limit(80, 3),
  }, async () => {
    const app = demoApp(deployment.url)
    const old = await obtainTokens(app)
    // As the change log says: what apps answered is in the store before anybody could be warned of them.
    for (const client of [app.clientId, confidentialApp(deployment.url).clientId]) await attest(client)
    // A member who reads the consent page while the house is rebuilt.
    const { verifier, challenge } = pkce()
    const reading = await walkToConsent(app, challenge, { member: 'david', patient: 'Elena Okafor' })

    // A deployment with room to spare: more work than its machine can do would be another test.
    const load = await startWork(deployment, { clients: 4, restMs: 150 })
    const forthAndBack = [present, previous.folder]
    const ways = [...Array.from({ length: rounds(1) }, () => forthAndBack).flat(), present]
    for (const [i, checkout] of ways.entries()) {
      const [first, second] = deployment.nodes as [DeployedNode, DeployedNode]
      await replace(first, checkout)
      if (i < 2) await journeys()
      // New keys wait in tables that the previous release reads too; they sign a day later.
      if (i === 0) await latchkey(present, 'keys', 'rotate')
      await load.more(30)
      await replace(second, checkout)
      await load.more(30)
    }

    const code = await share(reading)
    const { post } = startTurns(deployment.url, deployment.nodes)
    const fields = { client_id: app.clientId, redirect_uri: app.redirectUri, code_verifier: verifier }
    const redeemed = await post(app.token, { ...fields, grant_type: 'authorization_code', code })
    expect(redeemed).toMatchObject({ status: 200 })
    const refreshed = await post(app.token, {
      ...{ grant_type: 'refresh_token', refresh_token: old.refresh_token, client_id: app.clientId },
    })
    expect(refreshed).toMatchObject({ status: 200, body: { patient: old.patient } })

    await load.finish()
    expect(load.breaches()).toEqual([])
    const { done: acknowledged, walks, ...failed } = load.counts()
    expect(failed).toEqual({ unavailable: 0, unanswered: 0 })
    expect(acknowledged).toBeGreaterThan(100)
    expect(walks).toBeGreaterThan(6)
  })

  it('have written one audit trail, which either finds whole', { timeout: limit(60) }, async () => {
    for (const checkout of [present, previous.folder])
      expect(await latchkey(checkout, 'audit-verify')).toMatch(/\d{3,} entries, whole/)
  })
})
