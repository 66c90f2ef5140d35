import { at } from './calendar.ts'
import { type ProductKey, products } from './cast.ts'
import { concept, systems } from './codes.ts'
import { type MedicineKey, medicines } from './medicines.ts'
import { base, carin, usCore } from './profiles.ts'
import { type Resource, reference, resource } from './resource.ts'

/** Whom a plan's members see and where: the insurer, the places of care and the people who work there. */
export interface Network {
  insurer: Resource
  organizations: Record<OrganizationKey, Resource>
  locations: Record<OrganizationKey, Resource>
  practitioners: Record<PractitionerKey, Resource>
  roles: Record<PractitionerKey, Resource>
  medications: Record<MedicineKey, Resource>
  products: Record<ProductKey, Resource>
  /** Everything above and the plan's products, in the order in which it was made. */
  resources: Resource[]
}

export type OrganizationKey = 'clinic' | 'hospital' | 'lab' | 'pharmacy' | 'dental' | 'counseling'
export type PractitionerKey =
  | 'primary'
  | 'pediatrician'
  | 'cardiologist'
  | 'surgeon'
  | 'emergency'
  | 'dentist'
  | 'counselor'

const places: Record<OrganizationKey, { name: string; kind: [string, string]; line: string }> = {
  clinic: { name: 'Sample Family Clinic', kind: ['261QP2300X', 'Primary care clinic'], line: '100 Example Avenue' },
  hospital: { name: 'Sample General Hospital', kind: ['282N00000X', 'General hospital'], line: '200 Example Avenue' },
  lab: { name: 'Sample Laboratory', kind: ['291U00000X', 'Clinical laboratory'], line: '300 Example Avenue' },
  pharmacy: { name: 'Sample Pharmacy', kind: ['3336C0003X', 'Community pharmacy'], line: '400 Example Avenue' },
  dental: { name: 'Sample Dental Care', kind: ['261QD0000X', 'Dental clinic'], line: '500 Example Avenue' },
  counseling: { name: 'Sample Counseling', kind: ['261QM0801X', 'Counseling clinic'], line: '600 Example Avenue' },
}

const people: Record<
  PractitionerKey,
  { given: string; family: string; kind: [string, string]; place: OrganizationKey }
> = {
  primary: { given: 'Nora', family: 'Testwell', kind: ['207Q00000X', 'Family medicine'], place: 'clinic' },
  pediatrician: { given: 'Amara', family: 'Sampleton', kind: ['208000000X', 'Pediatrics'], place: 'clinic' },
  cardiologist: { given: 'Jonah', family: 'Exampleman', kind: ['207RC0000X', 'Cardiology'], place: 'hospital' },
  surgeon: { given: 'Priya', family: 'Testington', kind: ['207X00000X', 'Orthopaedic surgery'], place: 'hospital' },
  emergency: { given: 'Luis', family: 'Samplino', kind: ['207P00000X', 'Emergency medicine'], place: 'hospital' },
  dentist: { given: 'Grace', family: 'Mockridge', kind: ['1223G0001X', 'General dentistry'], place: 'dental' },
  counselor: { given: 'Theo', family: 'Fixtureman', kind: ['103TC0700X', 'Clinical psychology'], place: 'counseling' },
}

/** The specialty of a practitioner as claims and care teams name it. */
export const specialty = (who: PractitionerKey) => concept(systems.taxonomy, ...people[who].kind)

/** Where a practitioner works. */
export const workplace = (who: PractitionerKey): OrganizationKey => people[who].place

/**
 * A National Provider Identifier that no one can have: real ones begin with 1 or 2. Its check digit is right all the
 * same (Luhn over the prefix 80840), because verifiers look.
 */
const testNpi = (serial: number): string => {
  const body = `9${String(serial).padStart(8, '0')}`
  const sum = [...`80840${body}`].reverse().reduce((total, digit, index) => {
    const doubled = Number(digit) * (index % 2 === 0 ? 2 : 1)
    return total + (doubled > 9 ? doubled - 9 : doubled)
  }, 0)
  return `${body}${(10 - (sum % 10)) % 10}`
}

const npi = (serial: number) => ({
  type: concept(systems.identifierType, 'NPI', 'National provider identifier'),
  system: systems.npi,
  value: testNpi(serial),
})

const telecom = (serial: number) => [
  { system: 'phone', value: `515-555-01${String(serial).padStart(2, '0')}`, use: 'work' },
]
const address = (line: string) => ({ line: [line], city: 'Sampleton', state: 'IA', postalCode: '50000', country: 'US' })

const medical = concept('http://terminology.hl7.org/CodeSystem/insurance-plan-type', 'medical', 'Medical')

