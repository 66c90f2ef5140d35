/**
 * Whatever an app asks for, a member ticks and an attacker adds to the form: no token is wider than what was asked and left
 * ticked, none is for another patient or app, and none outlives its revocation.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type App,
  confidentialApp,
  demoApp,
  exchange,
  pkce,
  refresh,
  type TokenAnswer,
  walkToConsent,
} from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { type Page, Visitor } from '../support/visitor.ts'
import { claimsOf, confidential, post, resourceServer } from '../support/wire.ts'
import { beyond, extentsOf } from './extent.ts'
import { anyText, scopeList } from './generators.ts'
import { createSecrets, expectSound, hold, timeLimit } from './property.ts'

let server: TestServer
let visitor: Visitor
const secrets = createSecrets()

beforeAll(async () => {
  server = await startServer()
  visitor = new Visitor()
})
afterAll(() => server.close())

const sandbox = () => `${server.url}/prairie/sandbox`
const people: Record<string, string> = { 'David Okafor': 'david', 'Elena Okafor': 'elena', 'Lucy Okafor': 'lucy' }
const sensitiveCategories = ['substance-use', 'mental-health', 'sexual-health', 'hiv']

const decisions = fc.record({
  scope: scopeList,
  person: fc.constantFrom(...Object.keys(people)),
  confidential: fc.boolean(),
  /** Which of the boxes stay ticked: the n-th where the n-th bit is set. */
  ticks: fc.bigInt({ min: 0n, max: 2n ** 80n }),
  everything: fc.boolean(),
  /** Added to the form by hand. */
  forged: fc.array(
    fc.tuple(
      fc.constantFrom('type', 'category', 'sensitive', 'duration', 'until', 'patient', 'scope', 'client_id'),
      fc.oneof(
        fc.constantFrom('*', 'Patient', 'Immunization', 'Observation', 'Observation/laboratory', 'Condition/x', 'P99Y'),
        fc.constantFrom('P1Y', 'once', 'day', '2999-01-01', 'hiv', 'patient/*.cruds', 'maria'),
        anyText,
      ),
    ),
    { maxLength: 2 },
  ),
  sensitive: fc.subarray(sensitiveCategories),
  duration: fc.constantFrom('once', 'P1Y', undefined),
  refreshed: scopeList,
  end: fc.constantFrom('access', 'refresh', 'code'),
})

const valuesOf = (page: Page, name: string): string[] =>
  [...page.html.matchAll(new RegExp(`<input[^>]*name="${name}" value="([^"]*)"`, 'g'))].map(([, value = '']) =>
    value.replaceAll('&#34;', '"').replaceAll('&amp;', '&'),
  )

const introspect = async (token: string) => (await post(`${sandbox()}/introspect`, { token }, resourceServer)).body

/** The one category whose box is not named by its code (US Core's Clinical Test). */
const boxes: Record<string, string> = { procedure: 'clinical-test' }

/** A category of a granted scope (`system|code`) is one of those ticked. */
const isTicked = (category: string, type: string, ticked: readonly string[]): boolean => {
  const code = category.split('|').at(-1) ?? ''
  return [category, boxes[code] ?? code].some((each) => ticked.includes(`${type}/${each}`))
}

/** What of a granted scope nobody left ticked. */
const unticked = (
  scope: string,
  offered: { types: string[]; categories: string[] },
  ticked: { types: string[]; categories: string[] },
): string[] =>
  extentsOf(scope).flatMap(({ type, restrictions }) => {
    if (type === '*')
      return [...offered.types, ...offered.categories].filter(
        (each) => ![...ticked.types, ...ticked.categories].includes(each),
      )
    if (!ticked.types.includes(type)) return [type]
    const ofType = offered.categories.filter((each) => each.startsWith(`${type}/`))
    const named = restrictions.flatMap((each) => /^category=(.*)$/.exec(each)?.[1]?.split(',') ?? [])
    return named.length > 0
      ? named.filter((each) => ofType.length > 0 && !isTicked(each, type, ticked.categories))
      : ofType.filter((each) => !ticked.categories.includes(each))
  })

const expectWithin = async (app: App, answer: TokenAnswer, granted: string, patient: string): Promise<void> => {
  const { access_token, refresh_token, id_token, scope } = answer.body
  secrets.keep(access_token, refresh_token, id_token, access_token.split('.')[2])
  const claims = claimsOf(access_token)
  const told = await introspect(access_token)
  expect(beyond(scope, granted)).toEqual([])
  for (const each of [claims, told]) {
    expect(each.scope.split(' ').sort()).toEqual(scope.split(' ').sort())
    expect(each).toMatchObject({ client_id: app.clientId, aud: app.fhirBase })
    expect(each.patient).toBe(answer.body.patient)
  }
  expect(told.active).toBe(true)
  if (answer.body.patient !== undefined) expect(answer.body.patient).toBe(patient)
  if (extentsOf(scope).length > 0) expect(answer.body.patient).toBe(patient)
}

