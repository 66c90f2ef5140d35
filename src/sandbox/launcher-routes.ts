/** The addresses of a sandbox's launcher: its form, and what becomes of it. Without JavaScript. */
import type { Context, Middleware } from 'koa'
import type { Environment } from '../config/settings.ts'
import { InputFaults, LatchkeyError } from '../errors.ts'
import { type Forms, oneValue, readForm } from '../web/forms.ts'
import { formActionSource } from '../web/headers.ts'
import type { LauncherPage } from '../web/pages.ts'
import { seeOther } from '../web/see-other.ts'
import type { Views } from '../web/views.ts'
import {
  faultsOf,
  type LauncherFault,
  type LauncherForm,
  launchBodyOf,
  launcherApi,
  launcherChoices,
  launcherPath,
  readLauncherForm,
} from './launcher.ts'
import type { Resource } from './people/index.ts'

const action = 'launcher'
const example = '[{"reference":"Coverage/maria-coverage-1"}]'

export function launcherRoutes(deps: {
  environment: Environment
  people: readonly Resource[]
  /** Makes a launch exactly as the launch API does. Throws InputFaults. */
  makeLaunch: (
    body: unknown,
    asking: { clientId: string; api: string; requestId: string | null },
  ) => Promise<{ launch: string; launchUrl: string | undefined; expiresIn: number }>
  views: Views
  forms: Forms
}): Middleware {
  const { environment, makeLaunch, views, forms } = deps
  const api = launcherApi(environment)
  if (!api) return (_ctx, next) => next()
  const place = new URL(`${environment.issuer}${launcherPath}`).pathname
  const choices = launcherChoices(environment, deps.people)
  const launchUrls = environment.demonstration?.apps.flatMap((app) => app.launchUrls) ?? []
  const sources = [...new Set(launchUrls.flatMap((url) => formActionSource(url) ?? []))]

  const show = (
    ctx: Context,
    form: LauncherForm,
    { faults = [], made = null }: { faults?: LauncherFault[]; made?: LauncherPage['made'] } = {},
  ): void => {
    ctx.state.formAction = sources
    views.renderPage(
      ctx,
      'sandbox/launcher',
      { ...choices, form, faults, made, iss: api.baseUrl, example, action: place, csrf: forms.csrfToken(ctx, action) },
      { status: faults.length > 0 ? 400 : 200, languagePath: place },
    )
  }

  const launch = async (ctx: Context): Promise<void> => {
    const sent = await readForm(ctx)
    forms.checkCsrf(ctx, sent, action)
    const form = readLauncherForm((name) => oneValue(sent, name, { max: 4000 }))
    const read = launchBodyOf(form)
    if ('faults' in read) return show(ctx, form, read)
    try {
      const asking = { clientId: action, api: api.id, requestId: ctx.state.requestId ?? null }
      const made = await makeLaunch(read.body, asking)
      const { launchUrl = null, launch: value, expiresIn } = made
      const canGo = launchUrl !== null && sources.includes(formActionSource(launchUrl) ?? '')
      if (sent.has('show') || !canGo)
        return show(ctx, form, { made: { launch: value, launchUrl, minutes: Math.round(expiresIn / 60) } })
      seeOther(ctx, launchUrl)
    } catch (error) {
      if (!(error instanceof InputFaults)) throw error
      show(ctx, form, { faults: faultsOf(error.faults) })
    }
  }

  return async (ctx, next) => {
    if (ctx.state.environment?.id !== environment.id || ctx.path !== place) return next()
    if (ctx.method === 'POST') return launch(ctx)
    if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
      ctx.set('Allow', 'GET, HEAD, POST')
      throw new LatchkeyError('method_not_allowed', 405)
    }
    show(
      ctx,
      readLauncherForm((name) => (name === 'app' ? choices.apps[0]?.clientId : undefined)),
    )
  }
}
