/** A member at their own pages, over HTTP. */
import { password } from './authorize.ts'
import { type Page, Visitor } from './visitor.ts'

/** Signs in on the member's own pages, and arrives at the list or at `next`. */
export const visitPages = async (
  issuer: string,
  username: string,
  { visitor = new Visitor(), next = '' }: { visitor?: Visitor; next?: string } = {},
): Promise<{ visitor: Visitor; page: Page }> => {
  const page = await visitor.open(`${issuer}/connections${next}`)
  if (!page.html.includes('name="password"')) return { visitor, page }
  return { visitor, page: await visitor.submit(page, '/sign-in', { username, password }) }
}

/** The addresses of the connections that a page leads to, each once. */
export const connectionLinks = (page: Page): string[] => [
  ...new Set(
    [...page.html.matchAll(/href="([^"]*\/connections\/[\da-f-]{36})"/g)].map(
      ([, href]) => new URL(href ?? '', page.url).href,
    ),
  ),
]

/** The text that a page shows, without markup. */
export const textOf = ({ html }: Page): string =>
  (/<main[^>]*>([\s\S]*)<\/main>/.exec(html)?.[1] ?? '').replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ')
