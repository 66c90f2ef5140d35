import { addMonths } from './calendar.ts'
import type { Chart } from './chart.ts'
import { concept, systems } from './codes.ts'
import { usCore } from './profiles.ts'
import { type Resource, reference } from './resource.ts'

const activities: { icd10: string; goal: string; plan: string }[] = [
  {
    icd10: 'E11.9',
    goal: 'Keep hemoglobin A1c below 7 percent',
    plan: 'Check blood sugar every morning; walk 30 minutes a day.',
  },
  {
    icd10: 'I10',
    goal: 'Keep blood pressure below 130 over 80',
    plan: 'Less salt; measure blood pressure at home twice a week.',
  },
  {
    icd10: 'I50.9',
    goal: 'No sudden gain of weight',
    plan: 'Weigh every morning; call the clinic after a gain of 2 kg in 2 days.',
  },
  {
    icd10: 'J45.909',
    goal: 'No night awakened by asthma',
    plan: 'Carry the rescue inhaler; follow the written action plan.',
  },
  { icd10: 'M54.50', goal: 'Work a full day without back pain', plan: 'Exercises for the back three times a week.' },
]

const icd10Of = (condition: Resource) =>
  (condition.code as { coding: { system: string; code: string }[] }).coding.find((c) => c.system === systems.icd10)
    ?.code

/** Files who cares for the person, to what end, and how: for open conditions only, so that no plan tells a secret. */
export const writeCare = (chart: Chart, openConditions: readonly Resource[]): void => {
  const { network, person, anchor } = chart
  const child = person.vaccines === 'child'
  const family = child ? network.roles.pediatrician : network.roles.primary
  const since = addMonths(anchor, -20)
  const role = (code: string, name: string) => [concept(systems.snomed, code, name)]
  const relatives = chart.resources.filter((r) => r.resourceType === 'RelatedPerson')
  const heart = openConditions.some((condition) => icd10Of(condition) === 'I50.9')
  const team = chart.add({
    kind: 'careteam',
    type: 'CareTeam',
    profiles: [usCore('careteam')],
    title: `Care team of ${person.given} ${person.family}`,
    date: since,
    body: {
      status: 'active',
      name: `Care team of ${person.given} ${person.family}`,
      subject: chart.subject,
      period: { start: since },
      participant: [
        { role: role('446050000', 'Primary care provider'), member: reference(family) },
        ...(heart ? [{ role: role('17561000', 'Cardiologist'), member: reference(network.roles.cardiologist) }] : []),
        ...relatives.map((relative) => ({ role: role('133932002', 'Caregiver'), member: reference(relative) })),
        { role: role('116154003', 'Patient'), member: chart.subject },
      ],
      managingOrganization: [reference(network.organizations.clinic)],
    },
  })
  for (const condition of openConditions) {
    const activity = activities.find((a) => a.icd10 === icd10Of(condition))
    if (activity === undefined) continue
    const goal = chart.add({
      kind: 'goal',
      type: 'Goal',
      profiles: [usCore('goal')],
      title: activity.goal,
      date: since,
      body: {
        lifecycleStatus: 'active',
        achievementStatus: concept(
          'http://terminology.hl7.org/CodeSystem/goal-achievement',
          'in-progress',
          'In Progress',
        ),
        category: [concept('http://terminology.hl7.org/CodeSystem/goal-category', 'behavioral', 'Behavioral')],
        description: { text: activity.goal },
        subject: chart.subject,
        startDate: since,
        target: [{ dueDate: addMonths(anchor, 6) }],
        expressedBy: reference(chart.patient),
        addresses: [reference(condition)],
      },
    })
    chart.add({
      kind: 'careplan',
      type: 'CarePlan',
      profiles: [usCore('careplan')],
      title: `${activity.goal}. ${activity.plan}`,
      date: since,
      body: {
        status: 'active',
        intent: 'plan',
        category: [concept(systems.carePlanCategory, 'assess-plan', 'Assessment and Plan of Treatment')],
        title: activity.goal,
        description: activity.plan,
        subject: chart.subject,
        period: { start: since },
        careTeam: [reference(team)],
        addresses: [reference(condition)],
        goal: [reference(goal)],
      },
    })
  }
}
