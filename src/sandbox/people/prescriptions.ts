import { addDays, addMonths, at, yearsBetween } from './calendar.ts'
import type { Chart } from './chart.ts'
import { concept, quantity, type Sensitivity, systems } from './codes.ts'
import { type Medicine, type MedicineKey, medicines, supplyOf } from './medicines.ts'
import type { PractitionerKey } from './network.ts'
import { base, usCore } from './profiles.ts'
import { type Resource, reference } from './resource.ts'

/** One visit to the pharmacy, for those who bill it. */
export interface Fill {
  date: string
  medicine: Medicine
  /** 0 for the first of a prescription. */
  refill: number
  who: PractitionerKey
  sensitivity: Sensitivity | undefined
}

const medicationConcept = (medicine: Medicine) => concept(systems.rxnorm, medicine.rxnorm, medicine.name)

const dosage = (medicine: Medicine) => [
  { text: medicine.dose, timing: { repeat: { frequency: medicine.perDay, period: 1, periodUnit: 'd' } } },
]

/** Files a prescription for each year that a medicine is taken, with a fill every 90 days. */
export const writePrescriptions = (chart: Chart): Fill[] => {
  const { network, person, anchor } = chart
  const random = chart.random.fork('prescriptions')
  const child = yearsBetween(person.birthDate, anchor) < 18
  const fills: Fill[] = []

  const dispense = (key: MedicineKey, who: PractitionerKey, request: Resource, date: string, refill: number) => {
    const medicine = medicines[key]
    chart.add({
      kind: 'dispense',
      type: 'MedicationDispense',
      profiles: [usCore('medicationdispense')],
      title: `${medicine.name}, dispensed on ${date}`,
      date,
      sensitivity: medicine.sensitivity,
      body: {
        status: 'completed',
        category: concept(
          'http://terminology.hl7.org/CodeSystem/medicationdispense-category',
          'community',
          'Community',
        ),
        medicationReference: reference(network.medications[key], medicine.name),
        subject: chart.subject,
        performer: [{ actor: reference(network.organizations.pharmacy) }],
        location: reference(network.locations.pharmacy),
        authorizingPrescription: [reference(request)],
        type: concept(
          'http://terminology.hl7.org/CodeSystem/v3-ActCode',
          refill === 0 ? 'FF' : 'RF',
          refill === 0 ? 'First Fill' : 'Refill',
        ),
        quantity: quantity(supplyOf(medicine), medicine.unit),
        daysSupply: quantity(90, 'd'),
        whenHandedOver: at(date, 18),
        dosageInstruction: dosage(medicine),
      },
    })
    fills.push({ date, medicine, refill, who, sensitivity: medicine.sensitivity })
  }

  for (const { key, years } of person.medicines) {
    const medicine = medicines[key]
    const who: PractitionerKey = medicine.sensitivity ? 'counselor' : child ? 'pediatrician' : 'primary'
    for (let year = years; year > 0; year--) {
      const written = addDays(addMonths(anchor, -12 * year), random.int(5, 20))
      const request = chart.add({
        kind: 'prescription',
        type: 'MedicationRequest',
        profiles: [usCore('medicationrequest')],
        title: `${medicine.name}, prescribed on ${written}`,
        date: written,
        sensitivity: medicine.sensitivity,
        body: {
          status: year === 1 ? 'active' : 'completed',
          intent: 'order',
          category: [
            concept('http://terminology.hl7.org/CodeSystem/medicationrequest-category', 'community', 'Community'),
          ],
          reportedBoolean: false,
          medicationCodeableConcept: medicationConcept(medicine),
          subject: chart.subject,
          authoredOn: at(written),
          requester: reference(network.practitioners[who]),
          dosageInstruction: dosage(medicine),
          dispenseRequest: {
            numberOfRepeatsAllowed: 3,
            quantity: quantity(supplyOf(medicine), medicine.unit),
            expectedSupplyDuration: quantity(90, 'd'),
          },
        },
      })
      for (let refill = 0; refill < 4; refill++) {
        const date = addDays(written, 1 + refill * 88 + random.int(0, 4))
        if (date <= anchor) dispense(key, who, request, date, refill)
      }
    }
  }
  if (!child) {
    chart.add({
      kind: 'statement',
      type: 'MedicationStatement',
      profiles: [base('MedicationStatement')],
      title: 'Acetaminophen, now and then, as the person says',
      date: addMonths(anchor, -6),
      body: {
        status: 'active',
        medicationCodeableConcept: concept(systems.rxnorm, '313782', 'acetaminophen 325 MG Oral Tablet'),
        subject: chart.subject,
        effectivePeriod: { start: addMonths(anchor, -18) },
        dateAsserted: addMonths(anchor, -6),
        informationSource: chart.subject,
        dosage: [{ text: 'Takes 1 or 2 tablets for headaches, bought without a prescription' }],
      },
    })
  }
  return fills
}
