/** How the server makes sure who a client is (R13), and whose pages may read its answers (R5). */
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import { randomToken } from '../secrets.ts'
import { type Check, failed, passed, Skip, skipped, told, type Verdict, warned } from './check.ts'
import {
  type AssertionWishes,
  algorithmOf,
  asFields,
  basic,
  type ClientCredentials,
  makeAssertion,
} from './credentials.ts'
import { foreignOrigin } from './discovery-checks.ts'
import { isObject, isSafe, seenIn, textsOf } from './documents.ts'
import type { Examination } from './examination.ts'
import type { Answer } from './http.ts'

const symmetric = 'SMART App Launch 2.2, Client Authentication: Symmetric; RFC 6749, section 2.3; R13'
const asymmetric = 'SMART App Launch 2.2, Client Authentication: Asymmetric; RFC 7523, section 3; R13'
const cors = 'SMART App Launch 2.2, App Launch, CORS; R5'

/** A refresh with a token that nobody has: who is let in hears `invalid_grant`. */
const probe = { grant_type: 'refresh_token', refresh_token: 'latchkey-doctor-unknown-token' }

const errorOf = ({ json }: Answer): string => (isObject(json) ? String(json.error) : '')
const letIn = (answer: Answer): Verdict =>
  told(answer.status === 400 && errorOf(answer) === 'invalid_grant', seenIn(answer))
const keptOut = (answer: Answer): Verdict => {
  if (errorOf(answer) === 'invalid_client' && (answer.status === 401 || answer.status === 400))
    return passed(seenIn(answer))
  return errorOf(answer) === 'invalid_request' ? warned(seenIn(answer)) : failed(seenIn(answer))
}

