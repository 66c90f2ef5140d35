/** The rules between options of the database, and what is allowed there and unsafe. */
import type { Fault } from '../errors.ts'
import { isPostgresUrl, type PostgresPlace, readPostgresUrl } from './postgres-url.ts'
import type { Settings } from './settings.ts'

/** What is wrong with the URL of a database, or null. Repeats nothing of it. */
export function databaseUrlFault(url: string): string | null {
  if (isPostgresUrl(url)) {
    const place = readPostgresUrl(url)
    return 'fault' in place ? place.fault : null
  }
  if (/^sqlite:(:memory:|[^:?#]+)$/.test(url)) return null
  return 'must be sqlite: and the path of a file, sqlite::memory:, or postgres://user@host/database'
}

export function databaseFaults({ database }: Settings): Fault[] {
  const { url, password } = database
  const faults: Fault[] = []
  const fault = databaseUrlFault(url)
  // Said here too: it may come from a file or a variable, which the schema does not see.
  if (fault) faults.push({ path: 'database.url', message: fault })
  if (password !== null && url.startsWith('sqlite:'))
    faults.push({ path: 'database.password', message: 'must be left out: SQLite has none' })
  if (password !== null && placeOf(url)?.password !== undefined)
    faults.push({ path: 'database.password', message: 'must be left out: database.url has one already' })
  return faults
}

/** Options that must not stand in the file of a server that the world can reach. */
export function databaseSecrets({ database }: Settings): string[] {
  return ['database.password', ...(placeOf(database.url)?.password === undefined ? [] : ['database.url'])]
}

export function databaseWarnings({ database }: Settings): Fault[] {
  const place = placeOf(database.url)
  if (!place || place.local) return []
  if (place.sslmode === 'disable') {
    const message = 'sslmode=disable: members’ names, consents and the audit trail cross the network in the clear'
    return [{ path: 'database.url', message }]
  }
  if (place.sslmode === 'require') {
    const message =
      'sslmode=require encrypts for whoever answers; use verify-full, with sslrootcert for an authority of your own'
    return [{ path: 'database.url', message }]
  }
  return []
}

function placeOf(url: string): PostgresPlace | undefined {
  const place = isPostgresUrl(url) ? readPostgresUrl(url) : undefined
  return place && !('fault' in place) ? place : undefined
}
