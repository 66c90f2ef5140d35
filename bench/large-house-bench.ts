/**
 * The same questions to an empty house and to a large one, both on one PostgreSQL, in turns.
 *
 * Owns: which questions, and how each is answered by the store (its plan). Does not own: the house (large-house.ts).
 * The aim: p99 of the large house within 1.2 times that of the empty one. Both fit in memory here.
 */
import { type RawBuilder, sql } from 'kysely'
import { createPasswords } from '../src/accounts/password.ts'
import { readAudit } from '../src/audit/export.ts'
import { createLog } from '../src/log.ts'
import { type Database, openDatabase } from '../src/storage/database.ts'
import { contenderOf } from './flows.ts'
import { buildLargeHouse, houseOf, someSharers } from './large-house.ts'
import { password } from './member.ts'
import { ratios, type Section, table } from './report.ts'
import type { Settings } from './settings.ts'
import { type Stores, type System, startSystem } from './systems.ts'
import { type Contender, compare, median, type Window } from './windows.ts'

const issuer = 'prairie/sandbox'
const atATime = 8
const refreshing = 128
const asked = 5000

/** What a member's page about connected apps shows (R28): app, developer, whose record, what, since, last used, until. */
const connectedApps = (memberId: string) => sql`
  select c.id, a.name as app, o.name as developer, p.name as patient, c.created_at, c.last_used_at, c.ended_at, c.end_reason,
    g.scope, g.expires_at, s.decided_at, s.language
  from connections c
  join apps a on a.id = c.app_id
  join organizations o on o.id = a.organization_id
  join patients p on p.id = c.patient_id and p.issuer = c.issuer
  left join lateral (select * from grants where connection_id = c.id order by created_at desc limit 1) g on true
  left join consents s on s.grant_id = g.id
  where c.issuer = ${issuer} and c.member_id = ${memberId}
  order by c.created_at desc, c.id desc`

const newest = (condition: RawBuilder<unknown>) =>
  sql`select * from audit where ${condition} order by time desc limit 20`

/** What readAudit asks. */
const exported = ({ issuer, from, to }: { issuer: string; from: number; to: number }) => sql`
  select * from audit where (writer, sequence) > ('', 0) and issuer = ${issuer} and time >= ${from} and time < ${to}
  order by writer, sequence limit 500`

/** What a question is about: an entry of the trail that is there. */
interface Subject {
  member_id: string
  patient_id: string
  grant_id: string
  request_id: string
  time: number
}

const questions: Record<string, (subject: Subject) => RawBuilder<unknown>> = {
  'connected apps of a member': ({ member_id }) => connectedApps(member_id),
  'audit: newest of a member': ({ member_id }) => newest(sql`member_id = ${member_id}`),
  'audit: newest of a patient': ({ patient_id }) => newest(sql`patient_id = ${patient_id}`),
  'audit: newest of a grant': ({ grant_id }) => newest(sql`grant_id = ${grant_id}`),
  'audit: of a request': ({ request_id }) => newest(sql`request_id = ${request_id}`),
  'audit: newest before a moment': ({ time }) => newest(sql`time < ${time}`),
}

interface Home {
  system: System
  database: Database
  subjects: Subject[]
}

const noCpu = async () => ({ server: 0, store: 0 })

/** Indexes and whole-table scans that a plan names. */
const planOf = async (database: Database, question: RawBuilder<unknown>): Promise<string> => {
  const { rows } = await sql<{ 'QUERY PLAN': string }>`explain ${question}`.execute(database.db)
  const lines = rows.map((row) => row['QUERY PLAN'])
  const found = lines.flatMap((line) => {
    const [, index] = /Index (?:Only )?Scan (?:Backward )?(?:using|on) (\w+)/.exec(line) ?? []
    const [, scanned] = /Seq Scan on (\w+)/.exec(line) ?? []
    return index ?? (scanned ? `all of ${scanned}` : [])
  })
  return [...new Set(found)].join(', ')
}

const open = async (system: System, usernames: readonly string[]): Promise<Home> => {
  const database = await openDatabase({
    url: system.database,
    pool: { size: atATime, waitSeconds: 20, statementSeconds: 60 },
    log: createLog({ level: 'silent' }),
  })
  const { rows } = await sql<Subject>`
    select e.member_id, e.patient_id, e.grant_id, e.request_id, e.time
    from members m
    join lateral (
      select * from audit where member_id = m.id and grant_id is not null and request_id is not null order by time desc limit 1
    ) e on true
    where m.issuer = ${issuer} and m.username in (${sql.join([...usernames])})`.execute(database.db)
  return { system, database, subjects: rows }
}

const asker = (
  name: string,
  home: Home,
  ask: (database: Database, subject: Subject) => Promise<unknown>,
): Contender => {
  let turn = 0
  return {
    name,
    async operation() {
      // A stride, so that neighbours in the tables are not asked one after the other.
      turn = (turn + 37) % home.subjects.length
      const subject = home.subjects[turn]
      if (subject) await ask(home.database, subject)
    },
    cpu: noCpu,
  }
}

