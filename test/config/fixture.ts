import { stringify } from 'yaml'
import { loadSettings } from '../../src/config/load.ts'
import type { Settings } from '../../src/config/settings.ts'
import { type Fault, InputFaults } from '../../src/errors.ts'

/** Options as a file may have them, right or wrong. */
export type Options = { [option: string]: unknown }

/** A sound configuration of a server on this machine. */
export function localConfig(): Options {
  return {
    sealingKeys: [{ id: 'one', secret: 'a-secret-of-this-test-with-forty-characters' }],
    plans: {
      alder: {
        name: 'Alder Health',
        contacts: {
          serviceDesk: { name: 'Desk', phone: '1-800-555-0100' },
          educationUrl: 'https://alder.example.org/apps',
        },
        environments: {
          sandbox: { sandbox: true, apis: { fhir: { name: 'API', sandbox: true } } },
          production: { apis: { fhir: { name: 'API', baseUrl: 'https://fhir.alder.example.org/r4' } } },
        },
      },
    },
  }
}

/** A sound configuration of a server that the world can reach. */
export function publicConfig(): Options {
  return {
    ...localConfig(),
    publicUrl: 'https://login.example.org',
    trustedProxies: ['10.0.0.0/8'],
    sealingKeys: [{ id: 'one', secret: { env: 'SEALING_KEY' } }],
    mail: { smtpUrl: { env: 'MAIL' } },
  }
}

export const publicEnv = {
  SEALING_KEY: 'another-secret-of-this-test-with-more-characters',
  MAIL: 'smtps://u:hunter2@mail.example.org',
  POSTGRES: 'postgres://latchkey@db.example.org/latchkey',
}

/** Sets the option at a dotted path; undefined removes it. */
export function set(config: Options, path: string, value: unknown): Options {
  const keys = path.split('.')
  const last = keys.pop() ?? ''
  const group = keys.reduce<Options>((each, key) => {
    each[key] ??= {}
    return each[key] as Options
  }, config)
  if (value === undefined) delete group[last]
  else group[last] = value
  return config
}

type Env = Record<string, string | undefined>
type Loaded = { settings: Settings; warnings: Fault[]; faults: readonly Fault[] }

/** Loads a configuration as if it stood in a file; faults are answered, not thrown. */
export function load(config: Options | string, env: Env = {}, files: Record<string, string> = {}): Loaded {
  const text = typeof config === 'string' ? config : stringify(config)
  const readFile = (path: string) => {
    const found = { '/etc/latchkey.yaml': text, ...files }[path]
    if (found === undefined) throw Object.assign(new Error(`no file ${path}`), { code: 'ENOENT' })
    return found
  }
  try {
    return { ...loadSettings({ file: '/etc/latchkey.yaml', env, readFile }), faults: [] }
  } catch (error) {
    if (!(error instanceof InputFaults)) throw error
    return { settings: {} as Settings, warnings: [], faults: error.faults }
  }
}

/** Faults as lines, `path: message`. */
export function lines(faults: readonly Fault[]): string[] {
  return faults.map(({ path, message }) => `${path}: ${message}`)
}
