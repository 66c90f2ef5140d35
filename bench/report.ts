/** Results as tables that people and Markdown can read: ratios first, then processor time, then the rest. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg, totalmem } from 'node:os'
import { initdb, redisServer } from '../test/support/machine.ts'
import type { Settings } from './settings.ts'
import { median, type Window } from './windows.ts'

export interface Row {
  label: string
  atATime: number
  windows: readonly Window[]
  /** What the ratio is of; undefined where there is none. */
  baseline?: readonly Window[]
}

const plain = (value: number): string => {
  if (!Number.isFinite(value)) return '-'
  if (value >= 1000) return Math.round(value).toLocaleString('en-US')
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

const range = (values: readonly number[], shown = plain): string =>
  `${shown(median(values))} (${shown(Math.min(...values))} to ${shown(Math.max(...values))})`

const middle = (windows: readonly Window[], of: (window: Window) => number): number => median(windows.map(of))

/** Rounds are compared with themselves: a slow moment of the machine met both. */
export const ratios = (
  windows: readonly Window[],
  baseline: readonly Window[],
  of: (window: Window) => number = (window) => window.perSecond,
): number[] =>
  windows.flatMap((window, round) => {
    const base = baseline[round]
    return base ? [of(window) / of(base)] : []
  })

export const table = (head: readonly string[], lines: readonly (readonly string[])[]): string => {
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)))
  const show = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`
  return [show(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...lines.map(show)].join('\n')
}

/** One table: a line per system and number at a time; medians of windows, with the least and the most. */
export const comparison = (rows: readonly Row[]): string =>
  table(
    [
      'at a time',
      'system',
      'ratio',
      'CPU us/op',
      'CPU ratio',
      'stores us/op',
      'op/s',
      'p50 ms',
      'p99 ms',
      'load CPU',
      'failed',
    ],
    rows.map(({ label, atATime, windows, baseline }) => [
      String(atATime),
      label,
      baseline ? range(ratios(windows, baseline)) : '-',
      plain(middle(windows, (window) => window.serverCpu)),
      baseline ? plain(median(ratios(windows, baseline, (window) => window.serverCpu))) : '-',
      plain(middle(windows, (window) => window.storeCpu)),
      range(windows.map((window) => window.perSecond)),
      plain(middle(windows, (window) => window.p50)),
      plain(middle(windows, (window) => window.p99)),
      `${Math.round(middle(windows, (window) => window.loadShare) * 100)}%`,
      String(windows.reduce((sum, window) => sum + window.failures, 0)),
    ]),
  )

const versionOf = (program: string | undefined): string => {
  if (!program) return 'none'
  return /\d+(\.\d+)+/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[0] ?? 'unknown'
}

const dependency = (name: string): string =>
  `${name} ${JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8')).version}`

/** When, on what, and how it will be measured; said before the load is ours. */
export const circumstances = (settings: Settings): string => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return (
    `${new Date().toISOString().slice(0, 10)}: Latchkey ${version}, Node.js ${process.versions.node}, ${dependency('oidc-provider')}, ` +
    `PostgreSQL ${versionOf(initdb)}, Redis ${versionOf(redisServer)}, ${process.platform} ${process.arch}, ` +
    `${availableParallelism()} processors, ${Math.round(totalmem() / 2 ** 30)} GB, for servers, stores and load; the machine had a load of ` +
    `${loadavg()[0]?.toFixed(1)} before. ${settings.windows} windows of ${settings.seconds} s, in turns.`
  )
}

/** What one bench found. */
export interface Section {
  title: string
  /** Markdown. */
  text: string
}

const results = new URL('results.md', import.meta.url)
const begin = '<!-- Written by `npm run bench -- --write`. README.md says how to read it. -->\n\n# Measured\n'

/** Keeps what was measured, in place of what was there about the same. */
export const writeResults = (measured: readonly Section[]): void => {
  const known = existsSync(results) ? readFileSync(results, 'utf8').split(/^## /m).slice(1) : []
  const sections = new Map(known.map((section) => [section.slice(0, section.indexOf('\n')), `## ${section.trim()}\n`]))
  for (const section of measured) sections.set(section.title, shown(section))
  writeFileSync(results, [begin, ...sections.values()].join('\n'))
}

export const shown = ({ title, text }: Section): string => `## ${title}\n\n${text.trim()}\n`
