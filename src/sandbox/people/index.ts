/**
 * The sandbox's synthetic people: whole member records that nobody lived.
 *
 * Owns: who they are (cast.ts), what happens to them, and its shape: US Core 6.1.0 and CARIN Blue Button 2.1.0. The same
 * seed and last day give the same records, byte for byte. Logical ids can be read: `maria-eob-1`.
 * Some records carry security labels (ETH, SUD, PSY, SEX, HIV); no open record refers to one of those.
 * Does not own: who may see what. Hands to: the FHIR server of the sandbox (../fhir).
 */
import { writeCare } from './care.ts'
import { casts, type Person } from './cast.ts'
import { writeClaims } from './claims.ts'
import { writeDiagnoses, writeProblems } from './conditions.ts'
import { writeDocuments } from './documents.ts'
import { openChart } from './membership.ts'
import { createNetwork, type Network } from './network.ts'
import { writePrescriptions } from './prescriptions.ts'
import { writeAllergies, writeImmunizations } from './prevention.ts'
import { writeProcedures } from './procedures.ts'
import { createRandom } from './random.ts'
import type { Resource } from './resource.ts'
import { writeLaboratory } from './results.ts'
import { writeSurveys } from './surveys.ts'
import { writeVisits } from './visits.ts'
import { writeVitals } from './vitals.ts'

export type { Resource } from './resource.ts'

export interface PeopleOptions {
  seed?: string
  /** The last day that the records know, as a FHIR date. */
  anchor?: string
}

/** The resources of one plan's sandbox: its people's records, then the insurer, providers and products they refer to. */
export const createPeople = (plan: { id: string; name: string }, options: PeopleOptions = {}): Resource[] => {
  const { seed = 'latchkey', anchor = '2026-06-30' } = options
  const network = createNetwork(plan, anchor)
  const cast = casts[plan.id] ?? casts.prairie ?? []
  const records = cast.flatMap((person) => writeRecord(person, plan, network, { seed, anchor }))
  return [...records, ...network.resources]
}

const writeRecord = (
  person: Person,
  plan: { id: string; name: string },
  network: Network,
  options: Required<PeopleOptions>,
): Resource[] => {
  const random = createRandom(`${options.seed}/${plan.id}/${person.id}`)
  const chart = openChart(person, plan, network, { anchor: options.anchor, random })
  const visits = writeVisits(chart)
  const openProblems = writeProblems(chart)
  writeDiagnoses(chart, visits)
  writeVitals(chart, visits)
  const draws = writeLaboratory(chart, visits)
  writeSurveys(chart, visits)
  writeAllergies(chart)
  writeImmunizations(chart, visits)
  writeProcedures(chart, visits)
  writeDocuments(chart, visits)
  writeCare(chart, openProblems)
  const fills = writePrescriptions(chart)
  writeClaims(chart, visits, draws, fills)
  return chart.resources
}
