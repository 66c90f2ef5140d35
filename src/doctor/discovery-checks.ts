/** The SMART configuration: is it there for anybody, whole, and consistent with itself (SMART App Launch 2.2, "Conformance")? */

import { standardCapabilities } from './capabilities.ts'
import { type Check, failed, faultless, passed, told, warned } from './check.ts'
import { isKept, isObject, isOpen, isSafe, seenIn, textOf, textsOf } from './documents.ts'

const section = 'SMART App Launch 2.2, Conformance'
export const foreignOrigin = 'https://app.example'

/** Members of the document that are addresses. */
const isAddress = (name: string): boolean => /_endpoint$|_uri$|^issuer$|^user_access_brand_bundle$/.test(name)

const needed: Record<string, string> = {
  'permission-offline': 'offline_access',
  'permission-online': 'online_access',
  'sso-openid-connect': 'openid',
  'context-standalone-patient': 'launch/patient',
  'context-standalone-encounter': 'launch/encounter',
  'launch-ehr': 'launch',
}

export const discoveryChecks: readonly Check[] = [
  {
    id: 'smart.discovery.served',
    title: 'The SMART configuration is served to anybody',
    expected: '200 and a JSON object at {base}/.well-known/smart-configuration',
    hint: 'Serve it at the FHIR base, path and all, without a sign-in, a redirect or a firewall before it.',
    section,
    async run({ server }) {
      const answer = await server.smartAnswer()
      return told(answer.status === 200 && isObject(answer.json), seenIn(answer))
    },
  },
  {
    id: 'smart.discovery.json',
    title: 'It is JSON whatever Accept says',
    expected: 'application/json, also for Accept: text/html and application/fhir+xml',
    hint: 'Answer application/json always; do not let a framework choose by Accept.',
    section,
    async run({ server, http }) {
      await server.smart()
      const { url } = await server.smartAnswer()
      for (const accept of ['application/json', 'text/html', 'application/fhir+xml']) {
        const answer = await http.send(url, { headers: { accept } })
        const type = answer.headers.get('content-type') ?? ''
        if (answer.status !== 200 || !isObject(answer.json) || !/^application\/json\b/i.test(type))
          return failed(`${seenIn(answer)} for Accept: ${accept}`)
      }
      return passed('application/json each time')
    },
  },
  {
    id: 'smart.discovery.addresses',
    title: 'Its addresses are absolute and safe',
    expected: 'absolute https addresses; http on this machine only',
    hint: 'Name whole addresses. A proxy that ends TLS must not make them http.',
    section,
    async run({ server }) {
      const document = await server.smart()
      const faults = Object.entries(document).flatMap(([name, value]) =>
        isAddress(name) && !(typeof value === 'string' && isSafe(value)) ? [`${name} is ${JSON.stringify(value)}`] : [],
      )
      return faultless(faults, 'absolute, each of them')
    },
  },
  {
    id: 'smart.discovery.required',
    title: 'What must be named is named',
    expected: 'token_endpoint, grant_types_supported and capabilities; authorization_endpoint where apps launch',
    hint: 'Add what is missing; lists are arrays of strings.',
    section,
    async run({ server }) {
      const document = await server.smart()
      const capabilities = textsOf(document, 'capabilities')
      const launches = capabilities?.some((each) => each === 'launch-ehr' || each === 'launch-standalone')
      const missing = [
        ...['grant_types_supported', 'capabilities'].filter((name) => !textsOf(document, name)?.length),
        ...['token_endpoint', ...(launches ? ['authorization_endpoint'] : [])].filter(
          (name) => !textOf(document, name),
        ),
      ]
      return faultless(
        missing.map((name) => `no ${name}`),
        'all of it',
      )
    },
  },
  {
    id: 'smart.discovery.s256',
    title: 'PKCE by S256 is named, plain is not',
    expected: 'code_challenge_methods_supported has S256 and not plain',
    hint: 'Name S256 alone, and refuse plain.',
    section,
    async run({ server }) {
      const methods = textsOf(await server.smart(), 'code_challenge_methods_supported')
      return told(
        methods?.includes('S256') === true && !methods.includes('plain'),
        methods ? methods.join(', ') || 'an empty list' : 'no list',
      )
    },
  },
  {
    id: 'smart.discovery.issuer',
    title: 'issuer and jwks_uri come with OpenID Connect, and only then',
    expected: 'both where sso-openid-connect is a capability; no issuer otherwise',
    hint: 'Name issuer and jwks_uri if and only if people’s identities are told.',
    section,
    async run({ server }) {
      const document = await server.smart()
      const sso = textsOf(document, 'capabilities')?.includes('sso-openid-connect') === true
      const has = ['issuer', 'jwks_uri'].filter((name) => textOf(document, name))
      const seen = `${sso ? '' : 'no '}sso-openid-connect, and ${has.join(' and ') || 'neither'}`
      return told(sso ? has.length === 2 : !has.includes('issuer'), seen)
    },
  },
  {
    id: 'smart.discovery.capabilities',
    title: 'Capabilities have names that are known',
    expected: 'names of the specification; others are full URIs',
    hint: 'Spell standard capabilities as the specification does; name your own by a URI.',
    section: `${section}, Capabilities`,
    async run({ server }) {
      const unknown = (await server.capabilities()).filter(
        (name) => !standardCapabilities.some((known) => known.name === name) && !/^[a-z][a-z0-9+.-]*:\S+$/i.test(name),
      )
      return faultless(
        unknown.map((name) => `${name} is neither`),
        'known, or URIs',
      )
    },
  },
  {
    id: 'smart.discovery.scopes',
    title: 'The scopes fit the capabilities',
    expected: 'scopes_supported has what each capability promises',
    hint: 'List the scope, or drop the capability.',
    section,
    async run({ server }) {
      const document = await server.smart()
      const scopes = textsOf(document, 'scopes_supported')
      if (!scopes) return warned('no scopes_supported: apps must guess')
      const lacks = (await server.capabilities()).flatMap((name) => {
        const scope = needed[name]
        if (scope && !scopes.includes(scope)) return [`${name} without ${scope}`]
        const context = /^permission-(patient|user)$/.exec(name)?.[1]
        return context && !scopes.some((each) => each.startsWith(`${context}/`))
          ? [`${name} without ${context}/ scopes`]
          : []
      })
      return faultless(lacks, `${scopes.length} scopes`)
    },
  },
  {
    id: 'smart.discovery.methods',
    title: 'Ways to authenticate and grants fit the capabilities',
    expected:
      'client_secret_basic or client_secret_post for client-confidential-symmetric; private_key_jwt with RS384 or ES384 for -asymmetric; authorization_code where apps launch',
    hint: 'Complete token_endpoint_auth_methods_supported, token_endpoint_auth_signing_alg_values_supported and grant_types_supported.',
    section: `${section}; Client Authentication: Asymmetric, Advertising`,
    async run({ server }) {
      const document = await server.smart()
      const capabilities = await server.capabilities()
      const methods = textsOf(document, 'token_endpoint_auth_methods_supported') ?? []
      const algorithms = textsOf(document, 'token_endpoint_auth_signing_alg_values_supported') ?? []
      const grants = textsOf(document, 'grant_types_supported') ?? []
      const faults: string[] = []
      const secret = methods.some((each) => each.startsWith('client_secret_'))
      if (capabilities.includes('client-confidential-symmetric') && methods.length > 0 && !secret)
        faults.push('client-confidential-symmetric, and no method with a secret')
      if (capabilities.includes('client-confidential-asymmetric')) {
        if (!methods.includes('private_key_jwt')) faults.push('client-confidential-asymmetric without private_key_jwt')
        if (!algorithms.some((each) => each === 'RS384' || each === 'ES384')) faults.push('neither RS384 nor ES384')
      }
      if (capabilities.some((each) => /^launch-/.test(each)) && !grants.includes('authorization_code'))
        faults.push('apps launch, and no grant authorization_code')
      return faultless(faults, `${methods.join(', ')}; ${grants.join(', ')}`)
    },
  },
  {
    id: 'smart.discovery.associated',
    title: 'Endpoints beside it are well told',
    expected: 'associated_endpoints, where named, is a list of {url, capabilities}',
    hint: 'Give each entry an absolute url and a list of capabilities.',
    section,
    async run({ server }) {
      const { associated_endpoints: named } = await server.smart()
      if (named === undefined) return passed('none is named')
      const good = (entry: unknown): boolean =>
        isObject(entry) && isSafe(textOf(entry, 'url') ?? '') && textsOf(entry, 'capabilities') !== undefined
      return told(
        Array.isArray(named) && named.every(good),
        Array.isArray(named) ? `${named.length} entries` : 'no list',
      )
    },
  },
  {
    id: 'R5.discovery',
    title: 'Pages of any origin may read the SMART configuration',
    expected: 'Access-Control-Allow-Origin: * (or the origin that asks)',
    hint: 'Set the header on this document, for any origin.',
    section: 'SMART App Launch 2.2, App Launch, CORS; R5',
    async run({ server, http }) {
      await server.smart()
      const { url } = await server.smartAnswer()
      const answer = await http.send(url, { headers: { origin: foreignOrigin } })
      return told(isOpen(answer, foreignOrigin), answer.headers.get('access-control-allow-origin') ?? 'no such header')
    },
  },
  {
    id: 'smart.discovery.cacheable',
    title: 'It may be kept for a while',
    expected: 'no Cache-Control: no-store',
    hint: 'Let caches keep it for some minutes: public, max-age=300.',
    section,
    async run({ server }) {
      await server.smart()
      const answer = await server.smartAnswer()
      const seen = answer.headers.get('cache-control') ?? 'no Cache-Control'
      return isKept(answer) ? passed(seen) : warned(seen)
    },
  },
]
