/** Which step an authorization has reached, for a browser that comes back to an earlier one; and what was chosen in earlier steps. */
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

/** What the engine keeps of the steps that are over. */
type Submitted = Record<string, unknown> | null | undefined

const part = (submitted: Submitted, name: string): Record<string, unknown> | undefined => {
  const found = submitted?.[name]
  return typeof found === 'object' && found !== null ? (found as Record<string, unknown>) : undefined
}
const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

/** The row id of the patient who was chosen; null: none, because there was nothing to choose. */
export const chosenPatient = (submitted: Submitted): string | null => text(part(submitted, 'patient')?.id)

/** The visit that was chosen for a patient; `id` is null for whoever went on without one. Undefined: not asked yet. */
export const chosenEncounter = (submitted: Submitted): { id: string | null; patientId: string | null } | undefined => {
  const chosen = part(submitted, 'encounter')
  return chosen && { id: text(chosen.id), patientId: text(chosen.patientId) }
}
