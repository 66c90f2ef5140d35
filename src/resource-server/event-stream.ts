/** Server-sent events (WHATWG HTML 9.2), read with a limit on every line and event. */

export interface StreamEvent {
  /** `message` where the server names none. */
  name: string
  data: string
}

/** Ours have about 200 characters. */
const longestEvent = 16_384

/**
 * Reads events as they come; a comment, by which a server says that it is there, comes as undefined. Throws for a line
 * or an event that is longer than any of ours.
 */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<StreamEvent | undefined> {
  const decoder = new TextDecoder()
  let rest = ''
  let name = ''
  let data: string[] = []
  let size = 0
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true })
    // A carriage return at the end may be half of a line's end.
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      size += line.length
      if (size > longestEvent) throw new Error('the feed sent an event that is too long')
      if (line === '') {
        if (data.length > 0) yield { name: name || 'message', data: data.join('\n') }
        name = ''
        data = []
        size = 0
      } else if (line.startsWith(':')) yield undefined
      else {
        const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line) ?? []
        if (field === 'event') name = value ?? ''
        if (field === 'data') data.push(value ?? '')
      }
    }
    if (rest.length > longestEvent) throw new Error('the feed sent a line that is too long')
  }
}
