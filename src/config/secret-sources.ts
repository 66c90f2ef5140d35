/** Secrets that a file names instead of saying: read from a file or a variable. */
import type { Fault } from '../errors.ts'
import type { SecretSource } from './values.ts'

/** Gives the secret's text, or undefined after noting why it cannot be read. */
export type ReadSecret = (source: SecretSource, path: string) => string | undefined

/** Where files and variables come from, so that a secret can be read. */
export interface SecretPlaces {
  env: Readonly<Record<string, string | undefined>>
  /** Reads a file named in the configuration. */
  readSecretFile: (path: string) => string
}

/** Reads secrets, and keeps what went wrong and which ones stood in the file itself. */
export function createSecretReader({ env, readSecretFile }: SecretPlaces): {
  read: ReadSecret
  faults: Fault[]
  literals: Set<string>
} {
  const faults: Fault[] = []
  const literals = new Set<string>()

  function read(source: SecretSource, path: string): string | undefined {
    if (typeof source === 'string') {
      literals.add(path)
      return source
    }
    if ('env' in source) {
      const value = env[source.env]
      if (value) return value
      faults.push({ path, message: `the environment variable ${source.env} is not set` })
      return undefined
    }
    try {
      const text = readSecretFile(source.file).replace(/\r?\n$/, '')
      if (text) return text
      faults.push({ path, message: `the file ${source.file} is empty` })
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
      faults.push({ path, message: `the file ${source.file} cannot be read (${code})` })
    }
    return undefined
  }

  return { read, faults, literals }
}
