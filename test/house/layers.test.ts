import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { describe, expect, it } from 'vitest'

/** Imports point down this list only (docs/architecture.md); folders of one line do not know each other. */
const layers: string[][] = [
  ['errors', 'secrets', 'log'],
  ['smart'],
  ['resource-server', 'config', 'doctor'],
  ['web'],
  ['storage'],
  ['audit'],
  ['recovery'],
  ['accounts', 'launches', 'ops', 'members', 'portal', 'sandbox'],
  ['oidc'],
  ['interactions'],
  ['server'],
  ['cli', 'main'],
]
/** Rules know no HTTP framework: of these folders only `routes.ts` does. */
const withoutKoa = [
  'smart',
  'resource-server',
  'config',
  'doctor',
  'storage',
  'audit',
  'recovery',
  'accounts',
  'launches',
  'ops',
  'members',
  'portal',
  'sandbox',
]

const src = join(import.meta.dirname, '../../src')
const files = globSync('**/*.ts', { cwd: src })
const roomOf = (file: string): string => (file.includes('/') ? (file.split('/')[0] ?? '') : file.replace(/\.ts$/, ''))
const rankOf = (room: string): number => layers.findIndex((layer) => layer.includes(room))
const importsOf = (file: string): string[] =>
  [
    ...readFileSync(join(src, file), 'utf8').matchAll(/^(?:import|export)[^'"]*?from '([^']+)'|^import '([^']+)'/gms),
  ].map(([, from, bare]) => from ?? bare ?? '')
const ownImportsOf = (file: string): string[] =>
  importsOf(file)
    .filter((from) => from.startsWith('.'))
    .map((from) => relative(src, normalize(join(src, dirname(file), from))))

describe('the layers of the house', () => {
  it('names every room', () => {
    expect(files.length).toBeGreaterThan(50)
    expect(files.filter((file) => rankOf(roomOf(file)) === -1)).toEqual([])
  })

  it('lets imports point down only', () => {
    const upward = files.flatMap((file) =>
      ownImportsOf(file)
        .filter((to) => roomOf(to) !== roomOf(file))
        .filter((to) => {
          const ground = rankOf(roomOf(file)) === 0 && rankOf(roomOf(to)) === 0
          return !ground && rankOf(roomOf(to)) >= rankOf(roomOf(file))
        })
        .map((to) => `${file} -> ${to}`),
    )
    expect(upward).toEqual([])
  })

  it('keeps the engine behind one seam', () => {
    expect(files.filter((file) => importsOf(file).some((from) => from.startsWith('oidc-provider')))).toEqual([
      'oidc/engine.ts',
    ])
  })

  it('lets resource-server carry only smart along', () => {
    const carried = files.filter((file) => roomOf(file) === 'resource-server').flatMap(importsOf)
    const foreign = carried.filter((from) => !/^\.\/|^\.\.\/smart\/|^jose$|^node:/.test(from))
    expect(foreign).toEqual([])
  })

  it('lets the doctor know nothing of the server: it looks at any from outside', () => {
    const doctor = files.filter((file) => roomOf(file) === 'doctor')
    expect(doctor.length).toBeGreaterThan(10)
    const foreign = doctor.flatMap(importsOf).filter((from) => {
      return !/^\.\/|^\.\.\/smart\/|^\.\.\/(errors|secrets)\.ts$|^jose$|^node:/.test(from)
    })
    expect(foreign).toEqual([])
  })

  it('lets only server.ts import the routes of other rooms', () => {
    const importers = files.flatMap((file) =>
      ownImportsOf(file)
        .filter((to) => to.endsWith('/routes.ts') && roomOf(to) !== roomOf(file) && file !== 'server.ts')
        .map((to) => `${file} -> ${to}`),
    )
    expect(importers).toEqual([])
  })

  it('keeps the HTTP framework out of the rules', () => {
    const knowing = files.filter(
      (file) =>
        withoutKoa.includes(roomOf(file)) &&
        !file.endsWith('routes.ts') &&
        importsOf(file).some((from) => /^(koa|@koa\/.*)$/.test(from)),
    )
    expect(knowing).toEqual([])
  })

  it('never lets the pages of a visit import one another', () => {
    const pages = ['login', 'patient', 'consent'].map((page) => `interactions/${page}.ts`)
    const crossing = pages.flatMap((page) => ownImportsOf(page).filter((to) => pages.includes(to) && to !== page))
    expect(crossing).toEqual([])
  })
})
