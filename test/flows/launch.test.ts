/** An app that a portal launches for a member (SMART "Launch App: EHR Launch", "Obtain authorization code"). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  authorizationUrl,
  confidentialApp,
  demoApp,
  everythingOn,
  pkce,
  redirectUri,
  refresh,
  type Walk,
  walkToConsent,
} from '../support/authorize.ts'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { launchScope, makeLaunch, postLaunch, serviceToken, tokensAfter, walkLaunched } from '../support/launches.ts'
import { named, push, requestOf } from '../support/pushed.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { formOf, Visitor } from '../support/visitor.ts'
import { claimsOf, post, resourceServer } from '../support/wire.ts'

let server: TestServer
let skew = 0

beforeAll(async () => {
  server = await startServer({
    now: () => Date.now() + skew,
    change: (settings) => {
      const sandbox = settings.plans[0]?.environments[0]
      const more = {
        redirectUris: [redirectUri],
        attestation: { state: 'attested' as const, answers: null, expiresAt: null },
      }
      const answers = sandbox?.demonstration?.apps[0]?.attestation ?? more.attestation
      sandbox?.demonstration?.apps.push(
        demonstrationApp({
          clientId: 'narrow',
          redirectUris: [redirectUri],
          scopes: ['openid', 'launch/patient', 'patient/Coverage.rs'],
          attestation: answers,
        }),
      )
    },
  })
})
afterAll(() => server.close())

const app = () => demoApp(server.url)
const issuer = () => `${server.url}/prairie/sandbox`
const make = (body: Record<string, unknown>) => makeLaunch(server.url, { client_id: 'demo-public', ...body })
const introspect = async (token: string) => (await post(`${issuer()}/introspect`, { token }, resourceServer)).body

const context = {
  encounter: 'enc-1',
  fhirContext: [{ reference: 'ImagingStudy/17' }],
  intent: 'reconcile',
  need_patient_banner: false,
  smart_style_url: 'https://p.example/s.json',
  tenant: 'west',
}

/** The app's way through a launch to its tokens, with a member who shares everything. */
const launchAndShare = async (launch: string, options: Walk = {}, at = app()) => {
  const { verifier, challenge } = pkce()
  const { page, visitor } = await walkLaunched(at, challenge, launch, options)
  const done = await visitor.submit(page, '/consent', everythingOn(page))
  return tokensAfter(at, verifier, done)
}

/** Where a request leads that is refused before any page. */
const refusal = async (launch: string, at = app(), params: Record<string, string | null> = {}) => {
  const page = await new Visitor().open(
    authorizationUrl(at, pkce().challenge, { scope: launchScope, launch, ...params }),
  )
  return new URL(page.url).searchParams
}

