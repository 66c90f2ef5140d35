import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { SchemaNode } from '../../src/config/faults.ts'
import { loadSettings, VARIABLES } from '../../src/config/load.ts'
import { configJsonSchema } from '../../src/config/schema.ts'
import type { Environment, Settings } from '../../src/config/settings.ts'
import { lines, load } from './fixture.ts'

const text = (name: string) => readFileSync(new URL(`../../config/${name}`, import.meta.url), 'utf8')

function environmentOf(settings: Settings, id: string): Environment {
  const found = settings.plans.flatMap((plan) => plan.environments).find((each) => each.id === id)
  if (!found) throw new Error(`no environment ${id}`)
  return found
}

describe('config/development.yaml', () => {
  const { settings, warnings } = loadSettings({ env: {} })
  const sandbox = environmentOf(settings, 'prairie/sandbox')
  const summit = environmentOf(settings, 'summit/sandbox')

  it('is what a checkout runs, without a warning', () => {
    expect(settings.publicUrl).toBe('http://localhost:3000')
    expect(lines(warnings)).toEqual([])
  })

  it('has the plans, issuers and bases that the demonstration promises', () => {
    expect(settings.plans.map(({ id, name }) => [id, name])).toEqual([
      ['prairie', 'Prairie Health Plan'],
      ['summit', 'Summit Mutual'],
    ])
    expect(sandbox.issuer).toBe('http://localhost:3000/prairie/sandbox')
    expect(sandbox.apis.map((api) => api.baseUrl)).toEqual(['http://localhost:3000/prairie/sandbox/fhir'])
    const production = environmentOf(settings, 'prairie/production')
    expect(production.issuer).toBe('http://localhost:3000/prairie/production')
    expect(production).toMatchObject({ sandbox: false, demonstration: null })
    expect(production.apis[0]).toMatchObject({ baseUrl: 'https://fhir.prairie.example/r4' })
  })

  it('has the apps that the demonstration promises', () => {
    expect(sandbox.demonstration?.apps).toMatchObject([
      {
        clientId: 'demo-public',
        kind: 'public',
        secret: null,
        redirectUris: ['http://127.0.0.1/callback', 'http://localhost:3000/prairie/sandbox/demo/'],
        scopes: null,
        attestation: { state: 'attested' },
      },
      {
        clientId: 'demo-confidential',
        kind: 'confidential',
        secret: 'demo-confidential-secret',
        redirectUris: ['http://127.0.0.1/callback'],
        scopes: null,
        attestation: { state: 'attested' },
      },
      { clientId: 'demo-declined', kind: 'public', attestation: { state: 'declined' } },
      { clientId: 'demo-unanswered', kind: 'public', attestation: null },
      { clientId: 'demo-asymmetric', kind: 'confidential', secret: null, profile: 'smart' },
      {
        clientId: 'demo-fapi2',
        kind: 'confidential',
        secret: null,
        profile: 'fapi2',
        redirectUris: ['https://127.0.0.1:8443/callback'],
      },
      { clientId: 'demo-service', kind: 'service', scopes: ['system/*.rs', 'introspect', 'launches'] },
      { clientId: 'demo-ehr', kind: 'service', secret: 'demo-ehr-secret', scopes: ['launches'] },
      { clientId: 'demo-resource-server', kind: 'resource-server', secret: 'demo-resource-server-secret' },
    ])
  })

  it('has the members that the demonstration promises', () => {
    const members = sandbox.demonstration?.members ?? []
    expect(members.map((each) => [each.username, each.patients.map((patient) => patient.fhirId)])).toEqual([
      ['maria', ['maria']],
      ['david', ['david']],
      ['noor', []],
      ['dr.testwell', []],
    ])
    expect(members[1]?.delegations).toMatchObject([
      { fhirId: 'elena', basis: 'power-of-attorney', relatedPerson: 'david-elena', endsAt: null },
      { fhirId: 'lucy', basis: 'parent', relatedPerson: 'david-lucy', birthDate: '2017-05-09', endsAt: '2035-05-09' },
    ])
    const everyone = [...members, ...(summit.demonstration?.members ?? [])]
    expect(everyone.map((each) => each.password)).toEqual(everyone.map(() => 'prairie-sandbox-1'))
  })

  it('has a second plan at addresses and with tokens of another shape (R41, R42)', () => {
    expect(summit.issuer).toBe('http://localhost:3000/v5/summit')
    expect(summit.endpoints.authorization).toEqual({ path: '/v5/oauth/authorize', aliases: ['/v3/oauth/authorize'] })
    expect(summit.endpoints.token).toEqual({ path: '/v5/oauth/token', aliases: ['/v3/oauth/token'] })
    expect(summit.apis[0]?.tokenProfile).toMatchObject({ algorithm: 'RS256', typ: 'JWT', scopeFormat: 'array' })
    expect(summit.demonstration?.members.map((each) => each.username)).toEqual(['sam'])
  })

  it('moves with PORT, every address of it', () => {
    const moved = JSON.stringify(loadSettings({ env: { PORT: '4000' } }).settings.plans, (key, value) =>
      key === 'plan' ? undefined : value,
    )
    expect(moved).toContain('http://localhost:4000/prairie/sandbox/demo/')
    expect(moved).not.toContain('localhost:3000')
    expect(text('development.yaml')).not.toMatch(/publicUrl:|localhost/)
  })

  it('is refused wherever its address is not this machine’s, with every reason', () => {
    const { faults } = load(text('development.yaml'), { PUBLIC_URL: 'https://login.prairie.example' })
    expect(faults.map((fault) => fault.path)).toEqual([
      'sealingKeys.0',
      'mail.smtpUrl',
      'plans.prairie.environments.sandbox.demonstration',
      'plans.summit.environments.sandbox.demonstration',
    ])
  })
})

