/** The letter that tells a member of a new connection (R28). */
import { managementUrl } from '../config/addresses.ts'
import type { Environment } from '../config/settings.ts'
import type { PatientChoice } from '../members/directory.ts'
import type { ConnectionLetter } from '../members/letters.ts'
import { oneLine } from '../members/reminder-letter.ts'
import type { MemberRow } from '../storage/tables.ts'
import type { Translator } from '../web/i18n.ts'
import type { AppFace } from '../web/pages.ts'

/** Null for a member without an address. No health data: a mailbox is not a private place. */
export const connectionLetter = (about: {
  member: MemberRow
  patient: PatientChoice
  app: AppFace
  environment: Environment
  endsAt: number
  words: Translator
}): ConnectionLetter | null => {
  const { member, patient, app, environment, words } = about
  if (!member.email) return null
  const { serviceDesk } = environment.plan.contacts
  const params = {
    name: oneLine(member.name),
    patient: oneLine(patient.name),
    app: oneLine(app.name),
    plan: environment.plan.name,
    date: words.date(about.endsAt),
    address: managementUrl(environment),
    desk: serviceDesk.name,
    phone: serviceDesk.phone,
  }
  return {
    recipient: member.email,
    subject: words.t('letter.connected.subject', params),
    body: words.t('letter.connected.body', params),
    language: words.language,
  }
}
