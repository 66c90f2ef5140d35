/**
 * On PostgreSQL every text column is compared byte by byte, as SQLite does. Otherwise the order, and with it what a range
 * finds, would be that of the server's locale, and an upgrade of its C library could leave indexes in the wrong order.
 */
import { type ColumnDefinitionNode, DataTypeNode, OperationNodeTransformer, RawNode } from 'kysely'
import { rewriting } from '../rewriting.ts'

class ByteOrder extends OperationNodeTransformer {
  protected override transformColumnDefinition(node: ColumnDefinitionNode): ColumnDefinitionNode {
    const column = super.transformColumnDefinition(node)
    return DataTypeNode.is(column.dataType) && column.dataType.dataType === 'text'
      ? { ...column, dataType: RawNode.createWithSql('text collate "C"') }
      : column
  }
}

export const byteOrder = rewriting(new ByteOrder())
