/*
 * The demonstration app: small hands for the page. Text goes in as text, never as markup.
 */

/** The one element with this `data-…` name, within `root`. */
export function find(name, root = document) {
  return root.querySelector(`[data-${name}]`)
}

/** Shows one of the page's states and moves the reader there; the others go. */
export function showState(name) {
  for (const section of document.querySelectorAll('[data-state]')) section.hidden = section.dataset.state !== name
  const heading = document.querySelector(`[data-state="${name}"] h1`)
  heading?.focus()
}

/** Says something in the page's status line; an empty text clears it. */
export function notify(text) {
  const line = find('notice')
  line.textContent = text
  line.hidden = text === ''
}

/**
 * A copy of a template whose `data-field` elements are filled: a text, or a list of texts (one element each). What
 * has no value goes, with the nearest `data-when` around it.
 */
export function fill(template, values) {
  const copy = document.getElementById(`demo-template-${template}`).content.cloneNode(true)
  for (const slot of copy.querySelectorAll('[data-field]')) fillSlot(slot, values[slot.dataset.field])
  return copy
}

function fillSlot(slot, value) {
  const texts = (Array.isArray(value) ? value : [value]).filter((text) => text !== undefined && text !== '')
  if (texts.length === 0) return (slot.closest('[data-when]') ?? slot).remove()
  for (const text of texts.slice(1).reverse()) {
    const more = slot.cloneNode(false)
    more.textContent = text
    slot.after(more)
  }
  slot.textContent = texts[0]
}
