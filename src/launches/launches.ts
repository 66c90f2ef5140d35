/**
 * Launches: a portal or an EHR opens an app for a user and says what it is about (SMART App Launch 2.2, "Launch App: EHR Launch").
 *
 * Owns: making a launch, its value (256 random bits, of which only the hash is kept), its five minutes, and that it is redeemed once, by the
 * app and at the API that it was made for.
 * Does not own: who may make one (oidc), whether the user who signs in is the right one (oidc/launch-requests), or what tokens say of it.
 * Hands to: oidc, which redeems a launch when the app's authorization request arrives.
 */
import type { Audit, AuditEvent } from '../audit/audit.ts'
import type { Environment } from '../config/settings.ts'
import { styleUrl } from '../config/style.ts'
import { type Fault, InputFaults } from '../errors.ts'
import { randomToken, sha256 } from '../secrets.ts'
import type { LaunchContext } from '../smart/launch-context.ts'
import type { Database } from '../storage/database.ts'
import type { ShortLived } from '../storage/short-lived.ts'
import { readLaunch } from './launch-body.ts'

const launchSeconds = 300
/** Longer than an authorization lives. */
const redeemedMillis = 2 * 3_600_000

const madeKind = 'Launch'
const redeemedKind = 'LaunchRedeemed'

/** A launch as it is kept. */
export interface Launch {
  v: 1
  clientId: string
  appId: string
  /** The id of the API. */
  api: string
  /** Who must sign in: the member's row id. */
  memberId: string
  /** Null: the member chooses. `id` is our row's. */
  patient: { id: string; fhirId: string } | null
  context: LaunchContext
}

/** Who asks for a launch, or for what one is about. */
interface Asking {
  clientId: string
  api: string
  requestId: string | null
}

/** An app that can be launched. */
interface LaunchableApp {
  appId: string
  apis: readonly string[]
  /** May it ask for the scope `launch`? */
  mayLaunch: boolean
  launchUrls: readonly string[]
  /** Would a token have room for the context beside all that the app may read of the patient, whatever is unticked? */
  hasRoom(api: string, context: LaunchContext, patient: string | undefined): boolean
}

/** What launches ask of the directory of their issuer. */
export interface LaunchDirectory {
  /** An active app that asks people, by its `client_id`. */
  app(clientId: string): Promise<LaunchableApp | undefined>
  /** An active member or practitioner, by `sub` or user name. */
  user(name: string): Promise<{ id: string; practitioner: boolean } | undefined>
  patient(fhirId: string): Promise<{ id: string } | undefined>
  /** Is the patient one whom this member may share now? */
  mayShare(memberId: string, patientId: string): Promise<boolean>
}

interface LaunchDeps {
  environment: Environment
  directory: LaunchDirectory
  shortLived: ShortLived
  database: Database
  audit: Audit
  now: () => number
}

/** A launch that was made. */
interface MadeLaunch {
  launch: string
  /** Where the app is opened; undefined where it has no launch address, or several. */
  launchUrl: string | undefined
  /** Seconds. */
  expiresIn: number
}

/** Why a value is not redeemed; for the log and the trail, never for the app. */
type LaunchRefusal = 'unknown' | 'other-app' | 'other-api' | 'used'

/** What stands in the way of redeeming a launch. */
export class LaunchRefused extends Error {
  readonly why: LaunchRefusal

  constructor(why: LaunchRefusal) {
    super(`launch refused: ${why}`)
    this.why = why
  }
}

