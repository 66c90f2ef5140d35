/** The log of endings: on the disk before the store commits, and readable whatever happened to its end (R46). */
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createConnections } from '../../src/members/connections.ts'
import { createEndings } from '../../src/members/endings.ts'
import { type Ending, lineOf, type NewEnding } from '../../src/recovery/endings.ts'
import { type EndingsLog, openEndingsLog } from '../../src/recovery/endings-log.ts'
import { readEndings } from '../../src/recovery/endings-reader.ts'
import { newId } from '../../src/secrets.ts'
import { createWorld, DAY, ISSUER, type World } from '../members/world.ts'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-endings-'))
  file = join(folder, 'deep', 'endings.jsonl')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const ending = (at: number, grantId = `grant-${at}`): NewEnding => ({
  ...{ kind: 'grant', at, issuer: ISSUER, grantId, reason: 'revoked_by_app', actor: 'client:binder' },
})
const readAll = async (since = 0): Promise<(Ending | null)[]> => {
  const all: (Ending | null)[] = []
  for await (const entry of readEndings(file, since)) all.push(entry)
  return all
}
const times = async (since = 0) => (await readAll(since)).map((entry) => entry?.at ?? null)

describe('the file', () => {
  it('is made with its folder, for its own user only, and kept across openings', async () => {
    for (const at of [1, 2]) {
      const log = await openEndingsLog(file)
      await log.append(ending(at))
      await log.close()
    }
    expect(await times()).toEqual([1, 2])
    expect(statSync(file).mode & 0o077).toBe(0)
    expect(statSync(join(folder, 'deep')).mode & 0o077).toBe(0)
  })

  it('has every line whole when 200 are written at once', async () => {
    const log = await openEndingsLog(file)
    await Promise.all(Array.from({ length: 200 }, (_, at) => log.append(ending(at))))
    expect((await times()).toSorted((a, b) => Number(a) - Number(b))).toEqual(
      Array.from({ length: 200 }, (_, at) => at),
    )
    await log.close()
  })

  it.each([1, 20, 60])('that ends %i characters short goes on with a line of its own', async (lost) => {
    const first = await openEndingsLog(file)
    await first.append(ending(1), ending(2))
    await first.close()
    truncateSync(file, statSync(file).size - lost)
    const second = await openEndingsLog(file)
    await second.append(ending(3))
    await second.close()
    // Without its last character, the end of the line, an entry is still whole.
    expect(await times()).toEqual(lost === 1 ? [1, 2, 3] : [1, null, 3])
  })

  it('is read from a time on, also where years lie before it', async () => {
    const lines = Array.from({ length: 20_000 }, (_, at) => lineOf(ending(at * 1000)))
    writeFileSync(join(folder, 'long.jsonl'), lines.join(''))
    file = join(folder, 'long.jsonl')
    expect((await times(19_990_000)).slice(0, 2)).toEqual([19_990_000, 19_991_000])
    expect(await times(0)).toHaveLength(20_000)
    expect(await times(7_777_001)).toHaveLength(20_000 - 7_778)
    expect(await times(20_000_000)).toEqual([])
  })

  it('is read from a time on also where the clock was behind for a while', async () => {
    const stretch = (from: number) => Array.from({ length: 2000 }, (_, i) => ending(from + i))
    for (const from of [1_000_000, 5_000, 2_000_000]) {
      const log = await openEndingsLog(file)
      await log.append(...stretch(from))
      await log.close()
    }
    expect(await times(1_001_000)).toEqual(
      [...stretch(1_001_000).slice(0, 1000), ...stretch(2_000_000)].map(({ at }) => at),
    )
  })

  it.each(['renamed', 'removed', 'replaced'])(
    'that was %s is written no more, and the server is not ready',
    async (how) => {
      const log = await openEndingsLog(file)
      await log.append(ending(1))
      if (how === 'removed') rmSync(file)
      else renameSync(file, `${file}.1`)
      if (how === 'replaced') writeFileSync(file, '')
      const fault = {
        status: 503,
        message: expect.stringContaining('renamed, removed or replaced: put it back, or restart'),
      }
      await expect(log.check()).rejects.toMatchObject(fault)
      await expect(log.append(ending(2))).rejects.toMatchObject(fault)
      if (how !== 'removed') {
        renameSync(`${file}.1`, file)
        await log.check()
        await log.append(ending(3))
      }
      await log.close()
    },
  )

  it('is for one server; a command beside it may write too', async () => {
    const server = await openEndingsLog(file, { alone: true })
    await expect(openEndingsLog(file, { alone: true })).rejects.toMatchObject({
      code: 'endings_log_in_use',
      message: expect.stringMatching(/endings\.jsonl .*\{node\} in recovery\.endingsLog/),
    })
    const command = await openEndingsLog(file)
    for (const [at, log] of [server, command, server].entries()) await log.append(ending(at))
    for (const log of [command, server]) await log.close()
    await openEndingsLog(file, { alone: true }).then((next) => next.close())
    expect(await times()).toEqual([0, 1, 2])
  })

  it('does not follow what it does not know, and says that it is there', async () => {
    const log = await openEndingsLog(file)
    await log.append(ending(1))
    await log.close()
    appendFileSync(file, `${JSON.stringify({ v: 2, kind: 'planet', at: 2 })}\nnonsense\n`)
    expect(await times()).toEqual([1, null, null])
  })

  it('that is not there is told by its name', async () => {
    await expect(readAll()).rejects.toThrow(`${file}: the log of endings cannot be read (ENOENT)`)
  })
})

