/**
 * The log of endings: an append-only file of each node, independent of the store, so that a store that is older than the
 * last ending (restored from a copy, promoted from a replica that was behind) can be told what it lacks (R46).
 *
 * Owns: writing, on the disk before the store commits. Does not own: reading (endings-reader.ts), or what a replay does
 * (members/replay.ts). An entry whose commit failed stays: the ending was asked for and answered 503, and a later replay
 * may carry it out. An ending that cannot be written here is not committed there.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Transaction } from 'kysely'
import { LatchkeyError, Unavailable } from '../errors.ts'
import { holdFile, type ServerLock } from '../storage/server-lock.ts'
import type { Tables } from '../storage/tables.ts'
import { lastBeforeCommit } from '../storage/transaction-hooks.ts'
import { lineOf, type NewEnding } from './endings.ts'
import { lastOrder } from './endings-reader.ts'

export interface EndingsLog {
  /** Written as the last thing before the transaction's commit: whatever fails earlier leaves nothing here. */
  note(trx: Transaction<Tables>, ending: NewEnding): void
  /** Written now; fulfilled when it is on the disk. */
  append(...endings: NewEnding[]): Promise<void>
  /** @throws Unavailable while the file cannot be written */
  check(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens the file, and makes it where there is none.
 * @param options.alone for a server: no other one may write to the file, on whose lines it would rely
 * @throws LatchkeyError (`endings_log_in_use`) where another one does
 */
export async function openEndingsLog(file: string, { alone = false } = {}): Promise<EndingsLog> {
  const unwritable = (cause: unknown) => {
    const { code, message } = cause as NodeJS.ErrnoException
    const why = code ?? message
    return new Unavailable(`the log of endings ${file} cannot be written (${why}): see recovery.endingsLog`, { cause })
  }
  const handle = await openFile(file).catch((cause: unknown) => {
    throw unwritable(cause)
  })

  const lock = alone ? lockLog(file) : undefined

  /** Does the file end within a line? The process ended while it wrote, or the disk was full. */
  let torn = await endsWithin(handle)
  let newest = await lastOrder(handle)
  let failed = false
  let waiting: { text: string; done: PromiseWithResolvers<void> }[] = []
  let writing: Promise<void> | undefined

  /** Whoever comes while others are being written is written with the next ones, so that they share one sync. */
  const write = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      try {
        const start = torn ? '\n' : ''
        torn = true
        await handle.appendFile(start + batch.map(({ text }) => text).join(''))
        await handle.datasync()
        torn = false
        await refuseOther(file, handle)
        failed = false
        for (const { done } of batch) done.resolve()
      } catch (cause) {
        failed = true
        for (const { done } of batch) done.reject(unwritable(cause))
      }
    }
    writing = undefined
  }

  const writeText = (text: string): Promise<void> => {
    const done = Promise.withResolvers<void>()
    waiting.push({ text, done })
    writing ??= write()
    return done.promise
  }

  const ofTransaction = new WeakMap<Transaction<Tables>, NewEnding[]>()
  const inOrder = (ending: NewEnding): NewEnding => {
    newest = Math.max(newest, ending.at)
    return ending.at < newest ? { ...ending, order: newest } : ending
  }
  const append = (...endings: NewEnding[]) => writeText(endings.map((ending) => lineOf(inOrder(ending))).join(''))

  return {
    append,

    note(trx, ending) {
      const known = ofTransaction.get(trx)
      if (known) return void known.push(ending)
      const endings = [ending]
      ofTransaction.set(trx, endings)
      lastBeforeCommit(trx, () => append(...endings))
    },

    async check() {
      if (failed) return writeText('')
      await refuseOther(file, handle).catch((cause: unknown) => {
        throw unwritable(cause)
      })
    },

    async close() {
      await writing
      await handle.close()
      lock?.release()
    },
  }
}

const lockLog = (file: string): ServerLock =>
  holdFile(`${file}.lock`, (cause) => {
    const message =
      `Another Latchkey server writes to ${file} (it holds ${file}.lock). Each has a log of endings of its own: ` +
      'use {node} in recovery.endingsLog, and another audit.node for each.'
    return new LatchkeyError('endings_log_in_use', 500, { message, cause })
  })

async function openFile(file: string): Promise<FileHandle> {
  const isNew = !existsSync(file)
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const handle = await open(file, 'a+', 0o600)
  // The name of a new file is on the disk when its folder is.
  if (isNew) {
    const folder = await open(dirname(file))
    await folder.sync().finally(() => folder.close())
  }
  return handle
}

/** What is written to a file by another name, or by none, nobody will replay. */
async function refuseOther(file: string, handle: FileHandle): Promise<void> {
  const [named, written] = await Promise.all([stat(file).catch(() => undefined), handle.stat()])
  if (named?.ino !== written.ino || named.dev !== written.dev)
    throw new Error('it was renamed, removed or replaced: put it back, or restart')
}

async function endsWithin(handle: FileHandle): Promise<boolean> {
  const { size } = await handle.stat()
  if (size === 0) return false
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1)
  return buffer.toString() !== '\n'
}
