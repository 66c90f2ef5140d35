/**
 * The composition root: every part built with exactly what it needs, then mounted in the order in which requests meet them.
 *
 * Owns: building, mounting, starting, draining. Does not own: any rule. Only this file imports other folders' routes.
 */
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type Koa from 'koa'
import type { Dialect } from 'kysely'
import { createGate } from './accounts/gate.ts'
import { createPasswords, passwordsAtOnce } from './accounts/password.ts'
import { createSignIn } from './accounts/sign-in.ts'
import { createThrottle } from './accounts/throttle.ts'
import { createAudit, MOST_CHAINS } from './audit/audit.ts'
import type { Environment, Settings } from './config/settings.ts'
import { isLoopback } from './config/urls.ts'
import { LatchkeyError } from './errors.ts'
import { interactionRoutes } from './interactions/routes.ts'
import { launchRoutes } from './launches/launch-routes.ts'
import type { Log } from './log.ts'
import { createConnections } from './members/connections.ts'
import { loadDemonstration } from './members/demonstration.ts'
import { createDirectory } from './members/directory.ts'
import { memberRoutes } from './members/member-routes.ts'
import { createRecovery } from './members/older-store.ts'
import { addReminders } from './members/reminders.ts'
import { brandRoutes, createBrands } from './oidc/brands.ts'
import { endpointsOf } from './oidc/discovery.ts'
import { createIssuer } from './oidc/issuers.ts'
import { createKeyRing } from './oidc/key-ring.ts'
import { addKeyRotation, createKeyRotation } from './oidc/key-rotation.ts'
import { ensureKeys, sealAgain } from './oidc/keys.ts'
import { profiles } from './oidc/profiles.ts'
import { mountIssuers } from './oidc/routes.ts'
import type { OpenSigner } from './oidc/signer.ts'
import { createHealth, type Probe } from './ops/health.ts'
import { createMail } from './ops/mail.ts'
import { healthRoutes } from './ops/routes.ts'
import { addSelfTests } from './ops/self-tests.ts'
import { createAttestations } from './portal/attestation.ts'
import { createRegistration } from './portal/registration.ts'
import { registrationRoutes } from './portal/registration-routes.ts'
import { createRegistrationTokens } from './portal/registration-tokens.ts'
import { portalRoutes } from './portal/routes.ts'
import { createSoftwareStatements } from './portal/software-statements.ts'
import { openEndingsLog } from './recovery/endings-log.ts'
import { demoUrl, findDemoApi } from './sandbox/demo.ts'
import { demoRoutes } from './sandbox/demo-routes.ts'
import { createSandboxFhir, type SandboxFhir, type SandboxFhirOptions } from './sandbox/fhir/index.ts'
import { launcherApi } from './sandbox/launcher.ts'
import { launcherRoutes } from './sandbox/launcher-routes.ts'
import { letterRoutes } from './sandbox/letters-routes.ts'
import { createPeople } from './sandbox/people/index.ts'
import { sandboxRoutes } from './sandbox/routes.ts'
import { createSealer, newId } from './secrets.ts'
import { type Database, openDatabase } from './storage/database.ts'
import { engineOf } from './storage/engine.ts'
import { createJobs } from './storage/jobs.ts'
import { checkTables } from './storage/migrations/index.ts'
import { withPatience } from './storage/patience.ts'
import { openRedis } from './storage/redis.ts'
import { lockServer } from './storage/server-lock.ts'
import type { ShortLived } from './storage/short-lived.ts'
import { createRedisShortLived } from './storage/short-lived-redis.ts'
import { createSqlShortLived } from './storage/short-lived-sql.ts'
import { addSweep } from './storage/sweep.ts'
import { createApp } from './web/app.ts'
import { createAssets } from './web/assets.ts'
import { createForms } from './web/forms.ts'
import { createGuardedFetch } from './web/guarded-fetch.ts'
import { createI18n } from './web/i18n.ts'
import { createViews } from './web/views.ts'

export interface Server {
  app: Koa
  /** Begins to answer; settles when it does. */
  listen(): Promise<void>
  /**
   * Is ready no more, goes on answering for as long as `listen.drainSeconds` says, and asks whoever has a connection for
   * another request to open the next one elsewhere.
   */
  drain(): Promise<void>
  /** Lets running requests finish, at most `graceMs`, then closes everything. */
  close(graceMs?: number): Promise<void>
}

