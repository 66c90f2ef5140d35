/**
 * A plan of three million members, made up, in a PostgreSQL of yours that Latchkey has migrated:
 *
 *     node bench/large-house.ts --url postgres://latchkey@localhost/latchkey [--scale 0.01]
 *
 * Owns: members with a record each, connections with consent, grant and refresh token, and six years of audit. Everything
 * is named by its number, so a second run on the same database fails at once. Does not own: anything true. Nobody can sign
 * in as these members unless a password hash is given, their refresh tokens fit no token, and the chains of their audit are
 * linked but their hashes are made up, so `latchkey audit-verify` reports them. Never run it on a database that matters.
 */
import { parseArgs } from 'node:util'
import pg from 'pg'

export interface House {
  members: number
  connections: number
  audit: number
}

export const houseOf = (scale: number): House => ({
  members: Math.round(3_000_000 * scale),
  connections: Math.round(500_000 * scale),
  audit: Math.round(10_000_000 * scale),
})

const issuer = 'prairie/sandbox'
const apps = 40
const writers = 4
const years = 6
const year = 365 * 86_400_000

/** What kind of thing a number names; part of its id. */
const kinds = { member: 1, patient: 2, own: 3, app: 4, connection: 5, grant: 6, consent: 7, credential: 8, subject: 9 }

/** SQL for an id that looks like ours (UUIDv7) and comes in the order of the numbers, as ours come in the order of time. */
const idOf = (kind: keyof typeof kinds, number: string): string => {
  const hex = `lpad(to_hex((1600000000000 + (${number}) * 40)::bigint), 12, '0')`
  return `(left(${hex}, 8) || '-' || right(${hex}, 4) || '-70${kinds[kind]}0-8000-' || lpad(to_hex((${number})::bigint), 12, '0'))`
}

/** SQL for 43 characters of base64url that nobody can foresee. */
const hashOf = (text: string): string =>
  `translate(rtrim(encode(sha256(convert_to(${text}, 'UTF8')), 'base64'), '='), '+/', '-_')`

const rows = (from: number, to: number): string => `generate_series(${from}::bigint, ${to}::bigint) as i`

/** How many members share something: a multiple of the number of apps, so that no one shares twice with one app. */
const sharers = (house: House): number => Math.max(apps, Math.floor((house.connections * 0.8) / apps) * apps)

/** SQL for the member of a connection: spread over all, some with two connections. */
const memberOf = (house: House, number: string): string =>
  `((${number}) % ${sharers(house)} * ${Math.max(1, Math.floor(house.members / sharers(house)))})`

/** The names of some members who share something, spread over all. */
export const someSharers = (house: House, count: number): string[] => {
  const every = Math.max(1, Math.floor(house.members / sharers(house)))
  const step = Math.max(1, Math.floor(sharers(house) / count))
  return Array.from(
    { length: Math.min(count, sharers(house)) },
    (_, i) => `house-${((i * step) % sharers(house)) * every}`,
  )
}

/** SQL for the app of a connection. */
const appOf = (house: House, number: string): string => `(((${number}) + (${number}) / ${sharers(house)}) % ${apps})`

/** A scope of usual length. */
const scope = 'openid fhirUser launch/patient offline_access patient/*.rs'

const people = (house: House, now: number, passwordHash: string | null): [string, string][] => {
  const all = rows(0, house.members - 1)
  const hash = passwordHash === null ? 'null' : `'${passwordHash.replaceAll("'", "''")}'`
  return [
    [
      'members',
      `insert into members (id, issuer, username, name, email, locale, password_hash, subject, status, created_at, updated_at)
       select ${idOf('member', 'i')}, '${issuer}', 'house-' || i, 'Member ' || i, 'house-' || i || '@example.org', 'en', ${hash},
         ${idOf('subject', 'i')}, 'active', ${now - years * year}, ${now - years * year} from ${all}`,
    ],
    [
      'patients',
      `insert into patients (id, issuer, fhir_id, name, birth_date, coverage_label, created_at)
       select ${idOf('patient', 'i')}, '${issuer}', 'house-' || i, 'Member ' || i, '1970-01-01', 'Prairie Choice PPO', ${now - years * year} from ${all}`,
    ],
    [
      'own_records',
      `insert into own_records (id, issuer, member_id, patient_id, created_at)
       select ${idOf('own', 'i')}, '${issuer}', ${idOf('member', 'i')}, ${idOf('patient', 'i')}, ${now - years * year} from ${all}`,
    ],
  ]
}

