import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createI18n, negotiate } from '../../src/web/i18n.ts'

const offered = ['en', 'es', 'zh-Hant']
const choose = (wishes: Partial<Parameters<typeof negotiate>[0]>) => negotiate({ offered, fallback: 'en', ...wishes })

describe('the language of a page', () => {
  it('is the person’s own choice, then the app’s, then the browser’s (R31)', () => {
    expect(choose({ cookie: 'es', uiLocales: 'en', acceptLanguage: 'en' })).toBe('es')
    expect(choose({ uiLocales: 'fr es', acceptLanguage: 'en' })).toBe('es')
    expect(choose({ acceptLanguage: 'fr, es;q=0.8, en;q=0.9' })).toBe('en')
    expect(choose({ acceptLanguage: 'es' })).toBe('es')
  })

  it('is found by the longest tag that fits', () => {
    expect(choose({ uiLocales: 'es-MX' })).toBe('es')
    expect(choose({ acceptLanguage: 'ZH-hant-TW' })).toBe('zh-Hant')
    expect(choose({ acceptLanguage: 'zh' })).toBe('en')
  })

  it('falls back for anything else', () => {
    for (const acceptLanguage of ['', '*', 'en;q=0, fr', ';;;q=', 'x'.repeat(9000), 'es;q=2']) {
      expect(offered, acceptLanguage.slice(0, 20)).toContain(choose({ acceptLanguage }))
    }
    expect(choose({ cookie: '../../etc/passwd', fallback: 'es' })).toBe('es')
  })
})

describe('words', () => {
  const dir = mkdtempSync(join(tmpdir(), 'words-'))
  const write = (language: string, words: Record<string, string>) =>
    writeFileSync(join(dir, `${language}.json`), JSON.stringify(words))
  write('en', { hello: 'Hello {name}', 'wait.one': '{count} day', 'wait.other': '{count} days', only: 'English only' })
  write('es', { hello: 'Hola, {name}', 'wait.one': '{count} día', 'wait.other': '{count} días' })
  const i18n = createI18n({ dir })
  const { t, date, list, number } = i18n.translator('es')

  it('take their parameters as they are', () => {
    expect(t('hello', { name: '$& {name}' })).toBe('Hola, $& {name}')
  })

  it('follow the plural rules', () => {
    expect([1, 2].map((count) => t('wait', { count }))).toEqual(['1 día', '2 días'])
  })

  it('are English where a catalogue has none, and a fault where English has none', () => {
    expect(t('only')).toBe('English only')
    expect(() => t('nowhere')).toThrow('nowhere')
    expect(() => t('hello')).toThrow('name')
    expect(() => t('toString')).toThrow('toString')
    expect(i18n.translator('xx').language).toBe('en')
  })

  it('write dates, numbers and lists of the language, as members in the United States do (R31)', () => {
    expect(date('2027-03-04')).toBe('4 de marzo de 2027')
    expect(date(Date.UTC(2027, 2, 4, 23))).toBe('4 de marzo de 2027')
    expect(date(Date.UTC(2027, 2, 4, 23, 5), { time: true })).toMatch(/ 11:05\s*p\.\s*m\.$/)
    expect(number(1234567)).toBe('1,234,567')
    expect(list(['a', 'b', 'c'])).toBe('a, b y c')
  })

  it('show a moment in the time zone of the plan, and a day as that day everywhere', () => {
    const lateEvening = Date.UTC(2027, 2, 5, 4, 30)
    const inChicago = i18n.translator('en', 'America/Chicago')
    expect(inChicago.date(lateEvening)).toBe('March 4, 2027')
    expect(i18n.translator('en', 'Asia/Tokyo').date(lateEvening)).toBe('March 5, 2027')
    expect(i18n.translator('en').date(lateEvening)).toBe('March 5, 2027')
    expect(inChicago.date(lateEvening, { timeZone: 'UTC' })).toBe('March 5, 2027')
    expect(inChicago.date('1984-03-12')).toBe('March 12, 1984')
    expect(i18n.translator('en', 'Asia/Tokyo').date('1984-03-12')).toBe('March 12, 1984')
  })

  it('come from every catalogue in the folder, and only from sound ones', () => {
    write('fr', { hello: 'Bonjour {name}' })
    expect(createI18n({ dir }).languages).toEqual(['en', 'es', 'fr'])
    write('de', { hello: 1 } as unknown as Record<string, string>)
    expect(() => createI18n({ dir })).toThrow()
  })
})
