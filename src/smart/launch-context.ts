/**
 * Launch context: what an app is told of where it was launched (SMART App Launch 2.2, "Scopes and Launch Context").
 *
 * Owns: its form, and the members of answers and tokens that say it. Pure, no I/O.
 * Does not own: the patient, who belongs to the grant, or how a launch is made and redeemed (launches).
 */

/** One more resource that the app was launched for (SMART "fhirContext"). One of the first three is there. */
export interface FhirContextItem {
  /** A relative reference such as `ImagingStudy/17`. */
  reference?: string
  canonical?: string
  identifier?: { system?: string; value: string }
  type?: string
  /** Default `launch`; else an absolute URI, or a role that the specification names. Never empty. */
  role?: string
}

/** What was said at the launch beside app, user and patient. */
export interface LaunchContext {
  /** The bare FHIR id. */
  encounter?: string
  fhirContext?: FhirContextItem[]
  intent?: string
  needPatientBanner?: boolean
  smartStyleUrl?: string
  tenant?: string
}

/** The context as members of the token answer, the JWT and introspection, in the names of the specification. */
export function contextMembers(context: LaunchContext): Record<string, unknown> {
  const { encounter, fhirContext, intent, needPatientBanner, smartStyleUrl, tenant } = context
  return {
    ...(encounter === undefined ? {} : { encounter }),
    ...(fhirContext === undefined ? {} : { fhirContext }),
    ...(intent === undefined ? {} : { intent }),
    ...(needPatientBanner === undefined ? {} : { need_patient_banner: needPatientBanner }),
    ...(smartStyleUrl === undefined ? {} : { smart_style_url: smartStyleUrl }),
    ...(tenant === undefined ? {} : { tenant }),
  }
}
