/** What the suites share: a row, texts that stores have bent before, an empty backend for each test. */
import { afterEach, beforeEach } from 'vitest'
import { type Database, openDatabase } from '../../../src/storage/database.ts'
import type { OrganizationRow } from '../../../src/storage/tables.ts'
import { type Backend, quiet } from '../../support/stores.ts'

export type OpenBackend = () => Promise<Backend>

export const organization = (id: string, change: Partial<OrganizationRow> = {}): OrganizationRow => ({
  id,
  plan: 'prairie',
  kind: 'organization',
  name: 'Sunflower Apps',
  website: null,
  created_at: 1_700_000_000_000,
  ...change,
})

export const HOSTILE_TEXTS = [
  `'; drop table organizations; --`,
  'a"b`c\\d',
  '%',
  '_',
  '__proto__',
  'constructor',
  ' space at both ends ',
  'UPPER',
  'upper',
  'é',
  'e\u0301',
  '患者 пациент 🩺 ￿',
  '\u202eright to left\u0007',
]

/** An empty backend and a connection to it, made anew for each test of the suite that calls this. */
export function eachWithDatabase(open: OpenBackend) {
  const given = {} as { backend: Backend; database: Database }

  beforeEach(async () => {
    given.backend = await open()
    given.database = await openDatabase({ url: given.backend.url, log: quiet })
  })
  afterEach(async () => {
    await given.database?.close()
    await given.backend?.dispose()
  })

  return {
    /** The connection; a test may put another in its place. */
    given,
    names: async (from = given.database) =>
      (await from.db.selectFrom('organizations').select('id').orderBy('id').execute()).map((row) => row.id),
    insert: (row: OrganizationRow) => given.database.db.insertInto('organizations').values(row).execute(),
  }
}
