/** How tests say where Redis is; small, because processes of their own need it too. */
import type { RedisSettings } from '../../src/config/settings.ts'

/** Settings of a server without TLS or password; what is given stands over them. */
export const redisSettings = (change: Partial<RedisSettings>): RedisSettings => ({
  kind: 'single',
  nodes: [],
  sentinel: null,
  username: null,
  password: null,
  db: 0,
  tls: null,
  ...change,
})

/** What one of this file's URLs names. Only tests have such URLs: they go through a command line. */
export function redisSettingsOf(url: string): RedisSettings {
  const { protocol, pathname } = new URL(url.replace(/\/\/[^/]*/, '//x'))
  const nodes = (/\/\/([^/]*)/.exec(url)?.[1] ?? '').split(',').map((node) => {
    const [host = '', port = ''] = node.split(':')
    return { host, port: Number(port) }
  })
  if (protocol === 'redis+cluster:') return redisSettings({ kind: 'cluster', nodes })
  if (protocol !== 'redis+sentinel:') return redisSettings({ nodes })
  const sentinel = { master: pathname.slice(1), username: null, password: null }
  return redisSettings({ kind: 'sentinel', nodes, sentinel })
}
