/**
 * The authorization that a member is in the middle of, as the interaction pages see it.
 *
 * Owns: reading it, and each way on: signed in, patient chosen, shared, refused. The engine stays behind this door. The
 * session outside of an authorization too: whoever signs in on the member's own pages is signed in for apps, and vice versa.
 * Does not own: the pages and their words (interactions, members), the record of a decision (members/connections).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Api, Environment, Settings } from '../config/settings.ts'
import { LatchkeyError } from '../errors.ts'
import type { Launch } from '../launches/launches.ts'
import type { Connections, SharedDecision } from '../members/connections.ts'
import { parseScopes, scopeText } from '../smart/scope.ts'
import type { MemberRow } from '../storage/tables.ts'
import type { ClientRecord, Clients } from './clients.ts'
import { errors, hearFaults, type Interaction, type Provider } from './engine.ts'
import type { LaunchRequests } from './launch-requests.ts'
import { sessionCookie, sessionSeconds } from './provider.ts'
import { apiNamed } from './resources.ts'
import { chosenEncounter, chosenPatient, type Steps } from './steps.ts'

/** One HTTP exchange, as node:http gives it: cookies are read from it. */
export interface Exchange {
  req: IncomingMessage
  res: ServerResponse
  /** As a koa context has it. */
  state?: { requestId?: string }
}

/** What the app asked for and how far the member has come. */
export interface Authorization {
  /** Of this step: the next one has another. */
  uid: string
  /** The same in every step of one authorization. */
  flow: string
  step: 'login' | 'launch' | 'patient' | 'encounter' | 'consent'
  client: ClientRecord
  api: Api
  /** What the app asked for, as far as it exists and is allowed. */
  scope: string
  redirectUri: string
  uiLocales: string | null
  loginHint: string | null
  /** Where the browser goes on once a step is done. */
  returnTo: string
  /** `sub` of the member who is signed in. */
  subject: string | null
  /** Their session, and its absolute end in milliseconds, where the app asks for `online_access`. */
  session: { uid: string; endsAt: number } | null
  /** The launch with which the app came. */
  launch: Launch | null
  /** The row id of the patient of the launch, or else of the one chosen in an earlier step. */
  patientId: string | null
  /** The FHIR id of the visit of the launch, or else of the one chosen in an earlier step. */
  encounter: string | null
}

const steps: readonly string[] = ['launch', 'patient', 'encounter', 'consent'] satisfies Authorization['step'][]
const isStep = (name: string): name is Authorization['step'] => steps.includes(name)

const withoutEncounter = (scope: string): string =>
  scope
    .split(' ')
    .filter((each) => each !== 'launch/encounter')
    .join(' ')

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
const epochSeconds = (): number => Math.floor(Date.now() / 1000)
const secondsLeft = (interaction: Interaction): number => Math.max(1, interaction.exp - epochSeconds())

