/** The revocation feed of a deployment of two nodes: what ends at one is heard at the other, and followers outlive both (R11). */
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { createVerifier, type Verifier, type VerifierOptions } from '../../src/resource-server/index.ts'
import { type App, demoApp, obtainTokens } from '../support/authorize.ts'
import { type DeployedNode, type Deployment, startDeployment } from '../support/deployment.ts'
import { initdb } from '../support/machine.ts'
import { type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { at } from '../support/turns.ts'
import { post } from '../support/wire.ts'

describe.skipIf(!initdb)('two nodes on PostgreSQL', () => {
  let postgres: OwnPostgres
  let deployment: Deployment
  let app: App
  const verifiers: Verifier[] = []
  beforeAll(async () => {
    postgres = await startPostgres()
    deployment = await startDeployment({ database: (await postgres.database()).url })
    app = demoApp(deployment.url)
  }, 120_000)
  afterEach(() => {
    for (const verifier of verifiers.splice(0)) verifier.close()
  })
  afterAll(async () => {
    await deployment?.close()
    await postgres?.stop()
  })

  const follow = async (fetch?: VerifierOptions['fetch']) => {
    const verifier = createVerifier({
      ...{ issuer: app.issuer, audience: app.fhirBase, fetch },
      revocations: { clientId: 'demo-resource-server', clientSecret: 'demo-resource-server-secret' },
    })
    verifiers.push(verifier)
    await verifier.follow()
    return verifier
  }
  /** As one node has it, past the balancer. */
  const past = (node: DeployedNode): VerifierOptions['fetch'] => {
    return (input, init) => {
      const there = at(deployment.url, node, String(input))
      return fetch(there.url, { ...init, headers: { ...(init?.headers as object), ...there.headers } })
    }
  }
  const endAt = async (node: DeployedNode, token: string) => {
    const there = at(deployment.url, node, `${app.issuer}/revoke`)
    const { status } = await post(there.url, { token, client_id: app.clientId }, there.headers)
    expect(status).toBe(200)
  }
  const isRefused = (verifier: Verifier, token: string) =>
    vi.waitFor(() => expect(verifier.verify(token)).rejects.toMatchObject({ reason: 'revoked' }), {
      ...{ timeout: 15_000, interval: 5 },
    })

  it('what ends at one node is refused within a second by those who listen at the other, either way', async () => {
    const [a, b] = deployment.nodes as [DeployedNode, DeployedNode]
    const [atA, atB] = await Promise.all([follow(past(a)), follow(past(b))])
    // Both streams are open.
    await pause(500)
    for (const node of [a, b]) {
      const { access_token, refresh_token } = await obtainTokens(app)
      for (const verifier of [atA, atB]) expect((await verifier.verify(access_token)).patient).toBe('maria')
      const from = performance.now()
      await endAt(node, refresh_token)
      await Promise.all([atA, atB].map((verifier) => isRefused(verifier, access_token)))
      expect(performance.now() - from).toBeLessThan(1000)
    }
  })

  it('one that is told to go does so at once, and whoever followed it follows the other', async () => {
    const verifier = await follow()
    const [a, b] = deployment.nodes as [DeployedNode, DeployedNode]
    const { access_token, refresh_token } = await obtainTokens(app)
    await verifier.verify(access_token)
    await pause(500)
    for (const [going, staying] of [
      [a, b],
      [b, a],
    ] as const) {
      const from = performance.now()
      expect(await going.stop()).toBe(0)
      // It goes on answering for five seconds, as it says it does.
      expect(performance.now() - from).toBeLessThan(7_500)
      expect((await verifier.verify(access_token)).patient).toBe('maria')
      if (going === b) {
        await endAt(staying, refresh_token)
        await isRefused(verifier, access_token)
      }
      await going.start()
      await pause(1_000)
    }
    expect(verifier.feedState()).toBe('following')
  }, 60_000)

  it('one that is killed is missed by nobody for long', async () => {
    const [a, b] = deployment.nodes as [DeployedNode, DeployedNode]
    const verifier = await follow()
    await pause(500)
    const { access_token, refresh_token } = await obtainTokens(app)
    await verifier.verify(access_token)
    deployment.balancer.only(1)
    await a.kill()
    await endAt(b, refresh_token)
    const from = performance.now()
    await isRefused(verifier, access_token)
    expect(performance.now() - from).toBeLessThan(3_000)
    deployment.balancer.only(null)
    await a.start()
  }, 60_000)
})
