/**
 * What a consent page showed, kept until the decision, and that one authorization is decided on once.
 *
 * Owns: the pages that were shown, by the name that their forms carry; the text that is hashed. Does not own: what is on them.
 */
import type { AttestationState } from '../portal/attestation.ts'
import { randomToken, sha256 } from '../secrets.ts'
import { oneValue } from '../web/forms.ts'
import { visibleText } from '../web/visible-text.ts'
import type { Terms } from './terms.ts'
import { type InteractionDeps, type Visit, waitUntilDone } from './visit.ts'

/** One page: what was offered on it and its dates are what counts. */
export interface Shown {
  memberId: string
  patientId: string
  textHash: string
  textVersion: string
  language: string
  /** The name of the offer. */
  offer: string
  terms: Terms
  attestation: { state: AttestationState; id: string | null }
}

/** That an authorization has come to the consent page, and the pages that were shown in it. */
const shownKind = 'ConsentShown'
const pageKind = 'ConsentPage'
/** Longer than an authorization lives. */
const kept = 2 * 3_600_000

/** A name for a page that is about to be shown. */
export const nameShown = (): string => randomToken()

/** The hash of what a page says, for the record of a consent (R35). */
export const textHashOf = (html: unknown): string => sha256(visibleText(String(html)))

export const keepShown = async (
  { authorization: { uid } }: Visit,
  name: string,
  shown: Shown,
  { shortLived, now }: InteractionDeps,
): Promise<void> => {
  await shortLived.set(pageKind, `${uid}.${name}`, shown, now() + kept)
  // Another showing does not undo a decision that is being made.
  await shortLived.addIfAbsent(shownKind, uid, {}, now() + kept)
}

/** What the page showed that this form was on, if it was this member's, about this patient, and is not forgotten. */
export const readShown = async (
  { authorization, member }: Visit,
  form: URLSearchParams,
  choice: { patientId: string },
  deps: InteractionDeps,
): Promise<Shown | undefined> => {
  const name = oneValue(form, 'shown')
  // A form may say anything; no name has NUL, and no store takes it.
  if (!name || name.includes('\0')) return undefined
  const shown = (await deps.shortLived.get<Shown>(pageKind, `${authorization.uid}.${name}`))?.value
  return shown?.memberId === member?.id && shown?.patientId === choice.patientId ? shown : undefined
}

/** Decisions that our fault spoilt while the store could not be told. */
const spoilt = new Set<string>()

/**
 * One authorization, one decision: of a form that is sent twice at once, or of two in two windows, only the first counts, and
 * both go on to the app. Where no consent page was shown yet there is only turning back. A decision that our fault spoilt was
 * none (R43).
 */
export const decideOnce = async (
  visit: Visit,
  deps: InteractionDeps,
  decide: () => Promise<unknown>,
): Promise<void> => {
  const { uid } = visit.authorization
  // A second press goes where the first one goes, and so waits for it.
  if ((await deps.shortLived.use(shownKind, uid)) === 'again' && !spoilt.delete(uid)) return waitUntilDone(uid, deps)
  try {
    await decide()
  } catch (error) {
    await deps.shortLived.set(shownKind, uid, {}, deps.now() + kept).catch(() => spoilt.add(uid))
    throw error
  }
}
