/**
 * What each page is handed: one typed object per view, read by both the code that fills it and the view that shows it.
 *
 * Owns: the shape of every page. Does not own: words (views/locales), rendering (views.ts), or where the data comes from.
 * A form's page carries `csrf`, made by `forms.csrfToken` for the same action name that its route checks.
 */
import type { Plan } from '../config/settings.ts'
import type {
  ConnectionPage,
  ConnectionsPage,
  ExtendPage,
  NarrowPage,
  OverPage,
  ReceiptPage,
  SharedRecords,
} from './member-pages.ts'

/** What every page knows; `renderPage` fills it in from the request. */
export interface Common {
  /** BCP 47. */
  language: string
  /** Every offered language; `href` is null on the current one and where switching would lose what was typed. */
  languages: { code: string; label: string; href: string | null }[]
  /** Where switching posts the page's own form instead: the form's id, and the address. */
  languageForm?: { id: string; action: string } | undefined
  plan: Plan | null
  /** Shown as the reference id on error pages. */
  requestId: string
}

/** An app as the member sees it. */
export interface AppFace {
  name: string
  developer: string
  website: string | null
  privacyPolicyUrl: string | null
}

/** What the people behind an app said when the plan asked how they treat records (R18); views/interaction/answers.ejs says it. */
export interface AttestationFace {
  state: 'attested' | 'declined' | 'unanswered'
  /** Milliseconds; null where nobody answered. */
  answeredAt: number | null
  /** Words: `attestation.{question}.{answer}`. `text` is the developer's own, in whatever language; `url` a page of theirs. */
  answers: { question: string; answer: string; text: string | null; url: string | null }[]
}

/** Why a member may share a record: their own, or the basis of a delegation. */
type Relation = 'self' | 'parent' | 'guardian' | 'power-of-attorney' | 'member-designated'

export interface SignInPage {
  /** Who asked, or null when the member came on their own. */
  app: AppFace | null
  /** A portal or an EHR opened the app: whose records it is about is not said before somebody has signed in. */
  launched: boolean
  action: string
  /** Where "Cancel and return to {app}" posts to, or null. */
  cancelAction: string | null
  /** Beside an app's request: the page of what is connected already. */
  connectionsHref: string | null
  csrf: string
  /** What was typed before, '' at first. */
  username: string
  fault: null | 'refused' | 'throttled'
  /** Minutes to wait; used with `throttled`. */
  waitMinutes: number | null
  /** Sandbox only: members to try, with their password. Null wherever members are real. */
  hint: { usernames: string[]; password: string } | null
}

interface PatientPage {
  memberName: string
  app: AppFace
  choices: {
    /** Goes back in the field `patient`. */
    value: string
    name: string
    /** ISO date. */
    birthDate: string | null
    coverageLabel: string | null
    relation: Relation
    /** Milliseconds: when the delegation ends, if it does. */
    endsAt: number | null
    /** The last choice, if any. */
    checked: boolean
  }[]
  fault: null | 'choose-one'
  action: string
  denyAction: string
  switchAction: string
  csrf: string
}

/** One group of records; `key` is one of src/smart/scope-words.ts. */
interface ConsentBundle {
  key: string
  resources: ConsentResource[]
}

export interface ConsentResource {
  /** FHIR resource type: the value of a checkbox named `resource`. */
  type: string
  checked: boolean
  /** Words for what a granular scope narrows the type to, each shown as it is; empty: all of the type. */
  details: string[]
  /** Boxes named `category` in place of the type's own; null: the type has one box. */
  categories: null | { value: string; key: string; named: boolean; checked: boolean }[]
  /** With all of its categories, records that fit none of them are shared too. */
  whole: boolean
}

export type ConsentFault =
  | 'nothing-selected'
  | 'no-duration'
  | 'until-empty'
  | 'until-unclear'
  | 'until-early'
  | 'until-late'