/** What the sandbox lets the token read is in its scopes, and of its patient. */
const expectReadable = async (app: App, token: string, scope: string, patient: string): Promise<void> => {
  const extents = extentsOf(scope)
  for (const type of ['Patient', 'Condition', 'Coverage']) {
    const headers = { authorization: `Bearer ${token}` }
    const response = await fetch(`${app.fhirBase}/${type}${type === 'Patient' ? '' : `?patient=${patient}`}`, {
      headers,
    })
    expectSound(response, type)
    const body = (await response.json()) as { entry?: { resource: { resourceType: string; id: string } }[] }
    const open = extents.some((each) => ['*', type].includes(each.type) && each.letters.includes('s'))
    expect(response.status, `${type} with ${scope}`).toBe(open ? 200 : 403)
    for (const { resource } of body.entry ?? [])
      if (resource.resourceType === type)
        expect(JSON.stringify(resource)).toContain(type === 'Patient' ? `"id":"${patient}"` : `Patient/${patient}"`)
    const others = await fetch(`${app.fhirBase}/Patient/maria`, { headers })
    expect(others.status).toBe(403)
  }
}

describe('a decision', () => {
  it(
    'whatever was asked, ticked and forged: no token is wider, for anybody else, or alive once it was revoked (R11, R22, R33) [RFC 9700 8] [ASVS 10.4.9, 10.4.11] [SMART app-launch.refresh-subset, scopes.patient-in-context]',
    async () => {
      let granted = 0
      await hold(decisions, 200, async (decision) => {
        const app = decision.confidential ? confidentialApp(server.url) : demoApp(server.url)
        const { verifier, challenge } = pkce()
        const patient = people[decision.person] ?? ''
        const walk = { member: 'david', patient: decision.person, visitor, params: { scope: decision.scope } }
        const { page } = await walkToConsent(app, challenge, walk)
        expectSound(page, decision.scope)
        if (!page.html.includes('name="shown"')) return

        const offered = { types: valuesOf(page, 'type'), categories: valuesOf(page, 'category') }
        const tick = (_: string, at: number) => decision.everything || ((decision.ticks >> BigInt(at)) & 1n) === 1n
        const form = new Map<string, string[]>([
          ['type', offered.types.filter(tick)],
          ['category', offered.categories.filter((value, at) => tick(value, at + 40))],
          ['sensitive', decision.sensitive],
        ])
        if (decision.duration && valuesOf(page, 'duration').includes(decision.duration))
          form.set('duration', [decision.duration])
        for (const [name, value] of decision.forged) form.set(name, [...(form.get(name) ?? []), value])
        const ticked = { types: form.get('type') ?? [], categories: form.get('category') ?? [] }
        const done = await visitor.submit(page, '/consent', Object.fromEntries(form))
        expectSound(done, [...form])
        const code = new URL(done.url).searchParams.get('code')
        if (!code) return
        secrets.keep(code, verifier)
        expect(new URL(done.url).origin + new URL(done.url).pathname).toBe(app.redirectUri)

        const first = await exchange(app, code, verifier)
        expect(first.status, JSON.stringify(first.body)).toBe(200)
        granted += 1
        const { scope, access_token, refresh_token } = first.body
        await expectWithin(app, first, decision.scope, patient)
        expect(unticked(scope, offered, ticked)).toEqual([])
        const kept = (claimsOf(access_token).sensitivities ?? []).filter(
          (each: string) => !form.get('sensitive')?.includes(each),
        )
        expect(kept).toEqual([])
        await expectReadable(app, access_token, scope, patient)
        if (!decision.scope.split(' ').some((each) => /^o(?:ff|n)line_access$/.test(each)))
          expect(refresh_token).toBeUndefined()

        let last = first.body
        if (refresh_token) {
          const next = await refresh(app, refresh_token, { scope: decision.refreshed })
          expectSound(next, decision.refreshed)
          if (next.status === 200) {
            await expectWithin(app, next, scope, patient)
            expect(beyond(next.body.scope, decision.refreshed)).toEqual([])
            last = next.body
          } else expect(next.body.error).toBe('invalid_scope')
        }

        const own = decision.confidential ? confidential : undefined
        const revoke = (token: string) =>
          post(`${sandbox()}/revoke`, { token, ...(!own && { client_id: app.clientId }) }, own)
        if (decision.end === 'access' || (!last.refresh_token && decision.end !== 'code'))
          await revoke(last.access_token)
        else if (decision.end === 'refresh') await revoke(last.refresh_token)
        else await exchange(app, code, verifier)
        const onlyOne = decision.end === 'access' || (!last.refresh_token && decision.end !== 'code')
        expect((await introspect(last.access_token)).active).toBe(false)
        if (onlyOne) return
        expect((await introspect(access_token)).active).toBe(false)
        if (last.refresh_token) {
          expect((await introspect(last.refresh_token)).active).toBe(false)
          expect((await refresh(app, last.refresh_token)).body).toMatchObject({ error: 'invalid_grant' })
        }
      })
      secrets.expectNoneIn(server)
      expect(granted).toBeGreaterThan(40)
    },
    timeLimit,
  )
})
