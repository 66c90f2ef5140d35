/** A report as a person reads it in a terminal: what is wrong first to be seen, what is right in one line each. */
import type { Outcome } from './check.ts'
import { groups, type Report, type Result } from './doctor.ts'

const marks: Record<Outcome, string> = { passed: 'ok', failed: 'FAILED', warned: 'warn', skipped: '-' }
const colors: Record<Outcome, number> = { passed: 32, failed: 31, warned: 33, skipped: 2 }
const ID_WIDTH = 30

const wrap = (text: string, indent: string, width: number): string => {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + word.length < width - indent.length)
      lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines.join(`\n${indent}`)
}

/** Results that were skipped, by reason. */
const skippedLines = (results: readonly Result[]): string => {
  const reasons = new Map<string, string[]>()
  for (const { outcome, seen, id } of results)
    if (outcome === 'skipped') reasons.set(seen, [...(reasons.get(seen) ?? []), id])
  if (reasons.size === 0) return ''
  const lines = [...reasons].map(([reason, ids]) => `  ${reason}\n    ${wrap(ids.join(', '), '    ', 110)}\n`)
  return `\nNot looked at\n${lines.join('')}`
}

const capabilityLines = ({ capabilities }: Report): string => {
  const named = capabilities.filter(({ advertised }) => advertised)
  if (named.length === 0) return ''
  const words = { checked: 'checked', failed: 'FAILED', 'not-checked': 'not checked' }
  const lines = named.map(({ name, state, because }) => `  ${name.padEnd(32)}${words[state]}: ${because}\n`)
  const others = capabilities.filter(({ advertised }) => !advertised).map(({ name }) => name)
  const more = others.length === 0 ? '' : `  not advertised: ${wrap(others.join(', '), '    ', 110)}\n`
  return `\nCapabilities\n${lines.join('')}${more}`
}

const seconds = ({ startedAt, finishedAt }: Report): string =>
  ((Date.parse(finishedAt) - Date.parse(startedAt)) / 1000).toFixed(1)

/** The whole report; `color` for a terminal that shows it. */
export const reportText = (report: Report, { color }: { color: boolean }): string => {
  const paint = (outcome: Outcome, text: string): string =>
    color ? `\u001b[${colors[outcome]}m${text}\u001b[0m` : text
  const line = (result: Result): string => {
    const { outcome, id, title } = result
    const head = `  ${paint(outcome, marks[outcome].padEnd(8))}${id.padEnd(ID_WIDTH)}${title}\n`
    if (outcome === 'passed') return head
    const details = [
      ['expected', result.expected],
      ['seen', result.seen],
      ['do', result.hint],
      ['see', result.section],
    ].map(([name = '', text = '']) => `            ${name.padEnd(10)}${wrap(text, ' '.repeat(22), 118)}\n`)
    return head + details.join('')
  }
  const head = `latchkey doctor ${report.target}\n${report.startedAt}\n`
  if (report.reason !== null) return `${head}\nNobody could be asked: ${report.reason}\n`
  const parts = groups.flatMap(({ title }) => {
    const looked = report.results.filter(({ group, outcome }) => group === title && outcome !== 'skipped')
    return looked.length === 0 ? [] : [`\n${title}\n${looked.map(line).join('')}`]
  })
  const { passed, failed, warned, skipped } = report.counts
  const sum = `${passed} passed, ${failed} failed, ${warned} warned, ${skipped} not looked at, in ${seconds(report)} s`
  const left =
    report.leftBehind === 0
      ? ''
      : `${report.leftBehind} tokens could not be revoked: end the test member’s connection by hand.\n`
  return `${head}${parts.join('')}${skippedLines(report.results)}${capabilityLines(report)}\n${paint(failed > 0 ? 'failed' : 'passed', sum)}\n${left}`
}

/** Every check, for people: what it is called, what it looks at, what it needs. */
export const listText = (): string =>
  groups
    .map(
      ({ title, checks }) =>
        `${title}\n${checks.map((check) => `  ${check.id.padEnd(ID_WIDTH)}${check.needs ? `[${check.needs}] ` : ''}${check.title}\n`).join('')}`,
    )
    .join('\n')
