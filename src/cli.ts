/**
 * The command line, `latchkey`: a table of commands.
 *
 * Owns: finding the command, its options, telling faults, exit statuses (0 done, 1 faults, 2 wrong use).
 * Does not own: what a command does, beyond reading settings and printing. Never prints a secret.
 */
import { parseArgs } from 'node:util'
import { attestApp, listApps, showApp } from './cli/apps.ts'
import { verifyAudit, writeAudit } from './cli/audit.ts'
import { backUp, restore } from './cli/backup.ts'
import type { CommandOptions, Terminal } from './cli/command.ts'
import { printSmartConfiguration } from './cli/discovery.ts'
import { doctorOptions, runDoctor } from './cli/doctor.ts'
import { listKeys, revokeKey, rotateKeys } from './cli/keys.ts'
import { recover } from './cli/recover.ts'
import { listRegistrationTokens, makeRegistrationToken, revokeRegistrationToken } from './cli/registration.ts'
import { printSelfTests } from './cli/self-tests.ts'
import { loadSettings } from './config/load.ts'
import { configJsonSchema } from './config/schema.ts'
import type { Settings } from './config/settings.ts'
import { type Fault, InputFaults, LatchkeyError } from './errors.ts'

export type { Terminal } from './cli/command.ts'

/** Every option; a command takes those that it names, and `--config`. */
const options = {
  compromised: { type: 'boolean' },
  since: { type: 'string' },
  log: { type: 'string', multiple: true },
  issuer: { type: 'string' },
  answers: { type: 'string' },
  declined: { type: 'boolean' },
  person: { type: 'string' },
  evidence: { type: 'string' },
  expires: { type: 'string' },
  label: { type: 'string' },
  uses: { type: 'string' },
  days: { type: 'string' },
  ...doctorOptions,
} as const

type Option = keyof typeof options

interface Command {
  /** One word, or two. */
  name: string
  summary: string
  /** The operand that the command takes, as the usage shows it; none where it is left out. */
  operand?: string
  /** The options that it knows beside `--config`. */
  options?: readonly Option[]
  /** Runs the command; the answer is the exit status. */
  run(options: CommandOptions, terminal: Terminal): Promise<number> | number
}

const commands: readonly Command[] = [
  { name: 'check', summary: 'say what is wrong with the configuration, without starting', run: checkCommand },
  { name: 'keys', summary: 'the same as keys list', operand: '[ISSUER]', run: listKeys },
  {
    name: 'keys list',
    summary: 'list the signing keys of every issuer, or of one, and what the sealing keys seal',
    operand: '[ISSUER]',
    run: listKeys,
  },
  {
    name: 'keys rotate',
    summary: 'begin to replace signing keys and secrets, or go on with it; nobody notices',
    operand: '[ISSUER]',
    run: rotateKeys,
  },
  {
    name: 'keys revoke',
    summary: 'with --compromised: unpublish a signing key at once, and replace it',
    operand: 'KID',
    options: ['compromised'],
    run: revokeKey,
  },
  {
    name: 'smart-configuration',
    summary: 'print the SMART configuration of an issuer, for a FHIR server elsewhere (R42)',
    operand: 'ISSUER',
    run: printSmartConfiguration,
  },
  {
    name: 'apps list',
    summary: 'list apps, and who answered the plan’s questions (R18)',
    operand: '[ISSUER]',
    run: listApps,
  },
  {
    name: 'apps show',
    summary: 'with --issuer ISSUER: say what the people behind an app answered',
    operand: 'CLIENT',
    options: ['issuer'],
    run: showApp,
  },
  {
    name: 'apps attest',
    summary: 'with --issuer ISSUER, --person NAME, and --answers FILE or --declined: keep what they answered',
    operand: 'CLIENT',
    options: ['issuer', 'answers', 'declined', 'person', 'evidence', 'expires'],
    run: attestApp,
  },
  {
    name: 'registration-token make',
    summary: 'with --issuer ISSUER, --label NAME: let somebody register apps, --uses N times within --days N (R20)',
    options: ['issuer', 'label', 'uses', 'days'],
    run: makeRegistrationToken,
  },
  {
    name: 'registration-token list',
    summary: 'list whom apps can be registered by, and how often',
    operand: '[ISSUER]',
    run: listRegistrationTokens,
  },
  {
    name: 'registration-token revoke',
    summary: 'end such a token; apps that were registered with it stay',
    operand: 'ID',
    run: revokeRegistrationToken,
  },
  {
    name: 'doctor',
    summary: 'look at any SMART server from outside, and say what is wrong (R40); alone it says how',
    operand: '[ADDRESS]',
    options: Object.keys(doctorOptions) as Option[],
    run: runDoctor,
  },
  {
    name: 'self-tests',
    summary: 'list what the server found when it tested itself; --issuer ISSUER, --json',
    options: ['issuer', 'json'],
    run: printSelfTests,
  },
  { name: 'audit-verify', summary: 'prove that the audit trail is whole', run: verifyAudit },
  { name: 'audit-export', summary: 'write the audit trail as JSON lines', operand: '[ISSUER]', run: writeAudit },
  { name: 'backup', summary: 'copy the store while the server runs', operand: 'FILE', run: backUp },
  { name: 'restore', summary: 'put a copy in the place of a SQLite store', operand: 'FILE', run: restore },
  {
    name: 'recover',
    summary: 'with --since TIME, --log FILE: tell a restored store what it lacks (R46)',
    options: ['since', 'log'],
    run: recover,
  },
  { name: 'schema', summary: 'print the JSON Schema of the configuration (config/schema.json)', run: schemaCommand },
]

