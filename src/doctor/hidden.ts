/** Keeps tokens, codes and secrets out of what is told, and what a server says out of the terminal's controls. */

const LONGEST = 300
/** A JWT, wherever it turns up. */
const jwt = /\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g

export interface Hidden {
  /** From now on this text is never told. */
  add(secret: unknown): void
  /** One line of a server's words, as they may be told. */
  clean(text: string, longest?: number): string
}

export const createHidden = (): Hidden => {
  const secrets = new Set<string>()
  return {
    add(secret) {
      // Shorter ones are words that turn up anywhere.
      if (typeof secret !== 'string' || secret.length < 6) return
      secrets.add(secret)
      secrets.add(encodeURIComponent(secret))
    },
    clean(text, longest = LONGEST) {
      let clean = text
      // The longest first: one secret may be a part of another.
      for (const secret of [...secrets].sort((a, b) => b.length - a.length))
        clean = clean.replaceAll(secret, '[hidden]')
      clean = clean.replaceAll(jwt, '[hidden]').replaceAll(controls, ' ')
      return clean.length > longest ? `${clean.slice(0, longest)}…` : clean
    },
  }
}
