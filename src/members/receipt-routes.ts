/** The receipts of a connection: a page to print, and a file. */
import type Router from '@koa/router'
import { LatchkeyError } from '../errors.ts'
import type { Consent } from './consents.ts'
import type { ConnectionDetail } from './overview.ts'
import { type ReceiptGrant, receiptConsent, receiptPage } from './receipt.ts'
import type { MemberDeps, MemberVisit, OnConnection } from './visit-routes.ts'

/** Adds the routes of receipts to those of a connection. `of` names a decision; by default the last one. */
export const receiptRoutes = (router: Router, onConnection: OnConnection, deps: MemberDeps): void => {
  const { environment, connections, views } = deps

  const consentOf = ({ ctx }: MemberVisit, { id, consents }: ConnectionDetail): Consent & { grantId: string } => {
    const asked = ctx.URL.searchParams.get('of')
    const found = consents.find((each) => each.decision === 'shared' && (asked === null || each.id === asked))
    if (!found?.grantId) throw new LatchkeyError('not_found', 404, { detail: `no such decision of connection ${id}` })
    return { ...found, grantId: found.grantId }
  }

  const grantOf = async ({ grantId }: { grantId: string }): Promise<ReceiptGrant> => {
    const grant = await connections.grantContext(environment.id, grantId)
    if (!grant) throw new LatchkeyError('not_found', 404, { detail: `grant ${grantId} has no context` })
    const { row, api, patientFhirId: patient, fhirUser, sensitivities } = grant
    const live = grant.standing === 'live' ? { scope: row.scope, sensitivities, endsAt: row.expires_at } : null
    return { api, patient, fhirUser, clientId: row.client_id, live }
  }

  router.get(
    '/connections/:id/receipt',
    onConnection(async (visit, connection) => {
      const consent = consentOf(visit, connection)
      const page = receiptPage(consent, connection, await grantOf(consent), visit.looking)
      views.renderPage(visit.ctx, 'members/receipt', page)
    }),
  )

  router.get(
    '/connections/:id/receipt.json',
    onConnection(async (visit, connection) => {
      const { ctx, looking } = visit
      const consent = consentOf(visit, connection)
      const body = receiptConsent(consent, connection, await grantOf(consent), looking)
      ctx.set('Cache-Control', 'no-store')
      ctx.set('Content-Disposition', `attachment; filename="consent-${consent.id}.json"`)
      ctx.type = 'application/fhir+json'
      ctx.body = JSON.stringify(body, null, 2)
    }),
  )
}
