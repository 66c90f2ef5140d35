/** Authorization requests of a known client: what must be refused, how the app hears of it, and what must not be fatal. */
import type { Parameters } from './app.ts'
import { type Check, failed, faultless, passed, skipped, told, type Verdict, warned } from './check.ts'
import { seenIn, trimmed } from './documents.ts'
import type { Examination } from './examination.ts'
import type { Arrival } from './walker.ts'

const request = 'SMART App Launch 2.2, App Launch, Obtain authorization code'
/** Characters that a careless server loses on the way (RFC 6749, appendix A.5). */
export const oddState = `a+b c/d?e=f&g%2Fh"i'j~#k`

const parameter = (arrival: Arrival, name: string): string | null =>
  arrival.at === 'app' ? arrival.url.searchParams.get(name) : null

const toldArrival = (arrival: Arrival): string => {
  if (arrival.at === 'page') return seenIn(arrival.answer)
  const error = parameter(arrival, 'error')
  const description = parameter(arrival, 'error_description')
  return error ? `${error}${description ? ` (${description})` : ''}` : 'a code'
}

/** The app must hear of it; a page is a refusal too, which leaves the member with it. */
const refusal = (arrival: Arrival): Verdict => {
  const seen = toldArrival(arrival)
  if (arrival.at === 'app') return parameter(arrival, 'code') === null ? passed(seen) : failed(seen)
  return arrival.answer.status >= 400 && arrival.answer.status < 500
    ? warned(`${seen}, and no word to the app`)
    : failed(seen)
}

const refusesTo =
  (changes: Parameters) =>
  async ({ app }: Examination) =>
    refusal(await app.attempt(changes))

/** Is the request taken, as far as that shows before anybody signs in? */
const takes =
  (changes: (examination: Examination) => Parameters | Promise<Parameters>) => async (examination: Examination) => {
    const arrival = await examination.app.ask(await changes(examination))
    const seen = arrival.at === 'page' && arrival.answer.status < 400 ? 'the member is asked' : toldArrival(arrival)
    return told(arrival.at === 'page' ? arrival.answer.status < 400 : parameter(arrival, 'code') !== null, seen)
  }

/** A request that any server refuses, told to the app. */
const forbidden = async ({ app }: Examination, state: string): Promise<Arrival> =>
  app.attempt({ response_type: 'token', state, response_mode: null })

