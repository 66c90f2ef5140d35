/**
 * Views: EJS files, compiled once at start, each handed one typed object.
 *
 * Owns: which names a view sees. Does not own: what is in a page (pages.ts) or its words (views/locales).
 *
 * How to add a page: put its type into `Pages` (pages.ts) and its view at views/{name}.ejs. A view sees exactly
 *   page                        its typed object, with `Common` mixed in
 *   t(key, params), has(key)    words from views/locales/{en,es}.json (sorted by key; no literal text in views)
 *   date(ms | day, {time}) in the plan's time zone, number(n), list(items)
 *   asset(name)                 the address of a file in views/assets, or of a plan's `brand/{id}.css`
 * and is framed by the layout:
 *   <%- include('/layout/top', { title: t('error.reference') }) %> … <%- include('/layout/bottom') %>
 * The title is the document's title; the view writes its own h1. `wide: true` beside the title makes the page broad. A view that is
 * only a part of others gets what it needs as `part`. Raw output (`<%-`) is for `include` alone; test/house/views.test.ts holds this.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ejs from 'ejs'
import type { Context } from 'koa'
import { sha256 } from '../secrets.ts'
import type { Assets } from './assets.ts'
import { pageHeaders } from './headers.ts'
import type { I18n, Translator } from './i18n.ts'
import type { Common, Pages } from './pages.ts'
import './state.ts'

export interface Views {
  i18n: I18n
  assets: Assets
  /** HTML of a view. */
  render<V extends keyof Pages>(view: V, page: Pages[V] & Common): string
  /**
   * Answers with a view: status, language, headers, content policy (`ctx.state.formAction`). `languagePath` is where a switch
   * of language leads, for pages that answer a POST; a GET page leads to itself, other pages offer no switch. `languageForm`
   * has it post that form of the page to `action` with the field `language`, so that nothing is lost that was chosen there.
   */
  renderPage<V extends keyof Pages>(
    ctx: Context,
    view: V,
    page: Pages[V],
    options?: { status?: number; languagePath?: string; languageForm?: { id: string; action: string } },
  ): void
  /** The words for this request's person, by their choice, `ctx.state.uiLocales`, the browser, `ctx.state.preferredLanguage`, the plan. */
  translator(ctx: Context): Translator
  /** Keeps a person's choice of language, from this answer on; a language that there is not is no choice. */
  keepLanguage(ctx: Context, language: string): void
  /** Which release, views and words a text in this language is made of: kept with what somebody agreed to. */
  textVersion(language: string): string
}

/** The cookie that keeps a person's choice of language; one for the host, as it says nothing of an issuer. */
export const LANGUAGE_COOKIE = 'lk_lang'
const YEAR = 365 * 24 * 60 * 60 * 1000

const NAMES = ['page', 't', 'has', 'date', 'number', 'list', 'asset', 'title', 'wide', 'part']

export function createViews({ dir, i18n, assets }: { dir: string; i18n: I18n; assets: Assets }): Views {
  const compiled = new Map<string, ejs.TemplateFunction>()
  const textVersions = textVersionsOf(dir, i18n.languages)
  for (const entry of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
    if (!entry.endsWith('.ejs')) continue
    const filename = join(dir, entry)
    const options = { filename, root: dir, cache: true, strict: true, destructuredLocals: NAMES }
    compiled.set(
      entry.slice(0, -'.ejs'.length).replaceAll('\\', '/'),
      ejs.compile(readFileSync(filename, 'utf8'), options),
    )
  }

  function offered(ctx: Context): readonly string[] {
    const wanted = ctx.state.plan?.languages ?? i18n.languages
    const known = wanted.filter((code) => i18n.languages.includes(code))
    return known.length > 0 ? known : i18n.languages
  }

  function translator(ctx: Context): Translator {
    const language = i18n.negotiate({
      cookie: ctx.state.language ?? ctx.cookies.get(LANGUAGE_COOKIE),
      uiLocales: ctx.state.uiLocales,
      acceptLanguage: ctx.get('accept-language'),
      offered: offered(ctx),
      fallback: ctx.state.preferredLanguage ?? ctx.state.plan?.defaultLanguage ?? 'en',
    })
    return i18n.translator(language, ctx.state.plan?.timeZone)
  }

  function render<V extends keyof Pages>(view: V, page: Pages[V] & Common): string {
    const template = compiled.get(view)
    if (!template) throw new Error(`no view ${view}`)
    const { t, has, date, number, list } = i18n.translator(page.language, page.plan?.timeZone)
    return template({ page, t, has, date, number, list, asset: assets.url, wide: false })
  }

  return {
    i18n,
    assets,
    render,
    translator,
    keepLanguage(ctx, language) {
      if (!offered(ctx).includes(language)) return
      ctx.state.language = language
      ctx.cookies.set(LANGUAGE_COOKIE, language, {
        httpOnly: true,
        sameSite: 'lax',
        path: '/',
        secure: ctx.secure,
        maxAge: YEAR,
        overwrite: true,
      })
    },
    textVersion: (language) => textVersions.get(language) ?? '',
    renderPage(ctx, view, page, { status = 200, languagePath, languageForm } = {}) {
      const { language } = translator(ctx)
      const plan = ctx.state.plan ?? null
      const path = languagePath ?? (ctx.method === 'GET' || ctx.method === 'HEAD' ? ctx.path : null)
      // A form that shows its own page again keeps what its address says.
      const query = path === ctx.path ? ctx.querystring : ''
      const languages = offered(ctx).map((code) => ({
        code,
        label: i18n.label(code),
        href:
          code === language || path === null || languageForm
            ? null
            : `${encodeURI(path.replace(/^[/\\]+/, '/'))}?${query ? `${query}&` : ''}lang=${code}`,
      }))
      const common = { language, languages, languageForm, plan, requestId: ctx.state.requestId }
      const html = render(view, { ...page, ...common })
      const logo = plan?.brand.logoUrl
      const images = logo && URL.canParse(logo) ? [new URL(logo).origin] : []
      ctx.status = status
      ctx.set(pageHeaders({ formAction: ctx.state.formAction ?? [], images }))
      ctx.set('Content-Language', language)
      ctx.vary('Accept-Language')
      ctx.body = html
    },
  }
}

/** `{release}+{language}.{hash of the views and the catalogue}`, by language. */
function textVersionsOf(dir: string, languages: readonly string[]): Map<string, string> {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'))
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ejs'))
  const texts = names.toSorted().map((name) => readFileSync(join(dir, name), 'utf8'))
  const versionOf = (language: string) => {
    const catalogue = readFileSync(join(dir, 'locales', `${language}.json`), 'utf8')
    return `${version}+${language}.${sha256([...texts, catalogue].join('\0')).slice(0, 12)}`
  }
  return new Map(languages.map((language) => [language, versionOf(language)]))
}
