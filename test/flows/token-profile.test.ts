import { afterAll, beforeAll, expect, it } from 'vitest'
import { demoApp, obtainTokens, refresh } from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { claimsOf } from '../support/wire.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer({
    change: (settings) => {
      const profile = settings.plans[0]?.environments[0]?.apis[0]?.tokenProfile
      if (!profile) throw new Error('no API')
      profile.clientIdAliases = ['azp', 'https://plan.example/client']
      profile.patientAliases = ['https://plan.example/patient']
      profile.claims = { contract: 'H0000', roles: ['fhir-reader', 'member'] }
    },
  })
})
afterAll(() => server.close())

it('the app, the patient and fixed claims stand in the token under the names that the verifier wants, after a refresh too (R42)', async () => {
  const app = demoApp(server.url)
  const tokens = await obtainTokens(app)
  const next = await refresh(app, tokens.refresh_token)
  for (const token of [tokens.access_token, next.body.access_token]) {
    expect(claimsOf(token)).toMatchObject({
      ...{ client_id: 'demo-public', azp: 'demo-public', 'https://plan.example/client': 'demo-public' },
      ...{ patient: 'maria', 'https://plan.example/patient': 'maria' },
      ...{ contract: 'H0000', roles: ['fhir-reader', 'member'] },
    })
  }
})
