/** Canonical URLs of the profiles that the sandbox's records are shaped by, each with its version. */

/** US Core 6.1.0, for instance `usCore('patient')`. */
export const usCore = (name: string) => `http://hl7.org/fhir/us/core/StructureDefinition/us-core-${name}|6.1.0`

/** A profile that US Core 6.1.0 publishes without its usual prefix (the growth charts of children). */
export const usCorePediatric = (name: string) => `http://hl7.org/fhir/us/core/StructureDefinition/${name}|6.1.0`

/** CARIN Blue Button 2.1.0, for instance `carin('Coverage')`. */
export const carin = (name: string) => `http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-${name}|2.1.0`

/** The resource itself, where neither guide has a profile of it. */
export const base = (resourceType: string) => `http://hl7.org/fhir/StructureDefinition/${resourceType}|4.0.1`
