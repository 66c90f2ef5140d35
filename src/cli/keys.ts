import { type CommandOptions, environmentsNamed, type Terminal, withDatabase } from './command.ts'

/** Lists signing keys: what they are and since when, never the keys themselves. */
export const listKeys = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async ({ db }, settings) => {
    for (const { id, issuer } of environmentsNamed(settings, options.operand)) {
      const keys = await db
        .selectFrom('signing_keys')
        .select(['kid', 'algorithm', 'state', 'created_at'])
        .where('issuer', '=', id)
        .orderBy('created_at', 'desc')
        .execute()
      terminal.out.write(`${id}  ${issuer}\n`)
      if (keys.length === 0) terminal.out.write('  no keys yet: the server makes them when it first starts\n')
      for (const key of keys)
        terminal.out.write(
          `  ${key.kid}  ${key.algorithm}  ${key.state.padEnd(8)} since ${new Date(key.created_at).toISOString()}\n`,
        )
    }
    return 0
  })