const lineOf = (
  title: string,
  empty: readonly Window[] | undefined,
  large: readonly Window[],
  plan: string,
): string[] => {
  const ratio = (of: (window: Window) => number) => {
    const values = empty && ratios(large, empty, of)
    if (!values) return '-'
    return `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`
  }
  const middle = (windows: readonly Window[] | undefined, of: (window: Window) => number) =>
    windows ? median(windows.map(of)).toFixed(2) : '-'
  const p50 = (window: Window) => window.p50
  const p99 = (window: Window) => window.p99
  return [
    title,
    ...[ratio(p99), ratio(p50)],
    ...[middle(empty, p99), middle(large, p99)],
    ...[middle(empty, p50), middle(large, p50)],
    plan,
  ]
}

/** A system on a database that already has the house. */
const moveIn = async (stores: Stores, settings: Settings): Promise<System> => {
  const { url } = await (await stores.postgres()).database({ empty: true })
  // Its first start makes the tables.
  await (await startSystem('postgres', stores, { members: 1, database: url })).stop()
  const house = houseOf(settings.scale)
  const passwordHash = await createPasswords().hash(password)
  await buildLargeHouse({ url, house, passwordHash, say: (line) => console.error(`large house: ${line}`) })
  return startSystem('postgres', stores, { members: 1, usernames: someSharers(house, refreshing), database: url })
}

export const benchLargeHouse = async (settings: Settings, stores: Stores): Promise<Section[]> => {
  const systems: System[] = []
  const homes: Home[] = []
  try {
    const large = await moveIn(stores, settings)
    systems.push(large)
    const empty = await startSystem('postgres', stores, { members: refreshing })
    systems.push(empty)
    const plan = { ...settings, atATime }
    const lines: string[][] = []

    const refreshed = await compare(
      [
        { ...contenderOf(empty, 'refresh'), name: 'empty' },
        { ...contenderOf(large, 'refresh'), name: 'large' },
      ],
      plan,
    )
    lines.push(lineOf('refresh, over HTTP', refreshed.get('empty') ?? [], refreshed.get('large') ?? [], ''))

    const house = houseOf(settings.scale)
    const emptyNames = Array.from({ length: refreshing }, (_, i) => `bench-${String(i).padStart(3, '0')}`)
    const emptyHome = await open(empty, emptyNames)
    homes.push(emptyHome)
    const largeHome = await open(large, someSharers(house, asked))
    homes.push(largeHome)
    const compared = async (title: string, ask: Parameters<typeof asker>[2], planned: string) => {
      // Whoever reads a whole table keeps everybody else waiting; a few times are enough to know.
      const few = planned.includes('all of audit') ? { atATime: 1, seconds: 0.1, warmUp: 0 } : {}
      const contenders = [asker('empty', emptyHome, ask), asker('large', largeHome, ask)]
      const results = await compare(contenders, { ...plan, ...few })
      lines.push(lineOf(title, results.get('empty') ?? [], results.get('large') ?? [], planned))
      console.error(`large house: ${title}`)
    }
    for (const [title, question] of Object.entries(questions)) {
      const [subject] = largeHome.subjects
      if (!subject) throw new Error('the house has no audit entries')
      const planned = await planOf(largeHome.database, question(subject))
      await compared(title, (database, about) => question(about).execute(database.db), planned)
    }
    // An hour of years ago, as `latchkey audit-export` would read it. The empty house has none to compare it with.
    const hours = (time: number) => ({ issuer, from: time, to: time + 3_600_000 })
    const longAgo = Date.now() - 3 * 365 * 86_400_000
    let hour = 0
    const exportHour = async (database: Database) => {
      hour = (hour + 1) % 1000
      for await (const _ of readAudit(database, hours(longAgo + hour * 3_600_000))) void _
    }
    const read = (await compare([asker('large', largeHome, exportHour)], plan)).get('large') ?? []
    const planned = await planOf(largeHome.database, exported(hours(longAgo)))
    lines.push(lineOf('audit: export of an hour', undefined, read, planned))

    const head = [
      'question',
      'p99 ratio',
      'p50 ratio',
      'p99 empty ms',
      'p99 large ms',
      'p50 empty',
      'p50 large',
      'plan in the large house',
    ]
    const note =
      `${house.members.toLocaleString('en-US')} members, ${house.connections.toLocaleString('en-US')} connections, ` +
      `${house.audit.toLocaleString('en-US')} audit entries on PostgreSQL, against the same server on an empty one; ${atATime} at a time. ` +
      'Refreshes go over HTTP; the other questions are asked of the store as the server asks. Aim: p99 within 1.2 times.'
    return [{ title: 'A large house', text: `${note}\n\n${table(head, lines)}` }]
  } finally {
    for (const { database } of homes) await database.close()
    await Promise.all(systems.map((system) => system.stop()))
  }
}
