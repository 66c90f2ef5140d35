/** What a page said, for the record of a decision on it (R35). */

/** The text that a page shows, without markup: what the hash of a consent is made of. */
export const visibleText = (html: string): string => {
  const [, main = html] = /<main[^>]*>([\s\S]*)<\/main>/.exec(html) ?? []
  return main
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
}
