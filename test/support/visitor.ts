/** A member at a browser without JavaScript, over HTTP: keeps cookies, reads forms, posts them. Fast; Chromium tells the rest. */

export interface Page {
  status: number
  url: string
  headers: Headers
  html: string
}

const decode = (text: string): string =>
  text
    .replaceAll('&#34;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')

const attribute = (tag: string, name: string): string | undefined => {
  const found = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1]
  return found === undefined ? undefined : decode(found)
}

/** One form of a page: where it posts to, and the fields that it would send as it stands. */
export const formOf = (page: Page, actionPart: string): { action: string; fields: URLSearchParams } => {
  for (const [form] of page.html.matchAll(/<form[\s\S]*?<\/form>/g)) {
    const action = attribute(form.slice(0, form.indexOf('>') + 1), 'action')
    if (!action?.includes(actionPart)) continue
    const fields = new URLSearchParams()
    for (const [input] of form.matchAll(/<input[^>]*>/g)) {
      const name = attribute(input, 'name')
      const type = attribute(input, 'type')
      if (!name || type === 'submit') continue
      if ((type === 'checkbox' || type === 'radio') && !/\schecked/.test(input)) continue
      fields.append(name, attribute(input, 'value') ?? '')
    }
    return { action: new URL(action, page.url).href, fields }
  }
  throw new Error(`no form to ${actionPart} on ${page.url} (${page.status}): ${page.html.slice(0, 400)}`)
}

export class Visitor {
  readonly cookies = new Map<string, { value: string; path: string }>()
  readonly language: string

  constructor(language = 'en') {
    this.language = language
  }

  /** As browsers send them: of one name, the one for the longest path comes first, and counts (RFC 6265 §5.4). */
  #cookieHeader(url: URL): string {
    return [...this.cookies]
      .filter(([, { path }]) => url.pathname.startsWith(path))
      .sort(([, a], [, b]) => b.path.length - a.path.length)
      .map(([key, { value }]) => `${key.split(' ')[0]}=${value}`)
      .join('; ')
  }

  #keep(response: Response, url: URL): void {
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split(/;\s*/)
      const at = pair.indexOf('=')
      const path = attributes.find((each) => /^path=/i.test(each))?.slice(5) ?? url.pathname
      const key = `${pair.slice(0, at)} ${path}`
      const gone = attributes.some((each) => /^expires=Thu, 01 Jan 1970/i.test(each))
      if (gone) this.cookies.delete(key)
      else this.cookies.set(key, { value: pair.slice(at + 1), path })
    }
  }

  /** One request; no redirect is followed. */
  async send(address: string, init: RequestInit = {}): Promise<Response> {
    const url = new URL(address)
    const headers = new Headers(init.headers)
    headers.set('accept', 'text/html')
    headers.set('accept-language', this.language)
    const cookie = this.#cookieHeader(url)
    if (cookie) headers.set('cookie', cookie)
    const response = await fetch(url, { ...init, headers, redirect: 'manual' })
    this.#keep(response, url)
    return response
  }

  /** Opens an address and follows redirects as long as they stay at the server; stops before leaving for an app. */
  async open(address: string, init: RequestInit = {}): Promise<Page> {
    const origin = new URL(address).origin
    let url = address
    let response = await this.send(url, init)
    for (let hops = 0; hops < 10; hops += 1) {
      const location = response.headers.get('location')
      if (!location) break
      const next = new URL(location, url)
      url = next.href
      if (next.origin !== origin || next.searchParams.has('code') || next.searchParams.has('error')) {
        await response.arrayBuffer()
        return { status: response.status, url, headers: response.headers, html: '' }
      }
      await response.arrayBuffer()
      response = await this.send(url)
    }
    return { status: response.status, url, headers: response.headers, html: await response.text() }
  }

  /** Posts a form of a page, with some fields set (a list sets many, null removes). */
  async submit(page: Page, actionPart: string, fields: Record<string, string | string[] | null> = {}): Promise<Page> {
    const form = formOf(page, actionPart)
    for (const [name, value] of Object.entries(fields)) {
      form.fields.delete(name)
      for (const each of value === null ? [] : [value].flat()) form.fields.append(name, each)
    }
    return this.open(form.action, {
      method: 'POST',
      body: form.fields,
      headers: { 'sec-fetch-site': 'same-origin' },
    })
  }

  /** The radio button's value beside a name on the picker. */
  static choiceNamed(page: Page, name: string): string {
    for (const [label] of page.html.matchAll(/<label[\s\S]*?<\/label>/g))
      if (label.includes(name)) {
        const value = attribute(/<input[^>]*>/.exec(label)?.[0] ?? '', 'value')
        if (value) return value
        const target = attribute(label.slice(0, label.indexOf('>') + 1), 'for')
        const input = [...page.html.matchAll(/<input[^>]*>/g)].find(([tag]) => attribute(tag, 'id') === target)?.[0]
        const found = input && attribute(input, 'value')
        if (found) return found
      }
    throw new Error(`no choice ${name} on ${page.url}`)
  }
}