describe('what a launch says', () => {
  it('is in the answer, in the JWT, in introspection, and in all of them after a refresh [SMART scopes.context-parameters, scopes.context-types, scopes.fhir-context, introspection.launch-context, app-launch.refresh-subset] [capability launch-ehr] [capability context-ehr-patient] [capability context-ehr-encounter] [capability context-banner]', async () => {
    const first = await launchAndShare(await make({ user: 'maria', patient: 'maria', ...context }))
    const said = { patient: 'maria', ...context }
    const check = async (tokens: typeof first) => {
      expect(tokens).toMatchObject(said)
      expect(claimsOf(tokens.access_token)).toMatchObject({ ...said, patient_id: 'maria' })
      expect(await introspect(tokens.access_token)).toMatchObject({ active: true, ...said })
      expect(tokens.access_token.length).toBeLessThanOrEqual(3072)
    }
    await check(first)
    expect(first.need_patient_banner).toBe(false)
    expect(await introspect(first.refresh_token)).toMatchObject({ active: true, ...said })
    const second = await refresh(app(), first.refresh_token)
    await check(second.body)
    const third = await refresh(app(), second.body.refresh_token, { scope: 'patient/Coverage.rs' })
    await check(third.body)
  })

  it.each(Object.entries(context))(
    '%s alone, and nothing that was not said [SMART scopes.context-parameters]',
    async (name, value) => {
      const tokens = await launchAndShare(await make({ user: 'maria', patient: 'maria', [name]: value }))
      const names = Object.keys(context)
      for (const said of [tokens, claimsOf(tokens.access_token), await introspect(tokens.access_token)]) {
        expect(said[name]).toEqual(value)
        // A plan's style is said at each launch that names no other.
        const others = names.filter((each) => each !== name && each !== 'smart_style_url')
        expect(others.filter((each) => each in said)).toEqual([])
      }
    },
  )

  it('a patient in context needs no launch/patient, which is granted only where it was asked [SMART scopes.patient-in-context]', async () => {
    const without = await launchAndShare(await make({ user: 'maria', patient: 'maria' }))
    expect(without).toMatchObject({ patient: 'maria', scope: launchScope })
    const params = { scope: 'launch launch/patient patient/Coverage.rs' }
    const asked = await launchAndShare(await make({ user: 'maria', patient: 'maria' }), { params })
    expect(asked).toMatchObject({ patient: 'maria', scope: params.scope })
  })

  it('with the scope launch alone: its context, its patient, and no picker', async () => {
    const params = { scope: 'launch openid' }
    const launch = await make({ user: 'david', patient: 'lucy', intent: 'growth' })
    const tokens = await launchAndShare(launch, { member: 'david', params })
    expect(tokens).toMatchObject({ patient: 'lucy', intent: 'growth', scope: 'launch openid' })
  })

  it('for a delegate: the picker is skipped, and the consent page says whose record it is (R32)', async () => {
    const { verifier, challenge } = pkce()
    const launch = await make({ user: 'david', patient: 'elena' })
    const visitor = new Visitor()
    const first = await visitor.open(authorizationUrl(app(), challenge, { scope: launchScope, launch }))
    const page = await visitor.submit(first, '/sign-in', { username: 'david', password: 'prairie-sandbox-1' })
    expect(page.html).toContain('Elena Okafor')
    expect(page.html).not.toContain('Lucy')
    expect(page.html).not.toMatch(/href="[^"]*\/patient"/)
    const tokens = await tokensAfter(app(), verifier, await visitor.submit(page, '/consent', everythingOn(page)))
    expect(tokens).toMatchObject({ patient: 'elena' })
    expect(claimsOf(tokens.access_token).fhirUser).toBe(`${app().fhirBase}/RelatedPerson/david-elena`)
  })

  it('without a patient the member chooses one, and the rest is said all the same', async () => {
    const launch = await make({ user: 'david', intent: 'growth' })
    const tokens = await launchAndShare(launch, { member: 'david', patient: 'Lucy' })
    expect(tokens).toMatchObject({ patient: 'lucy', intent: 'growth' })
    expect(tokens.scope.split(' ')).toEqual(expect.arrayContaining(['launch', 'launch/patient']))
  })

  it('the user may be named by sub, and the app may be confidential', async () => {
    const { sub } = claimsOf((await launchAndShare(await make({ user: 'maria', patient: 'maria' }))).access_token)
    const at = confidentialApp(server.url)
    const launch = await make({ client_id: at.clientId, user: sub, patient: 'maria', tenant: 'east' })
    expect(await launchAndShare(launch, {}, at)).toMatchObject({ patient: 'maria', tenant: 'east' })
  })

  it('POST at the authorization endpoint redeems as GET does [SMART app-launch.post-authorize]', async () => {
    const { verifier, challenge } = pkce()
    const launch = await make({ user: 'maria', patient: 'maria', intent: 'posted' })
    const body = new URL(authorizationUrl(app(), challenge, { scope: launchScope, launch })).searchParams
    const visitor = new Visitor()
    const first = await visitor.open(app().authorize, { method: 'POST', body })
    let page = await visitor.submit(first, '/sign-in', { username: 'maria', password: 'prairie-sandbox-1' })
    page = await visitor.submit(page, '/consent', everythingOn(page))
    expect(await tokensAfter(app(), verifier, page)).toMatchObject({ intent: 'posted' })
  })
})

