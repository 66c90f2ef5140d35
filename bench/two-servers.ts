/** One and two server processes on the same kind of store under the same load; on a machine that has processors for two. */
import { availableParallelism } from 'node:os'
import { contenderOf } from './flows.ts'
import { comparison, type Row, type Section } from './report.ts'
import type { Settings } from './settings.ts'
import { type Stores, type System, startSystem } from './systems.ts'
import { compare } from './windows.ts'

export const benchTwoServers = async (settings: Settings, stores: Stores): Promise<Section[]> => {
  const systems: System[] = []
  try {
    const members = Math.max(16, ...settings.atATime)
    for (const processes of [1, 2]) systems.push(await startSystem('postgres-redis', stores, { members, processes }))
    const [one, two] = systems as [System, System]
    const rows: Row[] = []
    for (const atATime of settings.atATime) {
      const contenders = [
        { ...contenderOf(one, 'refresh'), name: 'one' },
        { ...contenderOf(two, 'refresh'), name: 'two' },
      ]
      const results = await compare(contenders, { ...settings, atATime })
      const baseline = results.get('one') ?? []
      rows.push({ label: 'one process', atATime, windows: baseline })
      rows.push({ label: 'two processes', atATime, windows: results.get('two') ?? [], baseline })
    }
    const note =
      `Refresh on PostgreSQL + Redis. This machine has ${availableParallelism()} processors for the servers, PostgreSQL, ` +
      'Redis and the load: where all of them are busy with one process already, a second one has nowhere to run.'
    return [{ title: 'One and two server processes', text: `${note}\n\n${comparison(rows)}` }]
  } finally {
    await Promise.all(systems.map((system) => system.stop()))
  }
}
