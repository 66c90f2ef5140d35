/** What it costs to authenticate with a key instead of a secret: tokens of backend services, at one Latchkey in turns. */
import { assertionOf, carried, demonstrationKey } from '../test/support/key-client.ts'
import { comparison, type Row, type Section } from './report.ts'
import type { Settings } from './settings.ts'
import { labels, type Stores, type System, startSystem } from './systems.ts'
import { type Contender, compare } from './windows.ts'

const fields = { grant_type: 'client_credentials', scope: 'system/Patient.rs' }
/** As many as a window may need: making them is the client's cost, and not what is measured. */
const madeBefore = 1000

const send = async ({ wire, place }: System, body: Record<string, string>, headers: Record<string, string> = {}) => {
  const type = { 'content-type': 'application/x-www-form-urlencoded' }
  const form = new URLSearchParams({ ...fields, ...body }).toString()
  const { status, text } = await wire.send('POST', place.token, { ...type, ...headers }, form)
  if (status !== 200) throw new Error(`${status}: ${text.slice(0, 200)}`)
}

const bySecret = (system: System): Contender => ({
  name: 'secret',
  begin: async () => system.wire.close(),
  operation: () =>
    send(system, {}, { authorization: `Basic ${Buffer.from('bench-service:bench-secret').toString('base64')}` }),
  cpu: () => system.cpu(),
})

const byKey = (system: System, alg: 'ES384' | 'RS384'): Contender => {
  const key = demonstrationKey('demo-service', alg)
  const made: string[] = []
  const make = async (): Promise<string> =>
    assertionOf(await key, { clientId: 'demo-service', audience: `${system.place.issuer}/token` })
  return {
    name: alg,
    async begin() {
      system.wire.close()
      // What was made for an earlier window may have expired by now.
      made.length = 0
      made.push(...(await Promise.all(Array.from({ length: madeBefore }, make))))
    },
    operation: async () => send(system, carried(made.pop() ?? (await make()))),
    cpu: () => system.cpu(),
  }
}

/** Measures the three ways one after the other on each store that is asked for. */
export const benchServices = async (settings: Settings, stores: Stores): Promise<Section[]> => {
  const texts: string[] = []
  for (const name of settings.systems.filter((each) => each !== 'raw')) {
    const system = await startSystem(name, stores, { members: 1, profile: settings.profile })
    try {
      const contenders = [bySecret(system), byKey(system, 'ES384'), byKey(system, 'RS384')]
      const rows: Row[] = []
      for (const atATime of settings.atATime) {
        const results = await compare(contenders, { ...settings, atATime })
        const baseline = results.get('secret') ?? []
        rows.push({ label: 'client_secret_basic', atATime, windows: baseline })
        for (const alg of ['ES384', 'RS384'])
          rows.push({ label: `private_key_jwt, ${alg}`, atATime, windows: results.get(alg) ?? [], baseline })
      }
      texts.push(`${labels[name]}:\n\n${comparison(rows)}`)
    } finally {
      await system.stop()
    }
  }
  const note =
    'A token by `client_credentials`, with a secret and with assertions of both algorithms that SMART requires. The assertions are made before each window, and each ' +
    'is used once: its `jti` is one more record. The client has the cost of making one, and for RS384 that is the larger one.'
  return [{ title: 'Tokens of backend services', text: `${note}\n\n${texts.join('\n\n')}` }]
}
