/** The FHIR server beside it: what it says of OAuth, and that it opens to nobody without a token. */
import { type Check, failed, faultless, passed, skipped, warned } from './check.ts'
import { foreignOrigin } from './discovery-checks.ts'
import { isObject, isOpen, type Json, seenIn } from './documents.ts'

const access = 'SMART App Launch 2.2, App Launch, Access FHIR API; RFC 6750, section 3'
const uris = 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris'

/** Addresses of the CapabilityStatement's oauth-uris extension, by metadata name. */
const oauthUris = (statement: Json): Map<string, string> => {
  const names: Record<string, string> = {
    authorize: 'authorization_endpoint',
    token: 'token_endpoint',
    introspect: 'introspection_endpoint',
    revoke: 'revocation_endpoint',
    register: 'registration_endpoint',
    manage: 'management_endpoint',
  }
  const found = new Map<string, string>()
  const list = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : [])
  for (const rest of list(statement.rest))
    for (const extension of list(isObject(rest.security) ? rest.security.extension : undefined))
      if (extension.url === uris)
        for (const { url, valueUri } of list(extension.extension)) {
          const name = names[String(url)]
          if (name && typeof valueUri === 'string') found.set(name, valueUri)
        }
  return found
}

/** A token that nobody made: alg none, for everything. */
const unsigned = `${btoa('{"alg":"none","typ":"at+jwt"}').replaceAll('=', '')}.${btoa('{"sub":"doctor","scope":"patient/*.rs system/*.rs"}').replaceAll('=', '')}.`

export const fhirChecks: readonly Check[] = [
  {
    id: 'fhir.metadata',
    title: 'The CapabilityStatement can be read by anybody',
    expected: '200 and a CapabilityStatement at {base}/metadata, for any origin',
    hint: 'Serve it without a token, with Access-Control-Allow-Origin: *.',
    section: 'FHIR R4, capabilities; SMART App Launch 2.2, App Launch, CORS',
    async run({ server, http }) {
      const base = await server.fhirBase()
      const answer = await http.send(`${base}/metadata`, {
        headers: { accept: 'application/fhir+json', origin: foreignOrigin },
      })
      if (answer.status !== 200 || !isObject(answer.json) || answer.json.resourceType !== 'CapabilityStatement')
        return failed(seenIn(answer))
      return isOpen(answer, foreignOrigin)
        ? passed('a CapabilityStatement, for any origin')
        : failed('a CapabilityStatement, and no Access-Control-Allow-Origin')
    },
  },
  {
    id: 'fhir.metadata.oauth',
    title: 'Its OAuth addresses agree with the SMART configuration',
    expected: 'the same addresses in the oauth-uris extension, where it is there',
    hint: 'Make both from one source; apps of yesterday read this one.',
    section: 'SMART App Launch 2.2, Conformance',
    async run({ server }) {
      const { json } = await server.capabilityAnswer()
      if (!isObject(json) || json.resourceType !== 'CapabilityStatement')
        return skipped('there is no CapabilityStatement')
      const smart = await server.smart()
      const named = oauthUris(json)
      if (named.size === 0) return passed('it names none, which is allowed')
      const faults = [...named].flatMap(([name, address]) =>
        URL.canParse(String(smart[name])) && smart[name] !== address
          ? [`${name} is ${address}, and ${smart[name]}`]
          : [],
      )
      return faultless(faults, `${named.size} addresses agree`)
    },
  },
  {
    id: 'fhir.anonymous',
    title: 'It opens to nobody without a token',
    expected: '401 with WWW-Authenticate: Bearer for {base}/Patient',
    hint: 'Refuse before anything is looked up, and say by which scheme.',
    section: access,
    async run({ server, http }) {
      const answer = await http.send(`${await server.fhirBase()}/Patient`, {
        headers: { accept: 'application/fhir+json' },
      })
      const challenge = answer.headers.get('www-authenticate') ?? ''
      if (answer.status === 401 && /^(Bearer|DPoP)\b/i.test(challenge)) return passed('401, Bearer')
      if (answer.status === 403) return warned('403; 401 with WWW-Authenticate says more')
      return failed(answer.status === 401 ? '401 without WWW-Authenticate: Bearer' : seenIn(answer))
    },
  },
  {
    id: 'fhir.made-up-token',
    title: 'It opens to no token that was made up',
    expected: '401 for a word, and for a JWT without a signature',
    hint: 'Verify the signature of each token, and accept no alg but those that you issue.',
    section: `${access}; RFC 8725, section 3.1`,
    async run({ server, http }) {
      const base = await server.fhirBase()
      for (const token of ['doctor', unsigned]) {
        const answer = await http.send(`${base}/Patient`, {
          headers: { accept: 'application/fhir+json', authorization: `Bearer ${token}` },
        })
        if (answer.status !== 401 && answer.status !== 403)
          return failed(`${seenIn(answer)} for ${token === 'doctor' ? 'a word' : 'a JWT with alg none'}`)
      }
      return passed('refused, both')
    },
  },
]