describe('scope and value belong together', () => {
  it('the scope launch without a value is dropped', async () => {
    const params = { launch: null, scope: 'openid launch patient/Coverage.rs' }
    const tokens = await launchAndShare('', { params })
    expect(tokens.scope).toBe('openid patient/Coverage.rs launch/patient')
  })

  it('the scope launch alone without a value leaves nothing to ask for', async () => {
    const answer = await refusal('', app(), { launch: null, scope: 'launch' })
    expect(answer.get('error')).toBe('invalid_scope')
  })

  it('a value without the scope is ignored, whatever it is, and stays good', async () => {
    const launch = await make({ user: 'maria', patient: 'maria', intent: 'later' })
    for (const value of [launch, 'nobody-made-this']) {
      const tokens = await launchAndShare(value, { params: { scope: 'openid patient/Coverage.rs' } })
      expect(tokens.intent).toBeUndefined()
      expect(claimsOf(tokens.access_token).intent).toBeUndefined()
    }
    expect(await launchAndShare(launch)).toMatchObject({ intent: 'later' })
  })

  it('an app that is not approved for the scope has no use for a value', async () => {
    const at = demoApp(server.url, 'narrow')
    const launch = await make({ user: 'maria', patient: 'maria', intent: 'secret' })
    const tokens = await launchAndShare(launch, { params: { scope: 'openid launch patient/Coverage.rs' } }, at)
    expect(tokens.scope.split(' ')).not.toContain('launch')
    expect(tokens.intent).toBeUndefined()
  })
})

describe('a value that cannot be redeemed is invalid_request, and says nothing of what it was for [SMART app-launch.launch-match]', () => {
  const refused = (answer: URLSearchParams, launch: string) => {
    expect(answer.get('error')).toBe('invalid_request')
    expect(answer.get('error_description')).toMatch(/^launch is not valid for this request/)
    expect(answer.get('state')).toBe('a-state-of-the-app')
    expect(answer.get('iss')).toBe(issuer())
    expect(answer.get('error_description')).not.toContain(launch)
    expect(answer.toString()).not.toMatch(/maria|demo-public|reconcile/)
  }

  it.each([
    ['unknown', 'nobody-made-this'],
    ['long', 'x'.repeat(4000)],
    ['of odd characters', '\u0000 é 💥'],
  ])('one that is %s', async (_what, launch) => refused(await refusal(launch), launch))

  it('one that was used: the second request is refused, the first goes on', async () => {
    const { verifier, challenge } = pkce()
    const launch = await make({ user: 'maria', patient: 'maria', intent: 'reconcile' })
    const { page, visitor } = await walkLaunched(app(), challenge, launch)
    refused(await refusal(launch), launch)
    const done = await visitor.submit(page, '/consent', everythingOn(page))
    expect(await tokensAfter(app(), verifier, done)).toMatchObject({ intent: 'reconcile' })
    refused(await refusal(launch), launch)
  })

  it('one of another app, which it does not use up', async () => {
    const launch = await make({ user: 'maria', patient: 'maria', intent: 'reconcile' })
    refused(await refusal(launch, confidentialApp(server.url)), launch)
    expect(await launchAndShare(launch)).toMatchObject({ intent: 'reconcile' })
  })

  it('one that is older than five minutes', async () => {
    const launch = await make({ user: 'maria', patient: 'maria', intent: 'reconcile' })
    skew = 5 * 60_000 + 1000
    try {
      refused(await refusal(launch), launch)
    } finally {
      skew = 0
    }
  })

  it('one that is a little younger is good', async () => {
    const launch = await make({ user: 'maria', patient: 'maria' })
    skew = 4.9 * 60_000
    try {
      const page = await new Visitor().open(authorizationUrl(app(), pkce().challenge, { scope: launchScope, launch }))
      expect(page.html).toContain('name="password"')
    } finally {
      skew = 0
    }
  })

  it('of ten requests at the same moment one redeems it', async () => {
    const launch = await make({ user: 'maria', patient: 'maria' })
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        fetch(authorizationUrl(app(), pkce().challenge, { scope: launchScope, launch }), { redirect: 'manual' }),
      ),
    )
    const places = answers.map((answer) => new URL(answer.headers.get('location') ?? '', server.url))
    expect(places.filter(({ pathname }) => pathname.includes('/interaction/'))).toHaveLength(1)
    expect(places.filter(({ searchParams }) => searchParams.get('error') === 'invalid_request')).toHaveLength(9)
  })

  it('twice in one request, and a request that is wrong otherwise does not use it up', async () => {
    const launch = await make({ user: 'maria', patient: 'maria' })
    const url = authorizationUrl(app(), pkce().challenge, { scope: launchScope, launch })
    const doubled = await new Visitor().open(`${url}&launch=${launch}`)
    expect(new URL(doubled.url).searchParams.get('error')).toBe('invalid_request')
    expect((await refusal(launch, app(), { aud: 'https://other.example/fhir' })).get('error')).toBe('invalid_target')
    expect((await refusal(launch, app(), { scope: 'launch nonsense', code_challenge: null })).get('error')).toBe(
      'invalid_request',
    )
    expect((await refusal(launch, app(), { prompt: 'none' })).get('error')).toBe('login_required')
    const { visitor } = await walkToConsent(app(), pkce().challenge)
    const none = await visitor.open(
      authorizationUrl(app(), pkce().challenge, { scope: launchScope, launch, prompt: 'none' }),
    )
    expect(new URL(none.url).searchParams.get('error')).toBe('consent_required')
    expect(await launchAndShare(launch)).toMatchObject({ patient: 'maria' })
  })
})

