/**
 * A process of its own that works on a store: `node store-process.ts {action} {url} {JSON arguments}`. It says `ready`
 * and begins when its input says so, so that several meet. What it found is printed as one line of JSON.
 */
import { createAudit } from '../../src/audit/audit.ts'
import { loadSettings } from '../../src/config/load.ts'
import { createRefreshTokens } from '../../src/oidc/refresh-tokens.ts'
import { createServer } from '../../src/server.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { lockServer } from '../../src/storage/server-lock.ts'
import { openShortLived, quiet } from './stores.ts'

const [action = '', url = '', json = '{}'] = process.argv.slice(2)
const given = JSON.parse(json) as { key?: string; times?: number; node?: string; issuer?: string; family?: string }
const times = given.times ?? 1
const key = given.key ?? 'key'
const together = () => {
  process.stdout.write('ready\n')
  return new Promise((resolve) => process.stdin.once('data', resolve))
}

const actions: Record<string, () => Promise<unknown>> = {
  async open() {
    await together()
    const database = await openDatabase({ url, log: quiet })
    const tables = await database.db.introspection.getTables()
    await database.close()
    return tables.length
  },

  async use() {
    const { store, close } = await openShortLived(url)
    await together()
    const answers = await Promise.all(Array.from({ length: times }, () => store.use('code', key)))
    await close()
    return answers
  },

  /** Presents one refresh token many times. */
  async present() {
    const database = await openDatabase({ url, log: quiet })
    const tokens = createRefreshTokens({ database, issuer: given.issuer ?? '', now: Date.now })
    await together()
    const name = { family: given.family ?? '', generation: 0 }
    const presentation = () =>
      database.transaction(async (trx) => {
        await tokens.hold(trx, name.family)
        return tokens.present(trx, key, name)
      })
    const verdicts = await Promise.all(Array.from({ length: times }, presentation))
    await database.close()
    return verdicts
  },

  async add() {
    const { store, close } = await openShortLived(url)
    await together()
    const answers = await Promise.all(
      Array.from({ length: times }, () => store.addIfAbsent('jti', key, 1, Date.now() + 60_000)),
    )
    await close()
    return answers
  },

  async increment() {
    const { store, close } = await openShortLived(url)
    await together()
    const answers = await Promise.all(Array.from({ length: times }, () => store.increment('failures', key, 600_000)))
    await close()
    return answers.map(({ count }) => count)
  },

  async audit() {
    const database = await openDatabase({ url, log: quiet })
    const audit = createAudit({ node: given.node ?? 'node', now: Date.now, log: quiet })
    await together()
    for (let i = 0; i < times; i++) {
      await database.transaction((trx) => audit.record(trx, { type: 'token.issued', actor: 'system', details: { i } }))
    }
    await database.close()
    return times
  },

  /** Opens a transaction, writes in it, and never comes back from it. */
  async 'die-in-transaction'() {
    const database = await openDatabase({ url, log: quiet })
    await database.transaction(async (trx) => {
      await trx.insertInto('organizations').values(organization()).execute()
      process.kill(process.pid, 'SIGKILL')
      await new Promise(() => {})
    })
    return undefined
  },

  /** Builds the whole server, as a node does when it starts, and closes it. */
  async server() {
    const { settings } = loadSettings({ file: 'config/development.yaml', env: { DATABASE_URL: url } })
    settings.audit.node = given.node ?? 'node'
    await together()
    const server = await createServer({ settings, log: quiet })
    await server.close()
    return undefined
  },

  async lock() {
    lockServer(url)
    await together()
    return undefined
  },
}

function organization() {
  const id = `lost-${process.pid}`
  return { id, plan: 'prairie', kind: 'organization' as const, name: 'Lost', website: null, created_at: 0 }
}

const result = await actions[action]?.()
process.stdout.write(`${JSON.stringify(result ?? null)}\n`)
process.exit(0)