describe('an ending', () => {
  let world: World
  let log: EndingsLog
  let grantId: string
  let connectionId: string
  let maria: string
  let at: number
  const endIt = (endingsLog: EndingsLog) =>
    createEndings({ ...world, endingsLog }).endGrant(null, {
      ...{ issuer: ISSUER, grantId, reason: 'revoked_by_member', actor: 'member:m', requestId: null },
    })
  beforeEach(async () => {
    world = await createWorld()
    maria = (await world.member('maria')).id
    const hers = await world.patient('maria')
    await world.owns(maria, hers)
    const shared = await world.share(maria, hers, { sensitivities: ['hiv'] })
    grantId = shared.grantId
    connectionId = shared.connectionId
    at = world.clock.now
    log = await openEndingsLog(file)
  })
  afterEach(async () => {
    await log.close()
    await world.close()
  })

  it('is in the log, with ids and nothing else', async () => {
    expect(await endIt(log)).toBe(true)
    expect(await endIt(log)).toBe(false)
    const told = { v: 1, at, issuer: ISSUER, reason: 'revoked_by_member', actor: 'member:m' }
    expect(await readAll()).toEqual([
      { ...told, kind: 'grant', grantId },
      { ...told, kind: 'connection', connectionId },
    ])
  })

  const narrowIt = () =>
    createConnections({ ...world, endingsLog: log, tokenMillis: DAY, newId }).narrow({
      ...{ issuer: ISSUER, plan: 'prairie', memberId: maria, connectionId, shown: null, requestId: null },
      ...{ scope: 'patient/Coverage.rs', sensitivities: [] },
    })

  it('of a part is in the log too, with what is left, and only once it is sure', async () => {
    world.store.fail((step) => step.kind === 'query' && step.sql.includes('connection_changes'))
    await expect(narrowIt()).rejects.toMatchObject({ status: 503 })
    world.store.fail(false)
    expect(await readAll()).toEqual([])
    const left = await narrowIt()
    await narrowIt()
    expect(await readAll()).toEqual([
      { ...{ v: 1, kind: 'narrowing', at, issuer: ISSUER, grantId, actor: `member:${maria}`, revision: 1 }, ...left },
    ])
  })

  it('is in the log before it is committed: a commit that fails leaves it there', async () => {
    world.store.fail((step) => step.kind === 'commit')
    await expect(endIt(log)).rejects.toMatchObject({ status: 503 })
    world.store.fail(false)
    expect((await world.grantRow(grantId)).ended_at).toBeNull()
    expect(await times()).toEqual([at, at])
  })

  it.each(['refresh_tokens', '"audit"'])('that was undone because of %s is not in it', async (table) => {
    world.store.fail((step) => step.kind === 'query' && step.sql.includes(table))
    await expect(endIt(log)).rejects.toMatchObject({ status: 503 })
    world.store.fail(false)
    expect(readFileSync(file, 'utf8')).toBe('')
  })

  it('that the disk has no room for is not committed, and the server is not ready', async () => {
    const full = await openEndingsLog('/dev/full')
    await full.check()
    await expect(endIt(full)).rejects.toMatchObject({ status: 503, message: expect.stringContaining('/dev/full') })
    expect((await world.grantRow(grantId)).ended_at).toBeNull()
    await expect(full.check()).rejects.toMatchObject({ status: 503 })
    await full.close()
    expect(await endIt(log)).toBe(true)
  })
})