const usage = `Usage: latchkey <command> [--config FILE]

${commands.map(({ name, operand = '', summary }) => `  ${`${name} ${operand}`.padEnd(34)}${summary}`).join('\n')}

The configuration is --config, else LATCHKEY_CONFIG, else the checkout's config/development.yaml.
`

/** Runs one command line, without the program's name; answers the exit status. */
export async function runCommand(args: string[], terminal: Terminal): Promise<number> {
  let line: ReturnType<typeof parseLine>
  try {
    line = parseLine(args)
  } catch (error) {
    return misuse(error instanceof Error ? error.message : String(error), terminal)
  }
  if (line.values.help) {
    terminal.out.write(usage)
    return 0
  }
  const [name, second] = line.positionals
  const command =
    commands.find((each) => each.name === `${name} ${second}`) ?? commands.find((each) => each.name === name)
  if (!command) return misuse(name === undefined ? 'a command is needed' : `there is no command ${name}`, terminal)
  const [operand, ...surplus] = line.positionals.slice(command.name.split(' ').length)
  const { config, compromised = false, declined = false, log: logs = [], ...values } = line.values
  const foreign = (Object.keys(options) as Option[]).find(
    (name) => line.values[name] !== undefined && !command.options?.includes(name),
  )
  const unexpected = foreign ? `--${foreign}` : command.operand === undefined ? operand : surplus[0]
  if (unexpected !== undefined) return misuse(`${command.name} takes no ${unexpected}`, terminal)
  if (operand === undefined && command.operand?.startsWith('[') === false)
    return misuse(`${command.name} needs ${command.operand}`, terminal)
  try {
    return await command.run({ ...values, doctor: values, config, operand, compromised, declined, logs }, terminal)
  } catch (error) {
    if (error instanceof InputFaults) terminal.err.write(list('fault', error.faults))
    else if (error instanceof LatchkeyError) terminal.err.write(`latchkey: ${error.message}\n`)
    else throw error
    return 1
  }
}

function parseLine(args: string[]) {
  return parseArgs({
    args,
    allowPositionals: true,
    options: { ...options, config: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  })
}

function misuse(message: string, { err }: Terminal): number {
  err.write(`latchkey: ${message}\n\n${usage}`)
  return 2
}

/** Faults or warnings as a person reads them: the count, then each with its option's path. */
function list(kind: 'fault' | 'warning', found: readonly Fault[]): string {
  const head = `${found.length} ${kind}${found.length === 1 ? '' : 's'}\n`
  return head + found.map(({ path, message }) => `  ${path}\n    ${message}\n`).join('')
}

function checkCommand({ config }: CommandOptions, { env, out, err }: Terminal): number {
  const { settings, warnings, file } = loadSettings({ file: config, env })
  if (warnings.length > 0) err.write(list('warning', warnings))
  out.write(`${file} is sound.\n${overview(settings)}`)
  return 0
}

function overview({ publicUrl, plans }: Settings): string {
  const rows = plans.flatMap((plan) => plan.environments.map(({ id, issuer }) => `  ${id.padEnd(24)} ${issuer}\n`))
  return `The server is at ${publicUrl}; its issuers are\n${rows.join('')}`
}

function schemaCommand(_: CommandOptions, { out }: Terminal): number {
  out.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
  return 0
}
