import { defineConfig } from 'vitest/config'
import { conformanceReporter } from './test/conformance/reporter.ts'
import { initdb } from './test/support/machine.ts'

/** Files that are run on PostgreSQL as well: what they test asks the durable store. */
const onPostgres = [
  'test/accounts/sign-in.test.ts',
  'test/audit/audit.test.ts',
  'test/flows/{narrowed-refresh,refresh}.test.ts',
  'test/members/{changes,concurrency,connections,demonstration,directory,endings,grants,narrowing,overview,reminders,vouched}.test.ts',
  'test/oidc/{key-ring,key-rotation,refresh-tokens,revocations}.test.ts',
  'test/storage/{jobs,prepared,sweep}.test.ts',
]

/** A shared machine stalls now and then, and failure tests have deadlines: what fails twice is broken. */
const limits = { testTimeout: 30_000, hookTimeout: 60_000, retry: process.env.CI === 'true' ? 1 : 0 }

export default defineConfig({
  test: {
    maxWorkers: 2,
    reporters: ['default', conformanceReporter()],
    projects: [
      {
        test: { name: 'tests', include: ['test/**/*.test.ts'], globalSetup: ['test/support/machine.ts'], ...limits },
      },
      ...(initdb
        ? [
            {
              test: {
                name: 'postgres',
                include: onPostgres,
                globalSetup: ['test/support/postgres-run.ts'],
                env: { TEST_ENGINE: 'postgres' },
                ...limits,
              },
            },
          ]
        : []),
    ],
  },
})
