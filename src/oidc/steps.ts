/** Which step an authorization has reached: for a browser that comes back to an earlier one. */
import type { ShortLived } from '../storage/short-lived.ts'

const kind = 'FlowStep'
/** Longer than an authorization lives. */
const kept = 2 * 3_600_000

export const createSteps = ({ shortLived, now }: { shortLived: ShortLived; now: () => number }) => ({
  /** `flow` is the same in all steps of one authorization, `uid` is this step's own. */
  reached: (flow: string, uid: string): Promise<void> => shortLived.set(kind, flow, uid, now() + kept),
  current: async (flow: string): Promise<string | null> => (await shortLived.get<string>(kind, flow))?.value ?? null,
})

export type Steps = ReturnType<typeof createSteps>
