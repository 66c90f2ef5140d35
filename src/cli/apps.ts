/**
 * What operators do about apps: look, and keep what the people behind one said when the plan asked them (R18). Running servers
 * take it at once.
 *
 * Owns: the words, and what the command line may say. Does not own: the questions, or what is made of them (portal).
 */
import { readFileSync } from 'node:fs'
import type { Environment, Settings } from '../config/settings.ts'
import { type Fault, InputFaults } from '../errors.ts'
import { dayOf, endOfDay } from '../members/durations.ts'
import { type Attestation, asksMembers, createAttestations, type ListedApp } from '../portal/attestation.ts'
import { type Answers, parseAnswers } from '../portal/attestation-questions.ts'
import { auditOf, type CommandOptions, environmentsNamed, type Terminal, withDatabase } from './command.ts'

/** What is wrong with one part of the line is told with what is wrong with the others. */
const collect = () => {
  const faults: Fault[] = []
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof InputFaults)) throw error
      faults.push(...error.faults)
      return undefined
    }
  }
  return { faults, attempt }
}

const fault = (path: string, message: string): never => {
  throw new InputFaults([{ path, message }])
}

const line = (value: string | undefined, option: string, max: number): string | null => {
  if (value === undefined) return null
  if (value.trim() === '' || value.length > max || /[\p{Cc}\p{Zl}\p{Zp}]/u.test(value))
    return fault(option, `must be one line of 1 to ${max} characters`)
  return value.trim()
}

const answersIn = (file: string): Answers => {
  let given: unknown
  try {
    given = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return fault('--answers', `${file} must be a file with a JSON object, one member for each question`)
  }
  return parseAnswers(given)
}

const issuerOf = ({ issuer }: CommandOptions, settings: Settings): Environment =>
  environmentsNamed(settings, issuer ?? '', '--issuer')[0] ?? fault('--issuer', 'is required')

/** The end of the last day on which the answers count. */
const endOf = (day: string, { plan }: Environment): number => {
  const end = endOfDay(day, plan.timeZone)
  return end > Date.now() ? end : fault('--expires', 'must be a day to come, such as 2027-12-31')
}

const kindOf = ({ kind }: Pick<ListedApp, 'kind'>): string => kind.replace('-', ' ')

const appNamed = async (
  clientId: string | undefined,
  { id }: Environment,
  list: (issuer: string) => Promise<ListedApp[]>,
): Promise<ListedApp> => {
  const found = (await list(id)).find((app) => app.clientId === clientId)
  if (!found) return fault('CLIENT', `must be a client id that \`apps list ${id}\` names`)
  if (!asksMembers(found.kind)) return fault('CLIENT', `is a ${kindOf(found)}: it asks no members for anything`)
  return found
}

const told = ({ state, answeredAt, expiresAt }: Attestation, { plan }: Environment): string => {
  if (answeredAt === null) return 'unanswered'
  const until = expiresAt === null ? '' : `, until ${dayOf(expiresAt, plan.timeZone)}`
  return `${state} on ${dayOf(answeredAt, plan.timeZone)}${until}`
}

/** Lists the apps of every issuer, or of one, and where each stands. */
export const listApps = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async (database, settings) => {
    const attestations = createAttestations({ database, audit: auditOf(settings), now: Date.now })
    for (const environment of environmentsNamed(settings, options.operand)) {
      terminal.out.write(`${environment.id}  ${environment.issuer}\n`)
      for (const { clientId, name, kind, status, attestation } of await attestations.list(environment.id)) {
        const state = asksMembers(kind) ? told(attestation, environment) : kindOf({ kind })
        terminal.out.write(`  ${clientId}  ${name}  ${state}${status === 'suspended' ? ', suspended' : ''}\n`)
      }
    }
    return 0
  })

/** Shows one app: where it stands, and what its people answered. */
export const showApp = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async (database, settings) => {
    const attestations = createAttestations({ database, audit: auditOf(settings), now: Date.now })
    const environment = issuerOf(options, settings)
    const { name, developer, attestation } = await appNamed(options.operand, environment, attestations.list)
    terminal.out.write(`${name}, made by ${developer}\n${told(attestation, environment)}\n`)
    for (const { question, answer, text, url } of attestation.answers)
      terminal.out.write(`  ${question.padEnd(10)}${[answer, text, url].filter((each) => each !== null).join('  ')}\n`)
    return 0
  })

/** Keeps what the people behind an app answered, or that they declined to. */
export const attestApp = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async (database, settings) => {
    const { faults, attempt } = collect()
    const environment = attempt(() => issuerOf(options, settings))
    const person = attempt(
      () => line(options.person, '--person', 200) ?? fault('--person', 'is required: who answered'),
    )
    const evidence = attempt(() => line(options.evidence, '--evidence', 500)) ?? null
    const answers = attempt(() => {
      if (options.declined === (options.answers !== undefined))
        return fault('apps attest', 'needs --answers FILE, or --declined')
      return options.answers === undefined ? null : answersIn(options.answers)
    })
    const expiresAt = attempt(() => {
      if (options.expires === undefined) return null
      if (options.declined) return fault('--expires', 'goes with --answers: who declined is asked anew at any time')
      return environment ? endOf(options.expires, environment) : null
    })
    if (!environment || !person || faults.length > 0) throw new InputFaults(faults)

    const audit = auditOf(settings)
    try {
      const attestations = createAttestations({ database, audit, now: Date.now })
      const { appId, name } = await appNamed(options.operand, environment, attestations.list)
      await database.transaction((trx) =>
        attestations.put(trx, {
          actor: 'system',
          issuer: environment.id,
          appId,
          state: options.declined ? 'declined' : 'attested',
          answers,
          person,
          evidence,
          expiresAt: expiresAt ?? null,
        }),
      )
      const what = options.declined ? 'are warned of it' : 'see its answers'
      const stands = told(await attestations.stateOf(appId), environment)
      terminal.out.write(`${name}: ${stands}. Members ${what} from now on.\n`)
    } finally {
      audit.close()
    }
    return 0
  })
