/**
 * The durable store that a test runs on: SQLite, and PostgreSQL once more for the files that vitest.config.ts lists for it.
 */
import { clusterAt } from './postgres.ts'
import { type Backend, sqliteBackend } from './stores.ts'

const { TEST_ENGINE, TEST_POSTGRES } = process.env
const cluster = TEST_ENGINE === 'postgres' && TEST_POSTGRES ? clusterAt(JSON.parse(TEST_POSTGRES)) : undefined

/** Which engine these tests run on. */
export const engine = cluster ? 'postgres' : 'sqlite'

/** Machines that run tests are busy ones; the limits are tested where they matter. */
export const patient = { size: 10, waitSeconds: 20, statementSeconds: 20 }

/** An empty store, made for this test. */
export function openBackend(): Promise<Backend> {
  return cluster ? cluster.database() : sqliteBackend()
}
