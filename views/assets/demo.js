/*
 * The demonstration app: a SMART app in the browser on the fhirclient package, one page, no server of its own.
 *
 * Owns: the way from "connect" to a client and back to nothing. Hands the record to demo-record.js and the token to
 * demo-token.js. Tokens live in this tab's sessionStorage (fhirclient puts them there) and never in an address.
 */

import { decodeJwt } from './demo-fhir.js'
import { showLaunch } from './demo-launch.js'
import { fill, find, notify, showState } from './demo-page.js'
import { createRecord } from './demo-record.js'
import { clearToken, shorten, showToken } from './demo-token.js'
import { word } from './demo-words.js'

const { FHIR } = window
const { fhirBase, issuer, clientId, redirectUri } = find('demo').dataset

let client
let record
let shownToken

async function open() {
  find('later').hidden = true
  if (!FHIR) return showState('missing')
  // A public client has nothing but its id to say who refreshes (RFC 6749 section 6, SMART 2.2).
  FHIR.oauth2.settings.refreshTokenWithClientId = true
  const answer = takeAnswer()
  if (location.pathname.endsWith('/launch')) return launch(answer)
  if (answer.has('error') || answer.has('code')) return showAnswer(answer)
  if (readStored()?.tokenResponse?.access_token) return showReady()
  showStart()
}

/** What the issuer answered, as it stood in the address, which nobody needs to see again. */
function takeAnswer() {
  const answer = new URLSearchParams(location.search)
  cleanAddress()
  return answer
}

/**
 * An answer counts only if this tab asked for it (`state`) and the right issuer gave it (`iss`, RFC 9207). Any other ends
 * nothing: whoever made the person follow such a link must not have that power.
 */
function showAnswer(answer) {
  if (answer.get('state') !== readKey() || answer.get('iss') !== issuer) return showProblem('failure.mixed', [])
  if (answer.has('error')) return showRefusal(answer)
  // fhirclient reads the address, and would take `iss`, `launch` or `clientId` in it for its own options: these two only.
  cleanAddress(new URLSearchParams({ code: answer.get('code'), state: answer.get('state') }))
  return showReady()
}

async function showReady() {
  try {
    await showConnected(await FHIR.oauth2.ready())
  } catch (error) {
    showFailure('failed', error.message)
  }
}

/**
 * A portal or an EHR opened the app (SMART "EHR launch"). It goes to the server that it knows and to no other, whatever `iss` says:
 * else whoever makes such a link could have the app send people to a page of theirs.
 */
function launch(answer) {
  const value = answer.get('launch')
  if (answer.get('iss') !== fhirBase || !value) return showProblem('failure.foreign', [...answer])
  clearStored()
  return connect(find('launched').dataset.scope, value)
}

function cleanAddress(kept = new URLSearchParams()) {
  const query = kept.size > 0 ? `?${kept}` : ''
  history.replaceState(null, '', `${location.pathname}${query}`)
}

/** The key of fhirclient's state, which it also sends as `state`. */
function readKey() {
  return JSON.parse(sessionStorage.getItem('SMART_KEY') ?? 'null')
}

function readStored() {
  return JSON.parse(sessionStorage.getItem(readKey() ?? '') ?? 'null')
}

function clearStored() {
  sessionStorage.removeItem(readKey() ?? '')
  sessionStorage.removeItem('SMART_KEY')
  client = undefined
  record?.close()
  clearToken()
}

async function connect(scope, launched) {
  notify(word('going'))
  try {
    await FHIR.oauth2.authorize({
      iss: fhirBase,
      clientId,
      redirectUri,
      scope,
      ...(launched ? { launch: launched } : {}),
      pkceMode: 'required',
      completeInTarget: true,
      // fhirclient would take it from Math.random.
      stateKey: crypto.randomUUID(),
    })
  } catch (error) {
    showFailure('unreachable', error.message)
  }
}

function showStart() {
  find('back').hidden = client === undefined
  showState('start')
}

function showConnected(connected) {
  client = connected
  const { tokenResponse, scope } = client.state
  cleanAddress()
  showState('connected')
  showPanel()
  const fhirUser = decodeJwt(tokenResponse.id_token)?.claims.fhirUser
  showLaunch(tokenResponse, fhirUser)
  record?.close()
  record = createRecord({
    client,
    patient: tokenResponse.patient,
    fhirUser,
    granted: tokenResponse.scope ?? '',
    asked: scope,
    onAnswer: showChangedToken,
    onEnded: showEnded,
  })
  return record.show()
}

