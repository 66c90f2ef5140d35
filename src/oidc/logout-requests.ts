/**
 * What an app asks for that sends a person to sign out (OpenID Connect RP-Initiated Logout 1.0 §2).
 *
 * Owns: which app it is, and whether the address may be gone to that it wants them back at. Does not own: the page that asks the person, or
 * the end of the session (authorizations.ts): an app can end none by itself.
 */
import type { ClientRecord, Clients } from './clients.ts'
import { hearFaults, type Provider } from './engine.ts'

/** The parameters that count. Each at most once. */
export const logoutParameters = ['id_token_hint', 'client_id', 'post_logout_redirect_uri', 'state'] as const

export type LogoutParameters = Partial<Record<(typeof logoutParameters)[number], string>>

export interface LogoutRequest {
  /** The app that asks; null where none is named, or none that can be believed. */
  client: ClientRecord | null
  /** Where the browser goes on afterwards, `state` and all; null: nowhere. */
  returnTo: string | null
  /** What is wrong with the request, for its developer: it leads nowhere then, and people can sign out all the same. */
  fault: string | null
}

export const createLogoutRequests = ({ provider, clients }: { provider: () => Provider; clients: Clients }) => {
  /** The client that an ID token of ours was made for, expired or not; undefined for any other text. */
  const clientOfHint = async (hint: string): Promise<string | undefined> => {
    const [, payload = ''] = hint.split('.')
    let audience: unknown
    try {
      audience = JSON.parse(Buffer.from(payload, 'base64url').toString()).aud
    } catch {
      return undefined
    }
    const client = typeof audience === 'string' ? await provider().Client.find(audience) : undefined
    if (!client) return undefined
    return provider()
      .IdToken.validate(hint, client)
      .then(
        () => client.clientId,
        () => undefined,
      )
  }

  const read = async (asked: LogoutParameters): Promise<LogoutRequest> => {
    const refuse = (fault: string): LogoutRequest => ({ client: null, returnTo: null, fault })
    const { id_token_hint: hint, client_id: named, post_logout_redirect_uri: uri, state } = asked
    const hinted = hint === undefined ? undefined : await clientOfHint(hint)
    if (hint !== undefined && hinted === undefined) return refuse('id_token_hint is no ID token of this issuer')
    if (named !== undefined && hinted !== undefined && named !== hinted)
      return refuse('client_id is not the app of id_token_hint')
    const clientId = named ?? hinted
    const client = clientId === undefined ? undefined : await clients.find(clientId)
    if (clientId !== undefined && !client) return refuse('client_id is no app here')
    if (uri === undefined) return { client: client ?? null, returnTo: null, fault: null }
    if (!client) return refuse('post_logout_redirect_uri needs id_token_hint or client_id')
    // Character by character: what is like a registered address is not one.
    if (!client.logoutUris.includes(uri))
      return { client, returnTo: null, fault: 'post_logout_redirect_uri is not registered' }
    const address = new URL(uri)
    if (state !== undefined) address.searchParams.set('state', state)
    return { client, returnTo: address.href, fault: null }
  }

  return { read: hearFaults(read) }
}

export type LogoutRequests = ReturnType<typeof createLogoutRequests>
