/**
 * The launcher of a sandbox: what a developer picks to see their app opened as a portal or an EHR would open it (SMART "EHR launch").
 *
 * Owns: who and what can be picked, and the way from the form to what the launch API is told. Does not own: making a launch (handed in),
 * which judges all of it as it would judge a portal's.
 */
import type { Api, Environment } from '../config/settings.ts'
import type { LauncherPage } from '../web/pages.ts'
import type { Resource } from './people/index.ts'

/** Where an environment's launcher is. */
export const launcherPath = '/launcher'

/** The fields of the form, as they were sent. */
export type LauncherForm = Record<LauncherField, string>
export type LauncherField = keyof LauncherPage['form']

const fields: readonly LauncherField[] = ['app', 'other', 'who', 'encounter', 'banner', 'intent', 'fhirContext']

const visitsShown = 6

export const readLauncherForm = (read: (name: string) => string | undefined): LauncherForm =>
  Object.fromEntries(fields.map((name) => [name, (read(name) ?? '').trim()])) as LauncherForm

/** The API that launches are for, and the apps that can be launched; undefined where there is nothing to try. */
export const launcherApi = ({ apis }: Environment): Api | undefined => apis.find(({ sandbox }) => sandbox)

const appsOf = ({ demonstration }: Environment) =>
  (demonstration?.apps ?? []).filter(
    ({ kind, launchUrls }) => (kind === 'public' || kind === 'confidential') && launchUrls.length > 0,
  )

const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const at = (value: unknown, ...path: (string | number)[]): unknown =>
  path.reduce<unknown>(
    (each, name) =>
      typeof each === 'object' && each !== null ? (each as Record<string | number, unknown>)[name] : null,
    value,
  )

/** Whom one can be signed in as, each with whose records they may open an app for. */
const peopleOf = ({ demonstration }: Environment): LauncherPage['people'] => {
  const members = demonstration?.members ?? []
  const every = new Map(
    members.flatMap(({ patients, delegations }) =>
      [...patients, ...delegations].map(({ fhirId, name }) => [fhirId, name]),
    ),
  )
  return members
    .map(({ username, password, name, fhirUser, patients, delegations }) => ({
      name,
      username,
      password,
      practitioner: fhirUser !== null,
      patients:
        fhirUser !== null
          ? [...every].map(([value, patient]) => ({ value: `${username}|${value}`, name: patient }))
          : [...patients, ...delegations].map((each) => ({ value: `${username}|${each.fhirId}`, name: each.name })),
    }))
    .filter(({ patients }) => patients.length > 0)
}

/** The latest visits of each patient. */
const visitsOf = (people: LauncherPage['people'], records: readonly Resource[]): LauncherPage['visits'] => {
  const patients = new Map(
    people.flatMap((person) => person.patients.map(({ value, name }) => [value.split('|')[1] ?? '', name])),
  )
  return [...patients].map(([patient, name]) => ({
    name,
    visits: records
      .filter((each) => each.resourceType === 'Encounter' && at(each, 'subject', 'reference') === `Patient/${patient}`)
      // What is sensitive is nobody's to be met here.
      .filter((each) => at(each, 'meta', 'security', 0) === undefined || at(each, 'meta', 'security', 0) === null)
      .map((each) => ({
        value: `${patient}|${text(at(each, 'id'))}`,
        day: text(at(each, 'period', 'start')).slice(0, 10),
        kind: text(at(each, 'type', 0, 'text')) || text(at(each, 'type', 0, 'coding', 0, 'display')),
      }))
      .sort((one, other) => other.day.localeCompare(one.day))
      .slice(0, visitsShown),
  }))
}

/** What can be picked at a sandbox. */
export const launcherChoices = (
  environment: Environment,
  records: readonly Resource[],
): Pick<LauncherPage, 'apps' | 'people' | 'visits'> => {
  const people = peopleOf(environment)
  const apps = appsOf(environment).map(({ clientId, name }) => ({ clientId, name }))
  return { apps, people, visits: visitsOf(people, records) }
}

/** A fault of the form, by field; `message` is null where the page has words of its own. */
export type LauncherFault = LauncherPage['faults'][number]

/** What the launch API is told; or what is wrong with the form already. */
export const launchBodyOf = (form: LauncherForm): { body: Record<string, unknown> } | { faults: LauncherFault[] } => {
  const [user = '', patient = ''] = form.who.split('|')
  const [whose, encounter] = form.encounter === '' ? [patient, undefined] : form.encounter.split('|')
  const faults: LauncherFault[] = []
  if (form.other === '' && form.app === '') faults.push({ field: 'app', message: null })
  if (user === '') faults.push({ field: 'who', message: null })
  if (whose !== patient) faults.push({ field: 'encounter', message: null })
  let fhirContext: unknown
  try {
    fhirContext = form.fhirContext === '' ? undefined : JSON.parse(form.fhirContext)
  } catch {
    faults.push({ field: 'fhirContext', message: null })
  }
  if (faults.length > 0) return { faults }
  const said = {
    client_id: form.other || form.app,
    user,
    patient: patient || undefined,
    encounter: encounter || undefined,
    intent: form.intent || undefined,
    need_patient_banner: form.banner === '' ? undefined : form.banner === 'true',
    fhirContext,
  }
  return { body: Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)) }
}

const fieldOf: Record<string, LauncherField> = {
  client_id: 'app',
  user: 'who',
  patient: 'who',
  encounter: 'encounter',
  intent: 'intent',
  need_patient_banner: 'banner',
  fhirContext: 'fhirContext',
}

/** What the launch API said was wrong, at the fields of the form. */
export const faultsOf = (faults: readonly { path: string; message: string }[]): LauncherFault[] =>
  faults.map(({ path, message }) => ({
    field: fieldOf[path.split('.')[0] ?? ''] ?? 'fhirContext',
    message: `${path} ${message}`,
  }))
