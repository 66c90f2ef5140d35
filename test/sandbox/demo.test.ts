import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import supertest from 'supertest'
import { describe, expect, it } from 'vitest'
import { loadSettings } from '../../src/config/load.ts'
import type { Environment } from '../../src/config/settings.ts'
import { createLog } from '../../src/log.ts'
import { DEMO_CLIENT_ID, demoUrl, findDemoApi, findFhirClient } from '../../src/sandbox/demo.ts'
import { demoRoutes } from '../../src/sandbox/demo-routes.ts'
import { DEMO_WORDS } from '../../src/sandbox/demo-words.ts'
import { createApp } from '../../src/web/app.ts'
import { createAssets } from '../../src/web/assets.ts'
import { createI18n } from '../../src/web/i18n.ts'
import { createViews } from '../../src/web/views.ts'

const place = '/prairie/sandbox/demo/'

const setUp = (fhirClient?: null) => {
  const { settings } = loadSettings({ file: 'config/development.yaml', env: {} })
  const environments = settings.plans.flatMap((plan) => plan.environments)
  const environment = environments.find(({ id }) => id === 'prairie/sandbox') as Environment
  const i18n = createI18n({ dir: 'views/locales' })
  const views = createViews({
    dir: 'views',
    i18n,
    assets: createAssets({ dir: 'views/assets', plans: settings.plans }),
  })
  const app = createApp({ settings, log: createLog({ level: 'error' }), views })
  app.use(demoRoutes({ environment, views, ...(fhirClient === null ? { fhirClient } : {}) }))
  const agent = supertest(app.callback())
  const get = (path: string, language = 'en') =>
    agent
      .get(path)
      .set('Host', new URL(settings.publicUrl).host)
      .set('Accept', 'text/html')
      .set('Accept-Language', language)
  return { get, agent, settings, environment, environments, i18n }
}

const scripts = () =>
  readdirSync('views/assets')
    .filter((name) => /^demo.*\.js$/.test(name))
    .map((name) => ({ name, text: readFileSync(join('views/assets', name), 'utf8') }))

