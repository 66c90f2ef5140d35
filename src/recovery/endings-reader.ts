/** Reads a log of endings from a time on, without reading what lies before: it may be years. */
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { InputFaults } from '../errors.ts'
import { type Ending, orderOf, parseLine } from './endings.ts'

/** More than a hundred lines; so near the place we read on from there. */
const NEAR = 65_536

/**
 * The endings at `since` (milliseconds) or later, in the order in which they were written; null for each line that says
 * nothing we know: torn when the power went, or written by a newer server.
 * @throws InputFaults for a file that cannot be read
 */
export async function* readEndings(file: string, since: number): AsyncGenerator<Ending | null> {
  const handle = await open(file).catch((error: NodeJS.ErrnoException) => {
    throw new InputFaults([{ path: file, message: `the log of endings cannot be read (${error.code})` }])
  })
  try {
    const start = await placeOf(handle, since)
    const stream = createReadStream(file, { fd: handle.fd, autoClose: false, start, encoding: 'utf8' })
    // A start within the file is within a line, most likely.
    let whole = start === 0
    for await (const line of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (whole && line !== '') {
        const ending = parseLine(line)
        if (ending === null || ending.at >= since) yield ending
      }
      whole = true
    }
  } finally {
    await handle.close()
  }
}

/** A place before the first entry at `since` or later: halving, since lines are in order (endings.ts). */
async function placeOf(handle: FileHandle, since: number): Promise<number> {
  let low = 0
  let high = (await handle.stat()).size
  while (high - low > NEAR) {
    const middle = Math.floor((low + high) / 2)
    const order = await orderAt(handle, middle)
    if (order === undefined || order >= since) high = middle
    else low = middle
  }
  return low
}

/** The order of the first entry behind a place. */
async function orderAt(handle: FileHandle, place: number): Promise<number | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(NEAR), 0, NEAR, place)
  const [, ...lines] = buffer.toString('utf8', 0, bytesRead).split('\n')
  for (const line of lines) {
    const ending = parseLine(line)
    if (ending) return orderOf(ending)
  }
  return undefined
}

/** The order of the last entry, for whoever goes on with the file; 0 where there is none. */
export async function lastOrder(handle: FileHandle): Promise<number> {
  const { size } = await handle.stat()
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(NEAR), 0, NEAR, Math.max(0, size - NEAR))
  const lines = buffer.toString('utf8', 0, bytesRead).split('\n')
  const last = lines
    .reverse()
    .map(parseLine)
    .find((ending) => ending !== null)
  return last ? orderOf(last) : 0
}
