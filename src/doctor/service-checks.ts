/** Backend services: tokens of a service's own (SMART App Launch 2.2, "Backend Services"). */
import { type Check, failed, faultless, passed, Skip, skipped, told, warned } from './check.ts'
import { anotherKey, asks, replays } from './client-checks.ts'
import type { ClientCredentials } from './credentials.ts'
import { isObject, type Json, seenIn, textOf, textsOf } from './documents.ts'
import type { Examination } from './examination.ts'
import type { Answer } from './http.ts'
import { read } from './token-checks.ts'

const section = 'SMART App Launch 2.2, Backend Services'

const serviceOf = ({ service }: Examination): ClientCredentials => {
  if (!service) throw new Skip('no backend service is named (--service-client-id)')
  return service.credentials
}

/** As told, or what discovery offers to services. */
const scopeOf = async ({ server, service }: Examination): Promise<string> => {
  if (service?.scope) return service.scope
  const offered = textsOf(await server.smart(), 'scopes_supported')?.filter((each) => each.startsWith('system/')) ?? []
  return offered.find((each) => each === 'system/*.rs') ?? offered[0] ?? 'system/*.rs'
}

const tokenAnswer = async (examination: Examination): Promise<Answer> => {
  const fields = { grant_type: 'client_credentials', scope: await scopeOf(examination) }
  const answer = await asks(examination, serviceOf(examination), fields)
  if (isObject(answer.json)) examination.app.hide(answer.json.access_token)
  return answer
}

const tokenOf = async (examination: Examination): Promise<Json> => {
  const { status, json } = await tokenAnswer(examination)
  if (status !== 200 || !isObject(json)) throw new Skip('the service gets no token')
  return json
}

const refused = ({ status, json }: Answer): boolean => (status === 400 || status === 401) && isObject(json)

export const serviceChecks: readonly Check[] = [
  {
    id: 'service.token',
    title: 'A service gets a token by its key',
    expected: 'access_token, token_type bearer, an integer expires_in and scope',
    hint: 'Check the key, its kid, and the scopes that the service was approved for (--service-scope).',
    section,
    needs: 'service',
    async run(examination) {
      const { status, json, ...rest } = await tokenAnswer(examination)
      if (status !== 200 || !isObject(json)) return failed(seenIn({ status, json, ...rest }))
      const faults: string[] = []
      if (!textOf(json, 'access_token')) faults.push('no access_token')
      if (!/^bearer$/i.test(String(json.token_type))) faults.push(`token_type is ${String(json.token_type)}`)
      if (!Number.isInteger(json.expires_in)) faults.push('expires_in is no integer')
      if (!textOf(json, 'scope')) faults.push('no scope')
      return faultless(faults, `${json.scope}, ${json.expires_in} s`)
    },
  },
  {
    id: 'service.short',
    title: 'It lives for five minutes at most, and cannot be refreshed',
    expected: 'expires_in of 300 or less, no refresh_token (SHOULD)',
    hint: 'A service can ask anew at any time.',
    section,
    needs: 'service',
    async run(examination) {
      const body = await tokenOf(examination)
      const seen = `${body.expires_in} s, ${body.refresh_token === undefined ? 'no' : 'a'} refresh token`
      return Number(body.expires_in) <= 300 && body.refresh_token === undefined ? passed(seen) : warned(seen)
    },
  },
  {
    id: 'service.scope',
    title: 'A service gets no scopes of people',
    expected: 'patient/*.rs, openid and offline_access are not granted',
    hint: 'Grant system/ scopes that were approved, and nothing else.',
    section,
    needs: 'service',
    async run(examination) {
      const fields = { grant_type: 'client_credentials', scope: 'patient/*.rs user/*.rs openid offline_access' }
      const answer = await asks(examination, serviceOf(examination), fields)
      if (refused(answer)) return passed(seenIn(answer))
      const granted = isObject(answer.json) ? (textOf(answer.json, 'scope') ?? '') : ''
      if (isObject(answer.json)) examination.app.hide(answer.json.access_token)
      return told(!/(^| )(patient\/|user\/|openid|offline_access)/.test(granted), granted || 'nothing')
    },
  },
  {
    id: 'service.assertion-reused',
    title: 'Its assertion is accepted once, also under a race',
    expected: 'one of five',
    hint: 'Keep each jti until its assertion ends, in one step with the look-up.',
    section: `${section}; R13`,
    needs: 'service',
    async run(examination) {
      const fields = { grant_type: 'client_credentials', scope: await scopeOf(examination) }
      return replays(examination, serviceOf(examination), fields, (answer) => {
        if (isObject(answer.json)) examination.app.hide(answer.json.access_token)
        return answer.status === 200
      })
    },
  },
  {
    id: 'service.assertion-wrong',
    title: 'Assertions that are too long, for others, or of another key are refused',
    expected: 'invalid_client each time',
    hint: 'See R13.assertion-long, R13.assertion-audience and R13.assertion-key.',
    section: `${section}; R13`,
    needs: 'service',
    async run(examination) {
      const credentials = serviceOf(examination)
      if (!credentials.key) throw new Skip('the service has no key')
      const fields = { grant_type: 'client_credentials', scope: await scopeOf(examination) }
      const wrong = [
        { lifeSeconds: 900 },
        { audience: 'https://evil.example/token' },
        { key: await anotherKey(credentials.key) },
      ]
      for (const wishes of wrong) {
        const answer = await asks(examination, credentials, fields, wishes)
        if (!refused(answer)) return failed(`${seenIn(answer)} for ${Object.keys(wishes)[0]}`)
      }
      return passed('refused, each')
    },
  },
  {
    id: 'service.fhir',
    title: 'Its token opens the FHIR server',
    expected: '200 for a search that the scope covers',
    hint: 'Let the FHIR server know system/ scopes.',
    section,
    needs: 'service',
    async run(examination) {
      const body = await tokenOf(examination)
      const scope = textOf(body, 'scope') ?? ''
      const [, type = ''] = /system\/(\*|[A-Za-z]+)\.(?:\w*s|read|\*)/.exec(scope) ?? []
      if (!type) return skipped('it may search for nothing')
      const path = `/${type === '*' ? 'Patient' : type}`
      const answer = await read(examination, path, textOf(body, 'access_token') ?? '')
      return told(answer.status === 200, seenIn(answer))
    },
  },
]
