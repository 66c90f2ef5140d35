/** Advertised means exercised (R1): whatever discovery names, somebody does here; what is exercised here is named there. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demonstrationApp } from '../support/demonstration-app.ts'
import { type ClientKey, makeKey } from '../support/key-client.ts'
import { startServer } from '../support/server.ts'
import { Visitor } from '../support/visitor.ts'
import { exercises, type Stage } from './exercises.ts'

let stage: Stage
let advertised: Map<string, string[]>

const fapi = ['PS256', 'ES256', 'EdDSA', 'Ed25519']

beforeAll(async () => {
  const keyed = new Map<string, { clientId: string; key: ClientKey }>()
  for (const alg of ['RS384', 'ES384', ...fapi])
    keyed.set(alg, { clientId: `by-${alg.toLowerCase()}`, key: await makeKey(alg) })
  const server = await startServer({
    change: ({ plans }) => {
      for (const [alg, { clientId, key }] of keyed)
        plans[0]?.environments[0]?.demonstration?.apps.push(
          demonstrationApp({
            clientId,
            kind: 'confidential',
            profile: fapi.includes(alg) ? 'fapi2' : 'smart',
            jwks: { keys: [key.publicJwk] },
            redirectUris: ['https://app.example/callback'],
          }),
        )
    },
  })
  advertised = new Map()
  for (const issuer of ['/prairie/sandbox', '/prairie/production', '/v5/summit'])
    for (const kind of ['openid-configuration', 'oauth-authorization-server', 'smart-configuration']) {
      const document = await (await fetch(`${server.url}${issuer}/.well-known/${kind}`)).json()
      for (const key of Object.entries(document as object).flatMap(([name, value]) => keysOf(name, value)))
        advertised.set(key, [...(advertised.get(key) ?? []), `${issuer} ${kind}`])
    }
  const at = `${server.url}/prairie/sandbox/.well-known`
  const [openid, smart] = await Promise.all(
    ['openid-configuration', 'smart-configuration'].map(async (kind) => (await fetch(`${at}/${kind}`)).json()),
  )
  stage = { server, said: { ...(openid as object), ...(smart as object) }, keyed, visitor: new Visitor() }
})
afterAll(() => stage.server.close())

/** Lists are told value by value, scopes by their kind; addresses by their name, all else by what it says. */
const keysOf = (name: string, value: unknown): string[] => {
  if (name === 'scopes_supported' && Array.isArray(value))
    return [...new Set(value.map((scope) => `${name}: ${String(scope).replace(/\/[A-Z]\w+\./, '/{Type}.')}`))]
  if (Array.isArray(value) && value.every((each) => typeof each === 'string'))
    return value.map((each) => `${name}: ${each}`)
  return [typeof value === 'boolean' ? `${name}: ${value}` : name]
}

describe('what discovery names', () => {
  it('is exercised below, all of it [SMART discovery.capabilities-true, discovery.scopes-true]', () => {
    const idle = [...advertised].filter(([key]) => !exercises.has(key)).map(([key, where]) => `${key} (${where[0]})`)
    expect(idle).toEqual([])
  })

  it('has in each list nothing twice, and whatever is exercised', () => {
    expect([...exercises.keys()].filter((key) => !advertised.has(key))).toEqual([])
  })
})

const tagOf = (key: string): string => {
  const [, name] = /^capabilities: (.*)$/.exec(key) ?? []
  return name ? `${key} [capability ${name}]` : key
}

describe('is done', () => {
  it.each([...exercises].map(([key, exercise]) => [tagOf(key), exercise] as const))('%s', async (_key, exercise) => {
    await exercise(stage)
  })
})
