/** What a `sqlite:` URL names. Shared by the database and the lock of the server that uses it. */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { InputFaults } from '../errors.ts'

const accepted = 'sqlite:{path of a file}, sqlite::memory: or postgres://{user}@{host}/{database}'

/** The path of a `sqlite:{path}` URL, or `:memory:`. Throws `InputFaults` for any other URL. */
export function sqliteFile(url: string): string {
  const path = /^sqlite:(.+)$/s.exec(url)?.[1]
  if (!path || path.includes('\0')) {
    throw new InputFaults([{ path: 'database.url', message: `must be ${accepted}` }])
  }
  return path
}

/** Makes the folder of a database file, for our eyes only: what is in it is about members. */
export function makeFolder(file: string): void {
  if (file !== ':memory:') mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
}