/** fhirclient refreshes by itself shortly before a token ends. */
function showChangedToken() {
  if (client && client.state.tokenResponse.access_token !== shownToken) showPanel()
}

function showPanel() {
  const { tokenResponse } = client.state
  shownToken = tokenResponse.access_token
  showToken(tokenResponse)
  find('refresh').disabled = !tokenResponse.refresh_token
  find('no-refresh').hidden = tokenResponse.refresh_token !== undefined
}

async function refresh() {
  const { access_token: before, refresh_token: refreshToken } = client.state.tokenResponse
  try {
    await client.refresh()
    showPanel()
    notify(word('refreshed', { before: shorten(before), after: shorten(client.state.tokenResponse.access_token) }))
  } catch (error) {
    if (error.status === 400 || error.status === 401) return showEnded(error)
    // fhirclient throws the refresh token away whatever went wrong; after a fault of the server it is still good.
    client.state.tokenResponse.refresh_token = refreshToken
    sessionStorage.setItem(readKey(), JSON.stringify(client.state))
    notify(word('refresh-failed'))
  }
}

/** RFC 7009: the refresh token ends the whole connection; without one, the access token is all there is to end. */
async function disconnect() {
  const { refresh_token: refreshToken, access_token: accessToken } = client.state.tokenResponse
  const [token, hint] = refreshToken ? [refreshToken, 'refresh_token'] : [accessToken, 'access_token']
  try {
    const discovered = await fetch(`${fhirBase}/.well-known/smart-configuration`)
    const { revocation_endpoint: endpoint } = await discovered.json()
    const body = new URLSearchParams({ token, token_type_hint: hint, client_id: clientId })
    const answer = await fetch(endpoint, { method: 'POST', body, credentials: 'omit' })
    if (!answer.ok) throw new Error(String(answer.status))
    clearStored()
    showStart()
    notify(word('disconnected'))
  } catch {
    notify(word('disconnect-failed'))
  }
}

function showEnded(error) {
  if (client) showFailure('ended', error.message)
}

function showRefusal(answer) {
  clearStored()
  showProblem(
    `refusal.${answer.get('error')}`,
    [...answer].filter(([name]) => name.startsWith('error')),
  )
}

function showFailure(reason, message) {
  clearStored()
  cleanAddress()
  // fhirclient's messages: what happened, where, and after an empty line whatever else came with it.
  showProblem(`failure.${reason}`, [[word('message'), message.split('\n\n')[0].split('\n')]])
}

function showProblem(key, fields) {
  notify('')
  find('problem-title').textContent = word(`${key}.title`, {}, word('refusal.other.title'))
  find('problem-text').textContent = word(`${key}.text`, {}, word('refusal.other.text'))
  find('problem-answer').hidden = fields.length === 0
  find('problem-got').replaceChildren(...fields.map(([name, value]) => fill('got', { name, value })))
  showState('problem')
}

/** A button that cannot be pressed twice while its work is under way. */
function onPress(name, work) {
  const button = find(name)
  button.addEventListener('click', async () => {
    if (button.ariaDisabled === 'true') return
    notify('')
    button.ariaDisabled = 'true'
    await work()
    button.ariaDisabled = 'false'
  })
}

function showScope() {
  find('scope').textContent = readChoice()
}

function readChoice() {
  const form = find('choice')
  const data = new FormData(form)
  return [form.dataset.always, data.get('what'), data.get('offline')].filter(Boolean).join(' ')
}

find('choice').addEventListener('submit', (event) => {
  event.preventDefault()
  connect(readChoice())
})
find('choice').addEventListener('change', showScope)
onPress('refresh', refresh)
onPress('disconnect', disconnect)
for (const button of document.querySelectorAll('[data-again]')) {
  button.addEventListener('click', () => {
    notify('')
    showStart()
  })
}
onPress('back', () => showState('connected'))
// A page that the browser kept while the person was at the issuer starts afresh.
window.addEventListener('pageshow', (event) => event.persisted && location.reload())
showScope()
open()
