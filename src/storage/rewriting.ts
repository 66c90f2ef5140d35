/** A Kysely plugin that rewrites queries before they are compiled, and leaves their results alone. */
import type { KyselyPlugin, OperationNodeTransformer } from 'kysely'

export const rewriting = (transformer: OperationNodeTransformer): KyselyPlugin => ({
  transformQuery: ({ node, queryId }) => transformer.transformNode(node, queryId),
  transformResult: async ({ result }) => result,
})