const send = async (
  { server, http }: Examination,
  fields: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Answer> => {
  const address = await server.endpoint('token_endpoint')
  if (!isSafe(address)) throw new Skip('credentials are not sent without TLS')
  return http.send(address, { method: 'POST', headers, body: { ...probe, ...fields } })
}

const secretOf = ({ app }: Examination): { clientId: string; secret: string } => {
  const { clientId, secret } = app.credentials()
  if (secret === undefined) throw new Skip('the client has no secret')
  return { clientId, secret }
}

const keyed = ({ app }: Examination): ClientCredentials & { key: JWK } => {
  const { clientId, key } = app.credentials()
  if (!key) throw new Skip('the client has no key (--key)')
  return { clientId, key }
}

const methodNamed = async ({ server }: Examination, name: string): Promise<void> => {
  const methods = textsOf(await server.smart(), 'token_endpoint_auth_methods_supported')
  if (methods && !methods.includes(name)) throw new Skip(`${name} is not advertised`)
}

/** Asks with an assertion that differs from a right one in what is wished. */
export const asks = async (
  examination: Examination,
  credentials: ClientCredentials,
  fields: Record<string, string>,
  wishes: Partial<AssertionWishes> = {},
): Promise<Answer> => {
  const audience = await examination.server.endpoint('token_endpoint')
  const assertion = await makeAssertion(credentials, { audience, ...wishes }, examination.now())
  examination.app.hide(assertion)
  return send(examination, { ...asFields(assertion), ...fields })
}

/** A key that nobody registered, of the same kind and by the same name. */
export const anotherKey = async (key: JWK): Promise<JWK> => {
  const alg = algorithmOf(key)
  const { privateKey } = await generateKeyPair(alg, {
    extractable: true,
    ...(key.crv === 'Ed25519' ? { crv: 'Ed25519' } : {}),
  })
  return { ...(await exportJWK(privateKey)), alg, ...(key.kid ? { kid: key.kid } : {}) }
}

/** What is presented once is not accepted again, in a row or at once. */
export const replays = async (
  examination: Examination,
  credentials: ClientCredentials,
  fields: Record<string, string>,
  accepted: (answer: Answer) => boolean,
): Promise<Verdict> => {
  const audience = await examination.server.endpoint('token_endpoint')
  const assertion = await makeAssertion(credentials, { audience, jti: randomToken(16) }, examination.now())
  examination.app.hide(assertion)
  const answers = await Promise.all(
    Array.from({ length: 4 }, () => send(examination, { ...asFields(assertion), ...fields })),
  )
  answers.push(await send(examination, { ...asFields(assertion), ...fields }))
  const good = answers.filter(accepted).length
  if (good === 0) return skipped('the assertion is not accepted at all')
  return told(good === 1, `accepted ${good} times of ${answers.length}`)
}

const wrongAssertions: {
  id: string
  title: string
  hint: string
  wishes: (key: JWK) => Promise<Partial<AssertionWishes>>
}[] = [
  {
    id: 'R13.assertion-long',
    title: 'An assertion that lives for more than five minutes is refused',
    hint: 'Refuse exp more than 300 s ahead; that bounds what must be remembered.',
    wishes: async () => ({ lifeSeconds: 900 }),
  },
  {
    id: 'R13.assertion-audience',
    title: 'An assertion for another server is refused',
    hint: 'Accept a fixed audience only, never one made from the Host header.',
    wishes: async () => ({ audience: 'https://evil.example/token' }),
  },
  {
    id: 'R13.assertion-expired',
    title: 'An assertion that is over is refused',
    hint: 'Check exp.',
    wishes: async () => ({ lifeSeconds: -120 }),
  },
  {
    id: 'R13.assertion-issuer',
    title: 'An assertion of somebody else is refused',
    hint: 'iss and sub are both the client id.',
    wishes: async () => ({ issuer: 'https://evil.example' }),
  },
  {
    id: 'R13.assertion-key',
    title: 'An assertion signed with another key is refused',
    hint: 'Verify with the registered keys only, by kid and kty.',
    wishes: async (key) => ({ key: await anotherKey(key) }),
  },
  {
    id: 'R13.assertion-jku',
    title: 'An assertion that brings its own keys is refused',
    hint: 'A jku that is not the registered one fails; jwk and x5u are never followed.',
    wishes: async (key) => ({ key: await anotherKey(key), header: { jku: 'https://evil.example/jwks' } }),
  },
]

const corsOf = async (examination: Examination, origin: string): Promise<string | null> => {
  const answer = await examination.app.call('token_endpoint', probe, { origin })
  return answer.headers.get('access-control-allow-origin')
}

export const clientChecks: readonly Check[] = [
  {
    id: 'R13.accepted',
    title: 'The client is let in by the way that it uses',
    expected: 'invalid_grant for a refresh token that nobody has: the client itself is known',
    hint: 'Check the client id, its secret or key, and the way that is registered for it.',
    section: symmetric,
    needs: 'client',
    run: async ({ app }) => letIn(await app.call('token_endpoint', probe)),
  },
  {
    id: 'R13.public',
    title: 'A public client is let in by its id',
    expected: 'invalid_grant for a refresh token that nobody has',
    hint: 'Register the client with the method none; PKCE protects it.',
    section: 'RFC 6749, section 3.2.1; R13',
    needs: 'client',
    async run({ app }) {
      const { secret, key } = app.credentials()
      if (secret !== undefined || key) return skipped('the client is confidential')
      return letIn(await app.call('token_endpoint', probe))
    },
  },
  {
    id: 'R13.basic',
    title: 'A secret is accepted in the Authorization header',
    expected: 'the client is let in by client_secret_basic',
    hint: 'SMART requires HTTP Basic of servers with confidential clients.',
    section: symmetric,
    needs: 'client',
    async run(examination) {
      const { clientId, secret } = secretOf(examination)
      await methodNamed(examination, 'client_secret_basic')
      return letIn(await send(examination, {}, basic(clientId, secret)))
    },
  },
  {
    id: 'R13.post',
    title: 'A secret is accepted in the body where that is advertised',
    expected: 'the client is let in by client_secret_post',
    hint: 'Accept it, or do not advertise it.',
    section: symmetric,
    needs: 'client',
    async run(examination) {
      const { clientId, secret } = secretOf(examination)
      await methodNamed(examination, 'client_secret_post')
      return letIn(await send(examination, { client_id: clientId, client_secret: secret }))
    },
  },
  {
    id: 'R13.wrong-secret',
    title: 'A wrong secret is refused, by each way',
    expected: 'invalid_client',
    hint: 'Compare the whole secret, in constant time.',
    section: symmetric,
    needs: 'client',
    async run(examination) {
      const { clientId, secret } = secretOf(examination)
      const wrong = randomToken(24)
      const attempts: [Record<string, string>, Record<string, string>][] = [
        [{}, basic(clientId, wrong)],
        [{}, basic(clientId, `${secret}x`)],
        [{ client_id: clientId, client_secret: wrong }, {}],
      ]
      for (const [fields, headers] of attempts) {
        const verdict = keptOut(await send(examination, fields, headers))
        if (verdict.outcome !== 'passed') return verdict
      }
      return passed('invalid_client, each time')
    },
  },
  {
    id: 'R13.no-secret',
    title: 'A client with a secret or a key is refused without it',
    expected: 'invalid_client for the client id alone',
    hint: 'A confidential client must always authenticate.',
    section: symmetric,
    needs: 'client',
    async run(examination) {
      const { clientId, secret, key } = examination.app.credentials()
      if (secret === undefined && !key) return skipped('the client is public')
      return keptOut(await send(examination, { client_id: clientId }))
    },
  },
  {
    id: 'R13.assertion-reused',
    title: 'An assertion is accepted once, also under a race',
    expected: 'one of five',
    hint: 'Keep each jti until its assertion ends, in one step with the look-up.',
    section: asymmetric,
    needs: 'client',
    run: (examination) => replays(examination, keyed(examination), {}, (answer) => errorOf(answer) === 'invalid_grant'),
  },
  ...wrongAssertions.map(
    ({ id, title, hint, wishes }): Check => ({
      id,
      title,
      expected: 'invalid_client',
      hint,
      section: asymmetric,
      needs: 'client',
      async run(examination) {
        const credentials = keyed(examination)
        return keptOut(await asks(examination, credentials, {}, await wishes(credentials.key)))
      },
    }),
  ),
  {
    id: 'R5.token',
    title: 'Pages of the app may read answers of the token endpoint, errors too',
    expected: 'Access-Control-Allow-Origin: the origin of the redirect URI',
    hint: 'Allow the origins of the client’s redirect URIs, on error answers as well.',
    section: cors,
    needs: 'client',
    async run(examination) {
      const { origin } = new URL(examination.app.redirectUri)
      if (!/^https?:/.test(origin)) return skipped('the app is at no origin of the web')
      const { secret, key } = examination.app.credentials()
      const seen = await corsOf(examination, origin)
      if (seen === origin || seen === '*') return passed(seen)
      const words = seen ?? 'no such header'
      // What has a secret runs on a server, and needs no CORS.
      return secret !== undefined || key ? warned(words) : failed(words)
    },
  },
  {
    id: 'R5.token-foreign',
    title: 'Pages of others may not',
    expected: 'no Access-Control-Allow-Origin for an origin that the client did not register',
    hint: 'Do not echo any Origin; never allow credentials.',
    section: cors,
    needs: 'client',
    async run(examination) {
      const seen = await corsOf(examination, foreignOrigin)
      if (seen === null) return passed('none')
      return seen === '*' ? warned('*') : failed(seen)
    },
  },
]
