import { mkdir, symlink } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { InputFaults, Unavailable } from '../../src/errors.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { lockServer } from '../../src/storage/server-lock.ts'
import { startProcess } from '../support/processes.ts'
import { quiet, sqliteBackend } from '../support/stores.ts'

describe('the lock of the one server', { timeout: 30_000 }, () => {
  let backend: Awaited<ReturnType<typeof sqliteBackend>>
  beforeEach(async () => {
    backend = await sqliteBackend()
  })
  afterEach(() => backend.dispose())

  it('refuses a second one, names the file and says what to do', () => {
    const lock = lockServer(backend.url)
    expect(() => lockServer(backend.url)).toThrow(expect.objectContaining({ code: 'server_already_running' }))
    expect(() => lockServer(backend.url)).toThrow(backend.file)
    expect(() => lockServer(backend.url)).toThrow(/Stop it first.*database\.url/)
    lock.release()
  })

  it('is free again once released, however often', () => {
    const lock = lockServer(backend.url)
    lock.release()
    lock.release()
    lockServer(backend.url).release()
  })

  it('refuses a second process, and ends with the first even if that is killed', async () => {
    const server = startProcess('lock', backend.url)
    await server.ready
    expect(() => lockServer(backend.url)).toThrow(expect.objectContaining({ code: 'server_already_running' }))
    server.child.kill('SIGKILL')
    await expect(server.answer).rejects.toThrow('SIGKILL')
    lockServer(backend.url).release()
  })

  it('is the same by another name of the file', async () => {
    await (await openDatabase({ url: backend.url, log: quiet })).close()
    const link = `${backend.file}-link`
    await symlink(backend.file, link)
    const lock = lockServer(backend.url)
    expect(() => lockServer(`sqlite:${link}`)).toThrow(expect.objectContaining({ code: 'server_already_running' }))
    lock.release()
  })

  it('lets tools work on the store at the same time', async () => {
    const lock = lockServer(backend.url)
    const database = await openDatabase({ url: backend.url, log: quiet })
    expect(await database.db.selectFrom('apps').selectAll().execute()).toEqual([])
    await database.close()
    lock.release()
  })

  it('keeps no server from another file', async () => {
    const other = await sqliteBackend()
    const locks = [lockServer(backend.url), lockServer(other.url)]
    for (const lock of locks) lock.release()
    await other.dispose()
  })

  it('is of no matter in memory', () => {
    const locks = [lockServer('sqlite::memory:'), lockServer('sqlite::memory:')]
    for (const lock of locks) lock.release()
  })

  it('says when the file is the matter, not another server', async () => {
    await mkdir(`${backend.file}.lock`)
    expect(() => lockServer(backend.url)).toThrow(Unavailable)
    expect(() => lockServer('mysql://localhost/latchkey')).toThrow(InputFaults)
  })
})
