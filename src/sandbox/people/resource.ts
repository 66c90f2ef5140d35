import { type Coding, coding, type Sensitivity, securityLabels, systems } from './codes.ts'

/** A FHIR R4 resource as the sandbox keeps it: always with id, version, profile and date. */
export interface Resource {
  resourceType: string
  id: string
  meta: { versionId: string; lastUpdated: string; profile: string[]; security?: Coding[]; tag: Coding[] }
  [element: string]: unknown
}

export interface Draft {
  type: string
  id: string
  profiles: string[]
  /** One line that says what the record is; becomes its narrative. */
  title: string
  /** The instant at which the record last changed. */
  updated: string
  sensitivity?: Sensitivity | undefined
  body: Record<string, unknown>
}

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** Test data says of itself that it is test data (v3-ActReason HTEST). */
const synthetic = coding(systems.actReason, 'HTEST', 'test health data')

/** A complete resource from its draft. */
export const resource = (draft: Draft): Resource => ({
  resourceType: draft.type,
  id: draft.id,
  meta: {
    versionId: '1',
    lastUpdated: draft.updated,
    profile: draft.profiles,
    ...(draft.sensitivity ? { security: securityLabels(draft.sensitivity) } : {}),
    tag: [synthetic],
  },
  text: {
    status: 'generated',
    div: `<div xmlns="http://www.w3.org/1999/xhtml"><p>${escaped(draft.title)}</p><p>Synthetic record.</p></div>`,
  },
  ...draft.body,
})

/** A reference inside the sandbox; `display` only where it says no more than the reader may know. */
export const reference = (target: Pick<Resource, 'resourceType' | 'id'>, display?: string) =>
  display === undefined
    ? { reference: `${target.resourceType}/${target.id}` }
    : { reference: `${target.resourceType}/${target.id}`, display }
