/** The doctor before servers that others wrote: a sound one passes, and each defect is found by the check that is for it (R40). */
import { describe, expect, it } from 'vitest'
import { type DoctorOptions, examine } from '../../src/doctor/doctor.ts'
import { clientKey, member, redirectUri, secret, startFake } from './fake-server.ts'

const app = { client: { clientId: 'app' }, redirectUri, member }
const web = { client: { clientId: 'web', secret }, redirectUri, member }
const keyed = { client: { clientId: 'keyed', key: clientKey }, redirectUri, member }
const service = { service: { credentials: { clientId: 'service', key: clientKey } } }

const look = async (defect: string | null, options: Omit<DoctorOptions, 'target'>) => {
  const fake = await startFake(...(defect === null ? [] : [defect]))
  try {
    const report = await examine({ target: fake.base, limits: { request: 1000 }, ...options })
    return { report, alive: fake.alive() }
  } finally {
    await fake.close()
  }
}
const failing = ({ results }: Awaited<ReturnType<typeof examine>>) =>
  results.filter(({ outcome }) => outcome === 'failed').map(({ id, seen }) => `${id}: ${seen}`)
const ids = (lines: string[]) => lines.map((line) => line.split(':')[0])

describe('a sound server of others', () => {
  it.each([
    ['nobody', {}],
    ['a public app', app],
    ['an app with a secret', web],
    ['an app with a key', keyed],
    ['a service', service],
  ])('passes for %s, and nothing is left behind', async (_who, options) => {
    const { report, alive } = await look(null, options)
    expect(failing(report)).toEqual([])
    expect(report).toMatchObject({ outcome: 'passed', leftBehind: 0 })
    expect(alive).toBe(0)
  })

  it('has no check that none of these could look at, but for what it does not offer', async () => {
    const reports = await Promise.all([app, web, keyed, service].map((options) => look(null, options)))
    const looked = new Set(
      reports.flatMap(({ report }) => report.results.flatMap(({ id, outcome }) => (outcome === 'skipped' ? [] : [id]))),
    )
    const never = reports[0]?.report.results.map(({ id }) => id).filter((id) => !looked.has(id))
    expect(never).toEqual([
      ...['tls.version', 'tls.old-versions', 'tls.certificate'],
      ...['par.anybody', 'feed.anybody', 'management.page', 'logout.redirect', 'brands.bundle', 'R13.post'],
      ...['par.request', 'dpop.bad-proof', 'dpop.bound', 'dpop.fhir'],
      ...['launch.ehr', 'launch.made-up', 'launch.once', 'context.patient', 'context.launch-encounter'],
      ...['context.banner', 'context.style'],
      ...['scopes.v2', 'scopes.v1', 'scopes.user', 'context.encounter', 'scopes.online'],
    ])
  })
})

describe('without credentials', () => {
  it.each([
    ['JSON only when asked', ['smart.discovery.json']],
    ['relative addresses', ['smart.discovery.addresses']],
    ['no grant types', ['smart.discovery.required', 'smart.discovery.methods']],
    ['plain advertised', ['smart.discovery.s256']],
    ['no jwks_uri', ['smart.discovery.issuer']],
    ['an unknown capability', ['smart.discovery.capabilities']],
    ['a capability without its scope', ['smart.discovery.scopes']],
    ['no ES384', ['smart.discovery.methods']],
    ['a bad neighbour', ['smart.discovery.associated']],
    ['no CORS on discovery', ['R5.discovery']],
    ['no OpenID configuration', ['openid.discovery.served']],
    ['a slash at the issuer', ['openid.discovery.issuer']],
    ['another token endpoint', ['openid.discovery.endpoints']],
    ['no RS256', ['openid.discovery.required']],
    ['other metadata', ['oauth.metadata.agrees']],
    ['keys behind a sign-in', ['jwks.served']],
    ['a key without kid', ['jwks.form']],
    ['a private key', ['jwks.public']],
    ['a weak key', ['jwks.strength']],
    ['no CORS on keys', ['R5.jwks']],
    ['metadata behind a sign-in', ['fhir.metadata']],
    ['another address in the CapabilityStatement', ['fhir.metadata.oauth']],
    ['no challenge', ['fhir.anonymous']],
    ['no lock', ['fhir.anonymous', 'fhir.made-up-token']],
    ['any token', ['fhir.made-up-token']],
    ['an open redirector', ['R12.unknown-client', 'R12.unknown-client-post']],
    ['no POST', ['R12.unknown-client-post']],
    ['markup from outside', ['R12.page-safe']],
    ['a page that can be framed', ['R12.page-headers']],
    ['CORS on the page', ['R12.no-cors']],
    ['tokens may be kept', ['token.no-store']],
    ['tokens by GET', ['token.methods']],
    ['passwords', ['token.passwords']],
    ['introspection for all', ['introspection.anybody']],
    ['revocation for all', ['revocation.anybody']],
    ['userinfo for all', ['userinfo.anybody']],
    ['open registration', ['registration.anybody']],
    ['an empty brand bundle', ['brands.bundle']],
  ])('%s: %j', async (defect, expected) => {
    const { report } = await look(defect, {})
    expect(ids(failing(report))).toEqual(expected)
    expect(report.outcome).toBe('failed')
  })
})

