/** The authorization endpoint before people: what must end on a page, and how that page is kept safe (R12). */
import { type Check, failed, faultless, passed, Skip, told, warned } from './check.ts'
import { foreignOrigin } from './discovery-checks.ts'
import { seenIn } from './documents.ts'
import { nobody } from './endpoint-checks.ts'
import type { Examination } from './examination.ts'
import { formsOf } from './html-forms.ts'
import type { Answer } from './http.ts'

const section = 'RFC 6749, section 4.1.2.1; RFC 9700, section 4.11; R12'
const markup = '"><b id=latchkey-doctor>'

const request = (parameters: Record<string, string> = {}): URLSearchParams =>
  new URLSearchParams({
    response_type: 'code',
    client_id: nobody,
    redirect_uri: 'https://evil.example/callback',
    scope: 'openid',
    state: 'doctor',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
    ...parameters,
  })

const withQuery = (address: string, query: URLSearchParams): string =>
  address + (address.includes('?') ? '&' : '?') + query

/** Hops within the server are followed, as a browser would. */
const follow = async ({ http }: Examination, first: Answer): Promise<Answer> => {
  let answer = first
  for (let hops = 0; hops < 3; hops++) {
    const next = URL.parse(answer.headers.get('location') ?? '', answer.url)
    if (answer.status < 300 || answer.status >= 400 || next?.origin !== new URL(first.url).origin) break
    answer = await http.send(next.href, { headers: { accept: 'text/html' } })
  }
  return answer
}

const open = async (examination: Examination, query: URLSearchParams): Promise<Answer> => {
  const address = withQuery(await examination.server.endpoint('authorization_endpoint'), query)
  return follow(examination, await examination.http.send(address, { headers: { accept: 'text/html' } }))
}

const post = async (examination: Examination, body: URLSearchParams): Promise<Answer> => {
  const address = await examination.server.endpoint('authorization_endpoint')
  return follow(
    examination,
    await examination.http.send(address, { method: 'POST', headers: { accept: 'text/html' }, body }),
  )
}

const asksToSignIn = ({ text }: Answer): boolean =>
  formsOf(text).some(({ fields }) => fields.some(({ type }) => type === 'password'))

/** Did the browser stay, on a page that says that something is wrong? */
const stays = (answer: Answer): boolean => {
  const next = answer.headers.get('location')
  return next === null || URL.parse(next, answer.url)?.host === new URL(answer.url).host
}

const refusesWithPage = (answer: Answer) => {
  if (!stays(answer)) return failed(seenIn(answer))
  if (asksToSignIn(answer)) return failed('the member is asked to sign in')
  if (answer.status >= 400 && answer.status < 500 && !answer.headers.get('location')) return passed(seenIn(answer))
  // Some show the page with 200, or at an address of its own.
  return answer.status < 400 ? warned(`${seenIn(answer)}; 400 would say that it was refused`) : failed(seenIn(answer))
}

const errorPage = async (examination: Examination): Promise<Answer> => {
  const answer = await open(examination, request())
  if (!stays(answer)) throw new Skip('there is no such page')
  return answer
}

const wrongRedirects = (uri: string): string[] => [
  'https://evil.example/callback',
  `${uri}/more`,
  `${uri}${uri.includes('?') ? '&' : '?'}more=1`,
]

export const pageChecks: readonly Check[] = [
  {
    id: 'R12.unknown-client',
    title: 'An unknown client gets a page, never a redirect',
    expected: 'a page with 400, and no Location',
    hint: 'Whoever is not known may not say where a browser goes.',
    section,
    run: async (examination) => refusesWithPage(await open(examination, request())),
  },
  {
    id: 'R12.unknown-client-post',
    title: 'The same by POST, which is answered as well',
    expected: 'a page with 400; neither 404 nor 405',
    hint: 'SMART requires GET and POST at the authorization endpoint.',
    section: `SMART App Launch 2.2, App Launch, Obtain authorization code; ${section}`,
    async run(examination) {
      const answer = await post(examination, request())
      return [404, 405, 415].includes(answer.status) ? failed(seenIn(answer)) : refusesWithPage(answer)
    },
  },
  {
    id: 'R12.page-safe',
    title: 'What a request says is not markup on the page',
    expected: 'parameters are escaped',
    hint: 'Escape everything that comes from outside: this is cross-site scripting.',
    section: 'OWASP ASVS 5.0, 1.2.1',
    async run(examination) {
      const answer = await open(
        examination,
        request({ client_id: `${nobody}${markup}`, state: markup, redirect_uri: `https://evil.example/${markup}` }),
      )
      return told(!answer.text.includes('<b id=latchkey-doctor>'), seenIn(answer))
    },
  },
  {
    id: 'R12.page-headers',
    title: 'The page cannot be framed, tells no referrer and is not kept',
    expected: 'frame-ancestors (or X-Frame-Options), Referrer-Policy, Cache-Control: no-store',
    hint: 'Set all three on every page of the authorization endpoint.',
    section: 'RFC 9700, sections 4.2.4 and 4.16',
    async run(examination) {
      const { headers } = await errorPage(examination)
      const framing = /frame-ancestors\s+('none'|'self')/i.test(headers.get('content-security-policy') ?? '')
      const faults: string[] = []
      if (!framing && !/^(deny|sameorigin)$/i.test(headers.get('x-frame-options') ?? '')) faults.push('may be framed')
      if (!/no-referrer|same-origin|origin/i.test(headers.get('referrer-policy') ?? ''))
        faults.push('no Referrer-Policy')
      if (!/no-store/i.test(headers.get('cache-control') ?? '')) faults.push('may be kept')
      return faultless(faults, 'all three')
    },
  },
  {
    id: 'R12.no-cors',
    title: 'No script of another site may read it',
    expected: 'no Access-Control-Allow-Origin at the authorization endpoint',
    hint: 'Leave CORS out here.',
    section: 'RFC 9700, section 2.6',
    async run({ server, http }) {
      const address = withQuery(await server.endpoint('authorization_endpoint'), request())
      const { headers } = await http.send(address, { headers: { accept: 'text/html', origin: foreignOrigin } })
      return told(
        headers.get('access-control-allow-origin') === null,
        headers.get('access-control-allow-origin') ?? 'none',
      )
    },
  },
  {
    id: 'R12.wrong-redirect',
    title: 'An address that the client did not register gets a page, never a redirect',
    expected: 'a page for another host, a longer path and an added query',
    hint: 'Compare redirect URIs as texts, exactly.',
    section: 'RFC 9700, section 4.1.3; R12',
    needs: 'client',
    async run(examination) {
      const { app } = examination
      for (const uri of wrongRedirects(app.redirectUri)) {
        const verdict = refusesWithPage(await open(examination, await app.parameters({ redirect_uri: uri })))
        if (verdict.outcome !== 'passed') return verdict
      }
      return passed('a page, each time')
    },
  },
  {
    id: 'R12.wrong-redirect-post',
    title: 'The same by POST',
    expected: 'a page',
    hint: 'Check a request alike, however it came.',
    section: 'RFC 9700, section 4.1.3; R12',
    needs: 'client',
    async run(examination) {
      const body = await examination.app.parameters({ redirect_uri: 'https://evil.example/callback' })
      return refusesWithPage(await post(examination, body))
    },
  },
]
