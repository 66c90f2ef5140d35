import { join } from 'node:path'
import { expect, it } from 'vitest'
import { connectionLetter } from '../../src/interactions/letter.ts'
import { createI18n } from '../../src/web/i18n.ts'

const words = createI18n({ dir: join(import.meta.dirname, '../../views/locales') }).translator('en')

const letterOf = (name: string) =>
  connectionLetter({
    member: { name, email: 'maria@example.org' },
    patient: { name },
    app: { name },
    environment: {
      issuer: 'https://prairie.example.org',
      plan: { name: 'Prairie', contacts: { serviceDesk: { name: 'Desk', phone: '1' } } },
    },
    endsAt: 0,
    words,
  } as unknown as Parameters<typeof connectionLetter>[0])

it.each(['\r\n', '\n\n', '\r', '\u2028', '\u2029', '\u0085', '\0', '\u001b'])(
  'whatever is named with %j stays on its line, in the subject and in the text',
  (breaking) => {
    const plain = letterOf('An app Bcc: x')
    const letter = letterOf(`An app${breaking}Bcc: x`)
    expect([letter?.subject, letter?.body]).toEqual([plain?.subject, plain?.body])
  },
)