const appRows = (now: number): string[] => [
  `insert into organizations (id, plan, kind, name, website, created_at)
   values ('house', 'prairie', 'organization', 'Many Apps Inc.', null, ${now})`,
  `insert into apps (id, plan, organization_id, name, created_at)
   select ${idOf('app', 'i')}, 'prairie', 'house', 'App ' || i, ${now} from ${rows(0, apps - 1)}`,
  `insert into credentials (id, issuer, client_id, app_id, kind, status, redirect_uris, scopes, apis, created_at, updated_at)
   select ${idOf('credential', 'i')}, '${issuer}', 'house-app-' || i, ${idOf('app', 'i')}, 'public', 'active',
     '["http://127.0.0.1/callback"]', null, '["fhir"]', ${now}, ${now} from ${rows(0, apps - 1)}`,
]

const sharing = (house: House, now: number): [string, string][] => {
  const all = rows(0, house.connections - 1)
  const member = memberOf(house, 'i')
  const app = appOf(house, 'i')
  const made = `${now - year} + (i * 61 % ${year / 1000}) * 1000`
  const ends = `${made} + ${year}`
  const payload = `'{"accountId":"' || ${idOf('subject', member)} || '","clientId":"house-app-' || ${app} || '","kind":"Grant","jti":"' || ${idOf('grant', 'i')} || '","openid":{"scope":"openid fhirUser offline_access"},"v":1}'`
  return [
    [
      'connections',
      `insert into connections (id, issuer, member_id, patient_id, app_id, created_at, last_used_at, ended_at, end_reason)
       select ${idOf('connection', 'i')}, '${issuer}', ${idOf('member', member)}, ${idOf('patient', member)}, ${idOf('app', app)}, ${made},
         ${now}, null, null from ${all}`,
    ],
    [
      'grants',
      `insert into grants (id, issuer, client_id, connection_id, member_id, patient_id, scope, context, payload, expires_at, created_at)
       select ${idOf('grant', 'i')}, '${issuer}', 'house-app-' || ${app}, ${idOf('connection', 'i')}, ${idOf('member', member)},
         ${idOf('patient', member)}, '${scope}', '{"v":1,"patient":"house-' || ${member} || '","fhirUser":"Patient/house-' || ${member} || '","api":"fhir"}',
         ${payload}, ${ends}, ${made} from ${all}`,
    ],
    [
      'consents',
      `insert into consents (id, issuer, member_id, patient_id, app_id, grant_id, decision, requested_scope, granted_scope, text_hash, language, ends_at, decided_at)
       select ${idOf('consent', 'i')}, '${issuer}', ${idOf('member', member)}, ${idOf('patient', member)}, ${idOf('app', app)}, ${idOf('grant', 'i')},
         'shared', '${scope}', '${scope}', ${hashOf("'page ' || i")}, 'en', ${ends}, ${made} from ${all}`,
    ],
    [
      'refresh_tokens',
      `insert into refresh_tokens (token_hash, issuer, grant_id, generation, payload, expires_at, created_at, used_at, uses, killed_at)
       select ${hashOf("'token ' || i")}, '${issuer}', ${idOf('grant', 'i')}, 90, ${payload} || rpad('', 300), ${ends}, ${now}, null, 0, null from ${all}`,
    ],
  ]
}

