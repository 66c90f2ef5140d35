import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { consentPage, createSite, face, signInPage } from './site.ts'

const { views, settings } = createSite()
const plan = settings.plans[0] ?? null
const common = {
  language: 'en',
  languages: [
    { code: 'en', label: 'English', href: null },
    { code: 'es', label: 'Español', href: '/here?lang=es' },
  ],
  plan,
  requestId: '01a203a3-20c8-78d0-8514-57d22f00a1d2',
}
const attack = '"><script>alert(1)</script><img src=x onerror=alert(2)>'

describe('whatever a name says', () => {
  it('stays text on every page that shows it', () => {
    const app = { ...face, name: attack, developer: attack }
    const pages = [
      views.render('interaction/sign-in', { ...signInPage, ...common, app, username: attack }),
      views.render('interaction/consent', {
        ...consentPage,
        ...common,
        app,
        memberName: attack,
        patient: { name: attack, relation: 'parent' },
        bundles: [
          {
            key: 'other',
            resources: [
              { type: attack, checked: true, details: [attack], categories: null, whole: false },
              {
                type: 'Condition',
                checked: true,
                details: [attack],
                categories: [{ value: attack, key: attack, named: false, checked: true }],
                whole: false,
              },
            ],
          },
        ],
        sensitive: [{ code: attack, name: attack, text: attack, checked: false }],
        longer: { duration: 'date', choices: [], days: { first: '2026-11-23', last: '2028-11-21' }, until: attack },
        shown: attack,
      }),
      views.render('interaction/patient', {
        ...common,
        memberName: attack,
        app,
        choices: [
          {
            value: attack,
            name: attack,
            birthDate: null,
            coverageLabel: attack,
            relation: 'self',
            endsAt: null,
            checked: false,
          },
        ],
        fault: null,
        action: '/a',
        denyAction: '/d',
        switchAction: '/s',
        csrf: 'c',
      }),
      views.render('sandbox/letters', {
        ...common,
        letters: [{ recipient: attack, subject: attack, body: attack, createdAt: 0 }],
      }),
    ]
    for (const page of pages) {
      expect(page).toContain('&lt;script&gt;')
      expect(page).not.toMatch(/<script|<img src=x/)
    }
  })
})

describe('the sign-in page', () => {
  it('names its fields for password managers, and says whose page it is [ASVS 6.2.7]', () => {
    const page = views.render('interaction/sign-in', { ...signInPage, ...common })
    expect(page).toContain('autocomplete="username"')
    expect(page).toContain('autocomplete="current-password"')
    expect(page).toContain('This page belongs to Prairie Health Plan. Family Health Binder will not see your password.')
    expect(page).toContain('Cancel and return to Family Health Binder')
  })

  it('ties a fault to the fields', () => {
    const page = views.render('interaction/sign-in', { ...signInPage, ...common, username: 'maria', fault: 'refused' })
    expect(page.match(/aria-describedby="fault"/g)).toHaveLength(2)
    expect(page).toContain('id="fault"')
    expect(page).toContain('value="maria"')
  })

  it('says how long to wait', () => {
    const wait = (waitMinutes: number) =>
      views.render('interaction/sign-in', { ...signInPage, ...common, fault: 'throttled', waitMinutes })
    expect(wait(1)).toContain('Please wait 1 minute,')
    expect(wait(15)).toContain('Please wait 15 minutes,')
  })

  it('shows members to try only where it is given some', () => {
    expect(views.render('interaction/sign-in', { ...signInPage, ...common })).not.toContain('sandbox for testing')
    const hint = { usernames: ['maria'], password: 'prairie-sandbox-1' }
    expect(views.render('interaction/sign-in', { ...signInPage, ...common, hint })).toContain('prairie-sandbox-1')
  })
})

