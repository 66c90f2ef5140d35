/** What every check is handed. */
import type { App } from './app.ts'
import type { ClientCredentials } from './credentials.ts'
import type { Http } from './http.ts'
import type { ServerFacts } from './server.ts'

export interface Examination {
  server: ServerFacts
  http: Http
  app: App
  /** A backend service, and the scope that it asks for. */
  service: { credentials: ClientCredentials; scope: string | undefined } | undefined
  /** A patient whom the test member may not see. */
  otherPatient: string | undefined
  now(): number
  /** Waits, for what takes a moment to get around. */
  pause(millis: number): Promise<void>
}
