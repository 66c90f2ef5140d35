/** What stands on every page of a plan: help, languages, and the notice that help in other languages is free (R31). */
import { describe, expect, it } from 'vitest'
import type { Plan } from '../../src/config/settings.ts'
import { consentPage, createSite, signInPage } from './site.ts'

const assistance: Plan['languageAssistance'] = [
  { language: 'en', text: 'We offer free help in your language.', url: 'https://plan.example.org/help?a=1&b=2' },
  { language: 'ar', text: 'نقدم مساعدة مجانية بلغتك.', url: null },
  { language: 'zh-Hant', text: '我們免費提供您的語言的協助。', url: null },
  { language: 'en', text: '<script>alert(1)</script>', url: null },
]

const site = createSite(
  (made) => {
    made.app.use((ctx) => {
      ctx.state.plan = ctx.path.startsWith('/none') ? null : (made.settings.plans[0] ?? null)
      if (ctx.path.endsWith('/consent')) made.views.renderPage(ctx, 'interaction/consent', consentPage)
      else made.views.renderPage(ctx, 'interaction/sign-in', signInPage)
    })
  },
  (settings) => {
    for (const plan of settings.plans) {
      plan.languageAssistance = assistance
      plan.contacts.educationUrl = { en: 'https://plan.example.org/en', es: 'https://plan.example.org/es' }
    }
  },
)

describe('the notice of language assistance (R31, 45 CFR 92.11)', () => {
  it('stands at the foot of every page, each text in its own language and from its own side', async () => {
    const { text } = await site.get('/prairie/sandbox/sign-in')
    const foot = text.slice(text.indexOf('<footer>'))
    expect(foot).toContain('<li lang="ar" dir="auto">نقدم مساعدة مجانية بلغتك.</li>')
    expect(foot).toContain('<li lang="zh-Hant" dir="auto">我們免費提供您的語言的協助。</li>')
    expect(foot).toContain('<li lang="en" dir="auto"><a href="https://plan.example.org/help?a=1&amp;b=2">')
  })

  it('stays text, whatever it says', async () => {
    const { text } = await site.get('/prairie/sandbox/sign-in')
    expect(text).not.toContain('<script>')
    expect(text).toContain('&lt;script&gt;')
  })

  it('is not there where there is no plan', async () => {
    const { text } = await site.get('/none')
    expect(text).not.toContain('assistance')
  })
})

describe('the page on choosing apps (42 CFR 422.119(g))', () => {
  it.each(['en', 'es'])('is the one in the person’s language: %s', async (language) => {
    const { text } = await site.get('/prairie/sandbox/consent', { 'accept-language': language })
    expect(text).toContain(`href="https://plan.example.org/${language}"`)
  })
})
