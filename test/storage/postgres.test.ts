import { afterAll, beforeAll, describe } from 'vitest'
import { initdb } from '../support/machine.ts'
import { type PostgresCluster, startPostgres } from '../support/postgres.ts'
import { durableConformance, shortLivedConformance } from './conformance.ts'

describe.skipIf(!initdb)('PostgreSQL', () => {
  let postgres: PostgresCluster
  beforeAll(async () => {
    postgres = await startPostgres()
  })
  afterAll(() => postgres?.stop())

  const open = () => postgres.database()
  durableConformance('PostgreSQL', open)
  shortLivedConformance('PostgreSQL', open)
})
