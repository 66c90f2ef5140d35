/** The letter that reminds a member of an end (R8). */
import { managementUrl } from '../config/addresses.ts'
import type { Environment } from '../config/settings.ts'
import type { Translator } from '../web/i18n.ts'

/** Whatever an app calls itself, it stays on its line: in the head of a letter and in its text, where it could say more. */
export const oneLine = (text: string): string => text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim()

/** No health data: a mailbox is not a private place. */
export const reminderLetter = (about: {
  environment: Environment
  connectionId: string
  member: { name: string; email: string }
  patient: string
  app: string
  endsAt: number
  words: Translator
}) => {
  const { environment, connectionId, member, words } = about
  const { serviceDesk } = environment.plan.contacts
  const params = {
    name: oneLine(member.name),
    patient: oneLine(about.patient),
    app: oneLine(about.app),
    plan: environment.plan.name,
    date: words.date(about.endsAt),
    address: `${managementUrl(environment)}/${connectionId}/extend`,
    desk: serviceDesk.name,
    phone: serviceDesk.phone,
  }
  return {
    recipient: member.email,
    subject: words.t('letter.reminder.subject', params),
    body: words.t('letter.reminder.body', params),
    language: words.language,
  }
}
