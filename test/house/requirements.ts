/**
 * Writes into docs/requirements.md, below each requirement, the tests whose names cite it. Run by `npm run docs`;
 * `npm run docs -- --check` fails where the file is stale.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'

interface Listed {
  name: string
  file: string
}

const root = join(import.meta.dirname, '../..')
const document = join(root, 'docs/requirements.md')

const listed: Listed[] = JSON.parse(
  execFileSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'list', '--json'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  }),
)

/** `R3, R8` and `R1 to R4` in a test's name, as numbers. */
const cited = (name: string): Set<number> => {
  const found = new Set([...name.matchAll(/\bR(\d{1,2})\b/g)].map(([, number]) => Number(number)))
  for (const [, from, to] of name.matchAll(/\bR(\d{1,2}) to R(\d{1,2})\b/g))
    for (let number = Number(from); number <= Number(to); number += 1) found.add(number)
  return found
}

const testsOf = (requirement: number): string => {
  const byFile = new Map<string, string[]>()
  for (const { name, file } of listed.filter((each) => cited(each.name).has(requirement))) {
    const path = relative(root, file)
    // Some files are run on more than one store; a test is one test.
    byFile.set(path, [...new Set([...(byFile.get(path) ?? []), name])])
  }
  if (byFile.size === 0) return 'No test yet.'
  return [...byFile]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(
      ([path, names]) =>
        `- \`${path}\` (${names.length})\n${names.map((name) => `  - ${name.replaceAll(/([<>*_`])/g, '\\$1')}`).join('\n')}`,
    )
    .join('\n')
}

const before = readFileSync(document, 'utf8')
const after = before.replaceAll(
  /(## R(\d+)\n[\s\S]*?<!-- tests -->\n)[\s\S]*?(<!-- \/tests -->)/g,
  (_, head: string, number: string, foot: string) => `${head}${testsOf(Number(number))}\n${foot}`,
)
if (process.argv.includes('--check')) {
  if (after !== before) {
    console.error('docs/requirements.md is stale: run npm run docs')
    process.exit(1)
  }
} else writeFileSync(document, after)
