/**
 * Views: EJS files, compiled once at start, each handed one typed object.
 *
 * Owns: which names a view sees. Does not own: what is in a page (pages.ts) or its words (views/locales).
 *
 * How to add a page: put its type into `Pages` (pages.ts) and its view at views/{name}.ejs. A view sees exactly
 *   page                        its typed object, with `Common` mixed in
 *   t(key, params), has(key)    words from views/locales/{en,es}.json (sorted by key; no literal text in views)
 *   date(ms | iso, {time}), number(n), list(items)
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
   * of language leads, for pages that answer a POST; a GET page leads to itself, other pages offer no switch.
   */
  renderPage<V extends keyof Pages>(
    ctx: Context,
    view: V,
    page: Pages[V],
    options?: { status?: number; languagePath?: string },
  ): void
  /** The words for this request's person, by their choice, `ctx.state.uiLocales`, the browser, `ctx.state.preferredLanguage`, the plan. */
  translator(ctx: Context): Translator
}

/** The cookie that keeps a person's choice of language; one for the host, as it says nothing of an issuer. */
export const LANGUAGE_COOKIE = 'lk_lang'

const NAMES = ['page', 't', 'has', 'date', 'number', 'list', 'asset', 'title', 'wide', 'part']

export function createViews({ dir, i18n, assets }: { dir: string; i18n: I18n; assets: Assets }): Views {
  const compiled = new Map<string, ejs.TemplateFunction>()
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
    return i18n.translator(
      i18n.negotiate({
        cookie: ctx.cookies.get(LANGUAGE_COOKIE),
        uiLocales: ctx.state.uiLocales,
        acceptLanguage: ctx.get('accept-language'),
        offered: offered(ctx),
        fallback: ctx.state.preferredLanguage ?? ctx.state.plan?.defaultLanguage ?? 'en',
      }),
    )
  }

  function render<V extends keyof Pages>(view: V, page: Pages[V] & Common): string {
    const template = compiled.get(view)
    if (!template) throw new Error(`no view ${view}`)
    const { t, has, date, number, list } = i18n.translator(page.language)
    return template({ page, t, has, date, number, list, asset: assets.url, wide: false })
  }

  return {
    i18n,
    assets,
    render,
    translator,
    renderPage(ctx, view, page, { status = 200, languagePath } = {}) {
      const { language } = translator(ctx)
      const plan = ctx.state.plan ?? null
      const path = languagePath ?? (ctx.method === 'GET' || ctx.method === 'HEAD' ? ctx.path : null)
      const query = languagePath ? '' : ctx.querystring
      const languages = offered(ctx).map((code) => ({
        code,
        label: i18n.label(code),
        href:
          code === language || path === null
            ? null
            : `${encodeURI(path.replace(/^[/\\]+/, '/'))}?${query ? `${query}&` : ''}lang=${code}`,
      }))
      const html = render(view, { ...page, language, languages, plan, requestId: ctx.state.requestId })
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
