/**
 * The launch with which an app's authorization request comes (SMART App Launch 2.2, "Obtain authorization code").
 *
 * Owns: redeeming it when the request arrives, what it does to the scopes, and whether whoever is signed in may go on with it.
 * Does not own: what a launch is (launches), or the page that says that it is not theirs (interactions).
 */
import type { Environment } from '../config/settings.ts'
import { type Launch, type Launches, LaunchRefused } from '../launches/launches.ts'
import type { Directory } from '../members/directory.ts'
import { randomToken } from '../secrets.ts'
import type { Scope } from '../smart/scope.ts'
import type { MemberRow } from '../storage/tables.ts'
import { createDebts } from './debts.ts'
import { type EngineContext, errors } from './engine.ts'
import { stateOf } from './request-state.ts'

/** Why the person who is signed in cannot go on; also the sub-code for the app. */
type LaunchFault = 'launch_mismatch' | 'launch_required' | 'launch_authority'

/** The launch of a request. */
interface Found {
  launch: Launch
  /** Uses it up. */
  redeem(): Promise<void>
}

/** One sentence for every reason: what a launch was made for is nobody's business who cannot redeem it. */
const refused =
  'launch is not valid for this request: it is unknown, older than 5 minutes, used already, or made for another app or API'

/**
 * The scopes of a request in the light of its launch: `launch` means nothing without one, and a patient whom the launch gives
 * needs no `launch/patient` but the one that was asked for.
 */
export const launchScopes = (available: readonly Scope[], requested: string, launch: Launch | undefined): Scope[] => {
  const asked = requested.split(' ')
  const isInferred = launch?.patient ? !asked.includes('launch/patient') : false
  return available.filter(({ text }) => !(text === 'launch' && !launch) && !(text === 'launch/patient' && isInferred))
}

export const createLaunchRequests = (deps: { environment: Environment; launches: Launches; directory: Directory }) => {
  const { environment, launches, directory } = deps
  const debts = createDebts<{ value: string; by: string }>((_id, { value, by }) => launches.giveBack(value, by))

  const known = async <T>(look: () => Promise<T>): Promise<T> => {
    try {
      return await look()
    } catch (error) {
      if (!(error instanceof LaunchRefused)) throw error
      throw Object.assign(new errors.InvalidRequest(refused), { error_detail: error.message })
    }
  }

  return {
    /**
     * The launch of a request; undefined where it has none. A value without the scope is ignored, and forgotten.
     * @throws InvalidRequest for a value that this app cannot redeem here
     */
    async find(ctx: EngineContext, scopes: readonly Scope[], app: { clientId: string; api: string }) {
      const { params } = ctx.oidc
      const value = params?.launch
      if (!params || typeof value !== 'string' || !scopes.some(({ text }) => text === 'launch')) {
        if (params) params.launch = undefined
        return undefined
      }
      const asking = { ...app, requestId: stateOf(ctx.req).requestId }
      await debts.settle(value)
      const launch = await known(() => launches.find(value, asking))
      // Without a page nothing is ever authorized, so it is good for another time.
      if (params.prompt === 'none') params.launch = undefined
      const found: Found = {
        launch,
        async redeem() {
          const by = randomToken(12)
          debts.incur(value, { value, by })
          await known(() => launches.redeem(value, launch, by, asking))
        },
      }
      return found
    },

    /**
     * The launch that an authorization has redeemed, by the parameters that the engine keeps of it.
     * @throws SessionNotFound where it is forgotten, which an authorization must not outlive
     */
    async redeemed({ launch }: { launch?: unknown }): Promise<Launch | undefined> {
      if (typeof launch !== 'string') return undefined
      const found = await launches.redeemed(launch)
      if (!found) throw new errors.SessionNotFound('authorization request has expired')
      return found
    },

    /** What keeps this person from going on; null: nothing. Practitioners act by launch only, for its patient. */
    async faultOf(launch: Launch | undefined, member: MemberRow): Promise<LaunchFault | null> {
      if (launch && launch.memberId !== member.id) return 'launch_mismatch'
      if (member.fhir_user !== null) return launch?.patient ? null : 'launch_required'
      if (!launch?.patient) return null
      const choice = await directory.choice(environment.id, member.id, launch.patient.id)
      return choice ? null : 'launch_authority'
    },
  }
}

export type LaunchRequests = ReturnType<typeof createLaunchRequests>
