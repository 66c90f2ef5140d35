/**
 * What the member's own pages are handed: what they share with apps, and every change that they can make.
 */
import type { AppFace } from './pages.ts'

/** What each of them knows. */
interface MemberFrame {
  memberName: string
  listHref: string
  signOutHref: string
}

/** Who approved, and whose record it is, as this member sees it. */
interface Parties {
  patient: { name: string; own: boolean }
  approver: { name: string; you: boolean }
}

/** One group of records; `key` is one of src/smart/scope-words.ts. */
export interface SharedBundle {
  key: string
  resources: {
    type: string
    /** Words for what the type is narrowed to, each shown as it is; empty: all of the type. */
    details: string[]
  }[]
}

/** A kind of sensitive record, in the plan's words. */
interface SensitiveKind {
  name: string
  text: string
}

/** What an app may read. */
export interface SharedRecords {
  bundles: SharedBundle[]
  /** Every kind of record, future kinds too (R26). */
  wildcard: boolean
  /** The app knows who the member is. */
  identity: boolean
  /** Those that were released. */
  sensitive: SensitiveKind[]
  /** The API cannot hold sensitive records back (R25). */
  unguarded: boolean
}

/** When it began and will end, in milliseconds. */
interface SharedTimes {
  since: number
  lastUsed: number | null
  endsAt: number
  /** The app may read until then on its own. */
  offline: boolean
  /** The end is near, and can be put off. */
  soon: boolean
}

/** Where a member can change it; null where they cannot. */
interface Ways {
  narrowHref: string | null
  extendHref: string | null
  endAction: string
  /** Bound to ending this connection. */
  csrf: string
}

export interface ConnectionCard extends Parties, SharedTimes, Ways {
  id: string
  href: string
  app: AppFace
  /** Keys of bundles. */
  bundles: string[]
  sensitive: SensitiveKind[]
}

/** Why it is over, in the words `connections.ended.{reason}`. */
export interface Ended {
  reason: string
  /** Null where nobody can tell. */
  at: number | null
}

export interface ConnectionsPage extends MemberFrame {
  people: {
    name: string
    own: boolean
    /** What tells two own records of one person apart (R33). */
    coverage: string | null
    connections: ConnectionCard[]
  }[]
  ended: (Parties & Ended & { href: string; app: AppFace })[]
}

/** One line of a history: words `connections.history.{kind}`. */
export interface HistoryLine {
  at: number | null
  kind: 'shared' | 'shared-once' | 'denied' | 'narrowed' | 'extended' | 'grant-ended' | 'ended'
  /** Null: whoever it was is not a member, or is not known. */
  who: { name: string; you: boolean } | null
  endsAt: number | null
  /** Of an end. */
  reason: string | null
}

export interface ConnectionPage extends MemberFrame, Parties, SharedTimes, Ways {
  app: AppFace
  shared: SharedRecords
  /** Its last line, where it is over. */
  ended: HistoryLine | null
  history: HistoryLine[]
  receipts: { href: string; at: number }[]
  /** What this member has just done. */
  notice: null | 'narrowed' | 'extended'
}

export interface NarrowPage extends MemberFrame, Parties {
  app: AppFace
  href: string
  /** Every box is ticked at first. */
  bundles: {
    key: string
    resources: {
      type: string
      details: string[]
      /** Records that fit none of its categories are shared too. */
      whole: boolean
      /** Boxes of their own: `value` goes back in the field `category`. */
      categories: { value: string; label: string }[]
    }[]
  }[]
  wildcard: boolean
  /** What is shared now, as a hash: goes back in the field `state`. */
  state: string
  /** What the page says, by its hash, language and version: goes back in the field `said`. */
  said: string
  /** It was changed since the form was shown. */
  changed: boolean
  /** `value` goes back in the field `sensitive`. */
  sensitive: (SensitiveKind & { value: string })[]
  action: string
  csrf: string
}

export interface ExtendPage extends MemberFrame, Parties {
  app: AppFace
  href: string
  endsAt: number
  /** When the page was shown, in milliseconds: its dates count from then. Goes back in the field `shown`. */
  shown: number
  /** Ends later than the one that is; empty: it cannot be put off any more. */
  choices: { key: string; endsAt: number; checked: boolean }[]
  /** An end of the member's choice, within these days (`YYYY-MM-DD`); null: the plan has none. */
  date: null | { min: string; max: string; value: string; checked: boolean }
  fault: null | 'choose-one' | 'date'
  said: string
  action: string
  csrf: string
}

/** It had ended when the form came. */
export interface OverPage extends MemberFrame {
  href: string
  app: AppFace
}

/** The elements of 42 CFR 2.31, for print. */
export interface ReceiptPage extends MemberFrame {
  href: string
  jsonHref: string
  id: string
  patient: string
  /** Who discloses: the plan, and the name of the API. */
  discloser: { plan: string; api: string }
  recipient: { app: string; developer: string; website: string | null }
  shared: SharedRecords
  once: boolean
  endsAt: number
  stopUrl: string
  signer: { name: string; relation: 'self' | 'parent' | 'guardian' | 'power-of-attorney' | 'member-designated' }
  signedAt: number
  warning: null | 'declined' | 'unanswered'
  textHash: string
  textVersion: string | null
  /** In which the member decided; the page itself may be in another. */
  textLanguage: string
  /** What came after. */
  changes: HistoryLine[]
}
