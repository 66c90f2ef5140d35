/** The longest username, in UTF-16 units after normalization. */
const MAX_USERNAME_LENGTH = 200

/**
 * One spelling for one name: NFKC, no space around it, lower case. Undefined when nothing is left or it is longer than
 * any name can be; the caller answers as it does for a name that nobody has.
 */
export function normalizeUsername(text: string): string | undefined {
  // Cut before the costly part, not after: normalizing can make text longer, hardly ever much shorter.
  if (text.length > MAX_USERNAME_LENGTH * 4 || !text.isWellFormed()) return undefined
  // Lower-casing can undo NFKC for a few letters, so it is done in between.
  const name = text.normalize('NFKC').toLowerCase().normalize('NFKC').trim()
  // No name has control characters, and PostgreSQL takes no NUL in text: a guess must not become a fault of ours.
  return name === '' || name.length > MAX_USERNAME_LENGTH || /\p{Cc}/u.test(name) ? undefined : name
}
