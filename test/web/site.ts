import { join } from 'node:path'
import { Writable } from 'node:stream'
import type Koa from 'koa'
import supertest from 'supertest'
import { loadSettings } from '../../src/config/load.ts'
import type { Settings } from '../../src/config/settings.ts'
import { createLog } from '../../src/log.ts'
import { createMac } from '../../src/secrets.ts'
import { createApp } from '../../src/web/app.ts'
import { createAssets } from '../../src/web/assets.ts'
import { createForms, type Forms } from '../../src/web/forms.ts'
import { createI18n } from '../../src/web/i18n.ts'
import type { AppFace, ConsentPage, SignInPage } from '../../src/web/pages.ts'
import { createViews, type Views } from '../../src/web/views.ts'

export const viewsFolder = join(import.meta.dirname, '../../views')
export const html = 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8'

export interface Site {
  settings: Settings
  app: Koa
  views: Views
  forms: Forms
  /** Every log line so far, as text. */
  logged(): string
  /** A request to the site's own host, as a browser makes one. */
  get(path: string, headers?: Record<string, string>): supertest.Test
  post(path: string, body: string, headers?: Record<string, string>): supertest.Test
}

/** The real settings of the demonstration (or of `env`), the real views, and whatever `mount` puts behind the frame. */
export function createSite(
  mount: (site: Site) => void = () => {},
  change: (settings: Settings) => void = () => {},
): Site {
  const { settings } = loadSettings({ env: {} })
  change(settings)
  const lines: string[] = []
  const destination = new Writable({
    write(chunk, _, done) {
      lines.push(String(chunk))
      done()
    },
  })
  const i18n = createI18n({ dir: join(viewsFolder, 'locales') })
  const assets = createAssets({ dir: join(viewsFolder, 'assets'), plans: settings.plans })
  const views = createViews({ dir: viewsFolder, i18n, assets })
  const app = createApp({ settings, log: createLog({ level: 'info', destination }), views })
  const { host } = new URL(settings.publicUrl)
  const site: Site = {
    settings,
    app,
    views,
    forms: createForms({ mac: createMac(['a key for tests, long enough to be one']) }),
    logged: () => lines.join(''),
    get: (path, headers = {}) =>
      supertest(app.callback())
        .get(path)
        .set({ host, accept: html, ...headers }),
    post: (path, body, headers = {}) =>
      supertest(app.callback())
        .post(path)
        .set({ host, accept: html, 'content-type': 'application/x-www-form-urlencoded', ...headers })
        .send(body),
  }
  mount(site)
  return site
}

export const face: AppFace = {
  name: 'Family Health Binder',
  developer: 'Binder Example Inc.',
  website: 'https://binder.example.com',
  privacyPolicyUrl: 'https://binder.example.com/privacy',
}

export const signInPage: SignInPage = {
  app: face,
  action: '/prairie/sandbox/interaction/1/sign-in',
  cancelAction: '/prairie/sandbox/interaction/1/deny',
  launched: false,
  connectionsHref: '/prairie/sandbox/connections',
  csrf: 'token',
  username: '',
  fault: null,
  waitMinutes: null,
  hint: null,
}

const plain = { checked: true, details: [], categories: null, whole: true }

export const consentPage: ConsentPage = {
  memberName: 'Maria Alvarez',
  patient: { name: 'Maria Alvarez', relation: 'self' },
  otherPersonHref: null,
  app: face,
  attestation: { state: 'unanswered', answeredAt: null, answers: [] },
  last: null,
  connected: false,
  bundles: [
    { key: 'claims', resources: [{ ...plain, type: 'ExplanationOfBenefit' }] },
    {
      key: 'conditions',
      resources: [
        {
          ...plain,
          type: 'Condition',
          whole: true,
          categories: [
            { value: 'Condition/problem-list-item', key: 'problem-list-item', named: true, checked: true },
            { value: 'Condition/x|y', key: 'x|y', named: false, checked: false },
          ],
        },
      ],
    },
    {
      key: 'medicines',
      resources: [
        { ...plain, type: 'MedicationRequest' },
        { ...plain, type: 'Medication', checked: false },
      ],
    },
  ],
  wildcard: false,
  identity: true,
  enforced: true,
  sensitive: [{ code: 'hiv', name: 'HIV', text: 'HIV tests', checked: false }],
  longer: {
    duration: 'P1Y',
    choices: [
      { key: 'P3M', unit: 'M', count: 3, endsAt: Date.UTC(2027, 1, 22, 15), cut: false },
      { key: 'P1Y', unit: 'Y', count: 1, endsAt: Date.UTC(2027, 10, 22, 15), cut: false },
    ],
    days: { first: '2026-11-23', last: '2028-11-21' },
    until: '',
  },
  onceUntil: Date.UTC(2026, 10, 22, 16),
  onceMinutes: 60,
  online: false,
  stopUrl: 'https://prairie.example.org/connections',
  faults: [],
  shown: 'shown',
  action: '/prairie/sandbox/interaction/1/consent',
  denyAction: '/prairie/sandbox/interaction/1/deny',
  switchAction: '/prairie/sandbox/interaction/1/switch',
  csrf: 'token',
}
