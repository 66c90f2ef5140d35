/**
 * What the server knows of a request, under `ctx.state`. `app.ts` fills it in before any route; a route may refine it.
 */
import type { Environment, Plan } from '../config/settings.ts'

interface WebState {
  /** The reference id that people and the log share. */
  requestId: string
  /** The client's address, through trusted proxies. */
  address: string
  /** The issuer whose URL this request is under, and its plan; a route may set them. */
  environment: Environment | null
  plan: Plan | null
  /** Sources beside our own that this page's forms may lead to; see `formActionSource`. */
  formAction: string[]
  /** What the person chose with this request. */
  language?: string
  /** What the app asked for (`ui_locales`); set before rendering. */
  uiLocales?: string
  /** What the person is said to prefer when nothing else tells, for instance a member's own setting. */
  preferredLanguage?: string
  /** The value of the CSRF cookie that this answer sets. */
  csrfCookie?: string
}

declare module 'koa' {
  interface DefaultState extends WebState {}
}
