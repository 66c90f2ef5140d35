/**
 * Every kind of choice on the consent page is felt at the FHIR server: what was left unticked cannot be read, by no way of
 * reading, before and after a refresh (R22, R23, R25, R26).
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Settings } from '../../src/config/settings.ts'
import { isSensitive } from '../../src/resource-server/index.ts'
import { createPeople, type Resource } from '../../src/sandbox/people/index.ts'
import { knownCategories } from '../../src/smart/sensitivity.ts'
import {
  confidentialApp,
  demoApp,
  everythingOn,
  exchange,
  obtainTokens,
  pkce,
  refresh,
  type TokenAnswer,
  walkToConsent,
} from '../support/authorize.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { claimsOf, post, resourceServer } from '../support/wire.ts'

const people = createPeople({ id: 'prairie', name: 'Prairie Health Plan' })
const own = people.filter(({ id }) => id === 'maria' || id.startsWith('maria-'))
const keyOf = ({ resourceType, id }: Resource) => `${resourceType}/${id}`
const isOf = (category: string) => (resource: Resource) => isSensitive(resource, knownCategories[category])
const isOpen = (resource: Resource) => resource.meta.security === undefined
const inCategory = (type: string, code: string) => (resource: Resource) =>
  resource.resourceType === type && JSON.stringify(resource.category).includes(`"${code}"`)
const ofType = (type: string) => (resource: Resource) => resource.resourceType === type

let server: TestServer
const addScope = (settings: Settings) => {
  const [prairie] = settings.plans
  const hiv = prairie?.sensitiveCategories.find(({ code }) => code === 'hiv')
  if (hiv) hiv.scope = 'sensitive/hiv'
  const approved = prairie?.environments[0]?.demonstration?.apps.find(
    ({ clientId }) => clientId === 'demo-confidential',
  )
  if (approved) approved.scopes = ['openid', 'offline_access', 'patient/*.rs', 'sensitive/hiv']
  settings.consent.onceMinutes = 5
}
beforeAll(async () => {
  server = await startServer({ change: addScope })
})
afterAll(() => server.close())

const app = () => demoApp(server.url)

/** An answer of the sandbox; null where the token may not ask. */
const get = async (token: string, where: string) => {
  const url = where.startsWith('http') ? where : `${server.url}/prairie/sandbox/fhir/${where}`
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
  if (response.status === 403) return null
  if (response.status !== 200 && response.status !== 404) throw new Error(`${where}: ${response.status}`)
  return response.status === 200 ? response.json() : null
}

/** The keys of everything on a page and all that follow it. */
const pages = async (token: string, where: string): Promise<string[]> => {
  const found: string[] = []
  for (let next: string | undefined = where; next !== undefined; ) {
    // biome-ignore lint/suspicious/noExplicitAny: a test reads what the wire says
    const bundle = (await get(token, next)) as any
    for (const { resource } of bundle?.entry ?? []) found.push(keyOf(resource))
    next = bundle?.link.find(({ relation }: { relation: string }) => relation === 'next')?.url
  }
  return found
}

/** Everything of maria's that a token opens, by each way of reading. */
const reached = async (token: string, resources: readonly Resource[]) => {
  const types = [...new Set(own.map(({ resourceType }) => resourceType))]
  const searches = await Promise.all(types.map((type) => pages(token, `${type}?_count=90`)))
  const everything = await pages(token, 'Patient/maria/$everything?_count=90')
  const includes = [
    'Encounter?_revinclude=Observation:encounter',
    'Encounter?_revinclude=Condition:encounter',
    'Patient?_revinclude=Observation:patient',
    'Patient?_revinclude=Condition:patient',
    'Patient?_revinclude=Coverage:patient',
    'Observation?_include=Observation:encounter',
    'ExplanationOfBenefit?_include=ExplanationOfBenefit:coverage',
  ]
  const brought = await Promise.all(
    includes.map((where) => pages(token, `${where}${where.includes('?') ? '&' : '?'}_count=90`)),
  )
  const read = await Promise.all(
    resources.map(async (resource) => ((await get(token, keyOf(resource))) ? [keyOf(resource)] : [])),
  )
  return {
    searched: new Set(searches.flat()),
    everything: new Set(everything),
    brought: new Set(brought.flat()),
    read: new Set(read.flat()),
  }
}