export const createLaunches = (deps: LaunchDeps) => {
  const { environment, directory, shortLived, database, audit, now } = deps

  const record = (event: Pick<AuditEvent, 'type' | 'outcome' | 'details'>, asking: Asking, launch: Launch | null) =>
    database.transaction((trx) =>
      audit.record(trx, {
        ...event,
        plan: environment.plan.id,
        issuer: environment.id,
        actor: `client:${asking.clientId}`,
        ...(launch ? { memberId: launch.memberId, appId: launch.appId } : {}),
        ...(launch?.patient ? { patientId: launch.patient.id } : {}),
        requestId: asking.requestId ?? undefined,
      }),
    )

  /** What a sound body names and is not there, or not for this. */
  const look = async (read: ReturnType<typeof readLaunch>, { api }: Asking) => {
    const faults: Fault[] = []
    const [clientId, name, fhirId] = [read.sound('client_id'), read.sound('user'), read.sound('patient')]
    const app = clientId === undefined ? undefined : await directory.app(clientId)
    if (clientId !== undefined && !app) faults.push({ path: 'client_id', message: 'is no app here that asks people' })
    else if (app && !app.apis.includes(api))
      faults.push({ path: 'client_id', message: 'is an app that is not approved for the API of your token' })
    else if (app && !app.mayLaunch)
      faults.push({ path: 'client_id', message: 'is an app that is not approved for the scope launch' })
    const user = name === undefined ? undefined : await directory.user(name)
    if (name !== undefined && !user) faults.push({ path: 'user', message: 'is not known here' })
    const patient = fhirId === undefined ? undefined : await directory.patient(fhirId)
    if (fhirId !== undefined && !patient) faults.push({ path: 'patient', message: 'is not known here' })
    if (user?.practitioner && read.launch && read.launch.patient === null)
      faults.push({ path: 'patient', message: 'is required for a practitioner' })
    // A practitioner is vouched for by whoever makes the launch.
    if (user && !user.practitioner && patient && !(await directory.mayShare(user.id, patient.id)))
      faults.push({ path: 'patient', message: 'is none whose record this user may share now' })
    if (
      app &&
      read.launch &&
      !app.hasRoom(api, { smartStyleUrl: styleUrl(environment), ...read.launch.context }, fhirId)
    )
      faults.push({ path: 'body', message: 'says more than an access token has room for' })
    return { faults, app, user, patient }
  }

  /** Opens the app with `iss` and `launch` (SMART, "Launch App: EHR Launch"). */
  const launchUrlOf = ({ launchUrls }: LaunchableApp, api: string, value: string): string | undefined => {
    const [address, ...more] = launchUrls
    const iss = environment.apis.find(({ id }) => id === api)?.baseUrl
    if (address === undefined || more.length > 0 || iss === undefined) return undefined
    const url = new URL(address)
    url.searchParams.set('iss', iss)
    url.searchParams.set('launch', value)
    return url.href
  }

  return {
    /**
     * Makes a launch of what a body says, for the API of the token that it came with.
     * @throws InputFaults with every fault and its path
     */
    async make(body: unknown, asking: Asking): Promise<MadeLaunch> {
      const read = readLaunch(body)
      const { faults, app, user, patient } = await look(read, asking)
      const all = [...read.faults, ...faults]
      if (!read.launch || !app || !user || all.length > 0) {
        const details = { fields: [...new Set(all.map(({ path }) => path.split('.')[0] ?? ''))].slice(0, 20) }
        await record(
          { type: 'launch.refused', outcome: 'refused', details: { why: 'faults', ...details } },
          asking,
          null,
        )
        throw new InputFaults(all, 'invalid_request')
      }
      const { clientId, patient: fhirId, context } = read.launch
      const launch: Launch = {
        v: 1,
        clientId,
        appId: app.appId,
        api: asking.api,
        memberId: user.id,
        patient: patient && fhirId !== null ? { id: patient.id, fhirId } : null,
        context: { smartStyleUrl: styleUrl(environment), ...context },
      }
      const value = randomToken(32)
      await shortLived.set(madeKind, sha256(value), launch, now() + launchSeconds * 1000)
      await record({ type: 'launch.made', details: { clientId, api: asking.api } }, asking, launch)
      return { launch: value, launchUrl: launchUrlOf(app, asking.api, value), expiresIn: launchSeconds }
    },

    /**
     * What a value is about, if it can be redeemed by this app at this API. Uses up nothing.
     * @throws LaunchRefused
     */
    async find(value: string, asking: Asking): Promise<Launch> {
      const found = await shortLived.get<Launch>(madeKind, sha256(value))
      // A newer server may have made it: better none than one that leaves out what the newer one meant.
      if (found?.value.v !== 1) throw new LaunchRefused('unknown')
      const { value: launch, usedAt } = found
      const why: LaunchRefusal | null =
        launch.clientId !== asking.clientId
          ? 'other-app'
          : launch.api !== asking.api
            ? 'other-api'
            : usedAt !== null
              ? 'used'
              : null
      if (why === null) return launch
      await record({ type: 'launch.refused', outcome: 'refused', details: { why } }, asking, launch)
      throw new LaunchRefused(why)
    },

    /**
     * Redeems a launch that was found: once, whoever comes at the same moment. From then on `redeemed` knows it.
     * @param by a name that no other use has
     * @throws LaunchRefused
     */
    async redeem(value: string, launch: Launch, by: string, asking: Asking): Promise<void> {
      const key = sha256(value)
      const use = await shortLived.use(madeKind, key, by)
      if (use !== 'first') {
        await record({ type: 'launch.refused', outcome: 'refused', details: { why: 'used' } }, asking, launch)
        throw new LaunchRefused('used')
      }
      await shortLived.set(redeemedKind, key, launch, now() + redeemedMillis)
      await record({ type: 'launch.redeemed', details: { api: launch.api } }, asking, launch)
    },

    /** The launch that an authorization redeemed, for as long as the authorization can live. */
    async redeemed(value: string): Promise<Launch | undefined> {
      return (await shortLived.get<Launch>(redeemedKind, sha256(value)))?.value
    },

    /** Undoes redeeming, where a fault of ours spoilt the answer (R43). */
    giveBack: (value: string, by: string): Promise<void> => shortLived.takeBack(madeKind, sha256(value), by),
  }
}

export type Launches = ReturnType<typeof createLaunches>
