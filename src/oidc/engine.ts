/**
 * The seam to the engine, oidc-provider: the only file that imports it, and only its public interface.
 *
 * Owns: which of the engine's names the rest of `oidc` may use, how a fault of ours is told to it, and how it signs.
 * Does not own: its settings (provider.ts) or its storage (adapter.ts).
 */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { type Configuration, ExternalSigningKey, errors, interactionPolicy, Provider } from 'oidc-provider'
import { LatchkeyError, Unavailable } from '../errors.ts'
import type { Signer } from './signer.ts'

export type {
  Adapter,
  AdapterPayload,
  Client as EngineClient,
  ClientMetadata,
  Configuration,
  Interaction,
  KoaContextWithOIDC as EngineContext,
} from 'oidc-provider'
export { errors, interactionPolicy, Provider }

/** A fault of ours as the engine understands it: 503 `temporarily_unavailable`, on every endpoint (R43). */
class OurFault extends errors.OIDCProviderError {
  override error_description = 'The server cannot answer just now. What you sent is still good: try again soon.'

  constructor(cause: LatchkeyError) {
    super(503, 'temporarily_unavailable')
    this.expose = true
    // Never back to the app: on a page of ours the member can try again, and nothing that they did is lost.
    this.allow_redirect = false
    this.cause = cause
    this.error_detail = cause.message
  }
}

const translate = (error: unknown): unknown =>
  error instanceof LatchkeyError && error.status === 503 ? new OurFault(error) : error

/**
 * Wraps a hook or an adapter's method so that faults of ours reach the engine in its own terms. Synchronous functions
 * stay synchronous, since some hooks must be.
 */
export const tellFaults =
  <A extends unknown[], R>(hook: (...args: A) => R): ((...args: A) => R) =>
  (...args) => {
    try {
      const answer = hook(...args)
      return answer instanceof Promise ? (answer.catch((e) => Promise.reject(translate(e))) as R) : answer
    } catch (error) {
      throw translate(error)
    }
  }

/** A signer as the engine takes it. Whatever keeps it from signing is a fault of ours. */
class EngineKey extends ExternalSigningKey {
  readonly #signer: Signer
  readonly #publicKey: KeyObject
  override sign: (bytes: Uint8Array) => Promise<Uint8Array>

  constructor(signer: Signer) {
    super()
    this.#signer = signer
    this.#publicKey = createPublicKey({ key: signer.publicJwk as JsonWebKey, format: 'jwk' })
    this.sign = tellFaults(async (bytes) => {
      try {
        return await signer.sign(bytes)
      } catch (cause) {
        throw new Unavailable(`the key ${signer.kid} does not sign`, { cause })
      }
    })
  }

  override get kid(): string {
    return this.#signer.kid
  }

  override get alg(): string {
    return this.#signer.algorithm
  }

  override keyObject(): KeyObject {
    return this.#publicKey
  }
}

/**
 * Keys for the engine's `jwks`, and the feature that they need. The engine calls it experimental and wants the version
 * acknowledged that was read: another one refuses to start.
 */
export const engineKeys = (signers: readonly Signer[]): NonNullable<Configuration['jwks']> => ({
  keys: signers.map((signer) => new EngineKey(signer)),
})
export const externalSigning = { enabled: true, ack: 'experimental-01' }

/** The way back: wraps what is asked of the engine outside of its routes, so that a fault of ours is ours again. */
export const hearFaults =
  <A extends unknown[], R>(work: (...args: A) => Promise<R>): ((...args: A) => Promise<R>) =>
  (...args) =>
    work(...args).catch((error) => Promise.reject(error instanceof OurFault ? error.cause : error))
