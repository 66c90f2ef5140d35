/** OpenID Connect discovery, RFC 8414 metadata and the published keys. */
import { type Check, failed, faultless, passed, Skip, skipped, told, warned } from './check.ts'
import { foreignOrigin } from './discovery-checks.ts'
import { isKept, isObject, isOpen, type Json, seenIn, textOf, textsOf } from './documents.ts'
import type { ServerFacts } from './server.ts'

const connect = 'OpenID Connect Discovery 1.0'
const keysSection = 'SMART App Launch 2.2, Scopes and Launch Context; RFC 7517'

const shared = ['authorization_endpoint', 'token_endpoint', 'introspection_endpoint', 'revocation_endpoint', 'jwks_uri']

/** Members that two documents of one issuer say differently. */
const differences = (one: Json, other: Json): string[] =>
  shared.flatMap((name) => {
    const [left, right] = [textOf(one, name), textOf(other, name)]
    return left && right && left !== right ? [`${name} is ${right}, and ${left} in the SMART configuration`] : []
  })

const withSso = async (server: ServerFacts): Promise<void> => {
  if (!(await server.capabilities()).includes('sso-openid-connect'))
    throw new Skip('sso-openid-connect is no capability here')
}

/** The length of an RSA modulus in bits. */
const bitsOf = (modulus: string): number => {
  const bytes = Buffer.from(modulus, 'base64url')
  const start = bytes.findIndex((byte) => byte !== 0)
  return start < 0 ? 0 : (bytes.length - start) * 8 - (Math.clz32(bytes[start] ?? 0) - 24)
}

const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

