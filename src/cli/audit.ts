import { verifyChain } from '../audit/chain.ts'
import { exportAudit, readAudit } from '../audit/export.ts'
import { type CommandOptions, environmentsNamed, type Terminal, withDatabase } from './command.ts'

/** Reads the whole trail and says where it is broken; status 1 if it is. */
export const verifyAudit = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async (database) => {
    const { entries, heads, breaks } = await verifyChain(readAudit(database))
    for (const { writer, sequence, fault } of breaks) terminal.err.write(`${writer} ${sequence}: ${fault}\n`)
    for (const { writer, sequence, hash } of heads) terminal.out.write(`${writer} ends at ${sequence}, ${hash}\n`)
    terminal.out.write(`${entries} entries, ${breaks.length === 0 ? 'whole' : `${breaks.length} broken`}\n`)
    return breaks.length === 0 ? 0 : 1
  })

/** Writes the trail, or one issuer's part of it, as JSON lines. */
export const writeAudit = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async (database, settings) => {
    const issuer = options.operand === undefined ? undefined : environmentsNamed(settings, options.operand)[0]?.id
    for await (const line of exportAudit(database, { issuer })) terminal.out.write(line)
    return 0
  })