export interface ConsentPage {
  memberName: string
  patient: { name: string; relation: Relation }
  /** Where another person's records can be chosen; null where there is no choice. */
  otherPersonHref: string | null
  app: AppFace
  attestation: AttestationFace
  /** What was decided last about the same app and record, and is filled in now; milliseconds. */
  last: { decidedAt: number } | null
  /** The app has a connection to this record, which a new decision replaces (R29). */
  connected: boolean
  bundles: ConsentBundle[]
  /** The app asked for every kind of record: says so, future kinds too (R26). */
  wildcard: boolean
  /** The app learns who the member is (`openid`, `fhirUser`). */
  identity: boolean
  /** The API holds sensitive records back that are not released; false: the page says that it does not (R25). */
  enforced: boolean
  /** Checkboxes named `sensitive`, in the plan's words or the catalogue's. */
  sensitive: { code: string; name: string; text: string; checked: boolean }[]
  /**
   * Radio buttons named `duration`: `once`, a key, or `date` with the day in `until`. Null: the app did not ask for more than
   * sharing once. A choice that is `cut` ends with the right to act for the patient.
   */
  longer: null | {
    duration: string
    choices: { key: string; unit: string; count: number; endsAt: number; cut: boolean }[]
    /** Days, `YYYY-MM-DD`; null: no day of one's own. */
    days: { first: string; last: string } | null
    until: string
  }
  /** Milliseconds: until when access lasts without offline access, and how many minutes that is from now. */
  onceUntil: number
  onceMinutes: number
  /** Sharing once lasts until the member signs out, and until `onceUntil` at the latest. */
  online: boolean
  /** Where the member can stop sharing, beside the service desk's phone. */
  stopUrl: string
  faults: ConsentFault[]
  /** Goes back in the field `shown`: what is decided on is what this page showed. */
  shown: string
  action: string
  denyAction: string
  switchAction: string
  csrf: string
}

export interface WarningPage {
  memberName: string
  app: AppFace
  state: 'declined' | 'unanswered'
  /** Apps that have attested and can read from the same API. */
  others: { name: string; developer: string; website: string | null }[]
  /** Goes back in the field `seen`: what is passed is what this page said. */
  seen: string
  /** Goes on to the consent page. */
  action: string
  /** Goes back to the app with `access_denied`. */
  leaveAction: string
  switchAction: string
  csrf: string
}

/** Told to whoever cannot go on with a launch, or without one. Nothing of the launch is on it. */
interface LaunchPage {
  memberName: string
  app: AppFace
  fault: 'launch_mismatch' | 'launch_required' | 'launch_authority'
  /** Posts back to the app with `access_denied`. */
  action: string
  switchAction: string
  csrf: string
}

/** A practitioner, whom a launch brought to a patient. */
interface PractitionerPage {
  memberName: string
  app: AppFace
  patient: { name: string /** ISO date. */; birthDate: string | null }
  shared: SharedRecords
  /** For as long as they are signed in; else for `onceMinutes`. */
  online: boolean
  onceMinutes: number
  /** Goes back in the field `shown`: what is decided on is what this page showed. */
  shown: string
  action: string
  denyAction: string
  switchAction: string
  csrf: string
}

interface NoCoveragePage {
  memberName: string
  app: AppFace
  /** Posts back to the app with `access_denied`. */
  action: string
  switchAction: string
  csrf: string
}

interface SignOutPage {
  /** Null: nobody is signed in. */
  memberName: string | null
  /** The app that sent the member here; null: they came by themselves, or the app is not known. */
  app: string | null
  /** An app sent them with a request that leads nowhere afterwards. */
  lost: boolean
  action: string
  /** Hidden fields beside `csrf`. */
  fields: { name: string; value: string }[]
  connectionsHref: string
  csrf: string
}

interface SignedOutPage {
  connectionsHref: string
}

/** A page with a link on it, for redirects that `form-action` cannot admit. */
interface ReturnPage {
  app: AppFace
  href: string
}

interface ErrorPage {
  code: string
  status: number
  reference: string
  title: string
  text: string
  /** What the person can do now. */
  next: string
  /** Every fault of an input that was handed in. */
  faults: { path: string; message: string }[]
}

