/** No consent leads to an access token of more than 3 KB: it travels in a header of every request. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Settings } from '../../src/config/settings.ts'
import { categoryScope } from '../../src/smart/choices.ts'
import { parseScopes, type ResourceScope } from '../../src/smart/scope.ts'
import { categoriesOf } from '../../src/smart/scope-words.ts'
import {
  type App,
  authorizationUrl,
  demoApp,
  everythingOn,
  exchange,
  obtainTokens,
  pkce,
  refresh,
  summitApp,
  walkToConsent,
} from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { claimsOf } from '../support/wire.ts'

const longest = 3072
const id = (name: string) => name.padEnd(64, '-of-the-longest-kind')

let server: TestServer
beforeAll(async () => {
  const lengthen = ({ plans }: Settings) => {
    for (const { demonstration } of plans.flatMap(({ environments }) => environments))
      for (const { patients, delegations } of demonstration?.members ?? []) {
        for (const patient of [...patients, ...delegations]) patient.fhirId = id(patient.fhirId)
        for (const delegation of delegations) delegation.relatedPerson = id(delegation.relatedPerson)
      }
  }
  server = await startServer({ change: lengthen })
})
afterAll(() => server.close())

const plain = 'openid fhirUser launch/patient offline_access'
const types = () => server.settings.plans[0]?.environments[0]?.apis[0]?.resources ?? []
const each = (suffix: string, of = types()) => of.map((type) => `patient/${type}.${suffix}`).join(' ')
/** Each category by itself, in US Core's words. */
const categories = () =>
  parseScopes('patient/Condition.rs patient/Observation.rs')
    .scopes.flatMap((scope) =>
      categoriesOf((scope as ResourceScope).resource).map(({ system, code }) =>
        categoryScope(scope as ResourceScope, `${system}|${code}`),
      ),
    )
    .map(({ text }) => text)
    .join(' ')
const inCategories = () => types().filter((type) => categoriesOf(type).length === 0)

const delegate = { member: 'david', patient: 'Elena' }
const tokensFor = (app: App, scope: string, who: object = delegate) => obtainTokens(app, { ...who, params: { scope } })

describe('the largest access tokens', () => {
  it.each([
    ['every type in the longest words', () => each('read')],
    ['every category by itself, and every other type', () => `${each('rs', inCategories())} ${categories()}`],
    [
      'everything there is, in every way to say it',
      () => `patient/*.rs patient/*.read ${each('rs')} ${each('read')} ${each('r')} ${categories()}`,
    ],
    ['a wildcard', () => 'patient/*.rs'],
  ])('%s: at most 3 KB, after a code and after a refresh', async (_what, scopes) => {
    const tokens = await tokensFor(demoApp(server.url), `${plain} ${scopes()}`)
    expect(claimsOf(tokens.access_token)).toMatchObject({ patient: id('elena'), scope: tokens.scope })
    expect(tokens.access_token.length).toBeLessThanOrEqual(longest)
    const next = await refresh(demoApp(server.url), tokens.refresh_token)
    expect(next.body.access_token.length).toBeLessThanOrEqual(longest)
  })

  it('an API with RS256, an array of scopes and claims of its own: at most 3 KB', async () => {
    const tokens = await tokensFor(summitApp(server.url), `${plain} ${each('read')} ${each('rs')}`, { member: 'sam' })
    expect(claimsOf(tokens.access_token)).toMatchObject({
      mpiid: id('sam'),
      contract: 'H0000',
      scp: tokens.scope.split(' '),
    })
    expect(tokens.access_token.length).toBeLessThanOrEqual(longest)
  })

  it.each([
    ['a wildcard', 'patient/*.read'],
    ['every type', 'each'],
  ])('of a member who unticks a category of each kind and releases all that is sensitive: %s', async (_what, scope) => {
    for (const [app, who] of [
      [demoApp(server.url), delegate],
      [summitApp(server.url), { member: 'sam' }],
    ] as const) {
      const { verifier, challenge } = pkce()
      const asked = `${plain} ${scope === 'each' ? each('read') : scope}`
      const { visitor, page } = await walkToConsent(app, challenge, { ...who, params: { scope: asked } })
      const all = everythingOn(page)
      const category = [all.category ?? []].flat().filter((key) => !/sdoh|health-concern/.test(key))
      const sensitive = [...page.html.matchAll(/name="sensitive" value="([^"]*)"/g)].map(([, code = '']) => code)
      const done = await visitor.submit(page, '/consent', { ...all, category, sensitive })
      const tokens = (await exchange(app, new URL(done.url).searchParams.get('code') ?? '', verifier)).body
      const next = (await refresh(app, tokens.refresh_token)).body
      for (const { access_token } of [tokens, next]) {
        expect(access_token.length).toBeLessThanOrEqual(longest)
        expect(JSON.stringify(claimsOf(access_token))).not.toMatch(/sdoh|health-concern/)
        expect(claimsOf(access_token).sensitivities ?? []).toEqual(sensitive)
      }
      expect(next.scope).toBe(tokens.scope)
      // An app that names what it was told gets the same again.
      const named = (await refresh(app, next.refresh_token, { scope: next.scope })).body
      expect(named.scope.split(' ').sort()).toEqual(next.scope.split(' ').sort())
    }
  })

  it('leave out what other scopes cover only where they would be too large', async () => {
    const both = `${plain} ${each('rs')} patient/Observation.read`
    expect((await tokensFor(demoApp(server.url), both)).scope).toBe(both)
    const thrice = `${plain} ${each('rs')} ${each('read')} ${each('r')} ${each('s')}`
    expect((await tokensFor(demoApp(server.url), thrice)).scope).toBe(`${plain} ${each('rs')}`)
  })

  it.each([
    [
      'many codes',
      () => Array.from({ length: 8 }, (_, i) => `patient/Observation.rs?code=${`${i}`.repeat(450)}`).join(' '),
    ],
    ['a wildcard that a member may take apart', () => `patient/*.rs?category=${'c'.repeat(400)}`],
  ])('are refused where nothing can be left out: %s', async (_what, scopes) => {
    const response = await new Visitor().send(
      authorizationUrl(demoApp(server.url), pkce().challenge, { scope: `${plain} ${scopes()}` }),
    )
    const answer = new URL(response.headers.get('location') ?? '', server.url).searchParams
    expect(answer.get('error')).toBe('invalid_scope')
    expect(answer.get('error_description')).toMatch(/ask for fewer/)
  })
})
