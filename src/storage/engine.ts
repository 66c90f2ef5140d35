/** Which engine a database URL names. */
import { isPostgresUrl } from '../config/postgres-url.ts'

export type Engine = 'sqlite' | 'postgres'

export const engineOf = (url: string): Engine => (isPostgresUrl(url) ? 'postgres' : 'sqlite')
