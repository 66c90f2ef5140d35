/**
 * Reads a deployment's settings: one YAML file, a fixed table of environment variables over it, secrets from where the
 * file says they are. Every fault is told at once.
 *
 * Owns: files, variables, the order of the steps. Does not own: what may be said (schema.ts), rules between options
 * (check.ts). Hands to: everyone, as `Settings`.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isAlias, LineCounter, parseDocument, visit } from 'yaml'
import { type Fault, InputFaults } from '../errors.ts'
import { check } from './check.ts'
import { derive } from './derive.ts'
import { faultsOf, isGroup, mend, problemsOf, type SchemaNode } from './faults.ts'
import { type Config, configJsonSchema, configSchema } from './schema.ts'
import { createSecretReader } from './secret-sources.ts'
import type { Settings } from './settings.ts'

type Env = Readonly<Record<string, string | undefined>>

/** The environment variables that stand over the file. An empty one counts as not set. */
export const VARIABLES: readonly {
  name: string
  path: readonly [string] | readonly [string, string]
  kind: 'text' | 'number' | 'list' | 'secret'
}[] = [
  { name: 'PUBLIC_URL', path: ['publicUrl'], kind: 'text' },
  { name: 'HOST', path: ['listen', 'host'], kind: 'text' },
  { name: 'PORT', path: ['listen', 'port'], kind: 'number' },
  { name: 'TRUSTED_PROXIES', path: ['trustedProxies'], kind: 'list' },
  { name: 'DATABASE_URL', path: ['database', 'url'], kind: 'secret' },
  { name: 'DATABASE_PASSWORD', path: ['database', 'password'], kind: 'secret' },
  { name: 'REDIS_NODES', path: ['redis', 'nodes'], kind: 'list' },
  { name: 'LOG_LEVEL', path: ['log', 'level'], kind: 'text' },
  { name: 'LATCHKEY_NODE', path: ['audit', 'node'], kind: 'text' },
  { name: 'AUDIT_STREAM', path: ['audit', 'stream'], kind: 'text' },
  { name: 'ENDINGS_LOG', path: ['recovery', 'endingsLog'], kind: 'text' },
  { name: 'MAIL_FROM', path: ['mail', 'from'], kind: 'text' },
  { name: 'SMTP_URL', path: ['mail', 'smtpUrl'], kind: 'secret' },
]

/** What a checkout runs when nothing else is said; its secrets are published, so it works on this machine only. */
const DEVELOPMENT_FILE = fileURLToPath(new URL('../../config/development.yaml', import.meta.url))

const REQUIRED_IN_PRODUCTION = 'is required where NODE_ENV is production'

const CATALOGUES = new URL('../../views/locales/', import.meta.url)

export interface LoadOptions {
  /** The configuration file; default: `LATCHKEY_CONFIG`, else the checkout's config/development.yaml. */
  file?: string | undefined
  env: Env
  /** Reads a text file; given by tests. */
  readFile?: (path: string) => string
}

/**
 * Reads and checks the settings. Throws `InputFaults` with every fault, each with its option's path and what is accepted
 * there; no message repeats a secret. Warnings are about settings that are allowed and unsafe.
 */
export function loadSettings(options: LoadOptions): { settings: Settings; warnings: Fault[]; file: string } {
  const { env, readFile = (path: string) => readFileSync(path, 'utf8') } = options
  const file = configFile(options)
  const { input, setBy } = override(parseYaml(readText(file, readFile), file), env)
  const { config, faults } = parseConfig(input)
  if (!config) throw new InputFaults(faults.map(withVariable(setBy)))

  const secrets = createSecretReader({ env, readSecretFile: (path) => readFile(resolve(dirname(file), path)) })
  const settings = derive(config, secrets.read)
  const checked = check(settings, { literals: secrets.literals, languages: knownLanguages() })
  const told = [...faults, ...secrets.faults]
  if (env.NODE_ENV === 'production' && config.publicUrl === undefined) {
    // The default is this machine's address, which allows published secrets: nobody may get there by leaving a line out.
    told.push(...untold([{ path: 'publicUrl', message: `${REQUIRED_IN_PRODUCTION}: an https address` }], told))
  }
  told.push(...untold(checked.faults, told))
  if (told.length > 0) throw new InputFaults(told.map(withVariable(setBy)))
  return { settings, warnings: checked.warnings, file }
}

