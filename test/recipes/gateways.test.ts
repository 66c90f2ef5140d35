/** nginx and Apache from Debian's packages, with the text of docs/connecting.md, against a running Latchkey (R42). */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Settings } from '../../src/config/settings.ts'
import { startIssuer } from '../resource-server/issuer.ts'
import { demoApp, obtainTokens } from '../support/authorize.ts'
import { apache, nginx } from '../support/machine.ts'
import { freePort } from '../support/port.ts'
import { startServer } from '../support/server.ts'
import {
  answers,
  codeBelow,
  folderOf,
  type Issuing,
  type Program,
  start,
  startIssuing,
  startUpstream,
} from './recipe.ts'

let issuing: Issuing
let upstream: Awaited<ReturnType<typeof startUpstream>>
beforeAll(async () => {
  issuing = await startIssuing()
  upstream = await startUpstream()
})
afterAll(async () => {
  await issuing.server.close()
  await upstream.close()
})

interface Where {
  issuer: string
  base: string
}
type Gateway = Awaited<ReturnType<typeof startNginx>>

/** The addresses of the documentation, as they are here. */
const here = (text: string, { issuer, base }: Where, ports: { verifier?: number } = {}): string =>
  text
    .replaceAll('https://login.prairie.example/prairie/production', issuer)
    .replaceAll('https://fhir.prairie.example/r4', base)
    .replaceAll('/r4/', `${new URL(base).pathname}/`)
    .replaceAll('http://127.0.0.1:8080', `http://127.0.0.1:${upstream.port}`)
    .replaceAll('127.0.0.1:9000', `127.0.0.1:${ports.verifier}`)
    .replaceAll("listen(9000, '127.0.0.1')", `listen(${ports.verifier}, '127.0.0.1')`)

const gatewayAt = (port: number, base: string, programs: Program[], remove: () => void) => ({
  get: (below: string, authorization?: string, headers: Record<string, string> = {}) =>
    fetch(`http://127.0.0.1:${port}${new URL(base).pathname}${below}`, {
      headers: { ...headers, ...(authorization ? { authorization } : {}) },
    }),
  stopVerifier: async () => programs[1]?.stop(),
  async stop() {
    for (const program of programs) await program.stop()
    remove()
  },
})

async function startNginx(where: Where) {
  const [port, verifier] = [await freePort(), await freePort()]
  const [code = ''] = codeBelow('nginx', 'js')
  const [configuration = ''] = codeBelow('nginx', 'nginx')
  const { folder, remove } = folderOf({
    'verifier.js': here(code, where, { verifier }),
    'nginx.conf': `
daemon off;
pid nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {
    listen 127.0.0.1:${port};
${here(configuration, where, { verifier })}
  }
}`,
  })
  const env = { ...process.env, NODE_OPTIONS: '' }
  const deciding = await start(
    process.execPath,
    ['verifier.js'],
    { cwd: folder, env },
    answers(`http://127.0.0.1:${verifier}/`),
  )
  const args = ['-p', folder, '-c', join(folder, 'nginx.conf')]
  const serving = await start(nginx ?? 'nginx', args, { cwd: folder }, answers(`http://127.0.0.1:${port}/`))
  return gatewayAt(port, where.base, [serving, deciding], remove)
}

async function startApache(where: Where): Promise<Gateway> {
  const port = await freePort()
  const [configuration = ''] = codeBelow('Apache with mod_oauth2', 'apache')
  const modules = ['mpm_event', 'authn_core', 'authz_core', 'proxy', 'proxy_http', 'oauth2']
  const { folder, remove } = folderOf({
    'apache.conf': `
${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
ServerName localhost
Listen 127.0.0.1:${port}
PidFile apache.pid
ErrorLog "|/bin/cat >&2"
LogLevel warn
${here(configuration, where)}`,
  })
  const args = ['-d', folder, '-f', join(folder, 'apache.conf'), '-DFOREGROUND']
  const env = { ...process.env, APACHE_RUN_DIR: folder }
  const serving = await start(apache ?? 'apache2', args, { cwd: folder, env }, answers(`http://127.0.0.1:${port}/`))
  return gatewayAt(port, where.base, [serving], remove)
}

const gateways: [string, boolean, (where: Where) => Promise<Gateway>][] = [
  ['nginx with a small verifier', nginx !== undefined, startNginx],
  ['Apache with mod_oauth2', apache !== undefined, startApache],
]

