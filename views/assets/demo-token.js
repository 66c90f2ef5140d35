/*
 * The demonstration app: the token behind the data, explained claim by claim, with its time running out.
 *
 * Owns: the panel of the token. Does not own: getting, refreshing or ending one (demo.js).
 */

import { decodeJwt } from './demo-fhir.js'
import { fill, find } from './demo-page.js'
import { word, writeCountdown, writeTime } from './demo-words.js'

/** What a reader asks first, comes first; the rest follows as it stands in the token. */
const order = 'iss sub aud client_id scope patient patient_id fhirUser grant_id iat exp jti'.split(' ')
const times = new Set(['iat', 'exp', 'nbf', 'auth_time'])
const secrets = new Set(['access_token', 'refresh_token', 'id_token'])

/** Shows a token response; what is secret in it is shortened, so that a photograph of the page opens nothing. */
export function showToken(response, now = () => Date.now()) {
  const token = decodeJwt(response.access_token)
  showRows('token-header', 'header', Object.entries(token?.header ?? {}))
  showRows('token-claims', 'claim', sortClaims(token?.claims ?? {}))
  showRows('token-response', 'response', Object.entries(response))
  find('token-opaque').hidden = token !== undefined
  find('token-short').textContent = shorten(response.access_token)
  startCountdown(token?.claims.exp, now)
}

/** Takes the panel's contents away. */
export function clearToken() {
  for (const name of ['token-header', 'token-claims', 'token-response']) find(name).replaceChildren()
  find('token-short').textContent = ''
  startCountdown(undefined)
}

/** Enough of a token to see that it is another one, and not enough to use it. */
export function shorten(token) {
  return token ? `${token.slice(0, 6)}…${token.slice(-6)}` : ''
}

function showRows(name, group, fields) {
  const rows = fields.map(([field, value]) =>
    fill('row', {
      name: field,
      value: describeValue(field, value),
      meaning: word(`${group}.${field}`, {}, word(`${group}.other`)),
    }),
  )
  find(name).replaceChildren(...rows)
}

function sortClaims(claims) {
  const rank = ([name]) => (order.includes(name) ? order.indexOf(name) : order.length)
  return Object.entries(claims).sort((a, b) => rank(a) - rank(b))
}

function describeValue(field, value) {
  if (secrets.has(field)) return shorten(String(value))
  if (times.has(field)) return [String(value), writeTime(value)]
  if (field === 'scope' || field === 'scp') return Array.isArray(value) ? value : String(value).split(' ')
  return typeof value === 'string' ? value : JSON.stringify(value)
}

let timer

function startCountdown(expires, now) {
  clearInterval(timer)
  const line = find('countdown')
  line.textContent = ''
  if (expires === undefined) return
  const tick = () => {
    const left = Math.max(0, Math.round(expires - now() / 1000))
    line.textContent = left > 0 ? word('countdown', { left: writeCountdown(left) }) : word('expired')
    line.dataset.over = String(left === 0)
    if (left === 0) clearInterval(timer)
  }
  timer = setInterval(tick, 1000)
  tick()
}
