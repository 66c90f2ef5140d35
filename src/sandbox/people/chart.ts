import { addDays, at } from './calendar.ts'
import type { Person } from './cast.ts'
import type { Sensitivity } from './codes.ts'
import type { Network } from './network.ts'
import type { Random } from './random.ts'
import { type Resource, type reference, resource } from './resource.ts'

export interface Entry {
  /** Goes into the id: `maria-{kind}-1`. */
  kind: string
  type: string
  profiles: string[]
  title: string
  /** The day on which it happened. */
  date: string
  sensitivity?: Sensitivity | undefined
  body: Record<string, unknown>
}

/** One person's record while it is being written. */
export interface Chart {
  person: Person
  network: Network
  random: Random
  /** The last day that the sandbox knows. */
  anchor: string
  /** The first day of this person's record. */
  start: string
  patient: Resource
  /** `Patient/maria`, with the name. */
  subject: ReturnType<typeof reference>
  coverage: Resource
  resources: Resource[]
  add(entry: Entry): Resource
}

/**
 * Takes entries, gives them ids in order, and files them. What is withheld has a numbering of its own, so that the
 * ids that a reader does see have no gaps that would tell of it.
 */
export const createFiling = (person: Pick<Person, 'id'>, anchor: string) => {
  const counts = new Map<string, number>()
  const resources: Resource[] = []
  const add = (entry: Entry): Resource => {
    const kind = entry.sensitivity ? `private-${entry.kind}` : entry.kind
    const count = (counts.get(kind) ?? 0) + 1
    counts.set(kind, count)
    const filedOn = addDays(entry.date, 2)
    const filed = resource({
      type: entry.type,
      id: `${person.id}-${kind}-${count}`,
      profiles: entry.profiles,
      title: entry.title,
      updated: at(filedOn < anchor ? filedOn : anchor, 22),
      sensitivity: entry.sensitivity,
      body: entry.body,
    })
    resources.push(filed)
    return filed
  }
  return { resources, add }
}