describe('the consent page', () => {
  const page = views.render('interaction/consent', { ...consentPage, ...common })

  it('says who, whose, to whom, what, what not, until when, how to stop, and that nobody watches (R21) [ASVS 10.7.2]', () => {
    for (const words of [
      'Signed in as Maria Alvarez.',
      'Switch account',
      'your own records',
      'Made by Binder Example Inc.',
      'https://binder.example.com/privacy',
      'Claims and costs',
      'specially sensitive',
      'Until November 22, 2027',
      '1-800-555-0142',
      'https://prairie.example.org/connections',
      'Prairie Health Plan does not run or watch over Family Health Binder.',
      'HIPAA may no longer protect them',
      'https://prairie.example.org/your-data-and-apps',
    ])
      expect(page).toContain(words)
  })

  it('folds away no answer on sale or sharing, and none that goes against the member (R18, R21)', () => {
    const said = (...given: string[]) => {
      const answers = given.map((each) => {
        const [question = '', answer = ''] = each.split('.')
        return { question, answer, text: null, url: null }
      })
      const attestation = { state: 'attested' as const, answeredAt: 0, answers }
      const text = views.render('interaction/consent', { ...consentPage, ...common, attestation })
      const section = text.slice(text.indexOf('id="answers"'), text.indexOf('id="know"'))
      return section.split('<details').map((part) => part.match(/<li>/g)?.length ?? 0)
    }
    const kind = ['used.service', 'consent.yes', 'device.no', 'deleted.yes', 'policy.yes']
    expect(said('sold.never', 'shared.never', ...kind)).toEqual([2, 5])
    const unkind = ['used.yes', 'consent.no', 'device.yes', 'deleted.no', 'policy.no']
    expect(said('sold.yes', 'shared.yes', ...unkind)).toEqual([7])
    expect(said('sold.yes', 'shared.yes', 'kept.abroad', ...unkind)).toEqual([7, 1])
  })

  it('names the person for whom a delegate acts (R21, R32)', () => {
    const patient = { name: 'Lucy Okafor', relation: 'parent' as const }
    const other = views.render('interaction/consent', { ...consentPage, ...common, patient })
    expect(other).toContain('Share Lucy Okafor’s health records with Family Health Binder?')
    expect(other).toContain('the records of Lucy Okafor, for whom you act')
    expect(other).not.toContain('your own records')
  })

  it('lets every resource type be ticked by itself, as it was left (R22)', () => {
    const box = (type: string) =>
      new RegExp(`<input type="checkbox" name="type" value="${type}"( checked)?>`).exec(page)
    expect(box('ExplanationOfBenefit')?.[1]).toBe(' checked')
    expect(box('MedicationRequest')?.[1]).toBe(' checked')
    expect(box('Medication')).toBeTruthy()
    expect(box('Medication')?.[1]).toBeUndefined()
  })

  it('offers Condition and Observation by category, each with words, and says what all of them mean (R22)', () => {
    expect(page).toMatch(/<input type="checkbox" name="category" value="Condition\/problem-list-item" checked>/)
    expect(page).toMatch(/<input type="checkbox" name="category" value="Condition\/x\|y">/)
    expect(page).toContain('Long-term problems that doctors keep an eye on')
    expect(page).toContain('<strong>x|y</strong>')
    expect(page).toContain('records that fit none of these groups are shared too')
    expect(page).not.toMatch(/type="checkbox" name="type" value="Condition"/)
  })

  it('lets sensitive records be released one by one, and says which stay private (R25)', () => {
    const box = '<input type="checkbox" name="sensitive" value="hiv">'
    expect(page).toContain(box)
    expect(page).toContain('These stay private unless you check them.')
    expect(page).toContain('treats as specially sensitive, unless you check them above')
    const bundles = page.slice(page.indexOf('<ul class="bundles">'), page.indexOf('id="sensitive"'))
    expect(bundles).not.toContain('name="sensitive"')
  })

  it('says nothing of sensitive choices where there are none, and still that such records are held back (R25)', () => {
    const none = views.render('interaction/consent', { ...consentPage, ...common, sensitive: [] })
    expect(none).not.toContain('unless you check')
    expect(none).toContain('<li>Records that the law or your plan treats as specially sensitive</li>')
  })

  it('never says that an API holds back what it does not (R25)', () => {
    const stated = views.render('interaction/consent', { ...consentPage, ...common, sensitive: [], enforced: false })
    expect(stated).toContain('Prairie Health Plan cannot hold back sensitive records here.')
    expect(stated).not.toContain('specially sensitive')
    expect(stated).not.toContain('name="sensitive"')
  })

  it('offers to share once, the plan’s durations with their ends, and a day (R8, R23)', () => {
    const radios = [...page.matchAll(/<input type="radio" name="duration" value="(\w+)"[^>]*?( checked)?>/g)]
    expect(radios.map(([, value, checked]) => `${value}${checked ?? ''}`)).toEqual([
      'once',
      'P3M',
      'P1Y checked',
      'date',
    ])
    expect(page).toContain('For 60 minutes, on November 22, 2026.')
    expect(page).toContain('Until February 22, 2027')
    expect(page).toMatch(/<input class="field" type="date" [^>]*min="2026-11-23" max="2028-11-21"/)
    expect(page).toContain('From November 23, 2026 to November 21, 2028')
  })

  it('says that it is for once where the app asked for no more (R23)', () => {
    const once = views.render('interaction/consent', { ...consentPage, ...common, longer: null })
    expect(once).not.toContain('name="duration"')
    expect(once).toContain('You share just once: for 60 minutes')
  })

  it('says where an end comes of the right to act for somebody (R34)', () => {
    const longer = {
      duration: 'P1Y',
      choices: [{ key: 'P1Y', unit: 'Y', count: 1, endsAt: Date.UTC(2027, 3, 2, 15), cut: true }],
      days: null,
      until: '',
    }
    const patient = { name: 'Lucy Okafor', relation: 'parent' as const }
    const cut = views.render('interaction/consent', { ...consentPage, ...common, patient, longer })
    expect(cut).toMatch(
      /For as long as you may act for Lucy Okafor<\/strong>\s*<span class="quiet">Until April 2, 2027</,
    )
    expect(cut).not.toContain('For 1 year')
  })

  it('ties each fault to where it can be mended', () => {
    const faults = ['nothing-selected', 'until-late'] as const
    const wrong = views.render('interaction/consent', { ...consentPage, ...common, faults: [...faults] })
    expect(wrong).toContain('<a href="#what">Nothing is checked.')
    expect(wrong).toMatch(
      /<p id="fault-until"><a href="#until">That day is too late. Choose November 21, 2028 or earlier./,
    )
    expect(wrong).toMatch(/id="until"[^>]*aria-describedby="fault-until until-hint" aria-invalid="true"/)
    expect(page).not.toContain('aria-invalid')
  })

  it('says what was filled in, of when, and what a new decision replaces (R29)', () => {
    expect(page).not.toContain('filled in')
    expect(page).not.toContain('replace the old ones')
    const last = { decidedAt: Date.UTC(2026, 5, 1, 15) }
    const again = views.render('interaction/consent', { ...consentPage, ...common, last, connected: true })
    expect(again).toContain('on June 1, 2026. We filled in the same choices.')
    expect(again).toContain('your new choices replace the old ones')
  })

  it('has one sentence on records of the future where everything was asked for (R26)', () => {
    const future = 'new kinds of records that Prairie Health Plan adds later'
    expect(page).not.toContain(future)
    expect(views.render('interaction/consent', { ...consentPage, ...common, wildcard: true })).toContain(future)
  })

  it('gives Deny and Share the same button (R27)', () => {
    const buttons = [...page.matchAll(/<button class="([^"]*)"[^>]*>(Deny|Share)<\/button>/g)]
    expect(buttons.map(([, , label]) => label)).toEqual(['Deny', 'Share'])
    expect(buttons[0]?.[1]).toBe(buttons[1]?.[1])
  })

  it('says the same in Spanish, and says a type without words by its name', () => {
    const bundles = [
      { key: 'other', resources: [{ type: 'Basic', checked: true, details: [], categories: null, whole: true }] },
    ]
    const spanish = views.render('interaction/consent', { ...consentPage, ...common, bundles, language: 'es' })
    expect(spanish).toContain('Hasta el 22 de noviembre de 2027')
    expect(spanish).toContain('<strong>Basic</strong>')
    expect(spanish).toContain('>No compartir</button>')
  })
})