export const authorizationChecks: readonly Check[] = [
  {
    id: 'launch.request',
    title: 'A request as it should be is taken',
    expected: 'the member is asked to sign in',
    hint: 'Check --client-id, --redirect-uri (registered exactly so) and --scope.',
    section: request,
    needs: 'client',
    run: takes(() => ({})),
  },
  {
    id: 'R4.missing',
    title: 'A request without PKCE is refused',
    expected: 'error=invalid_request to the app',
    hint: 'Require code_challenge of every client, of confidential ones too.',
    section: 'SMART App Launch 2.2, App Launch, PKCE; R4',
    needs: 'client',
    run: refusesTo({ code_challenge: null, code_challenge_method: null }),
  },
  {
    id: 'R4.plain',
    title: 'PKCE by plain is refused',
    expected: 'error=invalid_request to the app, where plain is said and where no method is',
    hint: 'Accept S256 alone. A challenge without a method means plain (RFC 7636, section 4.3).',
    section: 'SMART App Launch 2.2, App Launch, PKCE; R4',
    needs: 'client',
    async run(examination) {
      const said = refusal(await examination.app.attempt({ code_challenge_method: 'plain' }))
      if (said.outcome === 'failed') return said
      const meant = refusal(await examination.app.attempt({ code_challenge_method: null }))
      return meant.outcome === 'passed' ? said : meant
    },
  },
  {
    id: 'R6.wrong',
    title: 'A request for another FHIR server is refused, and told which one is right',
    expected: 'an error to the app that names the expected aud',
    hint: 'Compare aud with the FHIR base; say the expected value in error_description.',
    section: `${request}; R6`,
    needs: 'client',
    async run({ app, server }) {
      const arrival = await app.attempt({ aud: 'https://evil.example/fhir' })
      const verdict = refusal(arrival)
      if (verdict.outcome !== 'passed') return verdict
      const base = await server.fhirBase()
      const { host } = new URL(base)
      return (parameter(arrival, 'error_description') ?? '').includes(host)
        ? verdict
        : warned(`${verdict.seen}; the expected value is not named`)
    },
  },
  {
    id: 'R6.slash',
    title: 'A slash at the end of aud makes no difference',
    expected: 'the FHIR base with and without a slash',
    hint: 'Compare without the slashes at the end: apps send both.',
    section: `${request}; R6`,
    needs: 'client',
    async run(examination) {
      const base = trimmed(await examination.server.fhirBase())
      for (const aud of [base, `${base}/`]) {
        const verdict = await takes(() => ({ aud }))(examination)
        if (verdict.outcome !== 'passed') return { ...verdict, seen: `${verdict.seen} for ${aud}` }
      }
      return passed('both are taken')
    },
  },
  {
    id: 'R6.missing',
    title: 'Whether a request without aud is taken',
    expected: 'either: an error that names aud, or the member is asked',
    hint: 'Say in the error which aud is expected.',
    section: `${request}; R6`,
    needs: 'client',
    async run(examination) {
      await examination.server.fhirBase()
      const arrival = await examination.app.ask({ aud: null })
      const error = parameter(arrival, 'error')
      if (error) return passed(`refused: ${toldArrival(arrival)}`)
      return arrival.at === 'page' && arrival.answer.status >= 400 ? warned(toldArrival(arrival)) : passed('taken')
    },
  },
  {
    id: 'R7.unknown',
    title: 'Scopes that are unknown are not fatal',
    expected: 'the member is asked; what is unknown is dropped',
    hint: 'Drop what is not known or not allowed, and grant the rest.',
    section: 'RFC 6749, section 3.3; R7',
    needs: 'client',
    run: takes(async ({ app }) => ({
      scope: `${(await app.parameters()).get('scope')} patient/Nonsense.rs doctor:unknown`,
    })),
  },
  {
    id: 'R7.nothing-left',
    title: 'A request of which no scope is left is refused',
    expected: 'error=invalid_scope to the app',
    hint: 'Answer invalid_scope, and name what is available.',
    section: 'RFC 6749, section 4.1.2.1; R7',
    needs: 'client',
    async run({ app }) {
      const arrival = await app.attempt({ scope: 'doctor:unknown patient/Nonsense.rs' })
      const verdict = refusal(arrival)
      if (verdict.outcome !== 'passed') return verdict
      return parameter(arrival, 'error') === 'invalid_scope' ? verdict : warned(verdict.seen)
    },
  },
  {
    id: 'R12.error',
    title: 'Errors come back to the app with a description and its state',
    expected: 'error, error_description and state by redirect',
    hint: 'Every error but those of client_id and redirect_uri goes back to the app.',
    section: 'RFC 6749, section 4.1.2.1; R12',
    needs: 'client',
    async run(examination) {
      const arrival = await forbidden(examination, oddState)
      if (arrival.at === 'page') return failed(`${seenIn(arrival.answer)}, and no word to the app`)
      // Errors of the implicit grant may come in the fragment.
      const answer = new URLSearchParams(arrival.url.hash ? arrival.url.hash.slice(1) : arrival.url.search)
      const faults = ['error', 'error_description', 'state']
        .filter((name) => !answer.get(name))
        .map((name) => `no ${name}`)
      if (answer.has('access_token')) return failed('an access token: the implicit grant is on')
      if (faults.length === 1 && faults[0] === 'no error_description') return warned('no error_description')
      return faultless(faults, `${answer.get('error')} (${answer.get('error_description')})`)
    },
  },
  {
    id: 'R12.state',
    title: 'state comes back exactly as it was sent',
    expected: 'each character, whatever it means in an address',
    hint: 'Encode it once on the way back; never decode it twice.',
    section: `${request}; RFC 6749, section 4.1.2`,
    needs: 'client',
    async run(examination) {
      const arrival = await forbidden(examination, oddState)
      if (arrival.at === 'page') return skipped('no word comes back to the app')
      const answer = new URLSearchParams(arrival.url.hash ? arrival.url.hash.slice(1) : arrival.url.search)
      if (!answer.has('state')) return skipped('no state comes back')
      return told(
        answer.get('state') === oddState,
        answer.get('state') === oddState ? 'exactly' : `${answer.get('state')}`,
      )
    },
  },
  {
    id: 'R12.iss',
    title: 'Errors say who they are from',
    expected: 'iss is the issuer, byte for byte',
    hint: 'Add iss to every answer of the authorization endpoint, errors too.',
    section: 'RFC 9207, section 2; R12',
    needs: 'client',
    async run(examination) {
      const { server } = examination
      const issuer = await server.issuer()
      const arrival = await forbidden(examination, 'doctor')
      if (arrival.at === 'page') return skipped('no word comes back to the app')
      const seen = new URLSearchParams(arrival.url.hash ? arrival.url.hash.slice(1) : arrival.url.search).get('iss')
      if (seen === issuer) return passed(seen)
      if (seen !== null) return failed(seen)
      const promised = (await server.openid()).authorization_response_iss_parameter_supported === true
      return promised ? failed('no iss, which discovery promises') : warned('no iss')
    },
  },
  {
    id: 'openid.prompt-none',
    title: 'Whoever is not signed in is not asked where the app forbids it',
    expected: 'login_required, consent_required or interaction_required to the app for prompt=none',
    hint: 'Answer at once; show nothing.',
    section: 'OpenID Connect Core, section 3.1.2.6',
    needs: 'client',
    async run({ app, server }) {
      if (!(await server.capabilities()).includes('sso-openid-connect'))
        return skipped('sso-openid-connect is no capability here')
      const arrival = await app.ask({ prompt: 'none' })
      if (arrival.at === 'page') return failed(toldArrival(arrival))
      return told(/_required$/.test(parameter(arrival, 'error') ?? ''), toldArrival(arrival))
    },
  },
]