export const createAuthorizations = (deps: {
  /** The engine in force at each call: keys change while members are on their way. */
  provider: () => Provider
  environment: Environment
  clients: Clients
  connections: Connections
  steps: Steps
  launchRequests: LaunchRequests
  session: Settings['session']
}) => {
  const { provider, environment, clients, connections, launchRequests } = deps

  const orExpired = async <T>(look: () => Promise<T>): Promise<T> => {
    try {
      return await look()
    } catch (error) {
      if (error instanceof errors.SessionNotFound)
        throw new LatchkeyError('authorization_expired', 400, { detail: error.error_description, cause: error })
      throw error
    }
  }

  const interactionOf = ({ req, res }: Exchange, uid: string): Promise<Interaction> =>
    orExpired(async () => {
      const interaction = await provider().interactionDetails(req, res)
      if (interaction.uid !== uid) throw new errors.SessionNotFound('another authorization')
      return interaction
    })

  /** Until when the member of an interaction is signed in, however busy they are; null where they are not any more. */
  const sessionOf = async ({ session, params }: Interaction): Promise<Authorization['session']> => {
    if (!session || !String(params.scope).split(' ').includes('online_access')) return null
    const found = await provider().Session.findByUid(session.uid)
    if (!found?.loginTs) return null
    return { uid: session.uid, endsAt: (found.loginTs + deps.session.absoluteHours * 3600) * 1000 }
  }

  /** The authorization in progress. Throws `authorization_expired` (400) where it is over or another browser's. */
  const load = async (exchange: Exchange, uid: string): Promise<Authorization> => {
    const interaction = await interactionOf(exchange, uid)
    const { params, prompt } = interaction
    const client = await clients.find(String(params.client_id))
    if (!client) throw new LatchkeyError('authorization_expired', 400, { detail: 'the app is no longer registered' })
    const api = apiNamed(environment.apis, String(params.resource))
    if (!api) throw new LatchkeyError('authorization_expired', 400, { detail: 'the API is no longer configured' })
    const launch = (await orExpired(() => launchRequests.redeemed(params))) ?? null
    const submitted = interaction.lastSubmission
    const patientId = launch?.patient?.id ?? chosenPatient(submitted)
    const chosen = chosenEncounter(submitted)
    const encounter = launch?.context.encounter ?? (chosen?.patientId === patientId ? chosen.id : null)
    // Whoever went on without a visit does not share which one it was.
    const isLess = prompt.name === 'consent' && encounter === null
    const scope = String(params.scope ?? '')
    return {
      uid,
      flow: interaction.cid,
      step: isStep(prompt.name) ? prompt.name : 'login',
      client,
      api,
      scope: isLess ? withoutEncounter(scope) : scope,
      redirectUri: String(params.redirect_uri),
      uiLocales: text(params.ui_locales),
      loginHint: text(params.login_hint),
      returnTo: interaction.returnTo,
      subject: interaction.session?.accountId ?? null,
      session: await sessionOf(interaction),
      launch,
      patientId,
      encounter,
    }
  }

  /**
   * Ends the session that the browser has as somebody else, so that this sign-in begins a new one (ASVS 7.2.4). It may have
   * begun in another window, after this authorization.
   */
  const forgetOthers = async (exchange: Exchange, interaction: Interaction, subject: string): Promise<void> => {
    const { session } = await openSession(exchange)
    if (session.accountId !== subject) await endSession(exchange, session)
    if (!interaction.session || interaction.session.accountId === subject) return
    interaction.session = undefined
    await interaction.save(secondsLeft(interaction))
  }

  /** The member has signed in. Returns where the browser goes on. */
  const signedIn = async (exchange: Exchange, uid: string, subject: string): Promise<string> => {
    const interaction = await interactionOf(exchange, uid)
    await forgetOthers(exchange, interaction, subject)
    return provider().interactionResult(
      exchange.req,
      exchange.res,
      { login: { accountId: subject, amr: ['pwd'] } },
      { mergeWithLastSubmission: false },
    )
  }

  /** The member has chosen whose record this is about. */
  const patientChosen = async (exchange: Exchange, uid: string, patientId: string): Promise<string> => {
    await interactionOf(exchange, uid)
    return provider().interactionResult(exchange.req, exchange.res, { patient: { id: patientId } })
  }

  /** The member has chosen the visit that this is about; null: none. */
  const encounterChosen = async (
    exchange: Exchange,
    authorization: Authorization,
    id: string | null,
  ): Promise<string> => {
    await interactionOf(exchange, authorization.uid)
    const encounter = { id, patientId: authorization.patientId }
    return provider().interactionResult(exchange.req, exchange.res, { encounter })
  }

  /**
   * The member shares: makes the grant, records the decision, and goes back to the app with a code. From here on the
   * authorization is for `grantedScope` and nothing else.
   */
  const share = async (
    exchange: Exchange,
    authorization: Authorization,
    decision: Omit<SharedDecision, 'grantId'>,
  ): Promise<string> => {
    const interaction = await interactionOf(exchange, authorization.uid)
    if (!interaction.session) throw new LatchkeyError('authorization_expired', 400)
    const { scopes } = parseScopes(decision.grantedScope)
    const grant = new (provider().Grant)({
      accountId: interaction.session.accountId,
      clientId: authorization.client.clientId,
    })
    grant.exp = Math.floor(decision.endsAt / 1000)
    grant.addOIDCScope(scopeText(scopes.filter((scope) => scope.kind === 'plain')))
    grant.addResourceScope(
      String(interaction.params.resource),
      scopeText(scopes.filter((scope) => scope.kind === 'resource')),
    )
    const grantId = await grant.save()
    await connections.recordShared({ ...decision, grantId })
    interaction.params.scope = decision.grantedScope
    await interaction.save(secondsLeft(interaction))
    return provider().interactionResult(exchange.req, exchange.res, { consent: { grantId } })
  }

  /** Goes back to the app with `access_denied` and a description for its developer. */
  const refuse = async (exchange: Exchange, uid: string, description: string): Promise<string> => {
    await interactionOf(exchange, uid)
    return provider().interactionResult(
      exchange.req,
      exchange.res,
      { error: 'access_denied', error_description: description },
      { mergeWithLastSubmission: false },
    )
  }

  /** The browser's session, whoever is signed in. */
  const openSession = async ({ req, res }: Exchange) => {
    const context = provider().createContext(req, res)
    return { context, session: await provider().Session.get(context) }
  }
  type Opened = Awaited<ReturnType<typeof openSession>>

  /**
   * Ends a session, and what apps may do only while it lasts. Once more afterwards: what was shared in between in another
   * window ends too, and later nothing can be shared in it any more.
   */
  const endSession = async ({ state }: Exchange, session: Opened['session']): Promise<void> => {
    const { accountId: subject, uid } = session
    if (!subject) return
    const end = { issuer: environment.id, subject, session: uid, requestId: state?.requestId ?? null }
    await connections.endGrantsOfSession(null, end)
    await session.destroy()
    await connections.endGrantsOfSession(null, end)
  }

  /** The member who is signed in at this browser outside of any authorization, by `sub`. */
  const signedInSubject = async (exchange: Exchange): Promise<string | null> => {
    const { session } = await openSession(exchange)
    return session.accountId ?? null
  }

  /** Keeps the session until its idle or absolute end, and tells the browser. */
  const keep = async ({ context, session }: Opened): Promise<void> => {
    await session.save(sessionSeconds(deps.session, session, epochSeconds()))
    context.cookies.set(provider().cookieName('session'), session.jti, {
      ...sessionCookie,
      expires: new Date(session.exp * 1000),
    })
  }

  /** The same, on a page of the member's own: a visit puts the idle end off, as one of an app does. */
  const visitingSubject = async (exchange: Exchange): Promise<string | null> => {
    const opened = await openSession(exchange)
    const { session } = opened
    if (!session.accountId) return null
    // Not with every page: a tenth of the time gone is soon enough, and of two pages at once one writes.
    const seconds = sessionSeconds(deps.session, session, epochSeconds())
    if (seconds - session.remainingTTL > seconds / 10) await keep(opened)
    return session.accountId
  }

  /** A member has signed in outside of any authorization: a new session begins, whatever was there before (ASVS 7.2.4). */
  const signInHere = async (exchange: Exchange, subject: string): Promise<void> => {
    const { context, session: before } = await openSession(exchange)
    await endSession(exchange, before)
    const session = new (provider().Session)()
    session.loginAccount({ accountId: subject, amr: ['pwd'] })
    await keep({ context, session })
  }

  /** Signs the browser out of this issuer. Connections with offline access go on. */
  const signOut = async (exchange: Exchange): Promise<void> => {
    const { session } = await openSession(exchange)
    await endSession(exchange, session)
  }

  return {
    load: hearFaults(load),
    /** The `uid` of the step that a flow has reached; null where it is forgotten. */
    currentStep: deps.steps.current,
    /** What keeps a member from going on with the launch of an authorization, or without one; null: nothing. */
    launchFault: ({ launch }: Authorization, member: MemberRow) => launchRequests.faultOf(launch ?? undefined, member),
    signedIn: hearFaults(signedIn),
    patientChosen: hearFaults(patientChosen),
    encounterChosen: hearFaults(encounterChosen),
    share: hearFaults(share),
    refuse: hearFaults(refuse),
    signedInSubject: hearFaults(signedInSubject),
    visitingSubject: hearFaults(visitingSubject),
    signInHere: hearFaults(signInHere),
    signOut: hearFaults(signOut),
  }
}

export type Authorizations = ReturnType<typeof createAuthorizations>
