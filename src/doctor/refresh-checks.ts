/** How an authorization goes on and ends: refresh, rotation, revocation, and what is felt of it (R3, R8, R9, R10, R11). */
import { type Check, failed, faultless, passed, Skip, skipped, told, warned } from './check.ts'
import { isObject, seenIn, textOf } from './documents.ts'
import type { Examination } from './examination.ts'
import type { Answer } from './http.ts'
import { answerFaults, introspected, read } from './token-checks.ts'

const section = 'SMART App Launch 2.2, App Launch, Refresh access token'

const errorOf = ({ json }: Answer): string | undefined => (isObject(json) ? textOf(json, 'error') : undefined)
const refreshTokenOf = ({ json }: Answer): string | undefined =>
  isObject(json) ? textOf(json, 'refresh_token') : undefined

/** A new authorization with a refresh token. */
const family = async ({ app }: Examination): Promise<string> => {
  const { refreshToken } = await app.tokens()
  if (!refreshToken) throw new Skip('no refresh token was given')
  return refreshToken
}

/** Refreshes, and answers the new token. */
const rotate = async ({ app }: Examination, token: string): Promise<string> => {
  const next = refreshTokenOf(await app.refresh(token))
  if (next === undefined || next === token) throw new Skip('refresh tokens are not rotated')
  return next
}

/** Resource servers hear of an end in a moment; more than this is not a moment. */
const MOMENT = 3000