/** Languages that have a catalogue; an operator adds one by a file (R31). */
function knownLanguages(): string[] {
  return readdirSync(CATALOGUES).flatMap((name) => (name.endsWith('.json') ? [name.slice(0, -'.json'.length)] : []))
}

function configFile({ file, env }: LoadOptions): string {
  const named = file || env.LATCHKEY_CONFIG
  if (named) return named
  if (env.NODE_ENV === 'production') {
    const message = `${REQUIRED_IN_PRODUCTION}: the path of the configuration file`
    throw new InputFaults([{ path: 'LATCHKEY_CONFIG', message }])
  }
  return DEVELOPMENT_FILE
}

function readText(file: string, readFile: (path: string) => string): string {
  try {
    return readFile(file)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new InputFaults([{ path: file, message: `the configuration file cannot be read (${code})` }])
  }
}

/** Parses YAML; faults name line and column, and never the text there, which may be a secret. */
function parseYaml(text: string, file: string): unknown {
  const lines = new LineCounter()
  const document = parseDocument(text, { prettyErrors: false, lineCounter: lines })
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return `line ${line}, column ${col}`
  }
  const faults = [...document.errors, ...document.warnings].map((error) => ({
    path: file,
    message: `${at(error.pos[0])}: ${error.message.replace(/[:\\].*$/s, '')}`,
  }))
  visit(document, {
    Alias(_, node) {
      if (isAlias(node) && !node.resolve(document)) {
        const message = 'no anchor has this name; quote text that starts with *'
        faults.push({ path: file, message: `${at(node.range?.[0] ?? 0)}: ${message}` })
      }
    },
  })
  if (faults.length > 0) throw new InputFaults(faults)
  try {
    return document.toJS()
  } catch {
    throw new InputFaults([{ path: file, message: 'has more aliases than a configuration needs' }])
  }
}

/** Puts the environment's variables over the file, and keeps which option each one set. */
function override(file: unknown, env: Env): { input: unknown; setBy: Map<string, string> } {
  const setBy = new Map<string, string>()
  if (!isGroup(file)) return { input: file, setBy }
  const input = structuredClone(file)
  for (const { name, path, kind } of VARIABLES) {
    const text = env[name]
    if (!text) continue
    const [first, second] = path
    if (second !== undefined && input[first] === undefined) input[first] = {}
    const group = second === undefined ? input : input[first]
    if (!isGroup(group)) continue
    group[second ?? first] = parsedVariable(text, kind, name)
    setBy.set(path.join('.'), name)
  }
  return { input, setBy }
}

/** Says in a fault which variable set the option. */
function withVariable(setBy: ReadonlyMap<string, string>): (fault: Fault) => Fault {
  return ({ path, message }) => {
    const variable = setBy.get(path)
    return { path, message: variable ? `${message} (it is set by the variable ${variable})` : message }
  }
}

function parsedVariable(text: string, kind: (typeof VARIABLES)[number]['kind'], name: string): unknown {
  switch (kind) {
    case 'number':
      return /^\d+$/.test(text) ? Number(text) : text
    case 'list':
      return text.split(',').map((part) => part.trim())
    case 'secret':
      return { env: name }
    case 'text':
      return text
  }
}

/**
 * The file's content by the schema. Where it has faults, a mended one, so that further rules can be checked too; mending
 * may bring to light what a misspelt section hid, so it takes a few rounds.
 */
function parseConfig(input: unknown): { config: Config | undefined; faults: Fault[] } {
  const faults: Fault[] = []
  let mended = input
  for (let round = 0; round < 5; round++) {
    const parsed = configSchema.safeParse(mended)
    if (parsed.success) return { config: parsed.data, faults }
    const schema = configJsonSchema() as SchemaNode
    const problems = problemsOf(parsed.error.issues, schema, mended)
    faults.push(...untold(faultsOf(problems), faults))
    mended = mend(mended, problems, schema, round === 0)
  }
  return { config: undefined, faults }
}

/** Those of the faults that lie in no option which has been told already. */
function untold(faults: readonly Fault[], told: readonly Fault[]): Fault[] {
  const within = (path: string, outer: string) => path === outer || path.startsWith(`${outer}.`)
  return faults.filter((fault) => !told.some((known) => within(fault.path, known.path)))
}