export const openidChecks: readonly Check[] = [
  {
    id: 'openid.discovery.served',
    title: 'The OpenID configuration is served at the issuer',
    expected: '200 and a JSON object at {issuer}/.well-known/openid-configuration',
    hint: 'Serve it below the issuer exactly as the SMART configuration names it.',
    section: connect,
    async run({ server }) {
      await withSso(server)
      const answer = await server.openidAnswer()
      return told(answer.status === 200 && isObject(answer.json), seenIn(answer))
    },
  },
  {
    id: 'openid.discovery.issuer',
    title: 'Its issuer is the same, byte for byte',
    expected: 'the issuer of the SMART configuration, also as to the slash at the end',
    hint: 'One spelling of the issuer everywhere: documents, tokens, iss.',
    section: `${connect}, section 4.3`,
    async run({ server }) {
      const [document, issuer] = [await server.openid(), await server.issuer()]
      const seen = textOf(document, 'issuer')
      return told(seen === issuer, seen ?? 'no issuer')
    },
  },
  {
    id: 'openid.discovery.endpoints',
    title: 'It names the same endpoints',
    expected: 'authorization, token, introspection, revocation and keys as in the SMART configuration',
    hint: 'Make both documents from one source.',
    section: connect,
    async run({ server }) {
      return faultless(differences(await server.smart(), await server.openid()), 'the same')
    },
  },
  {
    id: 'openid.discovery.required',
    title: 'What OpenID requires is named',
    expected: 'response_types_supported with code, subject_types_supported, RS256 among the signatures of ID tokens',
    hint: 'SMART requires RS256 for ID tokens.',
    section: `${connect}, section 3`,
    async run({ server }) {
      const document = await server.openid()
      const faults: string[] = []
      if (!textsOf(document, 'response_types_supported')?.includes('code')) faults.push('no response type code')
      if (!textsOf(document, 'subject_types_supported')?.length) faults.push('no subject_types_supported')
      if (!textsOf(document, 'id_token_signing_alg_values_supported')?.includes('RS256')) faults.push('no RS256')
      return faultless(faults, 'all of it')
    },
  },
  {
    id: 'openid.discovery.cors',
    title: 'Pages of any origin may read it, and it may be kept',
    expected: 'Access-Control-Allow-Origin: *, and no Cache-Control: no-store',
    hint: 'Apps that run in browsers read it.',
    section: 'R5',
    async run({ server, http }) {
      await server.openid()
      const answer = await http.send((await server.openidAnswer()).url, { headers: { origin: foreignOrigin } })
      if (!isOpen(answer, foreignOrigin))
        return failed(answer.headers.get('access-control-allow-origin') ?? 'no such header')
      return isKept(answer) ? passed('any origin') : warned('any origin, and no-store')
    },
  },
  {
    id: 'R12.iss-advertised',
    title: 'Answers of the authorization endpoint say who they are from',
    expected: 'authorization_response_iss_parameter_supported is true',
    hint: 'Send iss with codes and errors, and say so here: it protects apps that know several servers.',
    section: 'RFC 9207, section 3',
    async run({ server }) {
      const document = await server.openid()
      const value = document.authorization_response_iss_parameter_supported
      return value === true ? passed('true') : warned(value === undefined ? 'not said' : String(value))
    },
  },
  {
    id: 'oauth.metadata.served',
    title: 'RFC 8414 metadata are where that RFC puts them',
    expected: 'a JSON object at /.well-known/oauth-authorization-server before the issuer’s path',
    hint: 'Libraries that know no OpenID look there.',
    section: 'RFC 8414, section 3.1',
    async run({ server }) {
      const answer = await server.metadataAnswer()
      if (answer.status === 200 && isObject(answer.json)) return passed(seenIn(answer))
      return warned(seenIn(answer))
    },
  },
  {
    id: 'oauth.metadata.agrees',
    title: 'They agree with the SMART configuration',
    expected: 'the same issuer and endpoints',
    hint: 'Make both documents from one source.',
    section: 'RFC 8414, section 3.3',
    async run({ server }) {
      const { status, json } = await server.metadataAnswer()
      if (status !== 200 || !isObject(json)) return skipped('there are no such metadata')
      const issuer = await server.issuer()
      const faults = textOf(json, 'issuer') === issuer ? [] : [`issuer is ${textOf(json, 'issuer') ?? 'not named'}`]
      return faultless([...faults, ...differences(await server.smart(), json)], 'they do')
    },
  },
  {
    id: 'jwks.served',
    title: 'The keys are served to anybody',
    expected: '200 and {"keys": [...]} with at least one key',
    hint: 'Serve the public keys at jwks_uri without a sign-in.',
    section: keysSection,
    async run({ server }) {
      const answer = await server.jwksAnswer()
      const keys = isObject(answer.json) ? answer.json.keys : undefined
      return told(
        answer.status === 200 && Array.isArray(keys) && keys.length > 0 && keys.every(isObject),
        seenIn(answer),
      )
    },
  },
  {
    id: 'jwks.form',
    title: 'They are bare keys that can be told apart',
    expected: 'each with kty, a kid of its own, and n and e, or crv and its points',
    hint: 'Publish bare JWKs: a certificate alone (x5c) is no key to a SMART app.',
    section: keysSection,
    async run({ server }) {
      const keys = await server.jwks()
      const seen = new Set<string>()
      const faults = keys.flatMap((key, index) => {
        const name = textOf(key, 'kid') ?? `key ${index + 1}`
        const found: string[] = []
        if (!textOf(key, 'kid')) found.push(`${name} has no kid`)
        else if (seen.has(name)) found.push(`two keys are called ${name}`)
        seen.add(name)
        const parts: Record<string, string[]> = { RSA: ['n', 'e'], EC: ['crv', 'x', 'y'], OKP: ['crv', 'x'] }
        const kty = textOf(key, 'kty')
        // A shared secret has a check of its own.
        const lacks =
          kty === 'oct' ? [] : (parts[kty ?? '']?.filter((part) => !textOf(key, part)) ?? ['a kty that is known'])
        if (lacks.length > 0) found.push(`${name} lacks ${lacks.join(', ')}`)
        return found
      })
      return faultless(faults, `${keys.length} keys`)
    },
  },
  {
    id: 'jwks.algorithms',
    title: 'Each key says what it is for',
    expected: 'alg on every key',
    hint: 'With alg no verifier can be talked into another algorithm.',
    section: 'RFC 8725, section 3.1',
    async run({ server }) {
      const keys = await server.jwks()
      const without = keys.filter((key) => !textOf(key, 'alg')).length
      return without === 0
        ? passed(keys.map((key) => textOf(key, 'alg')).join(', '))
        : warned(`${without} keys without alg`)
    },
  },
  {
    id: 'jwks.public',
    title: 'Nothing private is published',
    expected: 'no private members, no shared secrets',
    hint: 'At once: replace the keys, and end what they signed.',
    section: 'RFC 7517, section 9.2',
    async run({ server }) {
      const keys = await server.jwks()
      const faults = keys.flatMap((key, index) =>
        privateMembers.some((name) => key[name] !== undefined) || key.kty === 'oct'
          ? [`${textOf(key, 'kid') ?? `key ${index + 1}`} has private members`]
          : [],
      )
      return faultless(faults, 'public parts only')
    },
  },
  {
    id: 'jwks.strength',
    title: 'The keys are long enough',
    expected: 'RSA of 2048 bits or more; P-256, P-384, P-521 or Ed25519',
    hint: 'Make longer keys.',
    section: 'RFC 7518, section 3.3',
    async run({ server }) {
      const faults = (await server.jwks()).flatMap((key, index) => {
        const name = textOf(key, 'kid') ?? `key ${index + 1}`
        const modulus = textOf(key, 'n')
        if (key.kty === 'RSA' && modulus && bitsOf(modulus) < 2048) return [`${name} has ${bitsOf(modulus)} bits`]
        const curve = textOf(key, 'crv')
        return curve && !/^(P-256|P-384|P-521|Ed25519|Ed448)$/.test(curve) ? [`${name} is on ${curve}`] : []
      })
      return faultless(faults, 'long enough')
    },
  },
  {
    id: 'jwks.id-token-key',
    title: 'There is a key for ID tokens',
    expected: 'an RSA key for RS256, which SMART requires of ID tokens',
    hint: 'Add an RSA key.',
    section: 'SMART App Launch 2.2, Scopes and Launch Context, Identity data',
    async run({ server }) {
      await withSso(server)
      const keys = await server.jwks()
      const fit = keys.some(
        (key) => key.kty === 'RSA' && (textOf(key, 'alg') ?? 'RS256') === 'RS256' && key.use !== 'enc',
      )
      return told(fit, keys.map((key) => textOf(key, 'alg') ?? String(key.kty)).join(', '))
    },
  },
  {
    id: 'R5.jwks',
    title: 'Pages of any origin may read the keys, and keep them',
    expected: 'Access-Control-Allow-Origin: *, and no Cache-Control: no-store',
    hint: 'Without a cache every verification asks for them again.',
    section: 'R5',
    async run({ server, http }) {
      await server.jwks()
      const answer = await http.send((await server.jwksAnswer()).url, { headers: { origin: foreignOrigin } })
      if (!isOpen(answer, foreignOrigin))
        return failed(answer.headers.get('access-control-allow-origin') ?? 'no such header')
      return isKept(answer) ? passed('any origin') : warned('any origin, and no-store')
    },
  },
]