/** One writer's share of the trail: mostly refreshes, of members who are connected. */
const trail = (house: House, now: number, writer: number): string => {
  const own = Math.floor(house.audit / writers)
  const name = `'house-${writer + 1}'`
  const step = (years * year) / Math.max(1, own)
  // Which connection an entry is about.
  const about = `(i * 104729 + ${writer}) % ${Math.max(1, house.connections)}`
  const member = memberOf(house, 'c')
  return `insert into audit (writer, sequence, time, plan, issuer, type, outcome, actor, member_id, patient_id, app_id, grant_id, request_id, details, previous_hash, hash)
    select ${name}, i, (${now - years * year} + i * ${step})::bigint, 'prairie', '${issuer}',
      (array['token.refreshed','token.refreshed','token.refreshed','token.issued','code.issued','consent.shown','member.signed-in'])[1 + i % 7],
      'success', 'client:house-app-' || ${appOf(house, 'c')}, ${idOf('member', member)}, ${idOf('patient', member)}, null, ${idOf('grant', 'c')},
      gen_random_uuid()::text, '{"generation":' || i % 90 || ',"v":1}',
      case when i = 1 then 'genesis' else ${hashOf(`${name} || (i - 1)`)} end, ${hashOf(`${name} || i`)}
    from (select i, ${about} as c from ${rows(1, own)}) as entry order by i`
}

/** Drops what slows an insertion down and can be made again; answers how. */
const withoutIndexes = async (client: pg.Client, tables: readonly string[]): Promise<string[]> => {
  const { rows: found } = await client.query<{ name: string; definition: string }>(
    `select indexname as name, indexdef as definition from pg_indexes
     where schemaname = 'public' and tablename = any($1)
       and not exists (select from pg_constraint where conindid = (quote_ident(indexname))::regclass)`,
    [tables],
  )
  for (const { name } of found) await client.query(`drop index "${name}"`)
  return found.map(({ definition }) => definition)
}

/** Builds the house; `say` hears what is done. */
export const buildLargeHouse = async (options: {
  url: string
  house: House
  now?: number
  /** Lets the members sign in: one hash for all. */
  passwordHash?: string | null
  say?: (line: string) => void
}): Promise<void> => {
  const { url, house, now = Date.now(), passwordHash = null, say = () => {} } = options
  const connect = async () => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query(`set synchronous_commit = off; set maintenance_work_mem = '512MB'; set work_mem = '256MB'`)
    // Foreign keys and the order of audit hold by construction. Who is not superuser waits for the checks.
    await client.query('set session_replication_role = replica').catch(() => say('not superuser: every row is checked'))
    return client
  }
  const timed = async (what: string, work: () => Promise<unknown>) => {
    const start = performance.now()
    await work()
    say(`${what}: ${((performance.now() - start) / 1000).toFixed(1)} s`)
  }
  const first = await connect()
  const second = await connect()
  try {
    const shared = [...people(house, now, passwordHash), ...sharing(house, now)]
    const indexes = await withoutIndexes(first, [...shared.map(([table]) => table), 'audit'])
    for (const statement of appRows(now)) await first.query(statement)
    const fillShared = async () => {
      for (const [table, statement] of shared) await timed(table, () => first.query(statement))
    }
    const fillTrail = async () => {
      for (let writer = 0; writer < writers; writer += 1)
        await timed(`audit ${writer + 1}/${writers}`, () => second.query(trail(house, now, writer)))
    }
    await Promise.all([fillShared(), fillTrail()])
    await timed('indexes', async () => {
      const left = [...indexes]
      const lane = async (client: pg.Client) => {
        for (let definition = left.pop(); definition; definition = left.pop()) await client.query(definition)
      }
      await Promise.all([lane(first), lane(second)])
    })
    await timed('statistics', () => first.query('vacuum analyze'))
  } finally {
    await first.end()
    await second.end()
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { url: { type: 'string' }, scale: { type: 'string', default: '1' }, 'password-hash': { type: 'string' } },
  })
  if (!values.url) throw new Error('--url is missing: the database, which Latchkey has migrated')
  const house = houseOf(Number(values.scale))
  console.log(`${house.members} members, ${house.connections} connections, ${house.audit} audit entries`)
  await buildLargeHouse({ url: values.url, house, passwordHash: values['password-hash'] ?? null, say: console.log })
}
