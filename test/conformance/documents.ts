/**
 * docs/conformance.md and docs/security-checklist.md, made of the lists (shalls.ts, checklist.ts) and of what a run's tests,
 * which cite their ids in brackets, came to. Pure, and without dates or durations, so that equal runs make equal documents.
 */
import { type ChecklistRow, checklist, checklistParts } from './checklist.ts'
import { pages, shalls } from './shalls.ts'

/** One test, in one project. */
export interface TestOutcome {
  /** Relative to the project's root. */
  file: string
  /** Of the describes around it, from outside in. */
  suites: readonly string[]
  name: string
  state: 'passed' | 'failed' | 'skipped'
}

const tag = /\s*\[(SMART|capability|ASVS|RFC \d{4}|FAPI|OWASP|NIST) ([^\]]+)\]/g

/** The ids that a name cites: `[ASVS 6.2.1, 6.2.9]` cites `ASVS 6.2.1` and `ASVS 6.2.9`. */
export const citedIn = (name: string): string[] =>
  [...name.matchAll(tag)].flatMap(([, space, ids = '']) => ids.split(',').map((id) => `${space} ${id.trim()}`))

/** The tests that cite each id. A test that runs in several projects is one, and has failed where it failed in any. */
export function testsById(outcomes: readonly TestOutcome[]): Map<string, TestOutcome[]> {
  const tests = new Map<string, TestOutcome>()
  for (const outcome of outcomes) {
    const key = [outcome.file, ...outcome.suites, outcome.name].join('\n')
    const before = tests.get(key)
    if (!before || outcome.state === 'failed' || before.state === 'skipped') tests.set(key, outcome)
  }
  const cited = new Map<string, TestOutcome[]>()
  for (const test of tests.values())
    for (const id of new Set(citedIn([...test.suites, test.name].join(' '))))
      cited.set(id, [...(cited.get(id) ?? []), test])
  return cited
}

/** Words for a cell of a table: what would be markup, or would end the cell, is escaped. */
const cell = (text: string): string =>
  text
    .replaceAll(tag, '')
    .replaceAll('\\', '\\\\')
    .replaceAll(/([<>*_`|[\]])/g, '\\$1')
    .replaceAll(/\s+/g, ' ')

/** Up to this many tests of one describe are named one by one. */
const namedOneByOne = 2

/** File by file; many tests of one describe are told by its name, so that one more of them changes nothing here. */
const testsCell = (tests: readonly TestOutcome[]): string => {
  const byFile = Map.groupBy(tests, ({ file }) => file)
  return [...byFile]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, ofFile]) => {
      const names = [...Map.groupBy(ofFile, ({ suites }) => suites.join(' > '))].flatMap(([suite, group]) =>
        suite !== '' && group.length > namedOneByOne
          ? `${cell(suite)}, all of it`
          : group.map(({ suites, name }) => cell([...suites, name].join(' > '))),
      )
      return [`\`${file}\``, ...names.map((name) => `· ${name}`)].join('<br>')
    })
    .join('<br>')
}

const resultOf = (tests: readonly TestOutcome[]): string => {
  if (tests.some(({ state }) => state === 'failed')) return '**fails**'
  return tests.some(({ state }) => state === 'passed') ? 'passes' : '**not run**'
}

interface Row {
  tests: readonly TestOutcome[]
  not?: string
}

/** The last two cells of a row. */
const cellsOf = ({ tests, not }: Row): string => {
  if (tests.length > 0) return `${not ? `${not}<br>` : ''}${testsCell(tests)} | ${resultOf(tests)}`
  return not ? `${not} | not offered` : ' | **no test**'
}

const counted = (rows: readonly Row[]): string => {
  const held = rows.filter(({ tests }) => tests.length > 0).length
  const reasoned = rows.filter(({ tests, not }) => tests.length === 0 && not).length
  const open = rows.length - held - reasoned
  return `${rows.length} rows: ${held} held by tests, ${reasoned} with the reason why not${open > 0 ? `, **${open} with neither**` : ''}.`
}

