/** Faults of ours on the way of a launch (R43): it is made and redeemed afterwards, and once all the same. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { authorizationUrl, demoApp, pkce } from '../support/authorize.ts'
import { failingStore } from '../support/failing-store.ts'
import { atEveryStep, modes } from '../support/faults.ts'
import { launchScope, makeLaunch, postLaunch, serviceToken } from '../support/launches.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'

let server: TestServer
const store = failingStore()
const { challenge } = pkce()

beforeAll(async () => {
  server = await startServer({ wrapDialect: store.wrapDialect })
})
afterAll(() => server.close())

const body = { client_id: 'demo-public', user: 'maria', patient: 'maria' }
const address = (launch: string) => authorizationUrl(demoApp(server.url), challenge, { scope: launchScope, launch })
const errorOf = (response: Response) =>
  new URL(response.headers.get('location') ?? '', server.url).searchParams.get('error')

describe.each(modes)('the store %s', { timeout: 120_000 }, (mode) => {
  it('a launch whose request failed at any step is redeemed afterwards, and only once', async () => {
    const refused = await atEveryStep(
      store,
      mode,
      () => makeLaunch(server.url, body),
      async (launch) => {
        const response = await new Visitor().send(address(launch))
        if (response.status !== 503) expect([errorOf(response), response.status]).toEqual([null, 303])
        return response
      },
      async (launch) => {
        const again = await new Visitor().send(address(launch))
        expect([errorOf(again), again.status]).toEqual([null, 303])
        expect(errorOf(await new Visitor().send(address(launch)))).toBe('invalid_request')
      },
    )
    expect(refused).toBeGreaterThan(4)
  })

  it('a launch that could not be made is told as 503, never as a fault of the body or the token', async () => {
    const token = await serviceToken(server.url)
    const refused = await atEveryStep(
      store,
      mode,
      async () => undefined,
      async () => {
        const answer = await postLaunch(server.url, token, body)
        if (answer.status === 200) return answer
        expect(answer.status, JSON.stringify(answer.body)).toBe(503)
        expect(answer.body.error).toBe('temporarily_unavailable')
        expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
        return answer
      },
      async () => expect((await postLaunch(server.url, token, body)).status).toBe(200),
    )
    expect(refused).toBeGreaterThan(4)
  })
})
