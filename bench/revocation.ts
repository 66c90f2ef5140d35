/**
 * How soon a FHIR server feels that a connection was ended, and what knowing it costs per request (R11).
 *
 * Compared: the library with the revocation feed; the library with the issuer's keys alone, for which the figure is the
 * token's life; and introspection of the token at each request, which knows at once and costs a call. Endings come at
 * random moments between two readings of the feed, at the server that is followed and at another one.
 */
import { request } from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { createVerifier, type Verifier } from '../src/resource-server/index.ts'
import { createWire } from './client.ts'
import { resourceServer } from './member.ts'
import { type Section, table } from './report.ts'
import type { Settings } from './settings.ts'
import { type Stores, type System, type SystemName, startSystem } from './systems.ts'
import { quantile } from './windows.ts'

const endingsPerWindow = 40
const checksPerWindow = 500
/** No more than the longest that the feed's readings are apart, several times. */
const randomPause = () => pause(Math.random() * 1000)

/** `fetch` at one of several servers that go by one name. */
const fetchAt =
  (port: number, host: string): typeof fetch =>
  (input, init) =>
    new Promise((resolve, reject) => {
      const { pathname, search } = new URL(String(input))
      const headers = { ...(init?.headers as Record<string, string>), host }
      const signal = init?.signal ?? undefined
      const sent = request({ host: '127.0.0.1', port, path: pathname + search, headers, signal }, (answer) => {
        const said = Object.entries(answer.headers).map(([name, value]): [string, string] => [name, String(value)])
        resolve(new Response(Readable.toWeb(answer) as ReadableStream, { status: answer.statusCode, headers: said }))
      })
      sent.on('error', reject).end()
    })

const isGood = (verifier: Verifier, token: string): Promise<boolean> =>
  verifier.verify(token).then(
    () => true,
    () => false,
  )

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const began = performance.now()
  await work()
  return performance.now() - began
}

interface Measured {
  /** Milliseconds from the answer to the member or app until the token was refused. */
  felt: number[]
  /** Seconds that a server which knows the keys alone would still have honoured it. */
  honoured: number[]
  /** Endings of which the first introspection afterwards knew nothing. */
  unknown: number
  /** Milliseconds per check. */
  checks: Record<'keys' | 'feed' | 'introspection', number[]>
}

const measure = async (system: System, settings: Settings): Promise<Measured> => {
  const { place, ports } = system
  const [first = 0] = ports
  const audience = place.api.aud ?? ''
  const options = { issuer: place.issuer, audience, fetch: fetchAt(ports.at(-1) ?? first, place.host) }
  const keys = createVerifier(options)
  const { id: clientId, secret: clientSecret } = resourceServer
  const feed = createVerifier({ ...options, revocations: { clientId, clientSecret } })
  const ending = createWire([first], place.host)
  const found: Measured = { felt: [], honoured: [], unknown: 0, checks: { keys: [], feed: [], introspection: [] } }
  try {
    await feed.follow()
    await pause(1000)
    for (let round = 0; round < settings.windows; round += 1) {
      for (let nth = 0; nth < endingsPerWindow; nth += 1) {
        const member = system.members[nth % system.members.length]
        if (!member) throw new Error('nobody is there')
        const { access_token, refresh_token } = await member.renew()
        if (!(await isGood(feed, access_token))) throw new Error('a new token is refused')
        await randomPause()
        const body = new URLSearchParams({ token: refresh_token, client_id: place.clientId }).toString()
        const type = { 'content-type': 'application/x-www-form-urlencoded' }
        const { status } = await ending.send('POST', `${new URL(place.issuer).pathname}/revoke`, type, body)
        if (status !== 200) throw new Error(`the ending was answered ${status}`)
        const began = performance.now()
        while (await isGood(feed, access_token)) {
          if (performance.now() - began > 30_000) throw new Error('the ending was not felt')
          await pause(1)
        }
        found.felt.push(performance.now() - began)
        if (
          await member.introspect().then(
            () => true,
            () => false,
          )
        )
          found.unknown += 1
        if (!(await isGood(keys, access_token))) throw new Error('the keys alone know of an ending')
        const { exp } = JSON.parse(Buffer.from(access_token.split('.')[1] ?? '', 'base64url').toString())
        found.honoured.push(exp - Date.now() / 1000)
      }
      const [member] = system.members
      const { access_token } = (await member?.renew()) ?? { access_token: '' }
      for (let nth = 0; nth < checksPerWindow; nth += 1) {
        found.checks.keys.push(await timed(() => keys.verify(access_token)))
        found.checks.feed.push(await timed(() => feed.verify(access_token)))
        found.checks.introspection.push(await timed(async () => member?.introspect()))
      }
    }
  } finally {
    feed.close()
    keys.close()
    ending.close()
  }
  for (const list of [found.felt, found.honoured, ...Object.values(found.checks)]) list.sort((a, b) => a - b)
  return found
}

export const benchRevocation = async (settings: Settings, stores: Stores): Promise<Section[]> => {
  const runs: [SystemName, number][] = settings.systems.flatMap((name): [SystemName, number][] => {
    if (name === 'raw') return []
    return name === 'sqlite'
      ? [[name, 1]]
      : [
          [name, 1],
          [name, 2],
        ]
  })
  const lines: string[][] = []
  for (const [name, processes] of runs) {
    const system = await startSystem(name, stores, { members: 8, processes, profile: settings.profile })
    try {
      const { felt, honoured, unknown, checks } = await measure(system, settings)
      const ms = (sorted: readonly number[], share: number, digits = 0) => quantile(sorted, share).toFixed(digits)
      const label = `${system.label}${processes > 1 ? ', ended at another server' : ''}`
      const check = (of: keyof Measured['checks']) => `${ms(checks[of], 0.5, 2)} / ${ms(checks[of], 0.99, 2)}`
      lines.push(
        [label, 'revocation feed', `${ms(felt, 0.5)}`, `${ms(felt, 0.99)}`, `${ms(felt, 1)}`, check('feed')],
        [label, 'introspection', '0', '0', unknown === 0 ? '0' : `${unknown} unknown`, check('introspection')],
        [
          ...[label, 'keys alone'],
          ...[0.5, 0.99, 1].map((share) => `${Math.round(quantile(honoured, share)) * 1000}`),
          check('keys'),
        ],
      )
    } finally {
      await system.stop()
    }
  }
  const head = ['system', 'known by', 'felt p50 ms', 'p99', 'longest', 'a check, p50 / p99 ms']
  const note =
    `${settings.windows * endingsPerWindow} connections ended one by one, each at a random moment. *Felt*: from the answer that it has ended ` +
    'until its JWT was refused; for the keys alone, what was left of the life of a token that was new when it ended. Aim: with the feed below one second. ' +
    '*A check*: one verification of a good token, in a process that keeps its connection for introspection.'
  return [{ title: 'How soon an ending is felt', text: `${note}\n\n${table(head, lines)}` }]
}