/** Some from the beginning, the middle and the end: to read one by one. */
const some = (resources: readonly Resource[]) => {
  const step = Math.max(1, Math.floor(resources.length / 12))
  return resources.filter((_, at) => at % step === 0)
}

interface Kind {
  scope?: string
  /** What to send in place of everything ticked. */
  untick?: (value: string) => boolean
  sensitive?: string[]
  /** What must not be read. */
  closed: (resource: Resource) => boolean
  /** What must. */
  open: (resource: Resource) => boolean
}

const whole = 'openid offline_access patient/*.rs'
const laboratory = inCategory('Observation', 'laboratory')
const kinds: [string, Kind][] = [
  [
    'a type unticked',
    {
      scope: 'openid offline_access patient/Patient.rs patient/Coverage.rs patient/Encounter.rs patient/Observation.rs',
      untick: (value) => value === 'Coverage',
      closed: (r) => ofType('Coverage')(r) || !isOpen(r),
      open: (r) => ofType('Observation')(r) && isOpen(r),
    },
  ],
  [
    'a category unticked, where the whole type was asked',
    {
      scope: 'openid offline_access patient/Patient.rs patient/Encounter.read patient/Observation.read',
      untick: (value) => value === 'Observation/laboratory',
      closed: laboratory,
      open: (r) => inCategory('Observation', 'vital-signs')(r) && isOpen(r),
    },
  ],
  [
    'a type and a category unticked, where they were asked for by user/ scopes [capability permission-user]',
    {
      scope: 'openid offline_access user/Patient.rs user/Coverage.read user/Encounter.read user/Observation.read',
      untick: (value) => ['Coverage', 'Observation/laboratory'].includes(value),
      closed: (r) => ofType('Coverage')(r) || laboratory(r) || !isOpen(r),
      open: (r) => inCategory('Observation', 'vital-signs')(r) && isOpen(r),
    },
  ],
  [
    'a user/ wildcard beside a patient/ one, both narrowed by the same boxes',
    {
      scope: 'openid offline_access user/*.read patient/Patient.rs patient/Coverage.rs patient/Observation.rs',
      untick: (value) => ['Coverage', 'Condition/encounter-diagnosis', 'Observation/laboratory'].includes(value),
      closed: (r) => ofType('Coverage')(r) || laboratory(r) || inCategory('Condition', 'encounter-diagnosis')(r),
      open: (r) => inCategory('Condition', 'problem-list-item')(r) && isOpen(r),
    },
  ],
  [
    'a wildcard narrowed by a type and by categories',
    {
      untick: (value) => ['Coverage', 'Condition/encounter-diagnosis', 'Observation/laboratory'].includes(value),
      closed: (r) => ofType('Coverage')(r) || laboratory(r) || inCategory('Condition', 'encounter-diagnosis')(r),
      open: (r) => inCategory('Condition', 'problem-list-item')(r) && isOpen(r),
    },
  ],
  ['everything, and nothing sensitive', { closed: (r) => !isOpen(r), open: (r) => laboratory(r) && isOpen(r) }],
  [
    'one sensitive category on, the others off',
    {
      sensitive: ['substance-use'],
      closed: (r) => !isOpen(r) && !isOf('substance-use')(r),
      open: (r) => (isOpen(r) ? laboratory(r) : isOf('substance-use')(r)),
    },
  ],
  [
    'two sensitive categories on, and a category of their records unticked',
    {
      sensitive: ['mental-health', 'sexual-health'],
      untick: (value) => value === 'Condition/problem-list-item',
      closed: (r) => inCategory('Condition', 'problem-list-item')(r) || isOf('hiv')(r) || isOf('substance-use')(r),
      open: (r) => isOf('mental-health')(r) && ofType('MedicationRequest')(r),
    },
  ],
]

