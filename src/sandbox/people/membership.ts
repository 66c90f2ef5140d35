import { addDays, addMonths, at } from './calendar.ts'
import { type Person, products } from './cast.ts'
import { type Chart, createFiling } from './chart.ts'
import { coding, concept, systems } from './codes.ts'
import type { Network } from './network.ts'
import { carin, usCore } from './profiles.ts'
import type { Random } from './random.ts'
import { reference, resource } from './resource.ts'

const language = ([code, name]: [string, string]) => concept('urn:ietf:bcp:47', code, name)

const usCoreExtension = (name: 'race' | 'ethnicity', [code, display]: [string, string]) => ({
  url: `http://hl7.org/fhir/us/core/StructureDefinition/us-core-${name}`,
  extension: [
    { url: 'ombCategory', valueCoding: coding('urn:oid:2.16.840.1.113883.6.238', code, display) },
    { url: 'text', valueString: display },
  ],
})

const home = [
  { use: 'home', line: ['12 Example Street'], city: 'Sampleton', state: 'IA', postalCode: '50000', country: 'US' },
]

const maritalNames = { M: 'Married', S: 'Never Married', W: 'Widowed' } as const

/** Opens a person's chart: the Patient, the Coverage, and the people related to them. */
export const openChart = (
  person: Person,
  plan: { id: string; name: string },
  network: Network,
  options: { anchor: string; random: Random },
): Chart => {
  const { anchor } = options
  const start = addDays(addMonths(anchor, -12 * person.years), 1)
  const name = `${person.given} ${person.family}`
  const filing = createFiling(person, anchor)
  const memberId = `SYN-${plan.id}-${person.id}`.toUpperCase()
  const memberIdentifier = {
    type: concept(systems.identifierType, 'MB', 'Member number'),
    system: `https://plan.example.org/${plan.id}/member-id`,
    value: memberId,
  }
  const patient = resource({
    type: 'Patient',
    id: person.id,
    profiles: [carin('Patient'), usCore('patient')],
    title: `${name}, born ${person.birthDate}`,
    updated: at(addMonths(anchor, -3)),
    body: {
      extension: [
        usCoreExtension('race', person.race),
        usCoreExtension('ethnicity', person.ethnicity),
        {
          url: 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex',
          valueCode: person.gender === 'female' ? 'F' : 'M',
        },
      ],
      identifier: [
        memberIdentifier,
        {
          type: concept(systems.carinIdentifierType, 'um', 'Unique member ID'),
          system: `https://plan.example.org/${plan.id}/unique-member-id`,
          value: `${memberId}-U`,
        },
      ],
      active: true,
      name: [{ use: 'official', family: person.family, given: [person.given] }],
      telecom: [
        { system: 'phone', value: person.phone, use: 'home' },
        { system: 'email', value: `${person.id}@example.org`, use: 'home' },
      ],
      gender: person.gender,
      birthDate: person.birthDate,
      deceasedBoolean: false,
      address: home,
      maritalStatus: concept(
        'http://terminology.hl7.org/CodeSystem/v3-MaritalStatus',
        person.maritalStatus,
        maritalNames[person.maritalStatus],
      ),
      communication: [{ language: language(person.language), preferred: true }],
    },
  })
  filing.resources.push(patient)
  const subject = reference(patient, name)
  const relationship = person.policyOf?.relationship ?? 'self'
  const subscriberId = `SYN-${plan.id}-${person.policyOf?.id ?? person.id}`.toUpperCase()
  const group = (type: string, display: string, value: string, named: string) => ({
    type: concept(systems.coverageClass, type, display),
    value,
    name: named,
  })
  const product = String(network.products[person.product].name)
  const coverage = filing.add({
    kind: 'coverage',
    type: 'Coverage',
    profiles: [carin('Coverage'), usCore('coverage')],
    title: `${product}, member ${memberId}`,
    date: start,
    body: {
      identifier: [memberIdentifier],
      status: 'active',
      type: concept(systems.actCode, ...products[person.product].type),
      // The policy's owner may be another patient, whom this patient's token must not lead to: named, not linked.
      ...(person.policyOf ? { subscriber: { display: 'The policy holder' } } : { subscriber: subject }),
      subscriberId,
      beneficiary: subject,
      dependent: person.policyOf ? '02' : '01',
      relationship: concept(systems.subscriberRelationship, relationship, relationship === 'self' ? 'Self' : 'Child'),
      period: { start },
      payor: [reference(network.insurer, plan.name)],
      class: [
        group('group', 'Group', 'SYN-GROUP-1', 'Sample Employers Group'),
        group('plan', 'Plan', `${plan.id}-${person.product}`, product),
      ],
      network: product,
    },
  })
  for (const related of person.related) {
    filing.resources.push(
      resource({
        type: 'RelatedPerson',
        id: related.id,
        profiles: [carin('RelatedPerson'), usCore('relatedperson')],
        title: `${related.given} ${related.family}, ${related.relationship[1]} of ${name}`,
        updated: at(start),
        body: {
          active: true,
          patient: subject,
          relationship: [concept(systems.relationship, ...related.relationship)],
          name: [{ use: 'official', family: related.family, given: [related.given] }],
          telecom: [{ system: 'phone', value: '515-555-0161', use: 'home' }],
          gender: related.gender,
          address: home,
        },
      }),
    )
  }
  return {
    person,
    network,
    random: options.random,
    anchor,
    start,
    patient,
    subject,
    coverage,
    resources: filing.resources,
    add: filing.add,
  }
}
