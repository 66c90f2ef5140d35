import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { InputFaults } from '../../src/errors.ts'
import { createMail, type Letter, type Mail } from '../../src/ops/mail.ts'
import type { Database } from '../../src/storage/database.ts'
import { createJobs, type Jobs } from '../../src/storage/jobs.ts'
import { failingStore } from '../support/failing-store.ts'
import { type SmtpListener, smtpListener } from '../support/smtp-listener.ts'
import { memoryDatabase, quiet } from '../support/stores.ts'

const letter: Letter = {
  plan: 'prairie',
  issuer: 'prairie/sandbox',
  recipient: 'maria@example.org',
  subject: 'An app can read your data',
  body: 'You shared your data.\n.\nTo stop, call us.',
  language: 'en',
}

describe('mail', () => {
  let database: Database
  let server: SmtpListener
  let time: number
  let jobs: Jobs
  let mail: Mail
  const store = failingStore()

  beforeEach(async () => {
    time = 1_700_000_000_000
    store.fail(false)
    database = await memoryDatabase(store.wrapDialect)
    server = await smtpListener()
    jobs = createJobs({ database, log: quiet, now: () => time, holder: 'test' })
    mail = createMail({ database, jobs, from: 'no-reply@prairie.example', smtpUrl: server.url, now: () => time })
  })
  afterEach(async () => {
    store.fail(false)
    await jobs.stop()
    mail.close()
    await server.close()
    await database.close()
  })

  const post = (change: Partial<Letter> = {}) => database.transaction((trx) => mail.post(trx, { ...letter, ...change }))
  const letters = () => mail.list('prairie/sandbox')
  const waiting = () => database.db.selectFrom('jobs').selectAll().execute()

  it('sends a letter, once, after the commit', async () => {
    await post()
    expect(server.messages).toEqual([])
    await jobs.runDue()
    await jobs.runDue()
    expect(server.messages).toHaveLength(1)
    expect(server.commands).toContain('MAIL FROM:<no-reply@prairie.example>')
    expect(server.commands).toContain('RCPT TO:<maria@example.org>')
    const [sent] = await letters()
    expect(sent?.sent_at).toBe(time)
    const [message] = server.messages
    expect(message).toContain('Subject: An app can read your data')
    expect(message).toContain(`Message-ID: <${sent?.id}@prairie.example>`)
    expect(message).toContain('Content-Language: en')
    expect(message).toContain('You shared your data.\r\n..\r\nTo stop, call us.')
  })

  it('sends nothing of a transaction that was rolled back', async () => {
    const undone = database.transaction(async (trx) => {
      await mail.post(trx, letter)
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    await jobs.runDue()
    expect(server.messages).toEqual([])
    expect(await letters()).toEqual([])
  })

  it('sends Spanish as Spanish', async () => {
    await post({ subject: 'Una aplicación pidió sus datos ✓', body: 'Usted compartió sus datos.', language: 'es' })
    await jobs.runDue()
    expect(server.messages[0]).toMatch(/Subject: =\?UTF-8\?/)
    expect(server.messages[0]).toContain('Usted comparti=C3=B3 sus datos.')
  })

  it.each([
    ...[
      '',
      'maria',
      '@example.org',
      'maria@',
      'maria@example.org\r\nBcc: eve@example.org',
      'maria@example.org\n',
      'a@b\0',
    ],
    ...['maria@example.org, eve@example.org', 'maria@example.org;eve@example.org', 'maria@example.org eve@example.org'],
    ...['Maria <maria@example.org>', '<maria@example.org>', '"a b"@example.org', 'a@b@c', 'a(eve@example.org)@b'],
    ...[
      'group:eve@example.org',
      'maria@[127.0.0.1]',
      'a\u0085b@example.org',
      `${'a'.repeat(65)}@b`,
      `a@${'b'.repeat(300)}`,
    ],
  ])('refuses the recipient %j', async (recipient) => {
    await expect(post({ recipient })).rejects.toThrow(InputFaults)
    expect(await letters()).toEqual([])
  })

  it.each(['a\r\nBcc: eve@example.org', 'a\nb', 'a\rb', 'a\0b'])('refuses the subject %j', async (subject) => {
    await expect(post({ subject })).rejects.toMatchObject({ faults: [{ path: 'subject' }] })
  })

  it('refuses a language that would end its header, and tells all faults at once', async () => {
    await expect(post({ language: 'en\r\nBcc: eve@example.org' })).rejects.toThrow(InputFaults)
    const all = post({ recipient: '', subject: '\n', language: '' })
    await expect(all).rejects.toMatchObject({
      faults: [{ path: 'recipient' }, { path: 'subject' }, { path: 'language' }],
    })
  })

  it.each([
    ['hangs up', 'greeting', 'hang up'],
    ['is busy', 'greeting', '421 busy'],
    ['defers the recipient', 'RCPT', '450 later'],
    ['defers the message', '.', '451 later'],
    ['refuses our password or us', 'MAIL', '530 authentication required'],
  ])('tries again when the server %s', async (_, command, reply) => {
    server.replies[command] = reply
    await post()
    await jobs.runDue()
    expect((await letters())[0]?.sent_at).toBeNull()
    expect(await waiting()).toMatchObject([{ attempts: 1, parked_at: null }])
    delete server.replies[command]
    time += 3_600_000
    await jobs.runDue()
    expect(server.messages.length).toBeGreaterThan(0)
    expect((await letters())[0]?.sent_at).toBe(time)
  })

  it.each([
    ['the recipient', 'RCPT', '550 no such mailbox'],
    ['the message', '.', '554 refused'],
  ])('does not try again when the server refuses %s for good', async (_, command, reply) => {
    server.replies[command] = reply
    await post()
    await jobs.runDue()
    expect(await waiting()).toMatchObject([{ attempts: 1, parked_at: time }])
  })

  it('may send twice when it cannot note that it sent, under one Message-ID', async () => {
    await post()
    store.fail((step) => step.kind === 'query' && /update "letters"/.test(step.sql))
    await jobs.runDue()
    store.fail(false)
    time += 3_600_000
    await jobs.runDue()
    const ids = server.messages.map((message) => /Message-ID: (<[^>]+>)/.exec(message)?.[1])
    expect(ids).toHaveLength(2)
    expect(new Set(ids).size).toBe(1)
    expect(await waiting()).toEqual([])
  })

  it('bears a letter that is gone or sent already', async () => {
    await post()
    await post({ recipient: 'david@example.org' })
    await database.db.deleteFrom('letters').where('recipient', '=', 'maria@example.org').execute()
    await database.db.updateTable('letters').set({ sent_at: 1 }).execute()
    await jobs.runDue()
    expect(server.messages).toEqual([])
    expect(await waiting()).toEqual([])
  })

  it('reads no file and no URL, whatever a letter says', async () => {
    await post({ body: 'file:///etc/passwd', subject: '{"path":"/etc/passwd"}' })
    await jobs.runDue()
    expect(server.messages[0]).toContain('file:///etc/passwd')
    expect(server.messages[0]).not.toContain('root:')
  })

  it('lists an issuer’s letters, newest first, and no other’s', async () => {
    await post({ subject: 'first' })
    time += 1
    await post({ subject: 'second' })
    await post({ issuer: 'summit/production' })
    await post({ issuer: null })
    expect((await letters()).map(({ subject }) => subject)).toEqual(['second', 'first'])
    expect(await mail.list('prairie/%')).toEqual([])
  })

  it('keeps letters for the page where there is no SMTP server', async () => {
    const kept = createMail({ database, jobs, from: 'no-reply@prairie.example', smtpUrl: null, now: () => time })
    await database.transaction((trx) => kept.post(trx, letter))
    expect(await waiting()).toEqual([])
    expect(await kept.list('prairie/sandbox')).toMatchObject([{ subject: letter.subject, sent_at: null }])
    const refused = database.transaction((trx) => kept.post(trx, { ...letter, subject: 'a\nb' }))
    await expect(refused).rejects.toThrow(InputFaults)
    kept.close()
  })
})
