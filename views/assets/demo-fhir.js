/*
 * The demonstration app: what FHIR resources and scopes say, as plain values.
 *
 * Owns: reading resources, scopes and tokens. Does not own: words (demo-words.js) or the page (demo-record.js).
 * Nothing here touches the page, so that the tests read it as it is.
 */

const SCOPE = /^(?:patient|user)\/(\*|[A-Za-z]+)\.(read|write|\*|[cruds]+)(?:\?(.+))?$/

/**
 * What of one resource type a scope string covers: all of it, certain categories, or nothing.
 * @param {string} scope
 * @param {string} type
 * @returns {{kind: 'all' | 'part' | 'none', categories: string[]}} categories as search tokens, `system|code`
 */
export function readShare(scope, type) {
  const categories = []
  for (const text of scope.split(' ')) {
    const [, resource, level, query] = SCOPE.exec(text) ?? []
    if ((resource !== '*' && resource !== type) || level === 'write' || !/^(?:read|\*)$|[rs]/.test(level)) continue
    if (!query) return { kind: 'all', categories: [] }
    categories.push(...new URLSearchParams(query).getAll('category'))
  }
  return { kind: categories.length > 0 ? 'part' : 'none', categories: [...new Set(categories)] }
}

/**
 * The two readable parts of a JWT, without any check of its signature: an app that only shows a token needs none,
 * a resource server always does. fhirclient's own decoder does not know base64url, so this one stands in.
 */
export function decodeJwt(token) {
  const [header, claims] = String(token).split('.').slice(0, 2).map(decodePart)
  return header && claims ? { header, claims } : undefined
}

function decodePart(part) {
  try {
    const bytes = Uint8Array.from(atob(part.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}

/** The resources of one type in a page of search results; an OperationOutcome among them is no result. */
export function readPage(bundle, type) {
  const resources = (bundle?.entry ?? []).map((entry) => entry.resource).filter((r) => r?.resourceType === type)
  const next = (bundle?.link ?? []).find((link) => link.relation === 'next')?.url
  return { resources, next }
}

/** The text of a CodeableConcept that a person can read best. */
export function readConcept(concept) {
  const codings = concept?.coding ?? []
  return concept?.text || codings.find((c) => c.display)?.display || codings.find((c) => c.code)?.code || ''
}

/** The first code of a CodeableConcept. */
export function readCode(concept) {
  return (concept?.coding ?? []).find((c) => c.code)?.code ?? ''
}

/** A HumanName as it is spoken. */
export function readName(names) {
  const name = (names ?? []).find((n) => n.use === 'official') ?? names?.[0]
  if (!name) return ''
  return name.text || [...(name.given ?? []), name.family].filter(Boolean).join(' ')
}

export function readAddress(addresses) {
  const address = addresses?.[0]
  if (!address) return ''
  const place = [address.city, [address.state, address.postalCode].filter(Boolean).join(' ')].filter(Boolean).join(', ')
  return address.text || [...(address.line ?? []), place].filter(Boolean).join(', ')
}

/** What a claim says in money, from the totals and the payment of an ExplanationOfBenefit (CARIN Blue Button 2.1). */
export function readClaim(eob) {
  const total = (...codes) =>
    codes.map((code) => (eob.total ?? []).find((t) => codesOf(t.category).includes(code))?.amount).find(Boolean)
  return {
    date: eob.billablePeriod?.start ?? eob.item?.[0]?.servicedDate ?? eob.created,
    kind: codesOf(eob.type)[0] ?? '',
    kindText: readConcept(eob.type),
    what: readConcept(eob.item?.[0]?.productOrService),
    provider: eob.provider,
    billed: total('submitted', 'drugcost', 'eligible'),
    paid: total('benefit', 'paidtoprovider') ?? eob.payment?.amount,
    yours: total('memberliability', 'paidbypatient', 'copay'),
  }
}

function codesOf(concept) {
  return (concept?.coding ?? []).map((c) => c.code)
}

/** Name and numbers on a coverage card. */
export function readCoverage(coverage) {
  const classOf = (code) => (coverage.class ?? []).find((c) => readCode(c.type) === code)
  const plan = classOf('plan')
  const group = classOf('group')
  return {
    plan: plan?.name || readConcept(coverage.type) || plan?.value || '',
    payer: coverage.payor?.[0],
    member: coverage.subscriberId || memberNumber(coverage) || '',
    group: group?.name || group?.value || '',
    start: coverage.period?.start,
    end: coverage.period?.end,
    status: coverage.status,
  }
}

function memberNumber(coverage) {
  return (coverage.identifier ?? []).find((i) => readCode(i.type) === 'MB')?.value
}

/** The newest observation of each kind, newest first; those without a date come last. */
export function latestOfEach(observations) {
  const latest = new Map()
  for (const observation of observations) {
    const kind = readCode(observation.code) || readConcept(observation.code)
    const known = latest.get(kind)
    if (!known || readWhen(known) < readWhen(observation)) latest.set(kind, observation)
  }
  return newestFirst([...latest.values()])
}

export function newestFirst(resources) {
  return [...resources].sort((a, b) => readWhen(b).localeCompare(readWhen(a)))
}

/** The date that matters of any of the resources shown here, or ''. */
export function readWhen(r) {
  const date =
    r.effectiveDateTime ??
    r.effectivePeriod?.start ??
    r.billablePeriod?.start ??
    r.occurrenceDateTime ??
    r.onsetDateTime ??
    r.onsetPeriod?.start ??
    r.authoredOn ??
    r.recordedDate ??
    r.issued ??
    r.created ??
    r.period?.start
  return date ?? ''
}

/**
 * The value of an observation as parts to be joined: quantities stay numbers, so that the page can write them in the
 * reader's language.
 * @returns {{label: string, number?: number, unit?: string, text?: string}[]}
 */
export function readValues(observation) {
  const own = readValue(observation)
  const parts = (observation.component ?? []).map((c) => ({ label: readConcept(c.code), ...readValue(c) }))
  return [...(own ? [{ label: '', ...own }] : []), ...parts.filter((p) => p.number !== undefined || p.text)]
}

function readValue(holder) {
  const quantity = holder.valueQuantity
  if (quantity?.value !== undefined) return { number: quantity.value, unit: readUnit(quantity.unit ?? quantity.code) }
  const text = holder.valueString ?? holder.valueDateTime ?? holder.valueInteger?.toString()
  if (text !== undefined) return { text }
  return holder.valueCodeableConcept ? { text: readConcept(holder.valueCodeableConcept) } : undefined
}

/** UCUM is for machines: people write these units otherwise, and leave annotations like `{score}` out. */
function readUnit(unit = '') {
  const spoken = {
    'mm[Hg]': 'mmHg',
    Cel: '°C',
    '[degF]': '°F',
    '[lb_av]': 'lb',
    '10*3/uL': '10³/µL',
    '[in_i]': 'in',
    'kg/m2': 'kg/m²',
    1: '',
  }
  return spoken[unit] ?? unit.replaceAll(/\{[^}]*\}/g, '')
}
