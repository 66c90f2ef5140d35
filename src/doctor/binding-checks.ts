/** What goes beyond SMART, where it is advertised: pushed requests (RFC 9126), tokens bound to a key (RFC 9449). */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { randomToken, sha256 } from '../secrets.ts'
import { type Check, failed, faultless, passed, Skip, told } from './check.ts'
import { isObject, seenIn, textOf, textsOf } from './documents.ts'
import type { Examination } from './examination.ts'
import type { Answer } from './http.ts'
import { claimsOf } from './token-checks.ts'

const dpop = 'RFC 9449'

const algorithmsOf = async ({ server }: Examination): Promise<string[]> => {
  const named =
    textsOf(await server.smart(), 'dpop_signing_alg_values_supported') ??
    textsOf(await server.openid(), 'dpop_signing_alg_values_supported')
  if (!named) throw new Skip('DPoP is not advertised')
  return named
}

interface Prover {
  jwk: JWK
  /** A proof for one request (RFC 9449, section 4.2). */
  prove(method: string, url: string, more?: { nonce?: string; ath?: string }): Promise<string>
}

const createProver = async (examination: Examination): Promise<Prover> => {
  const alg = (await algorithmsOf(examination)).includes('ES256') ? 'ES256' : 'RS256'
  const { privateKey, publicKey } = await generateKeyPair(alg)
  const jwk = await exportJWK(publicKey)
  return {
    jwk,
    prove: (method, url, more = {}) =>
      new SignJWT({ htm: method, htu: url.split(/[?#]/)[0], jti: randomToken(16), ...more })
        .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk })
        .setIssuedAt(Math.floor(examination.now() / 1000))
        .sign(privateKey),
  }
}

const errorOf = ({ json }: Answer): string => (isObject(json) ? String(json.error) : '')

/** Redeems a code with a proof; a nonce that the server asks for is brought at the second try. */
const redeemBound = async (examination: Examination, prover: Prover): Promise<Answer> => {
  const { app, server } = examination
  const code = await app.authorize()
  const address = await server.endpoint('token_endpoint')
  const first = await app.redeem(code, {}, { dpop: await prover.prove('POST', address) })
  const nonce = first.headers.get('dpop-nonce')
  if (errorOf(first) !== 'use_dpop_nonce' || nonce === null) return first
  return app.redeem(code, {}, { dpop: await prover.prove('POST', address, { nonce }) })
}

export const bindingChecks: readonly Check[] = [
  {
    id: 'par.request',
    title: 'A request can be pushed, and is taken by its address',
    expected: '201 with request_uri and expires_in; then the member is asked',
    hint: 'Answer 201, and take request_uri with client_id alone.',
    section: 'RFC 9126, sections 2.2 and 4',
    needs: 'client',
    async run({ app }) {
      const pushed = await app.call('pushed_authorization_request_endpoint', Object.fromEntries(await app.parameters()))
      if (pushed.status !== 201 || !isObject(pushed.json)) return failed(seenIn(pushed))
      const uri = textOf(pushed.json, 'request_uri')
      if (!uri || !Number.isInteger(pushed.json.expires_in)) return failed('no request_uri, or no integer expires_in')
      app.hide(uri)
      const nothing = [
        'response_type',
        'redirect_uri',
        'scope',
        'state',
        'nonce',
        'aud',
        'code_challenge',
        'code_challenge_method',
      ]
      const arrival = await app.ask({ ...Object.fromEntries(nothing.map((name) => [name, null])), request_uri: uri })
      if (arrival.at === 'app') return failed(arrival.url.searchParams.get('error') ?? 'a redirect to the app')
      return told(arrival.answer.status < 400, seenIn(arrival.answer))
    },
  },
  {
    id: 'dpop.bad-proof',
    title: 'A proof that is none is refused',
    expected: 'invalid_dpop_proof',
    hint: 'Check every proof that is presented, whether the client must present one or not.',
    section: `${dpop}, section 5`,
    needs: 'client',
    async run(examination) {
      await algorithmsOf(examination)
      const fields = { grant_type: 'refresh_token', refresh_token: 'latchkey-doctor-unknown-token' }
      const answer = await examination.app.call('token_endpoint', fields, { dpop: 'doctor' })
      return told(errorOf(answer) === 'invalid_dpop_proof', seenIn(answer))
    },
  },
  {
    id: 'dpop.bound',
    title: 'A token can be bound to the app’s key',
    expected: 'token_type DPoP, and the key’s thumbprint in cnf',
    hint: 'Bind what was asked for with a proof.',
    section: `${dpop}, sections 5 and 6`,
    needs: 'member',
    async run(examination) {
      const prover = await createProver(examination)
      const { status, json, ...rest } = await redeemBound(examination, prover)
      if (status !== 200 || !isObject(json)) return failed(seenIn({ status, json, ...rest }))
      const faults = /^dpop$/i.test(String(json.token_type)) ? [] : [`token_type is ${String(json.token_type)}`]
      const claims = claimsOf(textOf(json, 'access_token') ?? '')
      const { jkt } = isObject(claims?.cnf) ? claims.cnf : {}
      if (claims && jkt !== (await calculateJwkThumbprint(prover.jwk))) faults.push('cnf has another key, or none')
      return faultless(faults, 'bound')
    },
  },
  {
    id: 'dpop.fhir',
    title: 'A bound token opens the FHIR server with a proof, and not without',
    expected: '200 with DPoP and a proof; 401 as a bearer token',
    hint: 'Let the FHIR server check the proof, and refuse a bound token that comes as Bearer.',
    section: `${dpop}, section 7`,
    needs: 'member',
    async run(examination) {
      const { server, http } = examination
      const prover = await createProver(examination)
      const { json } = await redeemBound(examination, prover)
      const body = isObject(json) ? json : {}
      const [token, patient] = [textOf(body, 'access_token'), textOf(body, 'patient')]
      if (!token || !patient) throw new Skip('no bound token, or no patient')
      const url = `${await server.fhirBase()}/Patient/${patient}`
      const plain = await http.send(url, { headers: { authorization: `Bearer ${token}` } })
      if (plain.status < 400) return failed(`${plain.status} without a proof`)
      const proof = await prover.prove('GET', url, { ath: sha256(token) })
      const proven = await http.send(url, { headers: { authorization: `DPoP ${token}`, dpop: proof } })
      return proven.status === 200 ? passed('200 with a proof, not without') : failed(`${seenIn(proven)} with a proof`)
    },
  },
]
