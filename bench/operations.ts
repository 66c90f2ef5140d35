/** What apps and resource servers ask, on all systems that take turns. */
import { contenderOf, type Operation, operations } from './flows.ts'
import { comparison, type Row, type Section } from './report.ts'
import type { Settings } from './settings.ts'
import { type Stores, type System, startSystem } from './systems.ts'
import { compare } from './windows.ts'

/** Measures the operations one after the other, with every system running all the while; answers their tables. */
export const benchOperations = async (
  wanted: readonly Operation[],
  settings: Settings,
  stores: Stores,
): Promise<Section[]> => {
  const systems: System[] = []
  try {
    const options = { members: Math.max(16, ...settings.atATime), profile: settings.profile }
    for (const name of settings.systems) systems.push(await startSystem(name, stores, options))
    const sections: Section[] = []
    for (const operation of wanted) {
      const { title, note } = operations[operation]
      const contenders = systems.map((system) => contenderOf(system, operation))
      const rows: Row[] = []
      for (const atATime of settings.atATime) {
        const results = await compare(contenders, { ...settings, atATime })
        const baseline = results.get('raw')
        for (const { name, label } of systems)
          rows.push({ label, atATime, windows: results.get(name) ?? [], ...(name === 'raw' ? {} : { baseline }) })
        console.error(`${title}, ${atATime} at a time: done`)
      }
      sections.push({ title, text: `${note}\n\n${comparison(rows)}` })
    }
    return sections
  } finally {
    await Promise.all(systems.map((system) => system.stop()))
  }
}
