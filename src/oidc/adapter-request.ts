/** What the engine's adapters know of the request that is running, and the adapter of what is never stored. */
import { type Adapter, errors, Provider } from './engine.ts'
import { type Refusal, stateOf } from './request-state.ts'

/** Payloads carry their version, so that a later release can read them. */
export const payloadVersion = 1

/** The engine's route that is running; undefined outside of its routes. */
export const route = (): string | undefined => Provider.ctx?.oidc?.route

/** `invalid_grant`, with the reason for the answer's sub-code (R9). */
export const refuse = (refusal: Refusal, detail: string) => {
  stateOf(Provider.ctx?.req).refusal = refusal
  return new errors.InvalidGrant({ detail })
}

/** Models that are never stored: access tokens are JWTs. */
export const unstored = (model: string): Adapter => {
  const never = async (): Promise<never> => {
    throw new TypeError(`${model} is not stored here`)
  }
  return {
    upsert: never,
    find: async () => undefined,
    findByUid: async () => undefined,
    findByUserCode: async () => undefined,
    consume: never,
    destroy: async () => undefined,
    revokeByGrantId: async () => undefined,
  }
}
