/** `latchkey doctor`: looks at any SMART server, and says what it found (R40). It reads no configuration and no store. */
import { readFileSync } from 'node:fs'
import type { JWK } from 'jose'
import type { ClientCredentials } from '../doctor/credentials.ts'
import { type DoctorOptions, examine, groups, isWished } from '../doctor/doctor.ts'
import { openPersonWalker } from '../doctor/interactive.ts'
import { listText, reportText } from '../doctor/report.ts'
import { type Fault, InputFaults } from '../errors.ts'
import type { CommandOptions, Terminal } from './command.ts'

/** Where the secrets of a command line may be: never in its arguments, which every user of the machine can read. */
const SECRET_VARIABLES = { client: 'LATCHKEY_DOCTOR_CLIENT_SECRET', member: 'LATCHKEY_DOCTOR_PASSWORD' } as const

/** What the command line may say, beside the address. */
export const doctorOptions = {
  'fhir-base': { type: 'string' },
  'client-id': { type: 'string' },
  'client-secret-file': { type: 'string' },
  key: { type: 'string' },
  'redirect-uri': { type: 'string' },
  scope: { type: 'string' },
  launch: { type: 'string' },
  username: { type: 'string' },
  'password-file': { type: 'string' },
  patient: { type: 'string' },
  'other-patient': { type: 'string' },
  'service-client-id': { type: 'string' },
  'service-key': { type: 'string' },
  'service-scope': { type: 'string' },
  interactive: { type: 'boolean' },
  only: { type: 'string' },
  list: { type: 'boolean' },
  json: { type: 'boolean' },
} as const

/** Their values. */
export type DoctorLine = {
  [Name in keyof typeof doctorOptions]?:
    | ((typeof doctorOptions)[Name]['type'] extends 'boolean' ? boolean : string)
    | undefined
}

const usage = `Usage: latchkey doctor ADDRESS [options]

ADDRESS is a FHIR base, or an issuer, of any SMART server. Without options the doctor looks at what anybody may see.

  --fhir-base URL             the FHIR base, where ADDRESS is an issuer
  --client-id ID              a client of the server, for what apps see
  --client-secret-file FILE   its secret; or the variable ${SECRET_VARIABLES.client}
  --key FILE                  its private JWK instead, for private_key_jwt
  --redirect-uri URI          one that is registered for it; default http://127.0.0.1:8765/callback
  --scope SCOPES              what to ask for, where the usual is not allowed
  --launch VALUE              a launch that an EHR or a portal made for the client and the member
  --username NAME             a test member, who signs in and shares
  --password-file FILE        their password; or the variable ${SECRET_VARIABLES.member}
  --patient NAME              which patient to choose
  --other-patient ID          a patient whom the test member may not see
  --interactive               a person signs in with a browser instead
  --service-client-id ID      a backend service
  --service-key FILE          its private JWK
  --service-scope SCOPES      what it asks for
  --only IDS                  these checks alone, such as R6,R12,smart.discovery
  --list                      name every check, and do nothing
  --json                      the report for programs

Exit status: 0 all passed (warnings allowed), 1 something failed, 2 it could not run.
`

const readLine = (file: string, path: string): string => {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new InputFaults([{ path, message: `the file ${file} cannot be read (${code})` }])
  }
}

/** A private key: one JWK, or the only one of a set. */
const readKey = (file: string, path: string): JWK => {
  const fault = (message: string): never => {
    throw new InputFaults([{ path, message }])
  }
  let given: { keys?: JWK[] } & JWK
  try {
    given = JSON.parse(readLine(file, path))
  } catch (error) {
    if (error instanceof InputFaults) throw error
    return fault(`${file} must be a JWK`)
  }
  const key = Array.isArray(given?.keys) && given.keys.length === 1 ? given.keys[0] : given
  return typeof key?.d === 'string' ? key : fault(`${file} must be a private JWK: it has no member d`)
}