/** Every option of the schema as a path, names of map entries as `*`. */
function optionsOf(node: SchemaNode, path = ''): string[] {
  if (node.anyOf) return [...new Set(node.anyOf.flatMap((branch) => optionsOf(branch, path)))]
  if (typeof node.items === 'object') return optionsOf(node.items, path)
  if (node.properties) {
    return Object.entries(node.properties).flatMap(([name, inner]) => [
      `${path}.${name}`.replace(/^\./, ''),
      ...optionsOf(inner, `${path}.${name}`),
    ])
  }
  return typeof node.additionalProperties === 'object' ? optionsOf(node.additionalProperties, `${path}.*`) : []
}

describe('config/example.yaml', () => {
  const files = {
    '/run/secrets/latchkey-sealing-key': 'k'.repeat(44),
    '/run/secrets/latchkey-redis-password': 'p'.repeat(32),
    '/run/secrets/latchkey-sentinel-password': 'q'.repeat(32),
    '/run/secrets/latchkey-redis-ca.pem': '-----BEGIN CERTIFICATE-----',
    '/run/secrets/latchkey-smtp-url': 'smtps://user:password@mail.example.org',
    '/run/secrets/latchkey-self-test-password': 'a password of the self-test',
    '/run/secrets/latchkey-self-test-key': '{"kty":"EC","d":"private"}',
  }

  it('is sound and safe once its secrets are there', () => {
    const { settings, warnings, faults } = load(text('example.yaml'), {}, files)
    expect(lines([...faults, ...warnings])).toEqual([])
    expect(settings.publicUrl).toBe('https://login.example.org')
  })

  it('shows every option, each with a sentence before it', () => {
    const example: unknown = parse(text('example.yaml'))
    const rows = text('example.yaml').split('\n')
    const places = /^(sealingKeys\.secret\.env|.*\.demonstration\..*|plans\.\*\.environments\.\*\.endpoints\.\w+\..*)$/
    for (const option of optionsOf(configJsonSchema() as SchemaNode)) {
      if (places.test(option) || /\.(file|env)$/.test(option)) continue
      const value = option.split('.').reduce<unknown>((group, name) => {
        const inner = Array.isArray(group) ? group[0] : group
        return (
          name === '*' ? Object.values(inner as object)[0] : (inner as Record<string, unknown>)?.[name]
        ) as unknown
      }, example)
      expect(value, option).not.toBeUndefined()
      const name = option.split('.').at(-1)
      const row = rows.findIndex((each) => new RegExp(`^\\s*(- )?${name}:`).test(each))
      const grouped = typeof value === 'object' && value !== null && !Array.isArray(value)
      expect(grouped || rows[row - 1]?.trim().match(/^(- )?#/), `a sentence before ${option}`).toBeTruthy()
    }
  })

  it('names every environment variable with its option', () => {
    for (const { name, path } of VARIABLES) {
      expect(text('example.yaml')).toMatch(new RegExp(`${name} +${path.join('\\.')}`))
    }
  })
})

describe('config/schema.json', () => {
  it('is what the schema says; write it anew with: npx latchkey schema > config/schema.json', () => {
    expect(JSON.parse(text('schema.json'))).toEqual(configJsonSchema())
  })

  it('describes every option', () => {
    const undescribed = (node: SchemaNode & { description?: string }, path: string): string[] => [
      ...(path.endsWith('.*') || node.description || node.title ? [] : [path]),
      ...Object.entries(node.properties ?? {}).flatMap(([name, inner]) => undescribed(inner, `${path}.${name}`)),
      ...(typeof node.additionalProperties === 'object' ? undescribed(node.additionalProperties, `${path}.*`) : []),
    ]
    expect(undescribed(configJsonSchema() as SchemaNode, '')).toEqual([])
  })
})