describe('another person than the one of the launch (R33)', () => {
  const mismatch = async (visitor = new Visitor()) => {
    const { verifier, challenge } = pkce()
    const launch = await make({ user: 'maria', patient: 'maria', intent: 'private-matter', tenant: 'private-tenant' })
    const { page } = await walkLaunched(app(), challenge, launch, { member: 'david', visitor })
    return { page, visitor, verifier }
  }

  it('sees a page that says so, and nothing of the launch', async () => {
    const { page } = await mismatch()
    expect(page.status).toBe(200)
    expect(page.html).toContain('This app was opened for someone else')
    expect(page.html).toContain('David Okafor')
    expect(page.html).not.toMatch(/maria|alvarez|private/i)
    expect(page.html).not.toContain('name="patient"')
  })

  it('goes back with access_denied and launch_mismatch', async () => {
    const { page, visitor } = await mismatch()
    const answer = new URL((await visitor.submit(page, '/deny')).url).searchParams
    expect(answer.get('error')).toBe('access_denied')
    expect(answer.get('error_description')).toMatch(/^launch_mismatch: /)
    expect(answer.get('state')).toBe('a-state-of-the-app')
  })

  it('cannot share by a form of their own making', async () => {
    const { page, visitor } = await mismatch()
    const { action, fields } = formOf(page, '/deny')
    for (const path of ['consent', 'patient', 'allow', 'warning']) {
      const answer = await visitor.open(action.replace(/deny$/, path), {
        method: 'POST',
        body: new URLSearchParams([...fields, ['patient', 'maria'], ['type', 'Patient'], ['duration', 'once']]),
        headers: { 'sec-fetch-site': 'same-origin' },
      })
      expect(answer.url, path).not.toContain('code=')
      expect(answer.html, path).toContain('This app was opened for someone else')
    }
  })

  it('switches the account, and the person of the launch goes on', async () => {
    const { page, visitor, verifier } = await mismatch()
    const signIn = await visitor.submit(page, '/switch')
    const consent = await visitor.submit(signIn, '/sign-in', { username: 'maria', password: 'prairie-sandbox-1' })
    const done = await visitor.submit(consent, '/consent', everythingOn(consent))
    expect(await tokensAfter(app(), verifier, done)).toMatchObject({ patient: 'maria', intent: 'private-matter' })
  })

  it('who is signed in at the browser already is told the same', async () => {
    const visitor = new Visitor()
    await walkLaunched(app(), pkce().challenge, await make({ user: 'david', patient: 'david' }), {
      member: 'david',
      visitor,
    })
    const { page } = await mismatch(visitor)
    expect(page.html).toContain('This app was opened for someone else')
  })
})

