/**
 * The member's own pages as objects: what the list, one connection, and the two forms of change show. Pure.
 */
import { managementPath } from '../config/addresses.ts'
import type { Environment } from '../config/settings.ts'
import { pathOf } from '../config/urls.ts'
import { sha256 } from '../secrets.ts'
import { allTicked, type Choices, inBundles, type Ticked } from '../smart/choices.ts'
import type { Translator } from '../web/i18n.ts'
import type {
  ConnectionCard,
  ConnectionPage,
  ConnectionsPage,
  ExtendPage,
  HistoryLine,
  NarrowPage,
} from '../web/member-pages.ts'
import type { AppFace } from '../web/pages.ts'
import {
  bundleKeys,
  categoryLabel,
  detailsOf,
  releasedKinds,
  sensitiveKind,
  sharedChoices,
  sharedRecords,
} from './connection-words.ts'
import { isOffline } from './consents.ts'
import type { Extension } from './extension.ts'
import type { HistoryEntry } from './history.ts'
import type { ConnectionDetail, ConnectionSummary } from './overview.ts'

/** Who looks, where, when, and in which words. */
export interface Looking {
  environment: Environment
  member: { id: string; name: string }
  now: number
  words: Translator
  /** The CSRF token of an action on a connection. */
  csrf: (action: string) => string
}

/** A reminder is sent, and pages say that an end is near, so long before it. */
export const REMINDED_BEFORE = 30 * 86_400_000

export const hrefOf = (environment: Environment, connectionId: string): string =>
  `${managementPath(environment)}/${connectionId}`

/** Where it is seen after a change. */
export const doneHref = (environment: Environment, connectionId: string): string =>
  `${hrefOf(environment, connectionId)}?done=yes`

/** What the form of an action is bound to. */
export const actionOf = (action: 'end' | 'narrow' | 'extend', connectionId: string, shown = ''): string =>
  `${action}:${connectionId}:${shown}`

export const frameOf = ({ environment, member }: Pick<Looking, 'environment' | 'member'>) => {
  const signOutHref = `${pathOf(environment.issuer)}/sign-out`
  return { memberName: member.name, listHref: managementPath(environment), signOutHref }
}

export const appFace = ({ app, developer }: ConnectionSummary): AppFace => ({
  name: app.name,
  developer,
  website: app.website,
  privacyPolicyUrl: app.privacyPolicyUrl,
})

/** A connection of somebody else is here because it is of this member's own record. */
const isOwnRecord = ({ own, relation }: ConnectionSummary): boolean => !own || relation === 'self'

const partiesOf = (connection: ConnectionSummary) => ({
  patient: { name: connection.patient.name, own: isOwnRecord(connection) },
  approver: { name: connection.approvedBy.name, you: connection.own },
})

const timesOf = ({ since, lastUsedAt, endsAt, offline, own }: ConnectionSummary, now: number) => ({
  since,
  lastUsed: lastUsedAt,
  endsAt: endsAt ?? now,
  offline,
  soon: own && offline && endsAt !== null && endsAt - now <= REMINDED_BEFORE,
})

const waysOf = ({ id, own, offline, ended }: ConnectionSummary, { environment, csrf }: Looking) => {
  const href = hrefOf(environment, id)
  return {
    narrowHref: own && !ended ? `${href}/narrow` : null,
    extendHref: own && offline && !ended ? `${href}/extend` : null,
    endAction: `${href}/end`,
    csrf: ended ? '' : csrf(actionOf('end', id)),
  }
}

const cardOf = (connection: ConnectionSummary, looking: Looking): ConnectionCard => ({
  id: connection.id,
  href: hrefOf(looking.environment, connection.id),
  app: appFace(connection),
  bundles: bundleKeys(looking.environment, connection),
  sensitive: releasedKinds(looking.environment.plan, connection.sensitivities).map((category) =>
    sensitiveKind(category, looking.words),
  ),
  ...partiesOf(connection),
  ...timesOf(connection, looking.now),
  ...waysOf(connection, looking),
})

/** The list: live ones by person, the member's own record first; then what is over. */
export const connectionsPage = (all: readonly ConnectionSummary[], looking: Looking): ConnectionsPage => {
  const live = all.filter(({ ended }) => !ended)
  const people = [...new Map(live.map((connection) => [connection.patient.id, connection])).values()]
    .map((connection) => ({
      id: connection.patient.id,
      name: connection.patient.name,
      coverage: connection.patient.coverageLabel,
      own: isOwnRecord(connection),
    }))
    .toSorted((a, b) => Number(b.own) - Number(a.own) || a.name.localeCompare(b.name, looking.words.language))
  return {
    ...frameOf(looking),
    people: people.map(({ id, name, own, coverage }) => ({
      name,
      own,
      coverage,
      connections: live.filter(({ patient }) => patient.id === id).map((connection) => cardOf(connection, looking)),
    })),
    ended: all.flatMap((connection) =>
      connection.ended
        ? [
            {
              href: hrefOf(looking.environment, connection.id),
              app: appFace(connection),
              ...partiesOf(connection),
              ...connection.ended,
            },
          ]
        : [],
    ),
  }
}

