/** Codes that are presented as they should not be, and requests that differ from the usual one (R4, R6, R7). */
import { randomToken } from '../secrets.ts'
import type { Code, Parameters } from './app.ts'
import { type Check, failed, faultless, passed, Skip, skipped, told, warned } from './check.ts'
import { isObject, seenIn, textOf, trimmed } from './documents.ts'
import type { Examination } from './examination.ts'
import type { Answer } from './http.ts'
import { claimsOf, introspected } from './token-checks.ts'

const pkce = 'SMART App Launch 2.2, App Launch, PKCE; RFC 9700, section 2.1.1; R4'

const isInvalidGrant = ({ status, json }: Answer): boolean =>
  status === 400 && isObject(json) && /^invalid_(grant|request)$/.test(String(json.error))

/** A code that is presented wrongly must be refused. */
const refusesCode =
  (changes: Parameters) =>
  async ({ app }: Examination) => {
    const answer = await app.redeem(await app.authorize(), changes)
    return told(isInvalidGrant(answer), seenIn(answer))
  }

export const codeChecks: readonly Check[] = [
  {
    id: 'R4.wrong-verifier',
    title: 'A code with another verifier is refused',
    expected: 'invalid_grant',
    hint: 'Compare the verifier’s hash with the challenge of the request.',
    section: pkce,
    needs: 'member',
    run: (examination) => refusesCode({ code_verifier: randomToken(32) })(examination),
  },
  {
    id: 'R4.no-verifier',
    title: 'A code without its verifier is refused',
    expected: 'invalid_grant where the request had a challenge',
    hint: 'Whoever sent a challenge must send the verifier: else a stolen code is enough.',
    section: pkce,
    needs: 'member',
    run: refusesCode({ code_verifier: null }),
  },
  {
    id: 'R4.downgrade',
    title: 'A verifier without a challenge is refused',
    expected: 'no code without a challenge, or invalid_grant for it with a verifier',
    hint: 'A code from a request without PKCE must not be redeemed with a verifier.',
    section: 'RFC 9700, section 4.8.2; R4',
    needs: 'member',
    async run({ app }) {
      const arrival = await app.attempt({ code_challenge: null, code_challenge_method: null })
      const code = arrival.at === 'app' ? arrival.url.searchParams.get('code') : null
      if (code === null || arrival.at !== 'app') return passed('no code without a challenge')
      const stolen: Code = { code, verifier: randomToken(32), nonce: '', state: '', scope: '', callback: arrival.url }
      const answer = await app.redeem(stolen)
      return told(isInvalidGrant(answer), seenIn(answer))
    },
  },
  {
    id: 'code.redirect',
    title: 'A code is for the address that it was sent to',
    expected: 'invalid_grant for another redirect_uri',
    hint: 'Compare redirect_uri with that of the request.',
    section: 'RFC 6749, section 4.1.3',
    needs: 'member',
    run: refusesCode({ redirect_uri: 'https://evil.example/callback' }),
  },
  {
    id: 'code.query',
    title: 'A code counts in the body only',
    expected: 'refused where the parameters are in the address',
    hint: 'Read parameters of the token endpoint from the body alone.',
    section: 'RFC 6749, section 3.2',
    needs: 'member',
    async run({ app, server, http }) {
      const code = await app.authorize()
      const query = new URLSearchParams({
        grant_type: 'authorization_code',
        code: code.code,
        redirect_uri: app.redirectUri,
        code_verifier: code.verifier,
        client_id: app.credentials().clientId,
      })
      const answer = await http.send(`${await server.endpoint('token_endpoint')}?${query}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: '',
      })
      if (isObject(answer.json)) for (const value of Object.values(answer.json)) app.hide(value)
      return told(answer.status >= 400 && answer.status < 500, seenIn(answer))
    },
  },
  {
    id: 'code.reuse',
    title: 'A code is good for one use',
    expected: 'invalid_grant the second time',
    hint: 'Take the code and note its use in one step.',
    section: 'RFC 6749, section 4.1.2; RFC 9700, section 4.5',
    needs: 'member',
    async run({ app }) {
      const tokens = await app.tokens()
      const answer = await app.redeem(tokens)
      return told(isInvalidGrant(answer), seenIn(answer))
    },
  },
  {
    id: 'code.reuse-ends',
    title: 'A second use ends what the first one gave',
    expected: 'its tokens are no longer active',
    hint: 'Whoever presented it first may be the thief.',
    section: 'RFC 6749, section 4.1.2',
    needs: 'member',
    async run(examination) {
      const { app } = examination
      const tokens = await app.tokens()
      const again = await app.redeem(tokens)
      if (!isInvalidGrant(again)) return skipped('the second use is not refused')
      if (tokens.refreshToken) {
        const answer = await app.refresh(tokens.refreshToken)
        return isInvalidGrant(answer)
          ? passed('the refresh token is dead')
          : warned(`a refresh answers ${seenIn(answer)}`)
      }
      const { active } = await introspected(examination, tokens.accessToken)
      return active === false ? passed('not active') : warned('still active')
    },
  },
  {
    id: 'code.concurrent',
    title: 'Nor can a race redeem it twice',
    expected: 'one answer with tokens of four at once',
    hint: 'A check and then a change is two steps; make it one.',
    section: 'RFC 9700, section 4.5',
    needs: 'member',
    async run({ app }) {
      const code = await app.authorize()
      const answers = await Promise.all(Array.from({ length: 4 }, () => app.redeem(code)))
      const good = answers.filter(({ status }) => status === 200).length
      return told(good <= 1, `${good} of ${answers.length}`)
    },
  },
  {
    id: 'R6.slash-token',
    title: 'With a slash at the end the token is for the same FHIR server',
    expected: 'tokens whose aud is the FHIR base',
    hint: 'Compare without the slashes at the end, and write your own spelling into tokens.',
    section: 'SMART App Launch 2.2, App Launch, Obtain authorization code; R6',
    needs: 'member',
    async run({ app, server }) {
      const base = trimmed(await server.fhirBase())
      const { accessToken } = await app.tokens({ aud: `${base}/` })
      const aud = claimsOf(accessToken)?.aud
      if (aud === undefined) return passed('tokens')
      return told(
        [aud].flat().some((each) => trimmed(each) === base),
        [aud].flat().join(', '),
      )
    },
  },
  {
    id: 'R7.dropped',
    title: 'What is unknown is dropped, and the rest granted',
    expected: 'tokens for the scopes that are known, and for no others',
    hint: 'Drop unknown scopes, and say in scope what was granted.',
    section: 'RFC 6749, section 3.3; R7',
    needs: 'member',
    async run({ app }) {
      const scope = `${(await app.parameters()).get('scope')} patient/Nonsense.rs doctor:unknown`
      const granted = (textOf((await app.tokens({ scope })).body, 'scope') ?? '').split(' ')
      const foreign = granted.filter((each) => each === 'patient/Nonsense.rs' || each === 'doctor:unknown')
      return faultless(
        foreign.map((each) => `${each} is granted`),
        granted.join(' '),
      )
    },
  },
  {
    id: 'R7.inferred',
    title: 'A patient/ scope brings a patient',
    expected: 'patient in the answer, without launch/patient in the request',
    hint: 'Where a patient/ scope is granted a patient is in context; infer launch/patient.',
    section: 'SMART App Launch 2.2, Scopes and Launch Context; R7',
    needs: 'member',
    async run({ app }) {
      const scope = ((await app.parameters()).get('scope') ?? '').split(' ').filter((each) => each !== 'launch/patient')
      if (!scope.some((each) => each.startsWith('patient/'))) return skipped('no patient/ scope is asked for')
      const { body } = await app.tokens({ scope: scope.join(' ') })
      if (!/(^| )patient\//.test(textOf(body, 'scope') ?? '')) return passed('no patient/ scope without a patient')
      return told(typeof body.patient === 'string', typeof body.patient === 'string' ? 'a patient' : 'no patient')
    },
  },
]

/** Tokens for the usual request with other scopes; skipped where the server does not promise them. */
const withScopes = async (
  { app, server }: Examination,
  capability: string,
  change: (scopes: string[]) => string[],
): Promise<{ scope: string[]; body: Record<string, unknown> }> => {
  if (!(await server.capabilities()).includes(capability)) throw new Skip(`${capability} is no capability here`)
  const usual = ((await app.parameters()).get('scope') ?? '').split(' ')
  const { body } = await app.tokens({ scope: change(usual).join(' ') })
  return { scope: (textOf(body, 'scope') ?? '').split(' '), body }
}

const withoutData = (scopes: string[]): string[] => scopes.filter((each) => !/^(patient|user|system)\//.test(each))

/** Runs last: an authorization for other scopes may narrow the ones before it. */
export const scopeChecks: readonly Check[] = [
  {
    id: 'scopes.v2',
    title: 'Scopes of version 2 are granted as they were asked for',
    expected: 'patient/Observation.rs, in this spelling',
    hint: 'Answer in the version of the request.',
    section: 'SMART App Launch 2.2, Scopes and Launch Context, permission-v2',
    needs: 'member',
    async run(examination) {
      const { scope } = await withScopes(examination, 'permission-v2', (usual) => [
        ...withoutData(usual),
        'patient/Patient.rs',
        'patient/Observation.rs',
      ])
      return told(
        scope.some((each) => /^patient\/Observation\.rs/.test(each)),
        scope.join(' '),
      )
    },
  },
  {
    id: 'scopes.v1',
    title: 'Scopes of version 1 are granted, and answered as such',
    expected: 'patient/Observation.read, in this spelling (SHOULD)',
    hint: 'Read .read as .rs and never as .rd; answer in the version of the request.',
    section: 'SMART App Launch 2.2, Scopes and Launch Context, permission-v1',
    needs: 'member',
    async run(examination) {
      const { scope } = await withScopes(examination, 'permission-v1', (usual) => [
        ...withoutData(usual),
        'patient/Patient.read',
        'patient/Observation.read',
      ])
      if (scope.some((each) => /^patient\/Observation\.read/.test(each))) return passed(scope.join(' '))
      return scope.some((each) => /^patient\/Observation\.rs/.test(each))
        ? warned(scope.join(' '))
        : failed(scope.join(' '))
    },
  },
  {
    id: 'scopes.user',
    title: 'user/ scopes are granted',
    expected: 'a user/ scope in the answer',
    hint: 'Grant what the person may see, or drop permission-user.',
    section: 'SMART App Launch 2.2, Scopes and Launch Context, permission-user',
    needs: 'member',
    async run(examination) {
      const { scope } = await withScopes(examination, 'permission-user', (usual) => [
        ...withoutData(usual),
        'user/*.rs',
      ])
      return told(
        scope.some((each) => each.startsWith('user/')),
        scope.join(' '),
      )
    },
  },
  {
    id: 'context.encounter',
    title: 'launch/encounter brings an encounter',
    expected: 'encounter in the answer: a bare id',
    hint: 'Let the member choose one, or drop context-standalone-encounter.',
    section: 'SMART App Launch 2.2, Scopes and Launch Context',
    needs: 'member',
    async run(examination) {
      const { scope, body } = await withScopes(examination, 'context-standalone-encounter', (usual) => [
        ...usual,
        'launch/encounter',
      ])
      // Who goes on without one is not granted the scope.
      if (!scope.includes('launch/encounter'))
        return body.encounter === undefined ? warned('not granted') : failed('not granted, and an encounter')
      return told(
        typeof body.encounter === 'string' && /^[A-Za-z0-9.-]{1,64}$/.test(body.encounter),
        body.encounter ? 'an encounter' : 'none',
      )
    },
  },
  {
    id: 'scopes.online',
    title: 'online_access brings a refresh token for as long as the person is there',
    expected: 'online_access in the answer, with a refresh token',
    hint: 'Give one, bound to the session; or drop permission-online.',
    section: 'SMART App Launch 2.2, Scopes and Launch Context, permission-online',
    needs: 'member',
    async run(examination) {
      const { scope, body } = await withScopes(examination, 'permission-online', (usual) => [
        ...usual.filter((each) => each !== 'offline_access'),
        'online_access',
      ])
      const faults: string[] = []
      if (!scope.includes('online_access')) faults.push('online_access was not granted')
      if (typeof body.refresh_token !== 'string') faults.push('no refresh token')
      return faultless(faults, 'a refresh token')
    },
  },
]
