/** Endpoints for programs, asked by nobody in particular: they must refuse, in a way that programs can read. */
import { type Check, failed, faultless, passed, Skip, told, warned } from './check.ts'
import { foreignOrigin } from './discovery-checks.ts'
import { isObject, isOpen, type Json, seenIn, textOf } from './documents.ts'
import type { Examination } from './examination.ts'
import type { Answer } from './http.ts'

const obtain = 'SMART App Launch 2.2, App Launch, Obtain access token; RFC 6749, section 5.2'
/** A client that no server has. */
export const nobody = 'latchkey-doctor-unknown-client'

const errorOf = ({ json }: Answer): string | undefined => (isObject(json) ? textOf(json, 'error') : undefined)

const askAsNobody = async ({ server, http }: Examination, headers: Record<string, string> = {}): Promise<Answer> =>
  http.send(await server.endpoint('token_endpoint'), {
    method: 'POST',
    headers,
    body: { grant_type: 'authorization_code', code: 'doctor', client_id: nobody, redirect_uri: 'https://app.example/' },
  })

const refused = (answer: Answer): boolean => answer.status >= 400 && answer.status < 500

/** Is it refused to ask about any token, or to end one, without saying who asks? */
const refusesAnybody = async ({ server, http }: Examination, name: string) => {
  const address = await server.endpoint(name)
  const answers = [
    await http.send(address, { method: 'POST', body: { token: 'doctor' } }),
    await http.send(address, {
      method: 'POST',
      headers: { authorization: 'Bearer doctor' },
      body: { token: 'doctor' },
    }),
  ]
  const bad = answers.find((answer) => !refused(answer))
  return bad ? failed(seenIn(bad)) : passed(answers.map(seenIn).join('; '))
}

const bundleFaults = (bundle: Json, identifier: unknown): string[] => {
  const entries = Array.isArray(bundle.entry) ? bundle.entry.filter(isObject) : []
  const resources = entries.map(({ resource }) => resource).filter(isObject)
  const brands = resources.filter(({ resourceType }) => resourceType === 'Organization')
  const endpoints = resources.filter(({ resourceType }) => resourceType === 'Endpoint')
  const faults: string[] = []
  if (bundle.resourceType !== 'Bundle' || bundle.type !== 'collection') faults.push('no Bundle of type collection')
  if (typeof bundle.timestamp !== 'string') faults.push('no timestamp')
  if (brands.length === 0) faults.push('no Organization')
  if (endpoints.length === 0) faults.push('no Endpoint')
  if (brands.length > 1) {
    const value = isObject(identifier) ? identifier.value : undefined
    const fit = brands.filter(
      (brand) =>
        Array.isArray(brand.identifier) && brand.identifier.some((each) => isObject(each) && each.value === value),
    )
    if (value === undefined) faults.push('several brands, and no user_access_brand_identifier')
    else if (fit.length !== 1) faults.push(`user_access_brand_identifier fits ${fit.length} brands`)
  }
  return faults
}

