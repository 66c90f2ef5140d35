/** Telling a store that it is an older one, and what has ended since (docs/operating.md, "Backup and restore"). */
import { existsSync } from 'node:fs'
import { InputFaults } from '../errors.ts'
import { createLog } from '../log.ts'
import { createRecovery } from '../members/older-store.ts'
import { createKeyRotation } from '../oidc/key-rotation.ts'
import { createSealer } from '../secrets.ts'
import { openRedis } from '../storage/redis.ts'
import { createRedisShortLived } from '../storage/short-lived-redis.ts'
import { createSqlShortLived } from '../storage/short-lived-sql.ts'
import { type CommandOptions, type Terminal, withDatabase } from './command.ts'

/** Replays logs of endings, this node's and those of `--log`, and declares a window with `--since`. */
export const recover = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async (database, settings) => {
    const { since, logs } = options
    if (since === undefined && logs.length === 0)
      throw new InputFaults([{ path: 'recover', message: 'needs --since TIME, --log FILE or both' }])
    const from = since === undefined ? undefined : timeOf(since)
    const log = createLog({ level: 'error' })
    const now = Date.now
    const redis = settings.redis && (await openRedis({ settings: settings.redis, log }))
    const recovery = createRecovery({
      database,
      audit: settings.audit,
      tokenMillis: settings.tokens.refreshTokenDays * 86_400_000,
      shortLived: (issuer) =>
        redis ? createRedisShortLived({ redis, issuer, now }) : createSqlShortLived({ database, issuer, now }),
      revokeKey: (audit) =>
        createKeyRotation({ database, sealer: createSealer(settings.sealingKeys), audit, now }).revokeAgain,
      log,
      now,
    })
    try {
      const own = settings.recovery.endingsLog
      const files = new Set([...(own !== null && existsSync(own) ? [own] : []), ...logs])
      for (const file of files) {
        const { read, ended, unreadable } = await recovery.replayLog(file, from ?? 0)
        const torn = unreadable > 0 ? `, ${unreadable} unreadable` : ''
        terminal.out.write(`${file}: ${read} endings read, ${ended} of them replayed${torn}\n`)
      }
      if (from !== undefined) {
        const { endsAt } = await recovery.declare(from)
        const until = new Date(endsAt).toISOString()
        terminal.out.write(`Refresh tokens that are newer than the store are adopted until ${until}\n`)
      }
    } finally {
      recovery.close()
      await redis?.close()
    }
    return 0
  })

function timeOf(text: string): number {
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time) || time > Date.now())
    throw new InputFaults([{ path: '--since', message: 'must be a time in the past with its zone: 2026-11-22T10:00Z' }])
  return time
}
