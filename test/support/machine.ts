/** What the machine has of the programs that some tests need. */
import { existsSync } from 'node:fs'

interface Program {
  name: string
  /** Debian's package. */
  package: string
  paths: string[]
}

const programs: Program[] = [
  { name: 'Chromium', package: 'chromium', paths: ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'] },
]

const found = ({ paths }: Program): string | undefined => paths.find((path) => existsSync(path))

/** The browser's program, or undefined. */
export const chromium: string | undefined = programs[0] && found(programs[0])

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
