/**
 * A person at a browser without JavaScript, who signs in, chooses, reads warnings and agrees.
 *
 * Owns: cookies, hops, which form goes on and what is filled in. It knows no server's pages: it goes by password fields and by the
 * words on buttons. Does not own: what the way leads to (app.ts).
 */
import { Skip } from './check.ts'
import { isSafe } from './documents.ts'
import { type Form, formsOf } from './html-forms.ts'
import type { Answer, Http } from './http.ts'

export interface Person {
  username: string
  password: string
  /** A part of the name, or the id, of the patient to choose; the first one otherwise. */
  patient?: string | undefined
}

/** Where a way ended: at the app's address, or on a page that goes no further. */
export type Arrival = { at: 'app'; url: URL } | { at: 'page'; answer: Answer; why: string }

export interface Walker {
  /** Opens an address and goes on until the app's redirect URI is reached, or nothing goes on. */
  walk(address: string): Promise<Arrival>
  /** One request and the hops after it, without filling in anything. */
  open(address: string): Promise<Arrival>
}

const MOST_PAGES = 12
const MOST_HOPS = 15

const back =
  /\b(deny|denied|do not|don['’]t|cancel|decline|leave|abort|reject|refuse|no|not now|back|sign[- ]?out|log[- ]?out|switch)\b/i
const on =
  /\b(allow|approve|share|accept|agree|authori[sz]e|continue|confirm|consent|next|go on|submit|sign[- ]?in|log[- ]?in|pass|yes)\b/i

/** How much a form looks as if it went on: below zero it leads back. */
const promise = ({ id, action, method, buttons, fields }: Form): number => {
  const texts = buttons.map(({ text, name, value }) => `${text} ${name ?? ''} ${value}`)
  const goesOn = texts.some((text) => on.test(text) && !back.test(text))
  const said = `${id} ${action.split('/').at(-1)} ${texts.join(' ')}`
  if (buttons.length === 0 || method === 'dialog') return -1
  if (goesOn) return 3 + Math.min(fields.length, 50) / 100
  return back.test(said) ? -1 : 1
}

const isOnce = ({ value, label }: Form['fields'][number]): boolean =>
  /\b(once|one time|this time)\b/i.test(`${value} ${label}`)

/** The fields that a form would send, with the person's choices. */
const filled = (form: Form, person: Person): URLSearchParams => {
  const body = new URLSearchParams()
  const groups = new Map<string, Form['fields']>()
  const hasPassword = form.fields.some(({ type }) => type === 'password')
  const userField = form.fields.find(({ type }) => type === 'text' || type === 'email' || type === 'tel')
  for (const field of form.fields) {
    if (field.type === 'radio') groups.set(field.name, [...(groups.get(field.name) ?? []), field])
    else if (field.type === 'password') body.append(field.name, person.password)
    else if (hasPassword && field === userField) body.append(field.name, person.username)
    else if (field.on) body.append(field.name, field.value)
  }
  for (const [name, choices] of groups) {
    const { patient } = person
    const meant = patient
      ? choices.find(({ label, value }) => value === patient || label.toLowerCase().includes(patient.toLowerCase()))
      : undefined
    const usual = choices.find((choice) => choice.on) ?? choices[0]
    // Sharing once would leave nothing to refresh.
    const chosen = meant ?? (usual && isOnce(usual) ? choices.find((choice) => !isOnce(choice)) : undefined) ?? usual
    if (chosen) body.append(name, chosen.value)
  }
  const [button] = form.buttons.filter(({ text }) => !back.test(text))
  if (button?.name) body.append(button.name, button.value)
  return body
}

interface Cookie {
  name: string
  value: string
  path: string
  host: string
}

const createCookies = () => {
  let cookies: Cookie[] = []
  const covers = (path: string, at: string): boolean =>
    at === path || (at.startsWith(path) && (path.endsWith('/') || at.charAt(path.length) === '/'))
  return {
    header: (url: URL): string =>
      cookies
        .filter(({ host, path }) => host === url.host && covers(path, url.pathname))
        .toSorted((a, b) => b.path.length - a.path.length)
        .map(({ name, value }) => `${name}=${value}`)
        .join('; '),
    keep(url: URL, headers: Headers): void {
      for (const line of headers.getSetCookie()) {
        const [pair = '', ...attributes] = line.split(/;\s*/)
        const at = pair.indexOf('=')
        const of = (name: string): string | undefined =>
          attributes.find((each) => each.toLowerCase().startsWith(`${name}=`))?.slice(name.length + 1)
        const folder = url.pathname.slice(0, Math.max(1, url.pathname.lastIndexOf('/')))
        const path = of('path')?.startsWith('/') ? (of('path') ?? folder) : folder
        const cookie = { name: pair.slice(0, at), value: pair.slice(at + 1), path, host: url.host }
        cookies = cookies.filter(
          ({ name, path, host }) => name !== cookie.name || path !== cookie.path || host !== cookie.host,
        )
        const gone = of('max-age') === '0' || Date.parse(of('expires') ?? '') < Date.now()
        if (!gone) cookies.push(cookie)
      }
    },
  }
}

export const createWalker = (options: {
  http: Http
  person: Person | undefined
  /** The app's address: a browser is never sent there. */
  redirectUri: string
}): Walker => {
  const { http, person } = options
  const app = new URL(options.redirectUri)
  const cookies = createCookies()
  const isApp = (url: URL): boolean =>
    url.protocol === app.protocol && url.host === app.host && url.pathname === app.pathname

  const send = async (url: URL, body?: URLSearchParams, from?: string): Promise<Answer> => {
    const cookie = cookies.header(url)
    const answer = await http.send(url.href, {
      method: body ? 'POST' : 'GET',
      headers: {
        accept: 'text/html,application/xhtml+xml',
        'accept-language': 'en',
        ...(cookie ? { cookie } : {}),
        ...(from ? { 'sec-fetch-site': 'same-origin', origin: new URL(from).origin } : {}),
      },
      ...(body ? { body } : {}),
    })
    cookies.keep(url, answer.headers)
    return answer
  }

  const follow = async (first: Answer): Promise<Arrival> => {
    let answer = first
    for (let hops = 0; hops < MOST_HOPS; hops++) {
      const location = answer.headers.get('location')
      if (answer.status < 300 || answer.status >= 400 || location === null)
        return { at: 'page', answer, why: `a page with ${answer.status}` }
      const next = URL.parse(location, answer.url)
      if (!next) throw new Skip('it redirects to what is no address')
      if (isApp(next)) return { at: 'app', url: next }
      if (!/^https?:$/.test(next.protocol)) throw new Skip(`it redirects to ${next.protocol}`)
      answer = await send(next)
    }
    throw new Skip(`it redirects more than ${MOST_HOPS} times`)
  }

  const open = async (address: string): Promise<Arrival> => follow(await send(new URL(address)))

  return {
    open,
    async walk(address) {
      if (!person) throw new Skip('no test member is named (--username)')
      let arrival = await open(address)
      let signedIn = false
      for (let pages = 0; pages < MOST_PAGES && arrival.at === 'page'; pages++) {
        const { answer } = arrival
        if (answer.status >= 500) return { ...arrival, why: `a page with ${answer.status}` }
        const forms = formsOf(answer.text).filter(({ method }) => method === 'post')
        const signIn = forms.find(({ fields }) => fields.some(({ type }) => type === 'password'))
        if (signIn && signedIn)
          return { ...arrival, why: 'the sign-in page again: the name or the password is not accepted' }
        const form = signIn ?? forms.filter((each) => promise(each) >= 0).toSorted((a, b) => promise(b) - promise(a))[0]
        if (!form) return { ...arrival, why: `a page with ${answer.status} and no form that goes on` }
        const target = URL.parse(form.action, answer.url)
        if (!target) return { ...arrival, why: 'a form that posts nowhere' }
        if (signIn) {
          signedIn = true
          if (!isSafe(target.href) || target.origin !== new URL(answer.url).origin)
            return { ...arrival, why: 'a sign-in form that posts to another site, or without TLS' }
        }
        arrival = await follow(await send(target, filled(form, person), answer.url))
      }
      return arrival
    },
  }
}
