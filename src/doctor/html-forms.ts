/**
 * The forms of a page as a browser without JavaScript sees them.
 *
 * Owns: reading fields, buttons and labels. Does not own: what to fill in (walker.ts). It reads pages of any server, so it expects
 * nothing but HTML of some sort.
 */

export interface Field {
  name: string
  type: string
  value: string
  /** Sent as it stands: hidden and text fields, and what is ticked or chosen. */
  on: boolean
  label: string
}

export interface Button {
  name: string | undefined
  value: string
  text: string
}

export interface Form {
  id: string
  action: string
  method: string
  fields: Field[]
  buttons: Button[]
}

const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' }

export const decode = (text: string): string =>
  text.replaceAll(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,6}));/gi, (whole, decimal, hex, name) => {
    if (name) return named[name.toLowerCase()] ?? whole
    const point = decimal ? Number(decimal) : Number.parseInt(hex, 16)
    return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : ''
  })

const words = (html: string): string =>
  decode(html.replaceAll(/<[^>]*>/g, ' '))
    .replaceAll(/\s+/g, ' ')
    .trim()

interface Tag {
  name: string
  closing: boolean
  attributes: Map<string, string>
  /** Where its text begins in the page, and where the tag itself does. */
  end: number
  start: number
}

const tagsOf = (html: string): Tag[] =>
  [...html.matchAll(/<(\/?)([a-z][a-z0-9-]*)((?:[^>"']|"[^"]*"|'[^']*')*)>/gi)].map((match) => ({
    name: (match[2] ?? '').toLowerCase(),
    closing: match[1] === '/',
    start: match.index,
    end: match.index + match[0].length,
    attributes: new Map(
      [...(match[3] ?? '').matchAll(/([^\s"'=/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+)))?/g)].map(
        ([, name = '', double, single, bare]) => [name.toLowerCase(), decode(double ?? single ?? bare ?? '')],
      ),
    ),
  }))

/** Every form of a page, in its order, with what belongs to it from elsewhere on the page (`form=`). */
export const formsOf = (page: string): Form[] => {
  const html = page.replaceAll(/<!--[\s\S]*?-->|<(script|style|template|noscript)\b[\s\S]*?<\/\1\s*>/gi, '')
  const tags = tagsOf(html)
  const forms: Form[] = []
  const labels = new Map<string, string>()
  const pending: { form: string | null; within: Form | undefined; field?: Field; button?: Button; id: string }[] = []
  let current: Form | undefined
  let label: { start: number; text: string } | undefined

  const textUntil = (from: Tag, name: string): string => {
    const end = tags.find((tag) => tag.start >= from.end && tag.closing && tag.name === name)
    return html.slice(from.end, end?.start ?? from.end)
  }

  for (const tag of tags) {
    const get = (name: string): string => tag.attributes.get(name) ?? ''
    const common = {
      form: tag.attributes.get('form') ?? null,
      within: current,
      id: get('id'),
    }
    if (tag.name === 'form') {
      if (tag.closing) current = undefined
      else {
        current = {
          id: get('id'),
          action: get('action'),
          method: get('method').toLowerCase() || 'get',
          fields: [],
          buttons: [],
        }
        forms.push(current)
      }
      continue
    }
    if (tag.name === 'label') {
      if (tag.closing) label = undefined
      else {
        const text = words(textUntil(tag, 'label'))
        if (get('for')) labels.set(get('for'), text)
        label = { start: tag.start, text }
      }
      continue
    }
    if (tag.closing || tag.attributes.has('disabled')) continue
    if (tag.name === 'input') {
      const type = get('type').toLowerCase() || 'text'
      if (type === 'submit' || type === 'image')
        pending.push({
          ...common,
          button: { name: tag.attributes.get('name'), value: get('value'), text: get('value') },
        })
      else if (get('name') && type !== 'button' && type !== 'reset' && type !== 'file') {
        const ticked = type !== 'checkbox' && type !== 'radio' ? true : tag.attributes.has('checked')
        const value = tag.attributes.get('value') ?? (type === 'checkbox' || type === 'radio' ? 'on' : '')
        pending.push({ ...common, field: { name: get('name'), type, value, on: ticked, label: label?.text ?? '' } })
      }
    } else if (tag.name === 'button') {
      const type = get('type').toLowerCase()
      if (type === '' || type === 'submit')
        pending.push({
          ...common,
          button: { name: tag.attributes.get('name'), value: get('value'), text: words(textUntil(tag, 'button')) },
        })
    } else if (tag.name === 'textarea' && get('name')) {
      const value = decode(textUntil(tag, 'textarea'))
      pending.push({ ...common, field: { name: get('name'), type: 'text', value, on: true, label: label?.text ?? '' } })
    } else if (tag.name === 'select' && get('name')) {
      const options = tagsOf(textUntil(tag, 'select')).filter(({ name, closing }) => name === 'option' && !closing)
      const chosen = options.find(({ attributes }) => attributes.has('selected')) ?? options[0]
      const value = chosen?.attributes.get('value') ?? ''
      pending.push({
        ...common,
        field: { name: get('name'), type: 'select', value, on: true, label: label?.text ?? '' },
      })
    }
  }

  for (const { form: owner, within, field, button, id } of pending) {
    const form = owner === null ? within : forms.find((each) => each.id === owner)
    if (!form) continue
    if (field) form.fields.push({ ...field, label: field.label || (labels.get(id) ?? '') })
    if (button) form.buttons.push(button)
  }
  return forms
}