describe.each(gateways)('the recipe for %s (R42)', (name, isThere, startGateway) => {
  describe.runIf(isThere)('run', () => {
    let gateway: Gateway
    beforeAll(async () => {
      gateway = await startGateway({ issuer: issuing.app.issuer, base: issuing.app.fhirBase })
    })
    afterAll(() => gateway.stop())

    it('lets a good token through, and tells whose it is, whatever the client says of that', async () => {
      const forged: Record<string, string> = name.startsWith('nginx')
        ? { 'X-Patient': 'david', 'X-Scope': 'patient/*.cruds' }
        : { OAUTH2_CLAIM_patient: 'david', 'OAUTH2-CLAIM-patient': 'david', 'oauth2-claim-scope': 'patient/*.cruds' }
      const response = await gateway.get('/Patient/maria', `Bearer ${issuing.good}`, forged)
      expect(response.status).toBe(200)
      const { headers } = await response.json()
      expect(Object.values(headers)).toContain('maria')
      expect(Object.values(headers)).not.toContain('david')
      expect(Object.values(headers)).not.toContain('patient/*.cruds')
    })

    it('refuses a request without one, or in another scheme [SMART app-launch.rs-validates]', async () => {
      for (const header of [undefined, `Basic ${issuing.good}`, issuing.good, `DPoP ${issuing.good}`]) {
        const response = await gateway.get('/Patient/maria', header)
        expect(response.status).toBe(401)
        expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/)
      }
    })

    it('refuses every wrong one [SMART app-launch.rs-validates]', async () => {
      for (const [what, token] of issuing.wrong) {
        const response = await gateway.get('/Patient/maria', `Bearer ${token}`)
        expect([401, 403], what).toContain(response.status)
        expect(await response.text(), what).not.toContain('"headers"')
      }
    })

    it('takes no token that is meant for another API, or of another issuer [SMART app-launch.rs-aud]', async () => {
      for (const where of [
        { issuer: issuing.app.issuer, base: `${issuing.app.fhirBase}/other` },
        { issuer: `${issuing.server.url}/v5/summit`, base: issuing.app.fhirBase },
      ]) {
        const elsewhere = await startGateway(where)
        expect([401, 403, 503]).toContain((await elsewhere.get('/Patient/maria', `Bearer ${issuing.good}`)).status)
        await elsewhere.stop()
      }
    })

    it('refuses what is over, for another API, without a patient, or bound to a key and sent without its proof', async () => {
      const other = await startIssuer()
      const base = 'http://127.0.0.1:1/r4'
      const strict = await startGateway({ issuer: other.issuer, base })
      const ask = async (claims: object) =>
        (await strict.get('/Patient/maria', `Bearer ${await other.sign({ aud: base, ...claims })}`)).status
      expect(await ask({})).toBe(200)
      expect(await ask({ exp: 1_700_000_000, iat: 1_699_999_000 })).toBe(401)
      for (const claims of [{ aud: `${base}/other` }, { aud: [`${base}/other`, 'app-1'] }])
        expect([401, 403], JSON.stringify(claims)).toContain(await ask(claims))
      for (const claims of [
        { patient: undefined, patient_id: undefined },
        { cnf: { jkt: 'a-key' } },
        { cnf: { 'x5t#S256': 'a-certificate' } },
      ]) {
        const bearer = `Bearer ${await other.sign({ aud: base, ...claims })}`
        const response = await strict.get('/Patient/maria', bearer, { OAUTH2_CLAIM_patient: 'maria' })
        if (name.startsWith('nginx')) expect([401, 403], JSON.stringify(claims)).toContain(response.status)
        else {
          // Apache lets it through; the server behind it can tell by the headers, as the recipe says.
          const { headers } = await response.json()
          expect('cnf' in claims ? headers.oauth2_claim_cnf : headers.oauth2_claim_patient).toEqual(
            'cnf' in claims ? expect.any(String) : undefined,
          )
        }
      }
      await strict.stop()
      await other.close()
    })

    it('refuses a token that was good a moment ago, and is over', async () => {
      const shorten = (settings: Settings) => {
        settings.tokens.accessTokenMinutes = 1 / 20
      }
      const brief = await startServer({ change: shorten })
      const of = demoApp(brief.url)
      const strict = await startGateway({ issuer: of.issuer, base: of.fhirBase })
      const { access_token: token } = await obtainTokens(of, { params: { scope: 'openid patient/Patient.rs' } })
      expect((await strict.get('/Patient/maria', `Bearer ${token}`)).status).toBe(200)
      await new Promise((wait) => setTimeout(wait, 14_000))
      expect((await strict.get('/Patient/maria', `Bearer ${token}`)).status).toBe(401)
      await strict.stop()
      await brief.close()
    })

    if (name.startsWith('nginx'))
      it('decides about the request too: patient and scope', async () => {
        expect((await gateway.get('/Patient/david', `Bearer ${issuing.good}`)).status).toBe(403)
        expect((await gateway.get('/Coverage', `Bearer ${issuing.good}`)).status).toBe(403)
        expect((await gateway.get('/Patient/maria', `Bearer ${issuing.narrow}`)).status).toBe(403)
        expect((await gateway.get('/Observation?patient=maria', `Bearer ${issuing.good}`)).status).toBe(200)
        expect((await gateway.get('/Observation?subject:Patient.name=x', `Bearer ${issuing.good}`)).status).toBe(403)
      })

    if (name.startsWith('nginx'))
      it('is 503 and never 401 while the verifier is away (R43)', async () => {
        const lonely = await startGateway({ issuer: issuing.app.issuer, base: issuing.app.fhirBase })
        await lonely.stopVerifier()
        const response = await lonely.get('/Patient/maria', `Bearer ${issuing.good}`)
        expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5'])
        await lonely.stop()
      })
  })
})