export interface ServerOptions {
  settings: Settings
  log: Log
  now?: () => number
  /** Puts something between the store and everything else: a test's store that fails on command. */
  wrapDialect?: (dialect: Dialect) => Dialect
  /** Where private keys are instead of in this process. */
  openSigner?: OpenSigner
}

const viewsFolder = join(import.meta.dirname, '..', 'views')
const sweepEvery = 60_000

const whyNotListening = ({ code, message }: NodeJS.ErrnoException, port: number, host: string): string => {
  const place = `port ${port} at ${host}`
  if (code === 'EADDRINUSE')
    return `Another program listens on ${place}. Stop it, or choose another port: PORT=4000 npm start`
  if (code === 'EACCES')
    return `This user may not listen on ${place}. Choose a port above 1023 with PORT or listen.port`
  return `Cannot listen on ${place}: ${message}`
}

/** On SQLite transactions run one after the other anyway. */
const chainsOf = ({ database }: Settings): number =>
  engineOf(database.url) === 'sqlite' ? 1 : Math.min(database.pool.size, MOST_CHAINS)

/** The sandbox follows the feed as any FHIR server would, over HTTP, with the demonstration's credential for one. */
const followerOf = ({ demonstration }: Environment, url: string): SandboxFhirOptions['follower'] => {
  const app = demonstration?.apps.find(({ kind }) => kind === 'resource-server')
  return app?.secret ? { clientId: app.clientId, clientSecret: app.secret, url } : undefined
}

