/**
 * Letters to members and developers: one outbox.
 *
 * Owns: that a letter is written down in the transaction of its reason, and sent at least once after it.
 * Does not own: the words (the parts that write, in the reader's language).
 * Without an SMTP server letters stay in the outbox, where the development server shows them.
 */
import type { Transaction } from 'kysely'
import nodemailer from 'nodemailer'
import { z } from 'zod'
import { type Fault, InputFaults } from '../errors.ts'
import { newId } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import { HopelessJob, type Jobs } from '../storage/jobs.ts'
import type { LetterRow, Tables } from '../storage/tables.ts'

export interface Letter {
  plan: string
  /** The issuer's id, where the letter is about one. */
  issuer: string | null
  /** One address, as `name@host`. */
  recipient: string
  subject: string
  /** Plain text. */
  body: string
  language: string
}

export interface Mail {
  /** Writes the letter down; it is sent if the transaction commits. Throws `InputFaults` for what would break its head. */
  post(trx: Transaction<Tables>, letter: Letter): Promise<void>
  /** The latest letters of an issuer, newest first, at most 100. */
  list(issuer: string): Promise<LetterRow[]>
  /** Ends the connections to the SMTP server. */
  close(): void
}

/**
 * @param options.from one address, `name@host`
 * @param options.smtpUrl `smtp://` or `smtps://`, user and password in it where needed; null keeps letters here
 */
export function createMail(options: {
  database: Database
  jobs: Jobs
  from: string
  smtpUrl: string | null
  now: () => number
}): Mail {
  const { database, jobs, from, smtpUrl, now } = options
  const transport = smtpUrl === null ? undefined : createTransport(smtpUrl)

  async function deliver(id: string): Promise<void> {
    const letter = await database.db.selectFrom('letters').selectAll().where('id', '=', id).executeTakeFirst()
    if (!transport || !letter || letter.sent_at !== null) return
    try {
      await transport.sendMail({
        from,
        to: { name: '', address: letter.recipient },
        subject: letter.subject,
        text: letter.body,
        // The same at every attempt, so that a mailbox can drop the second copy of a letter whose answer was lost.
        messageId: `<${letter.id}@${from.slice(from.lastIndexOf('@') + 1)}>`,
        date: new Date(letter.created_at),
        headers: { 'Content-Language': letter.language, 'Auto-Submitted': 'auto-generated' },
      })
    } catch (error) {
      throw isRefusal(error) ? new HopelessJob('the mail server refused the letter for good', { cause: error }) : error
    }
    await database.db.updateTable('letters').set({ sent_at: now() }).where('id', '=', id).execute()
  }

  if (transport) jobs.handle('mail', (job) => deliver(jobPayload.parse(job.payload).letter))

  return {
    async post(trx, letter) {
      const faults = letterFaults(letter)
      if (faults.length > 0) throw new InputFaults(faults)
      const id = newId(now())
      await trx
        .insertInto('letters')
        .values({ ...letter, id, created_at: now(), sent_at: null })
        .execute()
      if (transport) await jobs.enqueue(trx, { kind: 'mail', payload: { v: 1, letter: id } })
    },

    list(issuer) {
      return database.db
        .selectFrom('letters')
        .selectAll()
        .where('issuer', '=', issuer)
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .limit(100)
        .execute()
    },

    close: () => transport?.close(),
  }
}

const jobPayload = z.object({ v: z.literal(1), letter: z.string() })

function createTransport(url: string) {
  return nodemailer.createTransport(
    { url, connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 30_000 },
    { disableFileAccess: true, disableUrlAccess: true },
  )
}

/** One plain address: no list, no display name, no quoting, nothing that ends a header. */
const ADDRESS = /^[^\s@<>()[\]\\,;:"\p{C}]{1,64}@[^\s@<>()[\]\\,;:"\p{C}]{1,189}$/u
const LANGUAGE = /^[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*$/

/** What would let a letter say more in its head than it should. */
function letterFaults(letter: Letter): Fault[] {
  const faults: Fault[] = []
  if (!ADDRESS.test(letter.recipient)) faults.push({ path: 'recipient', message: 'one address, name@host' })
  if (/[\r\n\0]/.test(letter.subject)) faults.push({ path: 'subject', message: 'one line' })
  if (!LANGUAGE.test(letter.language)) faults.push({ path: 'language', message: 'a language tag such as en or es-MX' })
  return faults
}

/** Did the server refuse this recipient or message for good (RFC 5321, 4.2.1)? Refusing us or our password is another thing. */
function isRefusal(error: unknown): boolean {
  const { command, responseCode } = error as { command?: unknown; responseCode?: unknown }
  const aboutLetter = command === 'RCPT TO' || command === 'DATA'
  return aboutLetter && typeof responseCode === 'number' && responseCode >= 500
}