/** The options of an examination, from the line and the variables; every fault at once. */
export const optionsOf = (target: string, line: DoctorLine, env: Terminal['env']): DoctorOptions => {
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
  const say = (path: string, message: string): void => void faults.push({ path, message })
  const address = (path: string, value: string | undefined): void => {
    if (value !== undefined && !/^https?:$/.test(URL.parse(value)?.protocol ?? ''))
      say(path, 'must be an https address')
  }
  address('ADDRESS', target)
  address('--fhir-base', line['fhir-base'])
  if (line['redirect-uri'] !== undefined && !URL.canParse(line['redirect-uri']))
    say('--redirect-uri', 'must be an address')
  const known = groups.flatMap(({ checks }) => checks)
  const only = line.only?.split(',').map((name) => name.trim())
  for (const name of only ?? [])
    if (!known.some(({ id }) => isWished(id, [name]))) say('--only', `there is no check ${name}; --list names them`)

  const secretFile = line['client-secret-file']
  const clientId = line['client-id']
  const secret = secretFile
    ? attempt(() => readLine(secretFile, '--client-secret-file'))
    : env[SECRET_VARIABLES.client] || undefined
  const keyFile = line.key
  const key = keyFile ? attempt(() => readKey(keyFile, '--key')) : undefined
  if (key && secretFile) say('--key', 'goes without --client-secret-file: a client authenticates in one way')
  if (clientId === undefined && (secretFile || keyFile)) say('--client-id', 'is required with a secret or a key')
  const client: ClientCredentials | undefined =
    clientId === undefined ? undefined : { clientId, ...(key ? { key } : { secret }) }

  const { username } = line
  const passwordFile = line['password-file']
  const password = passwordFile
    ? attempt(() => readLine(passwordFile, '--password-file'))
    : env[SECRET_VARIABLES.member] || undefined
  if (username !== undefined && password === undefined && faults.length === 0)
    say('--username', `needs a password: --password-file, or the variable ${SECRET_VARIABLES.member}`)
  if (username !== undefined && clientId === undefined) say('--client-id', 'is required with --username')
  if (line.interactive && username !== undefined) say('--interactive', 'goes without --username: a person signs in')
  if (line.interactive && clientId === undefined) say('--client-id', 'is required with --interactive')

  const serviceId = line['service-client-id']
  const serviceFile = line['service-key']
  const serviceKey = serviceFile ? attempt(() => readKey(serviceFile, '--service-key')) : undefined
  if ((serviceId === undefined) !== (serviceFile === undefined))
    say('--service-client-id', 'and --service-key go together')
  if (faults.length > 0) throw new InputFaults(faults)

  return {
    target,
    fhirBase: line['fhir-base'],
    client,
    redirectUri: line['redirect-uri'],
    scope: line.scope,
    launch: line.launch,
    member:
      username !== undefined && password !== undefined ? { username, password, patient: line.patient } : undefined,
    otherPatient: line['other-patient'],
    service:
      serviceId !== undefined && serviceKey
        ? { credentials: { clientId: serviceId, key: serviceKey }, scope: line['service-scope'] }
        : undefined,
    only,
  }
}

/** 0: all passed, warnings allowed; 1: something failed; 2: it could not run. */
export const runDoctor = async (
  { operand, doctor = {} }: CommandOptions,
  { env, out, err }: Terminal,
): Promise<number> => {
  if (doctor.list) {
    out.write(listText())
    return 0
  }
  if (operand === undefined) {
    err.write(usage)
    return 2
  }
  try {
    const options = optionsOf(operand, doctor, env)
    const person = doctor.interactive
      ? await openPersonWalker({ redirectUri: options.redirectUri, say: (text) => err.write(text) })
      : undefined
    const own = person ? { openWalker: person.walker, redirectUri: person.redirectUri } : {}
    const report = await examine({ ...options, ...own }).finally(() => person?.close())
    const color = 'isTTY' in out && out.isTTY === true && !env.NO_COLOR
    out.write(doctor.json ? `${JSON.stringify(report, null, 2)}\n` : reportText(report, { color }))
    return { passed: 0, failed: 1, unable: 2 }[report.outcome]
  } catch (error) {
    if (!(error instanceof InputFaults)) throw error
    for (const { path, message } of error.faults) err.write(`latchkey: ${path} ${message}\n`)
    return 2
  }
}
