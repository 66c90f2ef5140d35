/**
 * The log of endings: an append-only file of each node, independent of the store, so that a store that is older than the
 * last ending (restored from a copy, promoted from a replica that was behind) can be told what it lacks (R46).
 *
 * Owns: writing, on the disk before the store commits. Does not own: reading (endings-reader.ts), or what a replay does
 * (members/replay.ts). An entry whose commit failed stays: the ending was asked for and answered 503, and a later replay
 * may carry it out. An ending that cannot be written here is not committed there.
 */
import { mkdirSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Transaction } from 'kysely'
import { Unavailable } from '../errors.ts'
import type { Tables } from '../storage/tables.ts'
import { lastBeforeCommit } from '../storage/transaction-hooks.ts'
import { lineOf, type NewEnding } from './endings.ts'

export interface EndingsLog {
  /** Written as the last thing before the transaction's commit: whatever fails earlier leaves nothing here. */
  note(trx: Transaction<Tables>, ending: NewEnding): void
  /** Written now; fulfilled when it is on the disk. */
  append(...endings: NewEnding[]): Promise<void>
  /** @throws Unavailable while the file cannot be written */
  check(): Promise<void>
  close(): Promise<void>
}

/** Opens the file, and makes it where there is none. */
export async function openEndingsLog(file: string): Promise<EndingsLog> {
  const unwritable = (cause: unknown) => {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
    return new Unavailable(`the log of endings ${file} cannot be written (${code}): see recovery.endingsLog`, { cause })
  }
  const handle = await openFile(file).catch((cause: unknown) => {
    throw unwritable(cause)
  })

  /** Does the file end within a line? The process ended while it wrote, or the disk was full. */
  let torn = await endsWithin(handle)
  let failed = false
  let waiting: { text: string; done: PromiseWithResolvers<void> }[] = []
  let writing: Promise<void> | undefined

  /** Whoever comes while others are being written is written with the next ones, so that they share one sync. */
  const write = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      try {
        await handle.appendFile((torn ? '\n' : '') + batch.map(({ text }) => text).join(''))
        await handle.datasync()
        torn = false
        failed = false
        for (const { done } of batch) done.resolve()
      } catch (cause) {
        torn = true
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
  const append = (...endings: NewEnding[]) => writeText(endings.map(lineOf).join(''))

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
      if (failed) await writeText('')
    },

    async close() {
      await writing
      await handle.close()
    },
  }
}

async function openFile(file: string): Promise<FileHandle> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  return open(file, 'a+', 0o600)
}

async function endsWithin(handle: FileHandle): Promise<boolean> {
  const { size } = await handle.stat()
  if (size === 0) return false
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1)
  return buffer.toString() !== '\n'
}
