/**
 * Brings SQLite's write-ahead log to the disk, for all who have committed meanwhile at once, and on a thread of its own.
 *
 * SQLite itself (`synchronous=full`) would do so within each commit: every transaction would wait for the disk one after
 * the other, and all of Node with it. So it is told not to (`normal`), which leaves the file sound whatever happens, and
 * who has written waits here before anybody is told of it. Others may read what is not on the disk yet; what they write
 * comes after it in the log, so it is never there without.
 *
 * A disk that has failed once is not asked again: the system forgets what it could not write, so a later success would say
 * nothing about it. The store takes no more writes until the process starts anew and reads what is there.
 */
import { type FileHandle, open, realpath } from 'node:fs/promises'

export interface LogSync {
  /** Fulfilled when everything that was committed before this call is on the disk; rejected, from then on always, if that is not certain. */
  synced(): Promise<void>
  close(): Promise<void>
}

/** @param sync brings the log to the disk */
export function createLogSync(sync: () => Promise<void>, close: () => Promise<void> = async () => {}): LogSync {
  let running: Promise<void> = Promise.resolve()
  let waiting: Promise<void> | undefined
  return {
    synced() {
      // One that runs already may have begun before our commit: the next one counts.
      waiting ??= running.then(() => {
        running = sync()
        waiting = undefined
        return running
      })
      return waiting
    },
    async close() {
      await (waiting ?? running).catch(() => {})
      await close()
    },
  }
}

/** The log of a database file. It is there as soon as something was written, and stays while the file is open. */
export function syncLogOf(file: string): LogSync {
  let log: Promise<FileHandle> | undefined
  return createLogSync(
    async () => {
      // By a link the file has its log where it really is.
      log ??= realpath(file).then((real) => open(`${real}-wal`, 'r+'))
      await (await log).datasync()
    },
    async () => (await log?.catch(() => undefined))?.close(),
  )
}
