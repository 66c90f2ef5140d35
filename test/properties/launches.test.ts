/**
 * Whatever a portal says of a launch, and whoever comes with its value: a token only for the launch's own app and person, of
 * its patient, with its context, and only once.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { confidentialApp, demoApp, everythingOn, exchange, pkce, walkToConsent } from '../support/authorize.ts'
import { postLaunch, serviceToken } from '../support/launches.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { claimsOf } from '../support/wire.ts'
import { beyond } from './extent.ts'
import { anyText, mostly } from './generators.ts'
import { createSecrets, expectSound, hold, timeLimit } from './property.ts'

let server: TestServer
let token: string
const secrets = createSecrets()
const visitors = new Map<string, Visitor>()

beforeAll(async () => {
  server = await startServer()
  token = await serviceToken(server.url)
})
afterAll(() => server.close())

/** Whose records each may open, as the demonstration has them; a practitioner's right is the launch. */
const mayOpen: Record<string, string[]> = {
  maria: ['maria'],
  david: ['david', 'elena', 'lucy'],
  'dr.testwell': ['maria', 'david', 'elena', 'lucy'],
}

/** Sometimes left out. */
const maybe = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(values, { nil: undefined, freq: 2 })

const reference = fc.constantFrom('ImagingStudy/7', 'Patient/lucy', 'Encounter/3', 'Nonsense/1', 'Observation/../x', '')
const item = fc.record(
  {
    reference,
    canonical: fc.constantFrom('https://x.example/q', 'q', ''),
    type: fc.constantFrom('ImagingStudy', 'Patient', 'Nonsense'),
    role: fc.constantFrom('launch', 'https://x.example/role', 'mine', ''),
  },
  { requiredKeys: [] },
)

const launches = fc.record({
  body: fc.record({
    client_id: mostly('demo-public', fc.constantFrom('demo-confidential', 'demo-service', 'nobody', 'summit-demo')),
    user: mostly('david', fc.constantFrom('maria', 'dr.testwell', 'noor', 'sam', 'nobody')),
    patient: mostly<string | undefined>('lucy', fc.constantFrom(undefined, 'maria', 'elena', 'david', 'sam', 'nobody')),
    encounter: maybe(mostly('an-encounter', anyText)),
    intent: maybe(mostly('reconcile', anyText)),
    tenant: maybe(mostly('a-tenant', anyText)),
    need_patient_banner: maybe(mostly<unknown>(true, fc.constantFrom(false, 'true', 1, null))),
    fhirContext: maybe(mostly<unknown>([{ reference: 'ImagingStudy/7' }], fc.array(item, { maxLength: 3 }))),
    smart_style_url: maybe(fc.constantFrom('https://x.example/style.json', 'javascript:alert(1)', 'http://x/y')),
    extra: fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.jsonValue() }),
  }),
  app: fc.constantFrom('demo-public', 'demo-confidential'),
  person: fc.constantFrom('david', 'maria', 'dr.testwell'),
  /** The launch's own, mostly: a stranger is met now and then. */
  fitting: fc.boolean(),
  scope: fc.constantFrom(
    'launch patient/*.rs',
    'launch patient/Coverage.read openid',
    'launch launch/patient user/*.rs',
  ),
  end: fc.constantFrom('once', 'twice'),
})

const contextNames = ['encounter', 'intent', 'tenant', 'need_patient_banner', 'fhirContext'] as const

describe('a launch', () => {
  it(
    'of any kind, redeemed by anybody: nothing for another app, person or patient, and nothing twice [SMART app-launch.launch-match, scopes.context-parameters, scopes.context-types]',
    async () => {
      const seen = { refused: 0, redeemed: 0, turnedAway: 0 }
      await hold(launches, 80, async ({ body, app: name, person: other, fitting, scope, end }) => {
        const made = await postLaunch(server.url, token, body)
        expectSound(made, body)
        expect([200, 400]).toContain(made.status)
        if (made.status === 400) {
          expect(made.body).not.toHaveProperty('launch')
          seen.refused += 1
          return
        }
        const { launch } = made.body
        secrets.keep(launch)
        expect(body.extra).toBeUndefined()
        if (body.patient) expect(['maria', 'david', 'elena', 'lucy']).toContain(body.patient)

        const person = fitting && mayOpen[body.user] ? body.user : other
        const clientId = fitting ? body.client_id : name
        const app = clientId === 'demo-confidential' ? confidentialApp(server.url) : demoApp(server.url, clientId)
        const right = clientId === body.client_id && person === body.user
        const visitor = visitors.get(person) ?? new Visitor()
        visitors.set(person, visitor)
        const { verifier, challenge } = pkce()
        const params = { scope, launch }
        const walk = { member: person, patient: 'Lucy', visitor, params }
        const { page } = await walkToConsent(app, challenge, walk)
        expectSound(page, body)
        const form = ['/consent', '/allow'].find((each) =>
          new RegExp(`<form[^>]*action="[^"]*${each}"`).test(page.html),
        )
        const done = form ? await visitor.submit(page, form, form === '/consent' ? everythingOn(page) : {}) : page
        const code = new URL(done.url).searchParams.get('code')
        if (!code) {
          seen.turnedAway += 1
          return
        }
        expect(right, `${person} by ${clientId} for ${JSON.stringify(body)}`).toBe(true)
        if (body.patient) expect(mayOpen[person]).toContain(body.patient)
        seen.redeemed += 1
        secrets.keep(code, verifier)
        const answer = await exchange(app, code, verifier)
        expect(answer.status).toBe(200)
        secrets.keep(answer.body.access_token, answer.body.refresh_token)
        const claims = claimsOf(answer.body.access_token)
        expect(answer.body.patient).toBe(body.patient ?? (person === 'maria' ? 'maria' : 'lucy'))
        expect(claims).toMatchObject({ patient: answer.body.patient, client_id: clientId })
        expect(beyond(answer.body.scope, scope)).toEqual([])
        for (const each of contextNames) expect(answer.body[each], each).toEqual(body[each])

        if (end === 'once') return
        const { page: again } = await walkToConsent(app, challenge, walk)
        expect(new URL(again.url).searchParams.get('error')).toBe('invalid_request')
      })
      secrets.expectNoneIn(server)
      for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(4)
    },
    timeLimit,
  )

  it(
    'body that is any JSON is answered in JSON, and makes nothing',
    async () => {
      await hold(fc.oneof(fc.jsonValue(), anyText), 60, async (body) => {
        const made = await postLaunch(server.url, token, body)
        expectSound(made, body)
        expect(made.status).toBe(400)
        expect(made.body).not.toHaveProperty('launch')
      })
      secrets.expectNoneIn(server)
    },
    timeLimit,
  )
})
