import { STATUS_CODES } from 'node:http'
import { type Batch, parseBatch } from '../../resource-server/index.ts'
import type { Answered } from './index.ts'
import { FhirProblem } from './outcome.ts'

/** Each entry may be a search of its own. */
const mostEntries = 50

/** The batch or transaction in a body. */
export const readBatch = (body: string, baseUrl: string): Batch => {
  const batch = parseBatch(parsed(body), { baseUrl })
  if (!batch) throw new FhirProblem(400, 'invalid', 'Send a Bundle of the type batch or transaction, as JSON.')
  if (batch.requests.length > mostEntries)
    throw new FhirProblem(413, 'too-costly', `A batch may have ${mostEntries} entries at most.`)
  return batch
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The Bundle that answers a batch, entry by entry (FHIR R4, "batch-response"). */
export const sendBatch = ({ type }: Batch, answers: readonly Answered[]): Answered => ({
  body: {
    resourceType: 'Bundle',
    type: `${type}-response`,
    entry: answers.map(({ status = 200, headers = {}, body }) => ({
      ...(status === 200 ? { resource: body } : {}),
      response: {
        status: `${status} ${STATUS_CODES[status]}`,
        ...(headers.ETag === undefined ? {} : { etag: headers.ETag }),
        ...(status === 200 ? {} : { outcome: body }),
      },
    })),
  },
})
