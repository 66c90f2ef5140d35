/**
 * What is asked of DPoP proofs (RFC 9449) beyond what the engine sees to: an algorithm of the client's profile, and a time
 * that is not ahead of ours.
 *
 * Does not own: the proof's other rules (the engine), that it is used once (adapter.ts), or proofs at UserInfo (userinfo.ts).
 */
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader } from 'jose'
import { type Configuration, type EngineContext, errors } from './engine.ts'
import { profiles } from './profiles.ts'
import { stateOf } from './request-state.ts'

type ProofAlgorithms = NonNullable<NonNullable<Configuration['enabledJWA']>['dPoPSigningAlgValues']>

/** Every algorithm that some profile accepts. */
export const proofAlgorithms = [
  ...new Set(Object.values(profiles).flatMap((profile) => profile.proofAlgorithms)),
] as unknown as ProofAlgorithms

/** How many seconds a proof may be ahead of our time: clocks differ, and more is no matter of clocks (FAPI 2.0 §5.3.2.1). */
export const longestAhead = 60

const read = (proof: string): { alg: string | undefined; iat: number | undefined } => {
  try {
    return { alg: decodeProtectedHeader(proof).alg, iat: decodeJwt(proof).iat }
  } catch {
    return { alg: undefined, iat: undefined }
  }
}

/**
 * Asked by the engine of each proof, before it looks at it: must it name a nonce of ours? Where the app's clock is ahead, it
 * must; where it is behind, the engine asks for one by itself. Whatever is no proof at all is the engine's to refuse.
 */
export const nonceNeeded = (ctx: EngineContext): boolean => {
  const state = stateOf(ctx.req)
  state.proof = true
  const { alg, iat } = read(ctx.get('DPoP'))
  const accepted = profiles[state.client?.profile ?? 'smart'].proofAlgorithms
  if (alg !== undefined && !accepted.includes(alg))
    throw new errors.InvalidDpopProof(`the DPoP proof must be signed by one of ${accepted.join(', ')}`)
  return typeof iat === 'number' && iat > Date.now() / 1000 + longestAhead
}

/** By whose key the proof of a request says that it is; the engine has verified it, or refuses the request. */
export const keyOfProof = async (ctx: EngineContext | undefined): Promise<string | undefined> => {
  try {
    const { jwk } = decodeProtectedHeader(ctx?.get('DPoP') ?? '')
    return jwk && (await calculateJwkThumbprint(jwk))
  } catch {
    return undefined
  }
}

/** Are the tokens of this request bound to a key, as far as it is known by now? */
export const bindsTokens = (ctx: EngineContext): boolean =>
  ctx.get('DPoP') !== '' || ctx.oidc.params?.dpop_jkt !== undefined || ctx.oidc.client?.dpopBoundAccessTokens === true
