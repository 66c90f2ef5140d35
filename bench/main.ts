/**
 * One command for every figure: `npm run bench`, or some of them by name, `npm run bench -- refresh flow`.
 *
 * Owns: which benches there are, and their order. Does not own: how one is measured. README.md says how to read it.
 */
import { operations } from './flows.ts'
import { benchOperations } from './operations.ts'
import { readSettings, type Settings } from './settings.ts'
import { createStores, type Stores } from './systems.ts'

/** A bench: its results as Markdown. */
export type Bench = (settings: Settings, stores: Stores) => Promise<string>

const names = Object.keys(operations)
const settings = readSettings(process.argv.slice(2), names)
const stores = createStores()
try {
  const flows = settings.names.filter((name): name is keyof typeof operations => name in operations)
  if (flows.length > 0) console.log(await benchOperations(flows, settings, stores))
} finally {
  await stores.stop()
}