/** A line of a connection's history; undefined for what its facts say already. */
const lineOf = (entry: HistoryEntry, connection: ConnectionSummary, memberId: string): HistoryLine | undefined => {
  const person = (who: { memberId: string; name: string }) => ({ name: who.name, you: who.memberId === memberId })
  const line = { at: entry.at, who: null, endsAt: null, reason: null }
  switch (entry.kind) {
    case 'used':
      return undefined
    case 'grant-ended':
      return { ...line, kind: entry.kind, reason: entry.reason }
    case 'ended':
      return { ...line, kind: entry.kind, reason: entry.reason, who: entry.by && person(entry.by) }
    case 'narrowed':
    case 'extended':
      return { ...line, kind: entry.kind, who: person(entry.by), endsAt: entry.endsAt }
    case 'shared':
    case 'denied': {
      const { endsAt, grantedScope } = entry.consent
      const once = entry.kind === 'shared' && !isOffline(grantedScope)
      return { ...line, kind: once ? 'shared-once' : entry.kind, who: person(connection.approvedBy), endsAt }
    }
  }
}

/** The history in words, the newest first. */
export const historyLines = (connection: ConnectionDetail, memberId: string): HistoryLine[] =>
  connection.history.flatMap((entry) => lineOf(entry, connection, memberId) ?? [])

/** How it ended, as the last line of its history. */
const endOf = (connection: ConnectionDetail, lines: readonly HistoryLine[]): HistoryLine | null => {
  if (!connection.ended) return null
  const told = lines.find(({ kind }) => kind === 'ended')
  return told ?? { kind: 'ended', who: null, endsAt: null, ...connection.ended }
}

export const connectionPage = (
  connection: ConnectionDetail,
  looking: Looking,
  notice: ConnectionPage['notice'],
): ConnectionPage => {
  const lines = historyLines(connection, looking.member.id)
  const ended = endOf(connection, lines)
  const href = hrefOf(looking.environment, connection.id)
  return {
    ...frameOf(looking),
    app: appFace(connection),
    ...partiesOf(connection),
    ...timesOf(connection, looking.now),
    ...waysOf(connection, looking),
    shared: sharedRecords(looking.environment, connection, looking.words),
    ended,
    history: ended && !lines.includes(ended) ? [ended, ...lines] : lines,
    receipts: connection.consents
      .filter(({ decision }) => decision === 'shared')
      .map(({ id, decidedAt }) => ({ href: `${href}/receipt?of=${id}`, at: decidedAt })),
    notice,
  }
}

/** What is shared now, in a word: a form that was made for something else changes nothing. */
export const stateOf = ({ scope, sensitivities }: ConnectionSummary): string =>
  sha256(JSON.stringify([scope, sensitivities]))

export const narrowPage = (
  connection: ConnectionSummary,
  looking: Looking,
  asked: { changed: boolean; said: string },
): NarrowPage => {
  const { environment, words } = looking
  const choices = sharedChoices(environment, connection)
  const href = hrefOf(environment, connection.id)
  const state = stateOf(connection)
  return {
    ...frameOf(looking),
    app: appFace(connection),
    ...partiesOf(connection),
    href,
    bundles: inBundles(choices, (choice) => {
      const { type, whole } = choice
      const categories = (choice.categories ?? []).map((each) => ({
        value: `${type}/${each.key}`,
        label: categoryLabel(type, each, words),
      }))
      return { type, details: choice.categories ? [] : detailsOf(choice, words), whole, categories }
    }),
    wildcard: choices.wildcard,
    sensitive: releasedKinds(environment.plan, connection.sensitivities).map((category) => ({
      value: category.code,
      ...sensitiveKind(category, words),
    })),
    state,
    ...asked,
    action: `${href}/narrow`,
    csrf: looking.csrf(actionOf('narrow', connection.id, `${state}:${asked.said}`)),
  }
}

/** Is every box ticked? Then nothing is to be changed. */
export const isAllTicked = (choices: Choices, ticked: Ticked): boolean => {
  const all = allTicked(choices)
  return (
    all.resources.every((type) => ticked.resources.includes(type)) &&
    all.categories.every((category) => ticked.categories.includes(category))
  )
}

export const extendPage = (
  connection: ConnectionSummary,
  looking: Looking,
  { choices, days }: Extension,
  asked: { shown: number; duration: string; until: string; fault: ExtendPage['fault']; said: string },
): ExtendPage => {
  const { environment } = looking
  const href = hrefOf(environment, connection.id)
  const { endsAt } = timesOf(connection, looking.now)
  return {
    ...frameOf(looking),
    app: appFace(connection),
    ...partiesOf(connection),
    href,
    endsAt,
    shown: asked.shown,
    choices: choices.map(({ key, endsAt: end }) => ({ key, endsAt: end, checked: key === asked.duration })),
    date: days && { min: days.first, max: days.last, value: asked.until, checked: asked.duration === 'date' },
    fault: asked.fault,
    said: asked.said,
    action: `${href}/extend`,
    csrf: looking.csrf(actionOf('extend', connection.id, `${asked.shown}:${asked.said}`)),
  }
}