describe.each(kinds)('%s', (_what, { scope = whole, untick = () => false, sensitive = [], closed, open }) => {
  const forbidden = own.filter(closed)
  const allowed = own.filter(open)
  let tokens: TokenAnswer['body']
  beforeAll(async () => {
    const { verifier, challenge } = pkce()
    const { visitor, page } = await walkToConsent(app(), challenge, { params: { scope } })
    const all = everythingOn(page)
    const left = (name: string) => [all[name] ?? []].flat().filter((value) => !untick(value))
    const fields = { ...all, type: left('type'), category: left('category'), sensitive }
    const done = new URL((await visitor.submit(page, '/consent', fields)).url)
    tokens = (await exchange(app(), done.searchParams.get('code') ?? '', verifier)).body
  })

  it.each(['before', 'after'])('is what can be read, %s a refresh', async (when) => {
    if (when === 'after') tokens = (await refresh(app(), tokens.refresh_token)).body
    expect(forbidden.length).toBeGreaterThan(0)
    expect(allowed.length).toBeGreaterThan(0)
    const found = await reached(tokens.access_token, [...some(forbidden), ...some(allowed)])
    for (const resource of forbidden)
      for (const [way, keys] of Object.entries(found)) expect(keys, way).not.toContain(keyOf(resource))
    for (const resource of allowed) {
      expect(found.searched).toContain(keyOf(resource))
      expect(found.everything).toContain(keyOf(resource))
    }
    for (const resource of some(allowed)) expect(found.read).toContain(keyOf(resource))
    expect(claimsOf(tokens.access_token).sensitivities).toEqual(sensitive.length > 0 ? sensitive : undefined)
  })
})

describe('user/ scopes', () => {
  it('are answered as they were asked, with a patient in context [SMART scopes.patient-in-context]', async () => {
    const scope =
      'user/Patient.read user/Coverage.rs user/Condition.rs?category=problem-list-item patient/Encounter.read'
    const tokens = await obtainTokens(app(), { params: { scope } })
    expect(tokens.scope).toBe(`${scope} launch/patient`)
    expect(tokens).toMatchObject({ patient: 'maria' })
    expect(claimsOf(tokens.access_token)).toMatchObject({ patient: 'maria', scope: tokens.scope })
  })

  it('with every box unticked leave nothing: nothing is shared, and no token made', async () => {
    const { visitor, page } = await walkToConsent(app(), pkce().challenge, { params: { scope: 'user/*.read' } })
    const answer = await visitor.submit(page, '/consent', { ...everythingOn(page), type: [], category: [] })
    expect(answer.url).not.toContain('code=')
  })

  it('open nothing of another patient, nor of the whole', async () => {
    const { access_token: token } = await obtainTokens(app(), { params: { scope: 'user/*.rs' } })
    for (const where of [
      'Patient/david',
      'Observation?patient=david',
      'Patient/david/$everything',
      'Patient?_id=david',
    ])
      expect(await get(token, where), where).toBeNull()
    expect(await pages(token, 'Patient')).toEqual(['Patient/maria'])
  })

  it('of the kind system/ are given to nobody who signs in', async () => {
    const tokens = await obtainTokens(app(), { params: { scope: 'user/Patient.rs system/Patient.rs system/*.read' } })
    expect(tokens.scope).toBe('user/Patient.rs launch/patient')
  })
})

