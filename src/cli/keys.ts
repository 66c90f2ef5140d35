/**
 * What operators do with keys: look, rotate, revoke. Says what happens, when, and what apps notice of it; never a key.
 *
 * Owns: the words. Does not own: the rule (oidc/key-rotation.ts), or the servers, which hear of a change by themselves.
 */
import type { Environment, Settings } from '../config/settings.ts'
import { keepsEndings } from '../members/older-store.ts'
import { createKeyRotation, knownAfter, knownBefore, secretKnownBefore, type Turn } from '../oidc/key-rotation.ts'
import { readKeys } from '../oidc/keys.ts'
import { type EndingsLog, openEndingsLog } from '../recovery/endings-log.ts'
import { createSealer, sealingKeyOf } from '../secrets.ts'
import type { Database } from '../storage/database.ts'
import { auditOf, type CommandOptions, environmentsNamed, type Terminal, withDatabase } from './command.ts'

const time = (millis: number): string => new Date(millis).toISOString()
const heading = ({ id, issuer }: Environment): string => `${id}  ${issuer}\n`

/** Lists signing keys: what they are and since when; then what each sealing key seals. */
export const listKeys = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async ({ db }, settings) => {
    const sealedBy = new Map<string, number>()
    for (const environment of environmentsNamed(settings, options.operand)) {
      const { keys, secrets } = await readKeys(db, environment.id)
      terminal.out.write(heading(environment))
      if (keys.length === 0) terminal.out.write('  no keys yet: the server makes them when it first starts\n')
      for (const key of keys) {
        const until =
          key.state === 'next'
            ? `, signs from ${time(key.created_at + knownBefore)}`
            : key.state === 'retired'
              ? `, published until ${time((key.retired_at ?? 0) + knownAfter)}`
              : ''
        terminal.out.write(
          `  ${key.kid}  ${key.algorithm}  ${key.state.padEnd(8)} since ${time(key.created_at)}${until}\n`,
        )
      }
      for (const text of [...keys.map((row) => row.sealed_jwk), ...secrets.map((row) => row.sealed_value)]) {
        const id = sealingKeyOf(text) ?? 'none'
        sealedBy.set(id, (sealedBy.get(id) ?? 0) + 1)
      }
    }
    terminal.out.write(`sealing keys\n${sealing(settings, sealedBy)}`)
    return 0
  })

/** Whether a sealing key can go from the configuration. */
const sealing = ({ sealingKeys, session }: Settings, sealedBy: Map<string, number>): string => {
  const line = (id: string, text: string) => `  ${id}  ${text}\n`
  const configured = sealingKeys.map(({ id }, i) => {
    const count = sealedBy.get(id) ?? 0
    if (i === 0) return line(id, `seals what is new; sealed ${count} keys and secrets listed here`)
    if (count > 0)
      return line(
        id,
        `still needed: sealed ${count} keys and secrets; a server that starts with another first seals anew`,
      )
    return line(id, `sealed none of these; needed for ${session.absoluteHours} hours after no server has it first`)
  })
  const missing = [...sealedBy].filter(([id]) => !sealingKeys.some((key) => key.id === id))
  return [
    ...configured,
    ...missing.map(([id, count]) => line(id, `NOT CONFIGURED, and ${count} keys and secrets are sealed by it`)),
  ].join('')
}

const rotationOf = (database: Database, settings: Settings, endingsLog?: EndingsLog) => {
  const audit = auditOf(settings)
  const sealer = createSealer(settings.sealingKeys)
  const rotation = createKeyRotation({ database, sealer, audit, endingsLog, now: Date.now })
  return { rotation, close: audit.close }
}

/** The log of endings of this node, whose server may be writing to it as well. */
const openLog = async ({ db }: Database, { audit, recovery: { endingsLog } }: Settings) => {
  // Never a new one in the place of one that is missed: the server would not miss it any more.
  await keepsEndings(db, audit.node, endingsLog)
  return endingsLog === null ? undefined : openEndingsLog(endingsLog)
}

const names = { cookies: 'the cookies', forms: 'the forms', 'refresh-tokens': 'the refresh tokens' }

const told = ({ subject, id, step, at, replaces }: Turn): string => {
  if (subject !== 'ES256' && subject !== 'RS256') {
    const name = `the secret of ${names[subject]}`
    if (step === 'made') return `${name}: a new one is made, and known to every server; it is used from ${time(at)}`
    if (step === 'waiting') return `${name}: a new one waits, and is used from ${time(at)}`
    if (step === 'in-force') return `${name}: the new one is used now; the old one is honoured for as long as needed`
    return `${name}: an old one that nothing needs any more is gone`
  }
  if (step === 'made') return `${id}  ${subject}  is made and published; it signs from ${time(at)}`
  if (step === 'waiting') return `${id}  ${subject}  is published already; it signs from ${time(at)}`
  if (step === 'in-force')
    return `${id}  ${subject}  signs now${replaces ? `; ${replaces} is retired, and published until ${time(at)}` : ''}`
  return `${id}  ${subject}  was retired long enough, and is published no more`
}

/** Begins a rotation, or goes on with one that has begun. */
export const rotateKeys = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async (database, settings) => {
    const { rotation, close } = rotationOf(database, settings)
    let waits = false
    for (const environment of environmentsNamed(settings, options.operand)) {
      const turns = await rotation.turn(environment.id, { rotateDays: settings.keys.rotateDays, begin: true })
      waits ||= turns.some(({ step }) => step === 'made' || step === 'waiting')
      terminal.out.write(heading(environment))
      for (const turn of turns) terminal.out.write(`  ${told(turn)}\n`)
    }
    close()
    if (waits)
      terminal.out.write(
        `What waits is known for ${knownBefore / 3_600_000} hours before it is used, so that no copy of the keys lacks it; the secret of the\n` +
          `refresh tokens for ${secretKnownBefore['refresh-tokens'] / 86_400_000} days, so that no copy of the store does. A server that runs does the rest by itself, within\n` +
          'ten minutes of that time; nothing else is to be done, and apps and members notice nothing.\n',
      )
    return 0
  })

/** Unpublishes a key that others may know. */
export const revokeKey = async (options: CommandOptions, terminal: Terminal): Promise<number> => {
  const { operand: kid = '', compromised } = options
  if (!compromised) {
    terminal.err.write(
      `latchkey: tokens that ${kid} signed would be refused at once. If others may know it, say so with --compromised;\n` +
        'to replace a key in the ordinary way, use keys rotate.\n',
    )
    return 1
  }
  return withDatabase(options, terminal, async (database, settings) => {
    const endingsLog = await openLog(database, settings)
    const { rotation, close } = rotationOf(database, settings, endingsLog)
    const { issuer, algorithm, was, signs } = await rotation.revoke(kid).finally(() => endingsLog?.close())
    close()
    terminal.out.write(
      `${kid}  ${algorithm}  was ${was} at ${issuer}; it is revoked, and no server publishes it in a second from now.\n` +
        (signs ? `${signs}  ${algorithm}  signs in its place.\n` : '') +
        (was === 'next'
          ? 'It never signed: nobody notices.\n'
          : 'What it signed is refused: by Latchkey (introspection, userinfo) in a second from now, by FHIR servers when they fetch\n' +
            'the keys again, at most ten minutes from now with the resource-server library. To be sure at once, restart them.\n' +
            'Apps need do nothing: they are answered 401 and refresh. Connections, refresh tokens and sign-ins are untouched.\n'),
    )
    return 0
  })
}
