/** An app of somebody else: a page on an origin of its own, on the real fhirclient package. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'

const library = readFileSync(createRequire(import.meta.url).resolve('fhirclient/build/fhir-client.min.js'))

const page = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Another app</title><link rel="icon" href="data:,"></head>
<body><h1>Another app</h1><pre id="said"></pre>
<script src="/fhir-client.js"></script><script src="/app.js"></script></body></html>`

/**
 * At `/?iss=…&client_id=…&scope=…` it asks; at `/callback` it does with the answer all that an app may do, and says so. An
 * answer to what it did not ask it only repeats.
 */
const script = `
const { oauth2 } = FHIR
oauth2.settings.refreshTokenWithClientId = true
const query = new URLSearchParams(location.search)
const say = (said) => { document.getElementById('said').textContent = JSON.stringify(said) }
const ask = () => oauth2.authorize({
  iss: query.get('iss'), clientId: query.get('client_id'), scope: query.get('scope'),
  redirectUri: location.origin + '/callback', pkceMode: 'required', completeInTarget: true,
})
const receive = async () => {
  const client = await oauth2.ready()
  const patient = await client.patient.read()
  const claims = await client.patient.request('ExplanationOfBenefit?_count=2')
  const first = client.state.tokenResponse.access_token
  await client.refresh()
  const { revocation_endpoint } = await (await fetch(client.state.serverUrl + '/.well-known/smart-configuration')).json()
  const { access_token, refresh_token } = client.state.tokenResponse
  const body = new URLSearchParams({ token: refresh_token, client_id: client.state.clientId })
  const revoked = await fetch(revocation_endpoint, { method: 'POST', body })
  const ended = await client.refresh().catch((error) => error.message)
  return { patient: patient.id, claims: claims.entry.length, renewed: access_token !== first, revoked: revoked.status, ended }
}
if (query.has('iss') && query.has('client_id')) ask()
else if (query.has('code') && sessionStorage.SMART_KEY) receive().then(say, (error) => say({ error: error.message }))
else say(Object.fromEntries(query))
`

const files: Record<string, { type: string; body: string | Buffer }> = {
  '/': { type: 'text/html', body: page },
  '/callback': { type: 'text/html', body: page },
  '/app.js': { type: 'text/javascript', body: script },
  '/fhir-client.js': { type: 'text/javascript', body: library },
}

export interface BrowserApp {
  origin: string
  close(): void
}

/** Serves the app on a free port of the loopback interface. */
export const startBrowserApp = (): Promise<BrowserApp> =>
  new Promise((resolve) => {
    const http = createServer((request, response) => {
      const file = files[new URL(request.url ?? '/', 'http://app').pathname]
      response.writeHead(file ? 200 : 404, { 'content-type': file?.type ?? 'text/plain' }).end(file?.body)
    })
    http.listen(0, '127.0.0.1', () => {
      const address = http.address()
      const port = typeof address === 'object' && address ? address.port : 0
      resolve({
        origin: `http://127.0.0.1:${port}`,
        close() {
          http.closeAllConnections()
          http.close()
        },
      })
    })
  })
