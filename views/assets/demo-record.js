/*
 * The demonstration app: the record as a person would read it, one section for each kind of data.
 *
 * Owns: the searches, their pages, and what is said where nothing was shared. Does not own: what an entry shows
 * (demo-kinds.js), words (demo-words.js), or the connection (demo.js hands in fhirclient's client).
 */

import { latestOfEach, readAddress, readName, readPage, readShare } from './demo-fhir.js'
import { kinds } from './demo-kinds.js'
import { fill, find } from './demo-page.js'
import { word, writeDate } from './demo-words.js'

/**
 * @param {{client: object, patient: string, fhirUser: string | undefined, granted: string, asked: string,
 *   onAnswer: () => void, onEnded: (error: Error) => void}} connection
 *   `client` is fhirclient's; `onEnded` is called when the server no longer honours the token.
 */
export function createRecord({ client, patient, fhirUser, granted, asked, onAnswer, onEnded }) {
  const read = createReader(client, granted)
  let closed = false

  async function show() {
    const sections = Object.entries(kinds).map(([type, kind]) => showSection(type, kind))
    await Promise.all([showPerson(), ...sections])
  }

  async function showPerson() {
    const note = describeShare(readShare(granted, 'Patient'), readShare(asked, 'Patient'))
    showNote(document.querySelector('[data-type="Patient"]'), note)
    const person = await read(`Patient/${patient}`)
    if (closed) return
    const name = readName(person?.name)
    find('person').textContent = name || word('person.unnamed', { patient })
    find('person-details').replaceChildren(
      fill('person', { born: writeDate(person?.birthDate), address: readAddress(person?.address), id: patient }),
    )
    find('whose').textContent = await describeWhose(name || word('person.unnamed', { patient }))
  }

  /** Self, or who signed in for whom. The ID token's fhirUser tells it; nothing else does. */
  async function describeWhose(name) {
    if (!fhirUser) return word('whose.unknown', { name })
    const user = fhirUser.split('/').slice(-2).join('/')
    if (user === `Patient/${patient}`) return word('whose.self')
    const person = await read(user)
    const isPractitioner = user.startsWith('Practitioner')
    return word(isPractitioner ? 'whose.practitioner' : 'whose.delegate', {
      name,
      user: readName(person?.name) || user,
    })
  }

  async function showSection(type, kind) {
    const section = document.querySelector(`[data-type="${type}"]`)
    const share = readShare(granted, type)
    const shareNote = describeShare(share, readShare(asked, type))
    showNote(section, shareNote)
    find('list', section).replaceChildren()
    find('more', section).hidden = true
    find('count', section).textContent = ''
    if (share.kind === 'none') return
    const category = share.categories.length > 0 ? `&category=${encodeURIComponent(share.categories.join(','))}` : ''
    const start = `${type}?patient=${encodeURIComponent(patient)}&_count=${kind.count}${category}`
    const state = { section, type, kind, shareNote, resources: [], total: undefined, next: start, shown: 0 }
    showNote(section, shareNote, word('loading'))
    find('more', section).onclick = () => showMore(state)
    await showMore(state)
  }

  async function showMore(state) {
    const { section, kind } = state
    const more = find('more', section)
    const first = state.shown === 0
    more.disabled = true
    section.setAttribute('aria-busy', 'true')
    try {
      if (first || state.shown >= kind.arrange(state.resources).length)
        await loadPages(state, first ? (kind.pages ?? 1) : 1)
      state.shown += kind.step
      await showEntries(state)
    } catch (error) {
      if (!closed) showProblem(state, error)
    } finally {
      section.removeAttribute('aria-busy')
      more.disabled = false
    }
  }

  async function loadPages(state, pages) {
    for (let page = 0; page < pages && state.next; page++) {
      const bundle = await client.request(ownUrl(client, state.next))
      onAnswer()
      const { resources, next } = readPage(bundle, state.type)
      state.resources.push(...resources)
      state.total = bundle.total ?? state.total
      state.next = next
    }
  }

  async function showEntries({ section, kind, shareNote, resources, shown, total, next }) {
    const entries = kind.arrange(resources)
    const described = await Promise.all(entries.slice(0, shown).map((resource) => kind.describe(resource, read)))
    if (closed) return
    const list = find('list', section)
    list.replaceChildren(...described.map((values) => fill(kind.template, values)))
    const more = find('more', section)
    more.textContent = word('more')
    more.hidden = shown >= entries.length && !next
    showNote(section, shareNote, entries.length === 0 && !next ? word('empty') : '')
    const all = kind.arrange === latestOfEach || total === undefined ? entries.length : total
    const partial = shown < entries.length || (next && all > shown)
    find('count', section).textContent = partial ? word('count', { shown: described.length, all }) : ''
  }

  function showProblem({ section, shareNote }, error) {
    if (error.status === 401) return onEnded(error)
    if (error.status === 403) return showNote(section, shareNote, word('forbidden'))
    showNote(section, shareNote, word('problem'))
    const more = find('more', section)
    more.textContent = word('again')
    more.hidden = false
  }

  /** Empties the page, and keeps it empty whatever answer still comes. */
  function close() {
    closed = true
    for (const element of document.querySelectorAll('[data-list], [data-person-details]')) element.replaceChildren()
    for (const element of document.querySelectorAll('[data-person], [data-whose], [data-note], [data-count]')) {
      element.textContent = ''
    }
  }

  return { show, close }
}

function showNote(section, ...texts) {
  const note = find('note', section)
  note.textContent = texts.filter(Boolean).join(' ')
  note.hidden = note.textContent === ''
}

function describeShare(share, asked) {
  if (share.kind === 'all') return ''
  if (share.kind === 'none') return word(asked.kind === 'none' ? 'share.not-asked' : 'share.not-shared')
  const names = share.categories
    .map((token) => token.split('|').pop())
    .map((code) => word(`category.${code}`, {}, code))
  return word('share.part', { categories: names.join(', ') })
}

/**
 * Reads single resources that others refer to, each once. What was not shared, or is not there, is undefined: a missing
 * name is no reason to hide a claim.
 */
function createReader(client, granted) {
  const known = new Map()
  return (reference) => {
    const [type] = reference.split('/').slice(-2)
    if (readShare(granted, type).kind === 'none') return Promise.resolve(undefined)
    if (!known.has(reference))
      known.set(
        reference,
        client.request(ownUrl(client, reference)).catch(() => undefined),
      )
    return known.get(reference)
  }
}

/** The token goes to the FHIR base and nowhere else, whatever a link in an answer says. */
function ownUrl(client, url) {
  const base = `${client.state.serverUrl.replace(/\/+$/, '')}/`
  const target = new URL(url, base)
  if (!target.href.startsWith(base)) throw new Error(target.origin)
  return target.href
}