export const refreshChecks: readonly Check[] = [
  {
    id: 'R8.refresh-token',
    title: 'Who is allowed offline access gets a refresh token',
    expected: 'refresh_token where offline_access was granted',
    hint: 'Give one with the code exchange.',
    section,
    needs: 'member',
    async run({ app }) {
      const { body, refreshToken } = await app.main()
      if (!(textOf(body, 'scope') ?? '').split(' ').includes('offline_access'))
        return skipped('offline_access was not granted')
      return told(refreshToken !== undefined, refreshToken ? 'it is there' : 'none')
    },
  },
  {
    id: 'R3.refresh',
    title: 'A refresh says the same as the first answer',
    expected: 'an integer expires_in, the same scope, the same patient',
    hint: 'Complete the answer to a refresh as the first one: apps lose the patient otherwise.',
    section: `${section}; R3`,
    needs: 'member',
    async run({ app }) {
      const first = await app.main()
      const { answer } = await app.refreshed()
      if (answer.status !== 200 || !isObject(answer.json)) return failed(seenIn(answer))
      const faults = answerFaults(answer.json, first.scope)
      for (const name of ['scope', 'patient'] as const) {
        const [before, now] = [first.body[name], answer.json[name]]
        if (before !== undefined && now !== undefined && before !== now) faults.push(`another ${name}`)
      }
      return faultless(faults, 'the same')
    },
  },
  {
    id: 'R8.wider',
    title: 'A refresh gets no more than was granted',
    expected: 'invalid_scope, or no more than before, for patient/*.cruds and system/*.rs',
    hint: 'Hold a refresh to the grant.',
    section: `${section}; RFC 6749, section 6`,
    needs: 'member',
    async run({ app }) {
      const { body } = await app.main()
      const { refreshToken } = await app.refreshed()
      const answer = await app.refresh(refreshToken, { scope: `${body.scope} patient/*.cruds system/*.rs` })
      if (answer.status === 400) return passed(seenIn(answer))
      const scope = isObject(answer.json) ? (textOf(answer.json, 'scope') ?? '') : ''
      const before = new Set(String(body.scope).split(' '))
      const more = scope.split(' ').filter((each) => !before.has(each))
      return answer.status === 200 ? faultless(more, 'no more than before') : failed(seenIn(answer))
    },
  },
  {
    id: 'R8.rotation',
    title: 'Each refresh brings a new refresh token',
    expected: 'another refresh_token than the one that was presented',
    hint: 'Rotate: for public clients it is required (RFC 9700), unless tokens are bound to a key.',
    section: 'RFC 9700, section 4.14.2; R8',
    needs: 'member',
    async run(examination) {
      const { app } = examination
      const first = await app.main()
      const { answer } = await app.refreshed()
      if (answer.status !== 200) return skipped('a refresh fails')
      const next = refreshTokenOf(answer)
      if (next !== undefined && next !== first.refreshToken) return passed('another one')
      const { secret, key } = app.credentials()
      return secret !== undefined || key ? warned('the same one') : failed('the same one, to a public client')
    },
  },
  {
    id: 'R8.lost-answer',
    title: 'A refresh whose answer was lost can be tried again',
    expected: 'the same token is honoured once more within some seconds',
    hint: 'Give a short grace, or members whose network fails must consent again.',
    section: 'R8',
    needs: 'member',
    async run(examination) {
      const token = await family(examination)
      await rotate(examination, token)
      const answer = await examination.app.refresh(token)
      return answer.status === 200 ? passed('honoured') : warned(seenIn(answer))
    },
  },
  {
    id: 'R8.reuse',
    title: 'A spent refresh token is refused',
    expected: 'invalid_grant once its successor was used',
    hint: 'Keep spent tokens, and refuse them; whoever presents one late may be a thief.',
    section: 'RFC 9700, section 4.14.2; R8',
    needs: 'member',
    async run(examination) {
      const first = await family(examination)
      await rotate(examination, await rotate(examination, first))
      const answer = await examination.app.refresh(first)
      return told(answer.status === 400 && errorOf(answer) === 'invalid_grant', seenIn(answer))
    },
  },
  {
    id: 'R9.end-date',
    title: 'The app learns when the connection ends',
    expected: 'an end of the grant in the answer (grant_expires_at)',
    hint: 'Tell it, so that apps ask in time; members are not surprised.',
    section: 'R9',
    needs: 'member',
    async run({ app }) {
      const seen = (await app.main()).body.grant_expires_at
      return Number.isInteger(seen) ? passed(new Date(Number(seen) * 1000).toISOString()) : warned('none')
    },
  },
  {
    id: 'R10.revoke-unknown',
    title: 'Revoking an unknown token is no error',
    expected: '200',
    hint: 'RFC 7009, section 2.2: the token is as revoked as it can be.',
    section: 'RFC 7009, section 2.2; R10',
    needs: 'client',
    async run({ app }) {
      const answer = await app.revoke('latchkey-doctor-unknown-token')
      return told(answer.status === 200, seenIn(answer))
    },
  },
  {
    id: 'R10.revoke',
    title: 'The app can end what it was given',
    expected: '200 for its refresh token, and invalid_grant at the next refresh',
    hint: 'A revoked refresh token ends the grant.',
    section: 'RFC 7009, section 2; R10',
    needs: 'member',
    async run({ app }) {
      const { refreshToken } = await app.refreshed()
      const answer = await app.revoke(refreshToken, 'refresh_token')
      if (answer.status !== 200) return failed(seenIn(answer))
      const after = await app.refresh(refreshToken)
      return told(after.status === 400 && errorOf(after) === 'invalid_grant', seenIn(after))
    },
  },
  {
    id: 'R9.reason',
    title: 'A refused refresh says why, for programs',
    expected: 'error_subcode beside invalid_grant',
    hint: 'Tell expired from revoked, and both from a fault of the app.',
    section: 'R9',
    needs: 'member',
    async run(examination) {
      const answer = await examination.app.refresh(await revoked(examination))
      const seen = isObject(answer.json) ? textOf(answer.json, 'error_subcode') : undefined
      return seen ? passed(seen) : warned('none')
    },
  },
  {
    id: 'R11.introspection',
    title: 'An end is felt at introspection at once',
    expected: 'active: false for access tokens of a grant that was revoked',
    hint: 'Ask for the grant each time; do not answer from the token alone.',
    section: 'SMART App Launch 2.2, Token Introspection; R11',
    needs: 'member',
    async run(examination) {
      const { accessToken } = await examination.app.refreshed()
      await revoked(examination)
      const { active } = await introspected(examination, accessToken)
      return told(active === false, `active is ${JSON.stringify(active)}`)
    },
  },
  {
    id: 'R11.fhir',
    title: 'An end is felt at the FHIR server',
    expected: 'access tokens of a grant that was revoked are refused in a moment, or at least soon',
    hint: 'Let the FHIR server introspect, or follow the feed of revocations; else a token is honoured until its end.',
    section: 'R11',
    needs: 'member',
    async run(examination) {
      const { body } = await examination.app.main()
      const { accessToken } = await examination.app.refreshed()
      const patient = textOf(body, 'patient')
      if (!patient) return skipped('no patient is in context')
      await revoked(examination)
      for (let waited = 0; ; waited += 250) {
        const answer = await read(examination, `/Patient/${patient}`, accessToken)
        if (answer.status === 401 || answer.status === 403) return passed(`refused after ${waited} ms or less`)
        if (answer.status >= 400) return skipped(seenIn(answer))
        if (waited >= MOMENT)
          return warned(`honoured after ${waited / 1000} s; until its end, at most ${body.expires_in} s`)
        await examination.pause(250)
      }
    },
  },
]

/** The main authorization's refresh token, which is revoked by now. */
async function revoked({ app }: Examination): Promise<string> {
  const { refreshToken } = await app.refreshed()
  const answer = await app.revoke(refreshToken, 'refresh_token')
  if (answer.status !== 200) throw new Skip('revocation fails')
  return refreshToken
}