describe('the patient of a launch (R33)', () => {
  it('no form changes it', async () => {
    const { verifier, challenge } = pkce()
    const { page, visitor } = await walkLaunched(app(), challenge, await make({ user: 'david', patient: 'lucy' }), {
      member: 'david',
    })
    const own = await walkLaunched(app(), challenge, await make({ user: 'david' }), {
      member: 'david',
      patient: 'Elena',
    })
    const elena = formOf(await own.visitor.open(own.page.url.replace(/\/?$/, '/patient')), '/patient').fields.get(
      'patient',
    )
    expect(elena).toBeTruthy()
    const { action, fields } = formOf(page, '/deny')
    const picked = await visitor.open(action.replace(/deny$/, 'patient'), {
      method: 'POST',
      body: new URLSearchParams([...fields, ['patient', elena ?? '']]),
      headers: { 'sec-fetch-site': 'same-origin' },
    })
    expect(picked.html).toContain('Lucy Okafor')
    const done = await visitor.submit(page, '/consent', { ...everythingOn(page), patient: elena ?? '' })
    expect(await tokensAfter(app(), verifier, done)).toMatchObject({ patient: 'lucy' })
  })

  it('each launch is a grant of its own, and a token keeps its patient', async () => {
    const lucy = await launchAndShare(await make({ user: 'david', patient: 'lucy' }), { member: 'david' })
    const elena = await launchAndShare(await make({ user: 'david', patient: 'elena' }), { member: 'david' })
    expect((await refresh(app(), lucy.refresh_token)).body.patient).toBe('lucy')
    expect((await refresh(app(), elena.refresh_token)).body.patient).toBe('elena')
  })
})

describe('a launch in a pushed request (RFC 9126)', () => {
  const pushLaunch = async (launch: string) => {
    const { verifier, challenge } = pkce()
    const answer = await push(app(), requestOf(app(), challenge, { scope: launchScope, launch }))
    return { verifier, challenge, answer }
  }

  it('is redeemed when its member comes, and the patient of it needs no launch/patient', async () => {
    const launch = await make({ user: 'maria', patient: 'maria', intent: 'pushed' })
    const { verifier, challenge, answer } = await pushLaunch(launch)
    expect(answer.status).toBe(201)
    const { page, visitor } = await walkToConsent(app(), challenge, { params: named(answer.body.request_uri) })
    const tokens = await tokensAfter(app(), verifier, await visitor.submit(page, '/consent', everythingOn(page)))
    expect(tokens).toMatchObject({ patient: 'maria', intent: 'pushed', scope: launchScope })
    expect((await refusal(launch)).get('error')).toBe('invalid_request')
  })

  it('that cannot be redeemed is refused when it is pushed, and one that was used meanwhile when its member comes', async () => {
    expect((await pushLaunch('nobody-made-this')).answer.body.error).toBe('invalid_request')
    const launch = await make({ user: 'maria', patient: 'maria' })
    const { challenge, answer } = await pushLaunch(launch)
    await launchAndShare(launch)
    const page = await new Visitor().open(authorizationUrl(app(), challenge, named(answer.body.request_uri)))
    expect(new URL(page.url).searchParams.get('error')).toBe('invalid_request')
  })
})

it('a launch for an app whose tokens have no room for so much is not made', async () => {
  const fhirContext = Array.from({ length: 20 }, (_, i) => ({ reference: `ImagingStudy/${'9'.repeat(60)}${i}` }))
  const answer = await postLaunch(server.url, await serviceToken(server.url), {
    client_id: 'demo-public',
    user: 'maria',
    patient: 'maria',
    fhirContext,
  })
  expect(answer.status).toBe(400)
  expect(answer.body.faults).toEqual([{ path: 'body', message: 'says more than an access token has room for' }])
})