export interface HomePage {
  /** The demonstration app, if one is served. */
  demoUrl: string | null
  plans: {
    id: string
    name: string
    environments: {
      id: string
      name: string
      issuer: string
      sandbox: boolean
      discovery: { kind: 'openid' | 'oauth' | 'smart'; url: string }[]
      fhirBases: { name: string; url: string }[]
      launcherUrl: string | null
      lettersUrl: string | null
      connectionsUrl: string
      signOutUrl: string | null
      demonstration: null | {
        members: {
          username: string
          password: string
          name: string
          /** The member has a record of their own. */
          own: boolean
          /** Names of the people they act for. */
          actsFor: string[]
          /** They act by launch only. */
          practitioner: boolean
        }[]
        apps: {
          clientId: string
          name: string
          kind: 'public' | 'confidential' | 'resource-server' | 'service'
          secret: string | null
          /** It authenticates with a key instead. */
          hasKeys: boolean
          redirectUris: string[]
          /** Null: it asks no members. */
          attestation: AttestationFace['state'] | null
        }[]
      }
    }[]
  }[]
}

interface LettersPage {
  letters: { recipient: string; subject: string; body: string /** Milliseconds. */; createdAt: number }[]
}

/** The demonstration app, whose scripts fill in the rest in the browser. */
export interface DemoPage {
  /** The FHIR base, which the app discovers everything else from. */
  fhirBase: string
  issuer: string
  clientId: string
  redirectUri: string
  /** The address of fhirclient's browser file; null where the package is not installed. */
  script: string | null
  /** What the app asks for: `always`, one of `everything` and `claims`, and `offline` if the person wants; or `launched`. */
  scopes: { always: string; offline: string; everything: string; claims: string; launched: string }
  /** Whom one can sign in as; empty where nobody is published. */
  members: { username: string; password: string; name: string; own: boolean; actsFor: string[] }[]
  /** The words that the scripts need. */
  words: { key: string; text: string }[]
}

/** Radio buttons named `encounter`; a button named `without` goes on without one. */
export interface EncounterPage {
  memberName: string
  app: AppFace
  patient: { name: string; relation: string }
  /** Words; a part that nobody told is null. */
  choices: { value: string; day: string; kind: string | null; place: string | null }[]
  fault: 'choose-one' | null
  action: string
  denyAction: string
  switchAction: string
  csrf: string
}

/** Where a developer launches an app as a portal or an EHR would. */
export interface LauncherPage {
  apps: { clientId: string; name: string }[]
  /** Values of the field `who`: user name and patient, with a bar between them. */
  people: {
    name: string
    username: string
    password: string
    practitioner: boolean
    patients: { value: string; name: string }[]
  }[]
  /** By patient; values of the field `encounter`: patient and visit, with a bar between them. */
  visits: { name: string; visits: { value: string; day: string; kind: string }[] }[]
  /** What the fields say. */
  form: Record<'app' | 'other' | 'who' | 'encounter' | 'banner' | 'intent' | 'fhirContext', string>
  /** By field; `message` is what the launch API says, in its own words, or null. */
  faults: { field: keyof LauncherPage['form']; message: string | null }[]
  /** A launch that was made; `launchUrl` is null for an app with no launch address, or several. */
  made: { launch: string; launchUrl: string | null; minutes: number } | null
  /** A `fhirContext`. */
  example: string
  /** What `iss` says. */
  iss: string
  action: string
  csrf: string
}

/** Every view and its page. */
export interface Pages {
  'interaction/sign-in': SignInPage
  'interaction/patient': PatientPage
  'interaction/encounter': EncounterPage
  'interaction/consent': ConsentPage
  'interaction/launch': LaunchPage
  'interaction/no-coverage': NoCoveragePage
  'interaction/practitioner': PractitionerPage
  'interaction/warning': WarningPage
  'interaction/return': ReturnPage
  'members/connections': ConnectionsPage
  'members/connection': ConnectionPage
  'members/narrow': NarrowPage
  'members/extend': ExtendPage
  'members/over': OverPage
  'members/receipt': ReceiptPage
  'members/sign-out': SignOutPage
  'members/signed-out': SignedOutPage
  error: ErrorPage
  home: HomePage
  'sandbox/demo': DemoPage
  'sandbox/launcher': LauncherPage
  'sandbox/letters': LettersPage
}
