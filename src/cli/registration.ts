/**
 * What operators do about apps that register themselves: give out initial access tokens, look at them, take them back (R20).
 *
 * Owns: the words. Does not own: what a token opens (portal). A token is printed once, by the command that makes it.
 */
import type { Environment } from '../config/settings.ts'
import { type Fault, InputFaults, LatchkeyError } from '../errors.ts'
import { createRegistrationTokens } from '../portal/registration-tokens.ts'
import { auditOf, type CommandOptions, environmentsNamed, type Terminal, withDatabase } from './command.ts'

const mostUses = 10_000
const mostDays = 366

const time = (millis: number): string => new Date(millis).toISOString()

/** A whole number of an option, or undefined and a fault. */
const countOf = (value: string | undefined, option: string, most: number, faults: Fault[], usual: number): number => {
  if (value === undefined) return usual
  const count = /^\d{1,6}$/.test(value) ? Number(value) : 0
  if (count < 1 || count > most) faults.push({ path: option, message: `must be a whole number from 1 to ${most}` })
  return count
}

/** Makes a token, and prints it. */
export const makeRegistrationToken = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async (database, settings) => {
    const faults: Fault[] = []
    const label = options.label?.trim() ?? ''
    if (label === '' || label.length > 100 || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(label))
      faults.push({
        path: '--label',
        message: 'is required: who stands behind the apps, one line that members will read',
      })
    const uses = countOf(options.uses, '--uses', mostUses, faults, 1)
    const days = countOf(options.days, '--days', mostDays, faults, 7)
    const environment = environmentNamed(
      options.issuer,
      settings.plans.flatMap((plan) => plan.environments),
      faults,
    )
    if (!environment || faults.length > 0) throw new InputFaults(faults)

    const audit = auditOf(settings)
    try {
      const tokens = createRegistrationTokens({ database, audit, now: Date.now })
      const { id, token, expiresAt } = await tokens.make({ issuer: environment.id, label, uses, days })
      terminal.out.write(
        `${token}\n\nThis is printed once. It registers ${uses === 1 ? 'one app' : `${uses} apps`} of ${label} at ` +
          `${new URL(environment.endpoints.registration.path, environment.issuer).href}\nuntil ${time(expiresAt)}. ` +
          `To end it sooner: latchkey registration-token revoke ${id}\n`,
      )
    } finally {
      audit.close()
    }
    return 0
  })

const environmentNamed = (name: string | undefined, all: Environment[], faults: Fault[]): Environment | undefined => {
  const found = all.find(({ id, issuer }) => id === name || issuer === name)
  if (!found)
    faults.push({ path: '--issuer', message: `is required, and must be one of ${all.map(({ id }) => id).join(', ')}` })
  else if (!found.registration?.by.includes('initial-access-token'))
    faults.push({
      path: '--issuer',
      message: `must be an issuer at which apps register with a token: see its registration`,
    })
  return found
}

/** Lists the tokens of every issuer, or of one; never a token itself. */
export const listRegistrationTokens = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async (database, settings) => {
    const tokens = createRegistrationTokens({ database, audit: auditOf(settings), now: Date.now })
    for (const environment of environmentsNamed(settings, options.operand)) {
      terminal.out.write(`${environment.id}  ${environment.issuer}\n`)
      for (const { id, label, uses_left, expires_at, last_used_at } of await tokens.list(environment.id)) {
        const open = expires_at > Date.now() && uses_left > 0
        const state = open ? `${uses_left} left until ${time(expires_at)}` : uses_left > 0 ? 'expired' : 'used up'
        const used = last_used_at === null ? '' : `, last used ${time(last_used_at)}`
        terminal.out.write(`  ${id}  ${label}  ${state}${used}\n`)
      }
    }
    return 0
  })

/** Ends a token. */
export const revokeRegistrationToken = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async (database, settings) => {
    const audit = auditOf(settings)
    try {
      const tokens = createRegistrationTokens({ database, audit, now: Date.now })
      const issuer = await tokens.revoke(options.operand ?? '')
      if (!issuer)
        throw new LatchkeyError('not_found', 404, { message: 'ID must be one that `registration-token list` names' })
      terminal.out.write(`It registers nothing at ${issuer} from now on. Apps that it registered stay.\n`)
    } finally {
      audit.close()
    }
    return 0
  })
