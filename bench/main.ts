/**
 * One command for every figure: `npm run bench`, or some of them by name, `npm run bench -- refresh flow`.
 *
 * Owns: which benches there are, and their order. Does not own: how one is measured. README.md says how to read it.
 */
import { operations } from './flows.ts'
import { benchLargeHouse } from './large-house-bench.ts'
import { benchOperations } from './operations.ts'
import { heading, writeResults } from './report.ts'
import { readSettings, type Settings } from './settings.ts'
import { benchSignInBurst } from './sign-in-burst.ts'
import { createStores, type Stores } from './systems.ts'
import { benchTwoServers } from './two-servers.ts'
import { benchVerify } from './verify.ts'

/** Each answers its results as Markdown. */
const others: Record<string, (settings: Settings, stores: Stores) => Promise<string>> = {
  verify: benchVerify,
  'two-servers': benchTwoServers,
  'sign-in-burst': benchSignInBurst,
  'large-house': benchLargeHouse,
}

const settings = readSettings(process.argv.slice(2), [...Object.keys(operations), ...Object.keys(others)])
const head = heading(settings)
const stores = createStores()
try {
  const asked = settings.names.filter((name): name is keyof typeof operations => name in operations)
  const parts: string[] = []
  if (asked.length > 0) parts.push(await benchOperations(asked, settings, stores))
  for (const name of settings.names) {
    const bench = others[name]
    if (!bench) continue
    parts.push(await bench(settings, stores))
    console.error(`${name}: done`)
  }
  const text = `${head}\n${parts.join('\n')}`
  console.log(text)
  if (settings.write) writeResults(text)
} finally {
  await stores.stop()
}
