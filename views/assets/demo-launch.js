/*
 * The demonstration app: what it was told when a portal or an EHR opened it (SMART "EHR launch").
 *
 * Owns: the panel of the launch, and looking like whoever opened it. Does not own: the launch itself (demo.js).
 */

import { fill, find } from './demo-page.js'
import { word } from './demo-words.js'

const context = 'patient encounter fhirUser intent need_patient_banner fhirContext smart_style_url tenant'.split(' ')

/** Shows what an answer says of its launch; nothing for an app that somebody opened by themselves. */
export function showLaunch(response, fhirUser) {
  const said = { ...response, fhirUser }
  const isLaunched = (response.scope ?? '').split(' ').includes('launch')
  const rows = isLaunched ? context.filter((name) => said[name] !== undefined) : []
  const written = (value) => (typeof value === 'string' ? value : JSON.stringify(value))
  find('launched').hidden = rows.length === 0
  find('launched-context').replaceChildren(
    ...rows.map((name) => fill('got', { name: word(`launched.${name}`), value: written(said[name]) })),
  )
  wear(isLaunched ? response.smart_style_url : undefined)
}

/** SMART "Styling": the colour of whoever opened the app. Nothing but a colour is taken from there. */
async function wear(url) {
  const root = document.documentElement
  root.style.removeProperty('--brand')
  if (!url?.startsWith(`${location.origin}/`)) return
  try {
    const { color_highlight: color } = await (await fetch(url, { credentials: 'omit' })).json()
    if (/^#[\da-f]{6}$/i.test(color)) root.style.setProperty('--brand', color)
  } catch {
    // An app without its host's colour works as well.
  }
}
