import type { Reader } from '../../src/resource-server/index.ts'
import { parseScopes } from '../../src/smart/scope.ts'

/** What a decision needs of a verified token: maria's, unless said otherwise. */
export function tokenWith(scope: string, changes: Partial<Reader> = {}): Reader {
  return { scopes: parseScopes(scope).scopes, patient: 'maria', sensitivities: [], ...changes }
}
