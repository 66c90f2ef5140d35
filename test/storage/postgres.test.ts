import { afterAll, beforeAll, describe } from 'vitest'
import { initdb } from '../support/machine.ts'
import { type OwnPostgres, startPostgres } from '../support/postgres.ts'
import { durableConformance, shortLivedConformance } from './conformance.ts'

describe.skipIf(!initdb)('PostgreSQL', () => {
  let postgres: OwnPostgres
  beforeAll(async () => {
    postgres = await startPostgres()
  })
  afterAll(() => postgres?.stop())

  durableConformance(
    'PostgreSQL',
    () => postgres.database(),
    () => postgres.database({ empty: true }),
  )
  shortLivedConformance('PostgreSQL', () => postgres.database())
})
