import { loadSettings } from '../config/load.ts'
import { smartDocument } from '../oidc/discovery.ts'
import { type CommandOptions, environmentsNamed, type Terminal } from './command.ts'

/**
 * Prints what a FHIR server that is not ours serves at `{base}/.well-known/smart-configuration` (R42). Where an issuer has
 * several APIs, one document each, in the order of the configuration.
 */
export const printSmartConfiguration = ({ config, operand }: CommandOptions, { env, out }: Terminal): number => {
  const { settings } = loadSettings({ file: config, env })
  for (const environment of environmentsNamed(settings, operand))
    for (const api of environment.apis) out.write(`${JSON.stringify(smartDocument(environment, api), null, 2)}\n`)
  return 0
}