const table = (head: string, rows: readonly string[]): string =>
  [head, head.replaceAll(/[^|]+/g, ' --- ').trim(), ...rows].map((row) => `| ${row} |`).join('\n')

/** docs/conformance.md */
export function conformanceDocument(cited: ReadonlyMap<string, readonly TestOutcome[]>): string {
  const rows = shalls.map((shall) => ({ ...shall, tests: cited.get(`SMART ${shall.id}`) ?? [] }))
  const capabilities = [...cited].filter(([id]) => id.startsWith('capability ')).sort(([a], [b]) => (a < b ? -1 : 1))
  return `# Conformance

What SMART App Launch 2.2 asks of a server, and the tests that hold it, with what they came to. A run of all tests writes this
page, and fails in CI where it is not what is committed; \`test/conformance\` has the list and how it is done. Sentences are ours,
sections are the specification's.

${counted(rows)}

- [Capabilities](#capabilities)
${Object.keys(pages)
  .map((page) => `- [${page}](#${page})`)
  .join('\n')}

## Capabilities

Each capability that discovery names, with tests that use it. A test reads discovery and fails where anything in it is not
exercised, whatever kind of thing it is: \`test/conformance/advertised.test.ts\`.

${table(
  'capability | tests | result',
  capabilities.map(([id, tests]) => `\`${id.slice('capability '.length)}\` | ${cellsOf({ tests })}`),
)}
${Object.entries(pages)
  .map(
    ([page, title]) => `
## ${page}

${title}

${table(
  'what | level | tests | result',
  rows
    .filter(({ id }) => id.startsWith(`${page}.`))
    .map((row) => `**${row.id}**<br>${row.text}<br>*${row.section}* | ${row.level} | ${cellsOf(row)}`),
)}
`,
  )
  .join('')}`
}

const testsOfRow = (row: ChecklistRow, cited: ReadonlyMap<string, readonly TestOutcome[]>): TestOutcome[] => [
  ...new Set([row.id, ...(row.also ?? [])].flatMap((id) => cited.get(id) ?? [])),
]

/** docs/security-checklist.md */
export function checklistDocument(cited: ReadonlyMap<string, readonly TestOutcome[]>): string {
  const rows = checklist.map((row) => ({ ...row, tests: testsOfRow(row, cited) }))
  return `# Security checklist

What the documents on the security of OAuth, sign-in and sessions ask for, as far as a test can show it, and the tests that show
it. Where something is not so, the reason stands in its place. Written by a run of all tests, like [conformance](conformance.md).
What we defend against and how is in [security](security.md).

${counted(rows)}
${Object.entries(checklistParts)
  .map(
    ([part, title]) => `
## ${title}

${table(
  'what | tests | result',
  rows.filter((row) => row.part === part).map((row) => `**${row.id}**<br>${row.text} | ${cellsOf(row)}`),
)}
`,
  )
  .join('')}`
}

/** What is wrong with the citations: ids that no list has, and, after a whole run, rows with neither test nor reason. */
export function faultsOf(cited: ReadonlyMap<string, readonly TestOutcome[]>, whole: boolean): string[] {
  const known = new Set([...shalls.map(({ id }) => `SMART ${id}`), ...checklist.map(({ id }) => id)])
  const unknown = [...cited]
    .filter(([id]) => !known.has(id) && !id.startsWith('capability '))
    .map(([id, tests]) => `[${id}] is in no list: ${tests[0]?.file}`)
  const open = [
    ...shalls.filter(({ id, not }) => !not && !cited.has(`SMART ${id}`)).map(({ id }) => `SMART ${id}`),
    ...checklist.filter((row) => !row.not && testsOfRow(row, cited).length === 0).map(({ id }) => id),
  ].map((id) => `${id} has neither a test nor a reason why not`)
  return whole ? [...unknown, ...open] : unknown
}