describe('a switch of language on a page with a form', () => {
  const languageForm = { id: 'share', action: '/prairie/sandbox/interaction/1/consent/language' }

  it('posts that form, so that nothing chosen there is lost', () => {
    const page = views.render('interaction/consent', { ...consentPage, ...common, languageForm })
    expect(page).toMatch(
      /<button [^>]*form="share" formaction="[^"]*\/language" name="language" value="es"[^>]*>Español</,
    )
    expect(page).not.toContain('href="/here?lang=es"')
    expect(page).not.toMatch(/<button [^>]*value="en"/)
  })

  it('decides nothing where Enter is pressed in a field: the form’s first button is none', () => {
    const page = views.render('interaction/consent', { ...consentPage, ...common, languageForm })
    const first = /<button(?=[^>]*form="share")[^>]*>|<form id="share"[\s\S]*?(<button[^>]*>)/.exec(page)?.[0]
    expect(first).toBe('<button form="share" formmethod="dialog" hidden>')
  })

  it('is not offered where there is one language', () => {
    const languages = common.languages.slice(0, 1)
    const page = views.render('interaction/consent', { ...consentPage, ...common, languages, languageForm })
    expect(page).not.toContain('<nav')
  })
})

describe('dates', () => {
  it('are those of the plan’s time zone', () => {
    const midnight = Date.UTC(2027, 10, 22, 3)
    const page = views.render('interaction/consent', { ...consentPage, ...common, onceUntil: midnight, longer: null })
    expect(page).toContain('on November 21, 2027')
  })
})

describe('the version of a text', () => {
  it('names release, language, and the words and views that it is made of', () => {
    const release = JSON.parse(readFileSync('package.json', 'utf8')).version
    const [english, spanish] = [views.textVersion('en'), views.textVersion('es')]
    expect(english).toMatch(/^[\d.]+\+en\.[\w-]{12}$/)
    expect(english.startsWith(`${release}+`)).toBe(true)
    expect(spanish).toMatch(/^[\d.]+\+es\./)
    expect(english.split('.').at(-1)).not.toBe(spanish.split('.').at(-1))
    expect(createSite().views.textVersion('en')).toBe(english)
  })
})

describe('addresses', () => {
  it('of apps and plans are links only where a page was given them', () => {
    const app = { ...face, website: null, privacyPolicyUrl: null }
    const page = views.render('interaction/consent', { ...consentPage, ...common, app })
    expect(page).toContain('This app gave no link to a privacy policy.')
    expect(page).not.toContain('href=""')
  })
})