describe('the demonstration app', () => {
  it('is a page that talks to its own origin alone, holds no inline script and is never stored', async () => {
    const { get } = setUp()
    const { status, headers, text } = await get(place)
    expect(status).toBe(200)
    const policy = headers['content-security-policy'] ?? ''
    for (const part of ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "style-src 'self'"]) {
      expect(policy.split('; ')).toContain(part)
    }
    expect(policy).not.toMatch(/unsafe|\*/)
    expect(headers['cache-control']).toBe('no-store')
    expect(headers['referrer-policy']).toBe('no-referrer')
    const inline = [...text.matchAll(/<script\b([^>]*)>([^<]*)/g)].filter(([, , body]) => body?.trim())
    expect(inline).toEqual([])
    expect(text).not.toMatch(/\son\w+=|\sstyle=|javascript:/)
  })

  it('is told the FHIR base, the issuer and exactly its registered redirect URI (R12)', async () => {
    const { get, environment } = setUp()
    const { text } = await get(place)
    expect(text).toContain(`data-fhir-base="${environment.issuer}/fhir"`)
    expect(text).toContain(`data-issuer="${environment.issuer}"`)
    expect(text).toContain(`data-client-id="${DEMO_CLIENT_ID}"`)
    expect(text).toContain(`data-redirect-uri="${demoUrl(environment)}"`)
    const registered = environment.demonstration?.apps.find(({ clientId }) => clientId === DEMO_CLIENT_ID)
    expect(registered?.redirectUris).toContain(demoUrl(environment))
  })

  it('names the people one can sign in as', async () => {
    const { get, environment } = setUp()
    const { text } = await get(place)
    for (const { username, password, name, fhirUser } of environment.demonstration?.members ?? []) {
      // A practitioner comes by a launch.
      for (const shown of [username, password, name]) if (fhirUser === null) expect(text).toContain(shown)
      if (fhirUser !== null) expect(text).not.toContain(username)
    }
  })

  it('speaks English and Spanish, in its scripts too (R31)', async () => {
    const { get, i18n } = setUp()
    for (const language of ['en', 'es']) {
      const { text, headers } = await get(place, language)
      expect(headers['content-language']).toBe(language)
      expect(text).toContain(`<html lang="${language}">`)
      expect(text).toContain(i18n.translator(language).t('demo.title'))
      for (const key of DEMO_WORDS) expect(text).toContain(`<data value="${key}">`)
      expect(text).toContain('{left}')
    }
  })

  it('says plainly, without JavaScript, that it needs it', async () => {
    const { get, i18n } = setUp()
    const [, shown] = /<noscript>([\s\S]*?)<\/noscript>/.exec((await get(place)).text) ?? []
    expect(shown).toContain(i18n.translator('en').t('demo.noscript'))
  })

  it('serves the real fhirclient package, unchanged, and lets browsers keep that version', async () => {
    const { get } = setUp()
    const [, address] = /<script src="([^"]+fhir-client\.js[^"]*)" defer>/.exec((await get(place)).text) ?? []
    const answer = await get(address ?? '').buffer(true)
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toBe('text/javascript; charset=utf-8')
    expect(answer.headers['cache-control']).toContain('immutable')
    expect(answer.text).toBe(readFileSync(findFhirClient() ?? '', 'utf8'))
    expect((await get(address ?? '').set('If-None-Match', answer.headers.etag ?? '')).status).toBe(304)
    expect((await get(`${place}fhir-client.js`)).headers['cache-control']).toBe('no-cache')
  })

  it('says what is missing where the fhirclient package is not installed', async () => {
    const { get, i18n } = setUp(null)
    const { status, text } = await get(place)
    expect(status).toBe(200)
    const missing = text.slice(text.indexOf('data-state="missing"'))
    expect(missing.slice(0, missing.indexOf('>'))).not.toContain('hidden')
    expect(text.replaceAll('&#39;', "'")).toContain(i18n.translator('en').t('demo.missing.text'))
    expect(text).not.toContain('<script')
    expect((await get(`${place}fhir-client.js`)).status).toBe(404)
  })

  it('leads from the address without a slash to the one with it, and to nothing else', async () => {
    const { get, agent, settings, environment } = setUp()
    const answer = await get('/prairie/sandbox/demo?code=kept-out')
    expect(answer.status).toBe(302)
    expect(answer.headers.location).toBe(demoUrl(environment))
    expect((await get('/prairie/production/demo/')).status).toBe(404)
    expect((await get(`${place}other`)).status).toBe(404)
    const posted = await agent.post(place).set('Host', new URL(settings.publicUrl).host)
    expect(posted.status).toBe(405)
    expect(posted.headers.allow).toBe('GET, HEAD')
  })

  it('is served only where it is registered and has a FHIR server of ours to show', () => {
    const { environment } = setUp()
    expect(findDemoApi(environment)?.baseUrl).toBe(`${environment.issuer}/fhir`)
    expect(findDemoApi({ ...environment, demonstration: null })).toBeUndefined()
    expect(
      findDemoApi({ ...environment, apis: environment.apis.map((api) => ({ ...api, sandbox: false })) }),
    ).toBeUndefined()
  })
})

describe('the scripts of the demonstration app', () => {
  it('find every word that they ask for', () => {
    const known = new Set<string>(DEMO_WORDS)
    for (const { name, text } of scripts()) {
      for (const [, key] of text.matchAll(/\bword\(\s*'([^']+)'/g)) expect(known, name).toContain(key)
    }
  })

  it('write text as text, evaluate nothing, and keep nothing beyond the tab', () => {
    for (const { name, text } of scripts()) {
      expect(text, name).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/)
      expect(text, name).not.toMatch(/localStorage|document\.cookie|indexedDB/)
    }
  })
})