describe('with an app and a member', () => {
  it.each([
    ['redirects by prefix', app, ['R12.wrong-redirect']],
    ['PKCE is optional', app, ['R4.missing']],
    ['plain is accepted', app, ['R4.plain']],
    ['any aud', app, ['R6.wrong']],
    ['aud to the letter', app, ['R6.slash']],
    ['unknown scopes are fatal', app, ['R7.unknown']],
    ['no scope is fine', app, ['R7.nothing-left']],
    ['state is lost', app, ['R12.error']],
    ['errors without iss', app, ['R12.iss']],
    ['prompt=none is ignored', app, ['openid.prompt-none']],
    ['no CORS', app, ['R5.token']],
    ['CORS for all', app, ['R5.token-foreign']],
    ['expires_in as text', app, ['R3.answer', 'R3.refresh']],
    ['no patient', app, ['R3.answer', 'R7.inferred']],
    ['no patient on refresh', app, ['R3.refresh']],
    ['answers may be kept', app, ['R3.bearer']],
    ['more is granted', app, ['R3.scope']],
    ['the token says more', app, ['R3.jwt']],
    ['another audience', app, ['R3.jwt', 'R6.slash-token']],
    ['another key', app, ['R3.signature']],
    ['long tokens', app, ['R8.access-token']],
    ['a foreign iss', app, ['R12.iss-code']],
    ['no nonce', app, ['id-token.claims']],
    ['an ID token for another', app, ['id-token.claims']],
    ['no fhirUser', app, ['id-token.fhir-user']],
    ['another person', app, ['userinfo.claims']],
    ['introspection without patient', app, ['R10.access-token']],
    ['unknown is active', app, ['R10.unknown']],
    ['a broken record', app, ['fhir.read']],
    ['everybody', app, ['fhir.only-this-patient']],
    ['tokens in addresses', app, ['fhir.header-only']],
    ['no refresh token', app, ['R8.refresh-token']],
    ['refresh widens', app, ['R8.wider']],
    ['no rotation', app, ['R8.rotation']],
    ['spent tokens again', app, ['R8.reuse']],
    ['unknown is an error', app, ['R10.revoke-unknown']],
    ['revocation does nothing', app, ['R10.revoke', 'R11.introspection']],
    ['refresh after revocation', app, ['R10.revoke']],
    ['introspection of the dead', app, ['R11.introspection']],
    ['any verifier', app, ['R4.wrong-verifier']],
    ['no verifier is fine', app, ['R4.no-verifier']],
    ['any redirect at the exchange', app, ['code.redirect']],
    ['parameters in the address', app, ['code.query']],
    ['codes again', app, ['code.reuse', 'code.concurrent']],
    ['a slow look-up', app, ['code.concurrent']],
    ['unknown is granted', app, ['R7.dropped']],
    ['any secret', web, ['R13.wrong-secret']],
    ['the secret’s beginning', web, ['R13.wrong-secret']],
    ['no authentication', web, ['R13.no-secret']],
    ['long assertions', keyed, ['R13.assertion-long']],
    ['any audience', keyed, ['R13.assertion-audience']],
    ['assertions again', keyed, ['R13.assertion-reused']],
    ['scopes of people', service, ['service.scope']],
  ])('%s: %j', async (defect, options, expected) => {
    const { report } = await look(defect, options)
    expect(ids(failing(report))).toEqual(expected)
  })
})