const keys = <K extends string>(table: Record<K, unknown>) => Object.keys(table) as K[]

/** The insurer of a plan with its contracted providers, the medicines that it lists and the product that it sells. */
export const createNetwork = (plan: { id: string; name: string }, anchor: string): Network => {
  const updated = at(`${Number(anchor.slice(0, 4)) - 1}-01-02`)
  const resources: Resource[] = []
  const keep = (draft: Omit<Parameters<typeof resource>[0], 'updated'>): Resource => {
    const made = resource({ ...draft, updated })
    resources.push(made)
    return made
  }
  const fill = <K extends string>(table: Record<K, unknown>, make: (key: K, serial: number) => Resource) =>
    Object.fromEntries(keys(table).map((key, index) => [key, make(key, index + 1)])) as Record<K, Resource>

  const organization = (id: string, name: string, identifier: object[], kind: object, line: string, serial: number) =>
    keep({
      type: 'Organization',
      id,
      profiles: [carin('Organization'), usCore('organization')],
      title: name,
      body: { identifier, active: true, type: [kind], name, telecom: telecom(serial), address: [address(line)] },
    })
  const payerType = concept('http://terminology.hl7.org/CodeSystem/organization-type', 'pay', 'Payer')
  const payerId = { type: concept(systems.carinIdentifierType, 'payerid', 'Payer ID'), value: `SYN-${plan.id}` }
  const insurer = organization('org-insurer', plan.name, [npi(1), payerId], payerType, '1 Example Plaza', 1)
  const organizations = fill(places, (key, n) =>
    organization(
      `org-${key}`,
      places[key].name,
      [npi(10 + n)],
      concept(systems.taxonomy, ...places[key].kind),
      places[key].line,
      10 + n,
    ),
  )
  const locations = fill(places, (key, n) =>
    keep({
      type: 'Location',
      id: `loc-${key}`,
      profiles: [usCore('location')],
      title: places[key].name,
      body: {
        status: 'active',
        name: places[key].name,
        type: [concept(systems.taxonomy, ...places[key].kind)],
        telecom: telecom(10 + n),
        address: address(places[key].line),
        managingOrganization: reference(organizations[key], places[key].name),
      },
    }),
  )
  const practitioners = fill(people, (key, n) =>
    keep({
      type: 'Practitioner',
      id: `prac-${key}`,
      profiles: [carin('Practitioner'), usCore('practitioner')],
      title: `${people[key].given} ${people[key].family}, ${people[key].kind[1].toLowerCase()}`,
      body: {
        identifier: [npi(100 + n)],
        active: true,
        name: [{ family: people[key].family, given: [people[key].given], prefix: ['Dr.'] }],
        telecom: telecom(30 + n),
        address: [address(places[people[key].place].line)],
        qualification: [{ code: specialty(key) }],
      },
    }),
  )
  const roles = fill(people, (key, n) =>
    keep({
      type: 'PractitionerRole',
      id: `role-${key}`,
      profiles: [usCore('practitionerrole')],
      title: `${people[key].given} ${people[key].family} at ${places[people[key].place].name}`,
      body: {
        active: true,
        practitioner: reference(practitioners[key]),
        organization: reference(organizations[people[key].place]),
        code: [concept(systems.taxonomy, ...people[key].kind)],
        specialty: [specialty(key)],
        location: [reference(locations[people[key].place])],
        telecom: telecom(30 + n),
      },
    }),
  )
  const medications = fill(medicines, (key) =>
    keep({
      type: 'Medication',
      id: `med-${key}`,
      profiles: [usCore('medication')],
      title: medicines[key].name,
      body: { code: concept(systems.rxnorm, medicines[key].rxnorm, medicines[key].name), status: 'active' },
    }),
  )
  const shortName = plan.name.split(' ')[0] ?? plan.name
  const offered = fill(products, (key) => {
    const name = `${shortName} ${products[key].name}`
    return keep({
      type: 'InsurancePlan',
      id: `product-${key}`,
      profiles: [base('InsurancePlan')],
      title: name,
      body: {
        identifier: [{ system: 'https://plan.example.org/products', value: `${plan.id}-${key}` }],
        status: 'active',
        type: [medical],
        name,
        period: { start: `${Number(anchor.slice(0, 4)) - 6}-01-01` },
        ownedBy: reference(insurer, plan.name),
        administeredBy: reference(insurer, plan.name),
        coverage: [{ type: medical, benefit: [{ type: concept(systems.snomed, '185349003', 'Office visit') }] }],
      },
    })
  })
  return { insurer, organizations, locations, practitioners, roles, medications, products: offered, resources }
}
