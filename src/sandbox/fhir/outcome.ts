/** The issue types of FHIR that the sandbox answers with (R4 value set issue-type). */
type IssueCode = 'invalid' | 'value' | 'not-supported' | 'not-found' | 'too-long' | 'too-costly' | 'exception'

interface OperationOutcome {
  resourceType: 'OperationOutcome'
  issue: { severity: 'error'; code: string; diagnostics: string }[]
}

/** A request that cannot be answered as asked; becomes an OperationOutcome. */
export class FhirProblem extends Error {
  override readonly name = 'FhirProblem'
  readonly status: number
  readonly code: IssueCode
  readonly headers: Record<string, string>

  /** `description` is for the app's developer, and says what would be accepted. */
  constructor(status: number, code: IssueCode, description: string, headers: Record<string, string> = {}) {
    super(description)
    this.status = status
    this.code = code
    this.headers = headers
  }
}

export const outcome = (code: IssueCode, description: string): OperationOutcome => ({
  resourceType: 'OperationOutcome',
  issue: [{ severity: 'error', code, diagnostics: description }],
})