describe('a sensitive category in tokens and introspection (R25)', () => {
  const introspect = async (token: string) =>
    (await post(`${server.url}/prairie/sandbox/introspect`, { token }, resourceServer)).body

  it('is named in both, before and after a refresh, and of the refresh token too', async () => {
    const sensitive = ['substance-use', 'mental-health']
    const tokens = await obtainTokens(app(), { params: { scope: whole }, consent: { sensitive } })
    expect(await introspect(tokens.access_token)).toMatchObject({ active: true, sensitivities: sensitive })
    const next = (await refresh(app(), tokens.refresh_token)).body
    expect(claimsOf(next.access_token).sensitivities).toEqual(sensitive)
    expect(await introspect(next.access_token)).toMatchObject({ active: true, sensitivities: sensitive })
    expect(await introspect(next.refresh_token)).toMatchObject({ active: true, sensitivities: sensitive })
  })

  it('is in neither where none was released', async () => {
    const tokens = await obtainTokens(app(), { params: { scope: whole } })
    expect(claimsOf(tokens.access_token)).not.toHaveProperty('sensitivities')
    expect(await introspect(tokens.access_token)).not.toHaveProperty('sensitivities')
  })

  it.each([
    ['that the plan does not have', ['genetics', 'R', '__proto__']],
    ['that has a scope which this app was not approved for', ['hiv']],
  ])('is none that was put into the form by hand: one %s', async (_what, sensitive) => {
    const scope = `${whole} sensitive/hiv`
    const tokens = await obtainTokens(app(), { params: { scope }, consent: { sensitive } })
    expect(claimsOf(tokens.access_token)).not.toHaveProperty('sensitivities')
    expect(tokens.scope).not.toContain('sensitive/')
  })

  describe('that has a scope', () => {
    const approved = () => confidentialApp(server.url)
    const asked = `${whole} sensitive/hiv`

    it('is released to an app that was approved for it and asked; the scope goes with it', async () => {
      const tokens = await obtainTokens(approved(), { params: { scope: asked }, consent: { sensitive: ['hiv'] } })
      expect(tokens.scope.split(' ')).toContain('sensitive/hiv')
      expect(claimsOf(tokens.access_token).sensitivities).toEqual(['hiv'])
      const next = (await refresh(approved(), tokens.refresh_token)).body
      expect(next.scope.split(' ')).toContain('sensitive/hiv')
      expect(claimsOf(next.access_token).sensitivities).toEqual(['hiv'])
    })

    it('is left out by a refresh that leaves out the scope', async () => {
      const tokens = await obtainTokens(approved(), { params: { scope: asked }, consent: { sensitive: ['hiv'] } })
      const next = (await refresh(approved(), tokens.refresh_token, { scope: 'patient/Condition.rs' })).body
      expect(claimsOf(next.access_token)).not.toHaveProperty('sensitivities')
    })

    it('is not there where it was left off, and nor is the scope', async () => {
      const tokens = await obtainTokens(approved(), { params: { scope: asked } })
      expect(tokens.scope).not.toContain('sensitive/')
      expect(claimsOf(tokens.access_token)).not.toHaveProperty('sensitivities')
    })

    it('is not released to an app that did not ask', async () => {
      const tokens = await obtainTokens(approved(), { params: { scope: whole }, consent: { sensitive: ['hiv'] } })
      expect(claimsOf(tokens.access_token)).not.toHaveProperty('sensitivities')
    })

    it('is listed by discovery', async () => {
      const smart = await (await fetch(`${app().fhirBase}/.well-known/smart-configuration`)).json()
      expect(smart).toMatchObject({ scopes_supported: expect.arrayContaining(['sensitive/hiv']) })
    })
  })
})

describe('an API that does not hold sensitive records back (R25)', () => {
  const setTo = (sensitivity: 'enforced' | 'stated' | 'refused') => {
    const api = server.settings.plans[0]?.environments[0]?.apis[0]
    if (api) api.sensitivity = sensitivity
  }
  beforeEach(() => () => setTo('enforced'))

  it('stated: there is no choice, and none can be put into the form', async () => {
    setTo('stated')
    const { page } = await walkToConsent(app(), pkce().challenge, { params: { scope: whole } })
    expect(page.html).not.toContain('name="sensitive"')
    const tokens = await obtainTokens(app(), { params: { scope: whole }, consent: { sensitive: ['mental-health'] } })
    expect(claimsOf(tokens.access_token)).not.toHaveProperty('sensitivities')
  })

  it('refused: access_denied with the reason, before anybody signs in', async () => {
    setTo('refused')
    const visitor = new Visitor()
    const { page } = await walkToConsent(app(), pkce().challenge, { visitor })
    const answer = new URL(page.url).searchParams
    expect(answer.get('error')).toBe('access_denied')
    expect(answer.get('error_description')).toMatch(/^sensitivity_not_enforced: /)
    expect(answer.get('state')).toBe('a-state-of-the-app')
  })

  it('refused after somebody shared: no more tokens, and what was shared is good again when the API enforces', async () => {
    const { refresh_token: held } = await obtainTokens(app(), { params: { scope: whole } })
    setTo('refused')
    const { status, body } = await refresh(app(), held)
    expect([status, body.error]).toEqual([400, 'invalid_target'])
    expect(body.error_description).toMatch(/^sensitivity_not_enforced: /)
    setTo('enforced')
    expect((await refresh(app(), held)).status).toBe(200)
  })
})

describe('an access token never outlives the consent (R8, R23)', () => {
  it('shared once: its end is the end that the member saw, and expires_in says so', async () => {
    const tokens = await obtainTokens(app(), { params: { scope: whole }, consent: { duration: 'once' } })
    expect(tokens).not.toHaveProperty('refresh_token')
    expect(tokens.expires_in).toBeLessThanOrEqual(300)
    expect(tokens.expires_in).toBeGreaterThan(240)
    expect(claimsOf(tokens.access_token).exp).toBeLessThanOrEqual(tokens.grant_expires_at)
  })

  it('shared for longer: the usual life', async () => {
    expect((await obtainTokens(app(), { params: { scope: whole } })).expires_in).toBe(600)
  })
})
