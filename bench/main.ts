/**
 * One command for every figure: `npm run bench`, or some of them by name, `npm run bench -- refresh flow`.
 *
 * Owns: which benches there are, and their order. Does not own: how one is measured. README.md says how to read it.
 */
import { operations } from './flows.ts'
import { benchLargeHouse } from './large-house-bench.ts'
import { benchOperations } from './operations.ts'
import { circumstances, type Section, shown, writeResults } from './report.ts'
import { benchRevocation } from './revocation.ts'
import { benchServices } from './services.ts'
import { readSettings, type Settings } from './settings.ts'
import { benchSignInBurst } from './sign-in-burst.ts'
import { createStores, type Stores } from './systems.ts'
import { benchTwoServers } from './two-servers.ts'
import { benchVerify } from './verify.ts'

const others: Record<string, (settings: Settings, stores: Stores) => Promise<Section[]>> = {
  services: benchServices,
  verify: benchVerify,
  revocation: benchRevocation,
  'two-servers': benchTwoServers,
  'sign-in-burst': benchSignInBurst,
  'large-house': benchLargeHouse,
}

const settings = readSettings(process.argv.slice(2), [...Object.keys(operations), ...Object.keys(others)])
const where = circumstances(settings)
const stores = createStores()

const tell = (sections: readonly Section[]): void => {
  const dated = sections.map(({ title, text }) => ({ title, text: `${text.trim()}\n\n${where}` }))
  console.log(dated.map(shown).join('\n'))
  if (settings.write) writeResults(dated)
}

try {
  const asked = settings.names.filter((name): name is keyof typeof operations => name in operations)
  if (asked.length > 0) tell(await benchOperations(asked, settings, stores))
  for (const name of settings.names) if (others[name]) tell(await others[name](settings, stores))
} finally {
  await stores.stop()
}
