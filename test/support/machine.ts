/** What the machine has of the programs that some tests need. */
import { existsSync, globSync } from 'node:fs'

interface Program {
  name: string
  /** Debian's package. */
  package: string
  paths: string[]
}

const browser: Program = {
  name: 'Chromium',
  package: 'chromium',
  paths: ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'],
}
/** Debian keeps each version's programs in a folder of its own, off the PATH. */
const postgres: Program = {
  name: 'PostgreSQL',
  package: 'postgresql',
  paths: [...globSync('/usr/lib/postgresql/*/bin/initdb'), '/usr/local/bin/initdb', '/usr/bin/initdb'],
}
const redis: Program = {
  name: 'Redis',
  package: 'redis-server',
  paths: ['/usr/bin/redis-server', '/usr/local/bin/redis-server'],
}
/** Makes the certificates that TLS is tested with. */
const tls: Program = { name: 'OpenSSL', package: 'openssl', paths: ['/usr/bin/openssl', '/usr/local/bin/openssl'] }
/** Gateways with which the recipes of docs/connecting.md are run. */
const nginxProgram: Program = { name: 'nginx', package: 'nginx', paths: ['/usr/sbin/nginx'] }
const apacheProgram: Program = { name: 'Apache', package: 'apache2', paths: ['/usr/sbin/apache2'] }
const oauthModule: Program = {
  name: 'mod_oauth2',
  package: 'libapache2-mod-oauth2',
  paths: ['/usr/lib/apache2/modules/mod_oauth2.so'],
}
const programs = [browser, postgres, redis, tls, nginxProgram, apacheProgram, oauthModule]

const found = ({ paths }: Program): string | undefined => paths.find((path) => existsSync(path))

/** The browser's program, or undefined. */
export const chromium: string | undefined = found(browser)

/** PostgreSQL's `initdb`, with `postgres` beside it; or undefined. */
export const initdb: string | undefined = found(postgres)

/** The program of Redis, with `redis-cli` on the PATH; or undefined. */
export const redisServer: string | undefined = found(redis)

/** OpenSSL's program, or undefined. */
export const openssl: string | undefined = found(tls)

/** The program of nginx, or undefined. */
export const nginx: string | undefined = found(nginxProgram)

/** The program of Apache where mod_oauth2 is there too, or undefined. */
export const apache: string | undefined = found(oauthModule) && found(apacheProgram)

const missing = (): Program[] => programs.filter((program) => !found(program))

/** Runs once before all tests: names what is missing in one line, and refuses to go on where nothing may be skipped. */
export default function tellWhatIsMissing(): void {
  const lacking = missing()
  if (lacking.length === 0) return
  const names = lacking.map(({ name }) => name).join(', ')
  const line = `${names} missing, tests that need it are skipped. For all tests: apt-get install -y ${lacking.map((each) => each.package).join(' ')}`
  if (process.env.CI === 'true') throw new Error(line)
  console.warn(`\n${line}\n`)
}
