/*
 * The demonstration app: the kinds of data it shows, and what one entry of each says.
 *
 * Owns: how many are asked for, in which order they stand, which template and which words. Does not own: reading resources
 * (demo-fhir.js) or the page (demo-record.js).
 */

import {
  latestOfEach,
  newestFirst,
  readClaim,
  readCode,
  readConcept,
  readCoverage,
  readName,
  readValues,
  readWhen,
} from './demo-fhir.js'
import { word, writeDate, writeMoney, writeValues } from './demo-words.js'

/**
 * `step` entries more at each press, `count` resources a page, newest first as the sandbox answers. `pages` are read before
 * anything is shown: "latest of each kind" needs them.
 */
export const kinds = {
  Coverage: {
    template: 'coverage',
    step: 4,
    count: 10,
    arrange: newestFirst,
    describe: describeCoverage,
  },
  ExplanationOfBenefit: {
    template: 'claim',
    step: 5,
    count: 5,
    arrange: newestFirst,
    describe: describeClaim,
  },
  Condition: {
    template: 'entry',
    step: 5,
    count: 20,
    arrange: newestFirst,
    describe: describeCondition,
  },
  MedicationRequest: {
    template: 'entry',
    step: 5,
    count: 20,
    arrange: newestFirst,
    describe: describeMedicine,
  },
  Observation: {
    template: 'result',
    step: 8,
    count: 100,
    pages: 10,
    arrange: latestOfEach,
    describe: describeResult,
  },
  Immunization: {
    template: 'entry',
    step: 5,
    count: 20,
    arrange: newestFirst,
    describe: describeImmunization,
  },
  AllergyIntolerance: {
    template: 'entry',
    step: 5,
    count: 20,
    arrange: newestFirst,
    describe: describeAllergy,
  },
}

/** The name behind a reference: written next to it, contained, or read. */
async function nameOf(reference, holder, read) {
  if (!reference) return ''
  if (reference.display) return reference.display
  const target = reference.reference ?? ''
  const found = target.startsWith('#')
    ? (holder.contained ?? []).find((resource) => resource.id === target.slice(1))
    : target && (await read(target))
  if (!found) return ''
  return typeof found.name === 'string' ? found.name : readName(found.name) || readConcept(found.code)
}

async function describeCoverage(coverage, read) {
  const { plan, payer, member, group, start, end, status } = readCoverage(coverage)
  return {
    plan,
    payer: await nameOf(payer, coverage, read),
    member,
    group,
    status: word(`status.${status}`, {}, status),
    since: writeDate(start),
    until: writeDate(end),
  }
}

async function describeClaim(eob, read) {
  const claim = readClaim(eob)
  return {
    when: writeDate(claim.date),
    title: claim.what || word(`claim-kind.${claim.kind}`, {}, claim.kindText),
    kind: claim.what && word(`claim-kind.${claim.kind}`, {}, claim.kindText),
    provider: await nameOf(claim.provider, eob, read),
    billed: writeMoney(claim.billed),
    paid: writeMoney(claim.paid),
    yours: writeMoney(claim.yours),
  }
}

function describeCondition(condition) {
  const status = readCode(condition.clinicalStatus)
  // One illness stands on the list and in each visit about it: what tells them apart is said.
  const kinds = (condition.category ?? []).map((category) => word(`condition-kind.${readCode(category)}`))
  return {
    title: readConcept(condition.code),
    detail: [word(`status.${status}`, {}, status), ...kinds],
    when: writeDate(readWhen(condition)),
  }
}

async function describeMedicine(request, read) {
  const name = readConcept(request.medicationCodeableConcept)
  return {
    title: name || (await nameOf(request.medicationReference, request, read)) || word('unnamed'),
    detail: [request.dosageInstruction?.[0]?.text, word(`status.${request.status}`, {}, request.status)],
    when: writeDate(request.authoredOn),
  }
}

function describeResult(observation) {
  return {
    title: readConcept(observation.code),
    value: writeValues(readValues(observation)) || word('no-value'),
    detail: (observation.interpretation ?? []).map(readConcept),
    when: writeDate(readWhen(observation)),
  }
}

function describeImmunization(immunization) {
  return { title: readConcept(immunization.vaccineCode), detail: '', when: writeDate(immunization.occurrenceDateTime) }
}

function describeAllergy(allergy) {
  const reactions = (allergy.reaction ?? []).flatMap((reaction) => reaction.manifestation ?? []).map(readConcept)
  const criticality = word(`criticality.${allergy.criticality}`)
  return { title: readConcept(allergy.code), detail: [...reactions, criticality], when: writeDate(readWhen(allergy)) }
}
