import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startIssuer, type TestIssuer } from './issuer.ts'

/**
 * The library as another project gets it: packed, unpacked under node_modules, and used the way docs/connecting.md says.
 */
const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
let project: string
let issuer: TestIssuer

beforeAll(async () => {
  issuer = await startIssuer()
  project = await mkdtemp(join(tmpdir(), 'latchkey-package-'))
  const installed = join(project, 'node_modules', 'latchkey')
  await mkdir(installed, { recursive: true })
  await run('npm', ['pack', '--pack-destination', project], { cwd: root })
  const tarball = (await readdir(project)).find((name) => name.endsWith('.tgz'))
  if (!tarball) throw new Error('npm pack left no tarball')
  await run('tar', ['-xzf', join(project, tarball), '-C', installed, '--strip-components=1'])
  for (const name of ['jose', 'koa', 'fastify', '@types']) {
    await symlink(join(root, 'node_modules', name), join(project, 'node_modules', name))
  }
  await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module' }))
  await writeFile(join(project, 'fhir.ts'), dataLayer)
  const examples = [...(await readFile(join(root, 'docs/connecting.md'), 'utf8')).matchAll(/```ts\n(import .*?)```/gs)]
  const names = ['handler.ts', 'koa.ts', 'express.ts', 'fastify.ts', 'revocations.ts']
  expect(examples).toHaveLength(names.length)
  await Promise.all(names.map((name, at) => writeFile(join(project, name), examples[at]?.[1] ?? '')))
}, 120_000)

afterAll(async () => {
  await issuer.close()
  await rm(project, { recursive: true, force: true })
})

/** What the examples call `find`, over three resources. */
const dataLayer = `
import type { FhirRequest, FhirResource } from 'latchkey/resource-server'

export const issuer = process.env.ISSUER ?? ''
export const baseUrl = 'https://fhir.example/r4'

const resources = [
  { resourceType: 'Observation', id: 'own', subject: { reference: 'Patient/maria' } },
  { resourceType: 'Observation', id: 'foreign', subject: { reference: 'Patient/other' } },
  { resourceType: 'Observation', id: 'sensitive', subject: { reference: 'Patient/maria' }, meta: { security: [{ code: 'HIV' }] } },
]

export async function find(
  asked: FhirRequest,
  _patient: string | undefined,
  _restrictions: [string, string][][] | undefined,
): Promise<FhirResource[]> {
  return resources.filter((resource) => resource.resourceType === asked.resource)
}
`

const script = `
import { handle } from './handler.ts'

const answers = []
for (const [path, token] of JSON.parse(process.env.REQUESTS ?? '[]')) {
  const headers = token === null ? {} : { authorization: 'Bearer ' + token }
  const response = await handle(new Request('https://fhir.example/r4' + path, { headers }))
  const { entry, issue } = await response.json()
  answers.push({
    status: response.status,
    challenge: response.headers.get('www-authenticate'),
    ids: entry?.map(({ resource }) => resource.id),
    reason: issue?.[0].details.coding[0].code,
  })
}
console.log(JSON.stringify(answers))
`

describe('the package', () => {
  it('verifies and decides in a plain fetch handler, with keys over HTTP', async () => {
    await writeFile(join(project, 'run.mjs'), script)
    const token = await issuer.sign()
    const requests = [
      ['/Observation', token],
      ['/Observation?patient=other', token],
      ['/Condition', token],
      ['/Observation', await issuer.sign({ aud: 'https://other.example' })],
      ['/Observation', `${token.slice(0, -8)}AAAAAAAA`],
      ['/Observation', null],
    ]
    const env = { ...process.env, NODE_OPTIONS: '', ISSUER: issuer.issuer, REQUESTS: JSON.stringify(requests) }
    const { stdout } = await run(process.execPath, ['run.mjs'], { cwd: project, env })
    const answers: { status: number; reason?: string; ids?: string[]; challenge: string | null }[] = JSON.parse(stdout)
    expect(answers.map(({ status, reason, ids }) => [status, reason ?? ids])).toEqual([
      [200, ['own']],
      [403, 'other_patient'],
      [403, 'scope_missing'],
      [401, 'wrong_audience'],
      [401, 'bad_signature'],
      [401, 'missing_token'],
    ])
    expect(answers[2]?.challenge).toContain('scope="patient/Condition.rs"')
    expect(answers[5]?.challenge).toBe('Bearer realm="https://fhir.example/r4"')
  })

  it('has types with which every example of the documentation compiles', async () => {
    await writeFile(
      join(project, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          target: 'es2024',
          lib: ['es2024'],
          module: 'nodenext',
          types: ['node'],
          strict: true,
          noEmit: true,
          allowImportingTsExtensions: true,
        },
        include: ['*.ts'],
      }),
    )
    // Express is no dependency of this project: the few of its types that the example touches.
    await writeFile(join(project, 'express.d.ts'), expressTypes)
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout } = await run(process.execPath, [compiler, '-p', project]).catch(
      (error: { stdout: string }) => error,
    )
    expect(stdout).toBe('')
  }, 60_000)

  it('carries the library and nothing of the server', async () => {
    const dist = join(project, 'node_modules/latchkey/dist')
    expect((await readdir(dist)).sort()).toEqual(['resource-server', 'smart'])
    const files = await readdir(join(dist, 'resource-server'))
    expect(files).toContain('index.js')
    expect(files).toContain('index.d.ts')
    const imports = await Promise.all(
      files.filter((name) => name.endsWith('.js')).map((name) => readFile(join(dist, 'resource-server', name), 'utf8')),
    )
    const sources = imports.flatMap((text) => [...text.matchAll(/from '([^']+)'/g)].map((match) => match[1]))
    for (const source of sources) expect(source).toMatch(/^(jose|\.\/[a-z-]+\.js|\.\.\/smart\/[a-z-]+\.js)$/)
  })
})

const expressTypes = `
declare module 'express' {
  export interface Request {
    method: string
    originalUrl: string
    body: unknown
    get(name: string): string | undefined
  }
  export interface Response {
    status(code: number): this
    set(headers: Record<string, string>): this
    type(name: string): this
    send(body: string): this
  }
  export type NextFunction = (error?: unknown) => void
  interface App {
    use(handler: (req: Request, res: Response) => unknown): void
    use(handler: (error: unknown, req: Request, res: Response, next: NextFunction) => unknown): void
    use(parser: object): void
  }
  const express: { (): App; urlencoded(options: { extended: boolean }): object }
  export default express
}
`