export const endpointChecks: readonly Check[] = [
  {
    id: 'token.unknown-client',
    title: 'An unknown client is refused',
    expected: '400 or 401 and {"error": "invalid_client"}',
    hint: 'Answer invalid_client; 401 where the client used the Authorization header.',
    section: obtain,
    async run(examination) {
      const answer = await askAsNobody(examination)
      if (!refused(answer)) return failed(seenIn(answer))
      if (errorOf(answer) === 'invalid_client') return passed(seenIn(answer))
      return errorOf(answer) ? warned(seenIn(answer)) : passed(`${answer.status}, without a word for programs`)
    },
  },
  {
    id: 'token.json',
    title: 'Errors are JSON whatever Accept says',
    expected: 'application/json with error, also for Accept: text/html',
    hint: 'No error page here: apps read the body.',
    section: obtain,
    async run(examination) {
      const answer = await askAsNobody(examination, { accept: 'text/html' })
      const json = /^application\/json\b/i.test(answer.headers.get('content-type') ?? '')
      return told(json && errorOf(answer) !== undefined, seenIn(answer))
    },
  },
  {
    id: 'token.no-store',
    title: 'Its answers are kept by nobody',
    expected: 'Cache-Control: no-store',
    hint: 'Set Cache-Control: no-store and Pragma: no-cache on every answer of this endpoint.',
    section: obtain,
    async run(examination) {
      const answer = await askAsNobody(examination)
      const seen = answer.headers.get('cache-control') ?? 'no Cache-Control'
      return told(/no-store/i.test(seen), seen)
    },
  },
  {
    id: 'token.empty',
    title: 'A request with nothing in it is refused',
    expected: '400 or 401 and an error as JSON',
    hint: 'Answer invalid_request or invalid_client.',
    section: obtain,
    async run({ server, http }) {
      const answer = await http.send(await server.endpoint('token_endpoint'), {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: '',
      })
      return told((answer.status === 400 || answer.status === 401) && errorOf(answer) !== undefined, seenIn(answer))
    },
  },
  {
    id: 'token.methods',
    title: 'Only POST is answered',
    expected: '405 for GET and PUT',
    hint: 'A token request by GET would leave its code in logs.',
    section: 'RFC 6749, section 3.2',
    async run({ server, http }) {
      const address = await server.endpoint('token_endpoint')
      const seen: string[] = []
      for (const method of ['GET', 'PUT']) {
        const query = method === 'GET' ? `?grant_type=authorization_code&code=doctor&client_id=${nobody}` : ''
        const answer = await http.send(address + query, { method })
        if (answer.status < 400 || answer.status >= 500) return failed(`${seenIn(answer)} for ${method}`)
        seen.push(`${answer.status} for ${method}`)
      }
      return seen.every((each) => each.startsWith('405')) ? passed(seen.join(', ')) : warned(seen.join(', '))
    },
  },
  {
    id: 'token.passwords',
    title: 'Passwords are no grant',
    expected: 'the grant password is refused',
    hint: 'Switch the grant off (OAuth 2.1).',
    section: 'RFC 9700, section 2.4',
    async run({ server, http }) {
      const answer = await http.send(await server.endpoint('token_endpoint'), {
        method: 'POST',
        body: { grant_type: 'password', username: 'doctor', password: 'doctor', client_id: nobody },
      })
      return told(refused(answer), seenIn(answer))
    },
  },
  {
    id: 'introspection.anybody',
    title: 'Introspection tells nothing to anybody',
    expected: 'refused without credentials, and with a made-up bearer token',
    hint: 'Authenticate who asks (RFC 7662, section 2.1).',
    section: 'SMART App Launch 2.2, Token Introspection',
    run: (examination) => refusesAnybody(examination, 'introspection_endpoint'),
  },
  {
    id: 'revocation.anybody',
    title: 'Revocation obeys nobody without a name',
    expected: 'refused without a client',
    hint: 'Authenticate the client; a public one says its client_id.',
    section: 'RFC 7009, section 2.1',
    run: (examination) => refusesAnybody(examination, 'revocation_endpoint'),
  },
  {
    id: 'registration.anybody',
    title: 'Registration is open to nobody without a token',
    expected: 'refused without an initial access token or a software statement',
    hint: 'Gate it; an open endpoint is for sandboxes at most.',
    section: 'RFC 7591, section 3',
    async run({ server, http, app }) {
      const answer = await http.send(await server.endpoint('registration_endpoint'), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ client_name: 'Latchkey doctor', redirect_uris: ['https://app.example/callback'] }),
      })
      if (refused(answer)) return passed(seenIn(answer))
      const { json } = answer
      if (answer.status !== 201 || !isObject(json)) return failed(seenIn(answer))
      app.hide(json.client_secret)
      app.hide(json.registration_access_token)
      const uri = textOf(json, 'registration_client_uri')
      const token = textOf(json, 'registration_access_token')
      if (uri && token && URL.canParse(uri) && new URL(uri).origin === new URL(answer.url).origin)
        await http.send(uri, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } })
      return failed('201: it registered a client')
    },
  },
  {
    id: 'par.anybody',
    title: 'Pushed requests of unknown clients are refused',
    expected: '400 or 401 and an error as JSON',
    hint: 'Authenticate the client as at the token endpoint.',
    section: 'RFC 9126, section 2.1',
    async run({ server, http }) {
      const answer = await http.send(await server.endpoint('pushed_authorization_request_endpoint'), {
        method: 'POST',
        body: { client_id: nobody, response_type: 'code', redirect_uri: 'https://app.example/callback' },
      })
      return told(refused(answer) && errorOf(answer) !== undefined, seenIn(answer))
    },
  },
  {
    id: 'userinfo.anybody',
    title: 'UserInfo tells nothing without a token',
    expected: '401 with WWW-Authenticate: Bearer, without a token and with one that was made up',
    hint: 'Refuse as RFC 6750, section 3 says.',
    section: 'OpenID Connect Core, section 5.3',
    async run({ server, http }) {
      const address = await server.endpoint('userinfo_endpoint')
      const presented: Record<string, string>[] = [{}, { authorization: 'Bearer doctor' }]
      for (const headers of presented) {
        const answer = await http.send(address, { headers })
        const challenge = answer.headers.get('www-authenticate') ?? ''
        if (!/^(Bearer|DPoP)\b/i.test(challenge) || answer.status !== 401) return failed(seenIn(answer))
      }
      return passed('401, both')
    },
  },
  {
    id: 'feed.anybody',
    title: 'The feed of revocations tells nothing to anybody',
    expected: '401 or 403',
    hint: 'Only resource servers may follow it.',
    section: 'R11',
    async run({ server, http }) {
      const answer = await http.send(await server.endpoint('revocation_feed_endpoint'))
      return told(answer.status === 401 || answer.status === 403, seenIn(answer))
    },
  },
  {
    id: 'management.page',
    title: 'Where members end what they share there is a page',
    expected: 'a page, or a way to sign in, at management_endpoint',
    hint: 'Name an address that a member can open.',
    section: 'SMART App Launch 2.2, Conformance',
    async run({ server, http }) {
      const answer = await http.send(await server.endpoint('management_endpoint'), { headers: { accept: 'text/html' } })
      return told(answer.status < 400, seenIn(answer))
    },
  },
  {
    id: 'logout.redirect',
    title: 'Signing out leads to no address that anybody names',
    expected: 'no redirect to a post_logout_redirect_uri that nobody registered',
    hint: 'Compare it with what the client registered, exactly.',
    section: 'OpenID Connect RP-Initiated Logout 1.0, section 3',
    async run({ server, http }) {
      const address = new URL(await server.endpoint('end_session_endpoint'))
      address.searchParams.set('post_logout_redirect_uri', 'https://evil.example/')
      const answer = await http.send(address.href, { headers: { accept: 'text/html' } })
      const location = answer.headers.get('location') ?? ''
      return told(URL.parse(location, address)?.host !== 'evil.example', seenIn(answer))
    },
  },
  {
    id: 'brands.bundle',
    title: 'The bundle of brands is whole, and anybody may read it',
    expected: 'a Bundle of type collection with timestamp, an Organization and an Endpoint, for any origin',
    hint: 'Complete it; with several brands name the one that is this server’s (user_access_brand_identifier).',
    section: 'SMART App Launch 2.2, User-access Brands',
    async run({ server, http }) {
      const smart = await server.smart()
      const named = textOf(smart, 'user_access_brand_bundle')
      if (!named || !URL.canParse(named)) throw new Skip('no user_access_brand_bundle is named')
      const answer = await http.send(named, { headers: { origin: foreignOrigin } })
      if (answer.status !== 200 || !isObject(answer.json)) return failed(seenIn(answer))
      const faults = bundleFaults(answer.json, smart.user_access_brand_identifier)
      if (!isOpen(answer, foreignOrigin)) faults.push('no Access-Control-Allow-Origin')
      if (faults.length === 0 && !answer.headers.get('etag')) return warned('whole, and without an ETag')
      return faultless(faults, 'whole')
    },
  },
]
