/** One PostgreSQL for a whole run of the project `postgres` (vitest.config.ts); its tests find it by backend.ts. */
import { startPostgres } from './postgres.ts'

export default async function setup(): Promise<() => Promise<void>> {
  const cluster = await startPostgres()
  process.env.TEST_POSTGRES = JSON.stringify(cluster.place)
  return () => cluster.stop()
}
