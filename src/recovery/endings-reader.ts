/** Reads a log of endings from a time on, without reading what lies before: it may be years. */
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { InputFaults } from '../errors.ts'
import { type Ending, parseLine } from './endings.ts'

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

/** A place before the first entry at `since` or later: halving, since entries are in the order of time. */
async function placeOf(handle: FileHandle, since: number): Promise<number> {
  let low = 0
  let high = (await handle.stat()).size
  while (high - low > NEAR) {
    const middle = Math.floor((low + high) / 2)
    const time = await timeAt(handle, middle)
    if (time === undefined || time >= since) high = middle
    else low = middle
  }
  return low
}

/** When the first entry behind a place was written. */
async function timeAt(handle: FileHandle, place: number): Promise<number | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(NEAR), 0, NEAR, place)
  const [, ...lines] = buffer.toString('utf8', 0, bytesRead).split('\n')
  for (const line of lines) {
    const ending = parseLine(line)
    if (ending) return ending.at
  }
  return undefined
}
