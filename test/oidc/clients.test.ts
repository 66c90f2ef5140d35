import { describe, expect, it } from 'vitest'
import { loadSettings } from '../../src/config/load.ts'
import { allowedOrigin, createClients } from '../../src/oidc/clients.ts'
import { memoryDatabase } from '../support/stores.ts'

const { settings } = loadSettings({ file: 'config/development.yaml', env: {} })
const environment = settings.plans[0]?.environments[0]
if (!environment) throw new Error('the demonstration has no issuer')

describe('a client as pages see it', () => {
  it.each([
    ['https://app.example.org/privacy', 'https://app.example.org/privacy'],
    ['javascript:alert(1)', null],
    ['data:text/html,x', null],
    ['nonsense', null],
    [null, null],
  ])('links to %s as %s', async (stored, linked) => {
    const database = await memoryDatabase()
    const plan = environment.plan.id
    const row = { plan, created_at: 1, website: null }
    await database.db
      .insertInto('organizations')
      .values({ id: 'o', kind: 'individual', name: 'Ada', ...row })
      .execute()
    await database.db
      .insertInto('apps')
      .values({
        id: 'a',
        organization_id: 'o',
        name: 'App',
        privacy_policy_url: stored,
        terms_url: stored,
        support_email: null,
        ...row,
        website: stored,
      })
      .execute()
    await database.db
      .insertInto('credentials')
      .values({
        id: 'c',
        issuer: environment.id,
        client_id: 'app',
        app_id: 'a',
        kind: 'public',
        status: 'active',
        redirect_uris: '[]',
        scopes: null,
        apis: '[]',
        created_at: 1,
        updated_at: 1,
      })
      .execute()
    const client = await createClients({ database, environment, now: () => 2 }).find('app')
    expect(client?.app).toMatchObject({ website: linked, privacy_policy_url: linked, terms_url: linked })
    await database.close()
  })
})

describe('the origins of a client’s browser apps (R5)', () => {
  const uris = ['https://app.example.org/cb', 'http://127.0.0.1/callback', 'org.example.app:/cb']

  it.each(['https://app.example.org', 'http://127.0.0.1:5173', 'http://127.0.0.1'])('%s is one', (origin) => {
    expect(allowedOrigin(origin, uris)).toBe(true)
  })

  it.each([
    'https://app.example.org.evil',
    'http://app.example.org',
    'https://app.example.org:8443',
    'http://localhost:5173',
    'null',
    '',
    'https://app.example.org/',
  ])('%s is none', (origin) => {
    expect(allowedOrigin(origin, uris)).toBe(false)
  })
})