/** Builds a server on its store: migrates, makes missing keys, loads the demonstration. Does not listen yet. */
export const createServer = async (options: ServerOptions): Promise<Server> => {
  const { settings, log, now = Date.now, wrapDialect, openSigner } = options
  const redis = settings.redis && (await openRedis({ settings: settings.redis, log }))
  const lock = lockServer(settings.database.url)
  const sealer = createSealer(settings.sealingKeys)
  const tokenMillis = settings.tokens.refreshTokenDays * 86_400_000

  const shortLivedOn =
    (store: Database) =>
    (issuer: string): ShortLived =>
      redis ? createRedisShortLived({ redis, issuer, now }) : createSqlShortLived({ database: store, issuer, now })
  const recover = async (store: Database): Promise<void> => {
    const recovery = createRecovery({
      database: store,
      audit: settings.audit,
      tokenMillis,
      shortLived: shortLivedOn(store),
      revokeKey: (audit) => createKeyRotation({ database: store, sealer, audit, now }).revokeAgain,
      log,
      now,
    })
    await recovery.begin(settings.recovery.endingsLog)
    recovery.close()
  }
  let forgetKeys = (): void => {}
  const onOtherStore = async (): Promise<void> => {
    const store = await openDatabase({ ...settings.database, log })
    await recover(store).finally(() => store.close())
    forgetKeys()
  }
  const database = await openDatabase({ ...settings.database, log, onOtherStore, wrapDialect })
  // Before anything is written: how old the store is, is known by what this node wrote last.
  await recover(database).catch(async (error: unknown) => {
    await database.close()
    await redis?.close()
    lock.release()
    throw error
  })
  const endingsLog =
    settings.recovery.endingsLog === null
      ? undefined
      : await openEndingsLog(settings.recovery.endingsLog, { alone: true })
  const chains = chainsOf(settings)
  const audit = createAudit({ node: settings.audit.node, chains, now, streamFile: settings.audit.stream, log })
  const jobs = createJobs({ database, log, now, holder: `${settings.audit.node}:${process.pid}` })
  const mail = createMail({ database, jobs, from: settings.mail.from, smtpUrl: settings.mail.smtpUrl, now })
  addSweep({ database, jobs, now })
  jobs.every('sweep', sweepEvery)

  const passwords = createPasswords()
  const attestations = createAttestations({ database, audit, now })
  await loadDemonstration({ database, settings, passwords, attest: attestations.put, audit, now })

  const directory = createDirectory({ database, now })
  const connections = createConnections({ database, audit, mail, endingsLog, tokenMillis, now, newId })
  const i18n = createI18n({ dir: join(viewsFolder, 'locales') })
  const assets = createAssets({ dir: join(viewsFolder, 'assets'), plans: settings.plans })
  const views = createViews({ dir: viewsFolder, i18n, assets })

  const shortLived = new Map<string, ShortLived>()
  const shortLivedOf = (issuer: string): ShortLived => {
    const known = shortLived.get(issuer)
    if (known) return known
    const made = shortLivedOn(database)(issuer)
    shortLived.set(issuer, made)
    return made
  }
  // Those whose password is checked, one whose records are read or written meanwhile, and as many as can be answered within
  // five seconds on a small machine.
  const signingIn = createGate(passwordsAtOnce + 1, 120)
  const signIn = createSignIn({
    database,
    passwords,
    throttle: (issuer) => createThrottle({ shortLived: shortLivedOf(issuer), limits: settings.signIn, now }),
    audit,
    now,
  })

  const environments = settings.plans.flatMap((plan) => plan.environments)
  addReminders({ database, jobs, environments, mail, audit, i18n, now })
  addSelfTests({ database, jobs, environments, audit, log, now })
  const ids = environments.map(({ id }) => id)
  const keyDeps = { database, sealer, audit, now }
  await Promise.all(ids.map((id) => ensureKeys(id, keyDeps)))
  await Promise.all(ids.map((id) => sealAgain(id, keyDeps)))
  const { rotateDays } = settings.keys
  addKeyRotation({ rotation: createKeyRotation(keyDeps), jobs, issuers: ids, rotateDays })
  const keyRing = await createKeyRing({ database, sealer, issuers: ids, log, ...(openSigner ? { openSigner } : {}) })
  forgetKeys = keyRing.forget
  const issuers = environments.map((environment) =>
    createIssuer(environment, {
      settings,
      database,
      shortLived: shortLivedOf(environment.id),
      sealer,
      keyRing,
      audit,
      directory,
      connections,
      endingsLog,
      log,
      now,
    }),
  )

  // A store that answers and takes no writes (a full disk, a replica) serves nobody.
  const pulse = createSqlShortLived({ database, issuer: 'health', now })
  const checkDatabase = async (): Promise<void> => {
    // One query asks both whether the store answers and whether a newer server has left us tables to run on.
    await checkTables(database.db)
    await pulse.set('ready', settings.audit.node, true, now() + sweepEvery)
  }
  const probes: Probe[] = [{ name: 'the database', check: checkDatabase }]
  probes.push({ name: 'the keys', check: keyRing.check })
  if (endingsLog) probes.push({ name: 'the log of endings', check: endingsLog.check })
  if (redis) probes.push({ name: 'Redis', check: redis.check })
  const health = createHealth({ probes, log })
  const sandboxes = environments.filter(({ sandbox }) => sandbox)
  const demonstrated = sandboxes.find((environment) => findDemoApi(environment) !== undefined)

  const app = createApp({ settings, log, views, now })
  app.use(healthRoutes(health))
  app.use(portalRoutes({ settings, attestations, views, demoUrl: demonstrated ? demoUrl(demonstrated) : null }))
  for (const environment of environments) {
    const { registration, issuer, endpoints } = environment
    if (!registration) continue
    const address = new URL(endpoints.registration.path, issuer).href
    const statements = createSoftwareStatements({
      issuers: registration.softwareStatements,
      audiences: [issuer, address],
      fetch: createGuardedFetch({ allowLoopback: isLoopback(issuer) }).fetch,
      shortLived: shortLivedOf(environment.id),
      now,
    })
    const made = createRegistration({
      environment,
      registration,
      address,
      profiles,
      tokens: createRegistrationTokens({ database, audit, now }),
      statements,
      attestations,
      endGrants: (trx, end) => connections.endGrantsOfClient(trx, { ...end, reason: 'app_suspended' }),
      database,
      audit,
      now,
    })
    app.use(registrationRoutes({ environment, registration: made }))
  }
  const brands = await createBrands({ settings, database, audit, now })
  for (const environment of environments) {
    const brand = brands.get(environment.id)
    if (brand) app.use(brandRoutes(environment, brand))
  }
  app.use(mountIssuers(issuers))
  for (const { environment, launches, serviceToken } of issuers)
    app.use(launchRoutes({ environment, launches, authorize: serviceToken }))
  for (const { environment, authorizations, logoutRequests, encounters, formsMac } of issuers) {
    const forms = createForms({ mac: formsMac })
    app.use(
      memberRoutes({
        environment,
        visiting: authorizations.visitingSubject,
        directory,
        connections,
        views,
        forms,
        now,
      }),
    )
    app.use(
      interactionRoutes({
        environment,
        authorizations,
        logoutRequests,
        encounters,
        directory,
        connections,
        attestations,
        signIn,
        signingIn,
        shortLived: shortLivedOf(environment.id),
        database,
        audit,
        views,
        forms,
        log,
        now,
        consent: settings.consent,
      }),
    )
  }
  const sandboxServers: SandboxFhir[] = []
  const launcherOf = (environment: Environment, people: ReturnType<typeof createPeople>) => {
    const issuer = issuers.find(({ environment: each }) => each === environment)
    if (!issuer) throw new TypeError(`no issuer ${environment.id}`)
    const forms = createForms({ mac: issuer.formsMac })
    return launcherRoutes({ environment, people, makeLaunch: issuer.launches.make, views, forms })
  }
  for (const environment of sandboxes) {
    for (const api of environment.apis.filter(({ sandbox }) => sandbox)) {
      const endpoints = endpointsOf(environment)
      const people = createPeople(environment.plan)
      const fhir = createSandboxFhir({
        issuer: environment.issuer,
        jwksUri: endpoints.jwks,
        api,
        endpoints,
        people,
        sensitiveCategories: Object.fromEntries(
          environment.plan.sensitiveCategories.map(({ code, labels }) => [code, labels]),
        ),
        follower: followerOf(environment, endpoints.revocationFeed),
        log,
        now,
      })
      sandboxServers.push(fhir)
      if (api === launcherApi(environment)) app.use(launcherOf(environment, people))
      app.use(sandboxRoutes(fhir, api))
    }
    app.use(demoRoutes({ environment, views }))
    if (settings.mail.smtpUrl === null) app.use(letterRoutes({ environment, mail, views }))
  }

  const answer = app.callback()
  const http = createHttpServer(
    { requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 65_000 },
    (request, response) => withPatience(() => answer(request, response)),
  )

  let leaving = false
  const leave = (): void => {
    leaving = true
    health.drain()
  }
  // A connection that stays open would bring a request at the moment in which it is closed.
  http.prependListener('request', (_request, response) => {
    if (leaving) response.setHeader('Connection', 'close')
  })

  // That a log of endings is kept is for the next start: it is missed if it is not there (members/older-store.ts).
  const details = { issuers: issuers.length, endingsLog: endingsLog !== undefined }
  const record = (type: 'server.started' | 'server.stopped') =>
    database.transaction((trx) => audit.record(trx, { type, actor: 'system', details }))

  return {
    app,

    async listen() {
      const { port, host } = settings.listen
      http.listen(port, host)
      await once(http, 'listening').catch((cause: NodeJS.ErrnoException) => {
        throw new LatchkeyError('cannot_listen', 500, { message: whyNotListening(cause, port, host), cause })
      })
      await record('server.started')
      jobs.start()
    },

    async drain() {
      leave()
      await pause(settings.listen.drainSeconds * 1000)
    },

    async close(graceMs = 5000) {
      leave()
      if (http.listening) {
        const closed = once(http, 'close')
        for (const sandbox of sandboxServers) sandbox.close()
        for (const { revocationFeed } of issuers) revocationFeed.close()
        http.close()
        http.closeIdleConnections()
        const deadline = setTimeout(() => http.closeAllConnections(), graceMs)
        await closed
        clearTimeout(deadline)
        // A store that is away keeps no server from ending.
        await record('server.stopped').catch((error) =>
          log.warn({ err: error }, 'the end of the server is not recorded'),
        )
      }
      await jobs.stop()
      await keyRing.close()
      mail.close()
      audit.close()
      await redis?.close()
      await endingsLog?.close()
      await database.close()
      lock.release()
    },
  }
}
