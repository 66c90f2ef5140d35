/**
 * What a portal or an EHR says of a launch (SMART App Launch 2.2, "Scopes and Launch Context"): its form, and every fault of it at
 * once. Pure.
 */
import { z } from 'zod'
import { pageUrlFault } from '../config/urls.ts'
import type { Fault } from '../errors.ts'
import type { FhirContextItem, LaunchContext } from '../smart/launch-context.ts'
import { resourceTypes } from '../smart/resource-types.ts'

const mostItems = 20

/** Told once, whatever is wrong with a value. */
const matching = (pattern: RegExp, accepted: string) => {
  const said = ({ input }: { input?: unknown }) => (input === undefined ? 'is required' : accepted)
  return z.string({ error: said }).regex(pattern, accepted)
}

/** Without what a page, a log or a store would bend. */
const text = (max: number) =>
  matching(
    new RegExp(`^[^\\p{Cc}\\p{Cs}]{1,${max}}$`, 'u'),
    `must be text of 1 to ${max} characters, without control characters`,
  )

const id = matching(/^[A-Za-z0-9.-]{1,64}$/, 'must be a FHIR id: 1 to 64 letters, digits, hyphens and dots')

const uri = matching(/^[A-Za-z][A-Za-z0-9+.-]*:[^\s\p{Cc}\p{Cs}]{1,400}$/u, 'must be an absolute URI')

const type = z.string().refine((name) => resourceTypes.has(name), 'must be a FHIR resource type')

const reference = z.string().refine((value) => {
  const [, name = ''] = /^([A-Za-z]+)\/[A-Za-z0-9.-]{1,64}$/.exec(value) ?? []
  return resourceTypes.has(name)
}, 'must be a relative reference such as ImagingStudy/17')

const role = z
  .string()
  .refine(
    (value) => value === 'launch' || uri.safeParse(value).success,
    'must be launch or an absolute URI; left out it is launch',
  )

/** What of an item says which resource it is. */
const namings = ['reference', 'canonical', 'identifier'] as const

const typeOf = ({ reference: named, type: said }: FhirContextItem): string | undefined => named?.split('/')[0] ?? said

const item = z
  .strictObject(
    {
      reference: reference.optional(),
      canonical: uri.optional(),
      identifier: z
        .strictObject({ system: uri.optional(), value: text(200) }, 'must be an object with system and value')
        .optional(),
      type: type.optional(),
      role: role.optional(),
    },
    'must be an object',
  )
  .superRefine((each, { addIssue }) => {
    const refuse = (path: string[], message: string) => addIssue({ code: 'custom', path, message })
    if (namings.every((name) => each[name] === undefined))
      refuse([], 'must have one of reference, canonical and identifier')
    // Without it nobody could tell whether it is another patient.
    if (each.reference === undefined && each.type === undefined)
      refuse(['type'], 'is required where there is no reference')
    if (each.reference !== undefined && each.type !== undefined && !each.reference.startsWith(`${each.type}/`))
      refuse(['type'], 'must be that of the reference')
    const resource = typeOf(each as FhirContextItem)
    if ((resource === 'Patient' || resource === 'Encounter') && (each.role ?? 'launch') === 'launch')
      refuse(
        ['role'],
        `must be another than launch for a ${resource}: say the one in context as ${resource.toLowerCase()}`,
      )
  })

const launchBody = z.strictObject(
  {
    client_id: text(100),
    user: text(200),
    patient: id.optional(),
    encounter: id.optional(),
    fhirContext: z
      .array(item, 'must be an array')
      .min(1, 'must not be empty: leave it out')
      .max(mostItems, `must have ${mostItems} items at most`)
      .optional(),
    intent: text(200).optional(),
    smart_style_url: text(500)
      .refine((url) => pageUrlFault(url) === null, 'must be an https address')
      .optional(),
    need_patient_banner: z.boolean('must be true or false').optional(),
    tenant: text(200).optional(),
  },
  'must be an object',
)

/** A launch as it was asked for; `context` is what it says beside the app, the user and the patient. */
interface AskedLaunch {
  clientId: string
  user: string
  patient: string | null
  context: LaunchContext
}

/** A body as far as it is sound. */
interface ReadLaunch {
  faults: Fault[]
  /** Null where there are faults. */
  launch: AskedLaunch | null
  /** The value of a member of its own that is text without fault; undefined for any other. */
  sound(name: 'client_id' | 'user' | 'patient'): string | undefined
}

const faultsOf = (error: z.ZodError | undefined): Fault[] =>
  (error?.issues ?? []).flatMap((issue) => {
    const at = issue.path.map(String)
    if (issue.code !== 'unrecognized_keys') return [{ path: at.join('.') || 'body', message: issue.message }]
    return issue.keys.map((key) => ({ path: [...at, key.slice(0, 100)].join('.'), message: 'is not known here' }))
  })

/** Left out what was left out: `exactOptionalPropertyTypes` knows no undefined. */
const without = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T

/** Reads a body, whatever it is. */
export const readLaunch = (body: unknown): ReadLaunch => {
  const parsed = launchBody.safeParse(body)
  const faults = faultsOf(parsed.error)
  const { data } = parsed
  if (data?.encounter !== undefined && data.patient === undefined)
    faults.push({ path: 'patient', message: 'is required beside encounter: it is the one whose encounter it is' })
  return {
    faults,
    launch:
      data && faults.length === 0
        ? {
            clientId: data.client_id,
            user: data.user,
            patient: data.patient ?? null,
            context: without({
              encounter: data.encounter,
              fhirContext: data.fhirContext?.map((each) => without(each)),
              intent: data.intent,
              needPatientBanner: data.need_patient_banner,
              smartStyleUrl: data.smart_style_url,
              tenant: data.tenant,
            } as LaunchContext),
          }
        : null,
    sound(name) {
      const value = body !== null && typeof body === 'object' ? (body as Record<string, unknown>)[name] : undefined
      const atFault = faults.some(({ path }) => path === name)
      return typeof value === 'string' && !atFault ? value : undefined
    },
  }
}
