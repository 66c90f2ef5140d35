/**
 * The library that FHIR servers use, against plain jose: one token after the other in this process, with the keys at hand
 * and without them. The keys come over loopback from a server of ours, from the same address for both.
 */
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { createVerifier } from '../src/resource-server/index.ts'
import { comparison, type Row, type Section } from './report.ts'
import type { Settings } from './settings.ts'
import { type Stores, startSystem } from './systems.ts'
import { type Contender, compare } from './windows.ts'

const own = async () => {
  const { user, system } = process.cpuUsage()
  return { server: user + system, store: 0 }
}

export const benchVerify = async (settings: Settings, stores: Stores): Promise<Section[]> => {
  const system = await startSystem('sqlite', stores, { members: 1 })
  try {
    const { issuer, jwks: jwksUri } = system.place
    const audience = `${issuer}/fhir`
    const token = async () => {
      const held = await system.members[0]?.renew()
      if (!held) throw new Error('no token')
      return held.access_token
    }
    const rulesOfJose = { issuer, audience, typ: 'at+jwt', algorithms: ['ES256', 'RS256'] }
    const newVerifier = () => createVerifier({ issuer, audience, jwksUri })
    const newKeys = () => createRemoteJWKSet(new URL(jwksUri))
    const verifier = newVerifier()
    const keys = newKeys()
    const verifyBy: Record<string, { label: string; verify: (text: string) => Promise<unknown> }[]> = {
      'keys at hand': [
        { label: 'jose', verify: (text) => jwtVerify(text, keys, rulesOfJose) },
        { label: 'latchkey/resource-server', verify: (text) => verifier.verify(text) },
      ],
      'cold: a new verifier for each token, which fetches the keys': [
        { label: 'jose', verify: (text) => jwtVerify(text, newKeys(), rulesOfJose) },
        { label: 'latchkey/resource-server', verify: (text) => newVerifier().verify(text) },
      ],
    }
    const parts: string[] = []
    for (const [title, libraries] of Object.entries(verifyBy)) {
      const rows: Row[] = []
      for (const atATime of settings.atATime) {
        // Access tokens live ten minutes.
        const text = await token()
        const contenders = libraries.map(
          ({ label, verify }): Contender => ({
            name: label,
            operation: async () => void (await verify(text)),
            cpu: own,
          }),
        )
        const results = await compare(contenders, { ...settings, atATime })
        const baseline = results.get('jose')
        for (const { label } of libraries)
          rows.push({ label, atATime, windows: results.get(label) ?? [], ...(label === 'jose' ? {} : { baseline }) })
      }
      parts.push(`${title}:\n\n${comparison(rows)}\n`)
    }
    const note =
      'The library against `jwtVerify` with `createRemoteJWKSet`, in one process. Beside what jose checks, the library refuses ' +
      'duplicate members, other spellings of base64url and what is no FHIR context, and parses the scopes.'
    return [{ title: 'Verifying an access token', text: `${note}\n\n${parts.join('\n')}` }]
  } finally {
    await system.stop()
  }
}
