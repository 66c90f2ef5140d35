/**
 * Queries whose text is made once. Building and compiling one costs several times what running it does, so those that every
 * token needs are built at their first use, with named values in place of real ones. PostgreSQL reads and plans them once
 * for each connection.
 */
import type { Compilable, CompiledQuery, Kysely } from 'kysely'
import { sha256 } from '../secrets.ts'
import type { Tables } from './tables.ts'

/** A query that PostgreSQL may keep under this name. */
export type NamedQuery<R = unknown> = CompiledQuery<R> & { readonly name?: string }

/** PostgreSQL refuses a kept `select *` as soon as a newer release adds a column under it. */
function named<R>(query: CompiledQuery<R>): NamedQuery<R> {
  if (/(select |returning |\.)\*/.test(query.sql))
    throw new TypeError(`a prepared query names its columns: ${query.sql}`)
  return { ...query, name: `latchkey_${sha256(query.sql).slice(0, 22)}` }
}

/** Stands for a value until the query is run. */
class Placeholder {
  readonly name: PropertyKey

  constructor(name: PropertyKey) {
    this.name = name
  }
}

/**
 * Makes a query that is run by its values' names:
 *
 *     const findPlan = prepared((db, value: Named<{ id: string }>) =>
 *       db.selectFrom('organizations').select('plan').where('id', '=', value('id')))
 *     const [row] = await findPlan(trx, { id })
 *
 * The shape must not depend on the values: no `null` where `=` stands, no lists. Columns are named, not `selectAll()`.
 */
export const prepared = <V extends object, R>(
  build: (db: Kysely<Tables>, value: Named<V>) => Compilable<R>,
): ((db: Kysely<Tables>, values: V) => Promise<R[]>) => {
  // A process may use several engines; all connections to one store share its adapter.
  const compiled = new WeakMap<object, NamedQuery<R>>()
  const value: Named<V> = (name) => new Placeholder(name) as never
  return async (db, values) => {
    const { adapter } = db.getExecutor()
    let query = compiled.get(adapter)
    if (!query) {
      query = named(build(db, value).compile())
      compiled.set(adapter, query)
    }
    const parameters = query.parameters.map((each) =>
      each instanceof Placeholder ? values[each.name as keyof V] : each,
    )
    return (await db.executeQuery<R>({ ...query, parameters })).rows
  }
}

/** Names one of the values with which a prepared query will be run. */
export type Named<V> = <K extends keyof V>(name: K) => V[K]
