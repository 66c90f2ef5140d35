/** Results as tables that people and Markdown can read: ratios first, then processor time, then the rest. */
import { median, type Window } from './windows.ts'

export interface Row {
  label: string
  atATime: number
  windows: readonly Window[]
  /** What the ratio is of; undefined for the baseline itself. */
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
      baseline ? range(ratios(windows, baseline)) : '1',
      plain(middle(windows, (window) => window.serverCpu)),
      baseline ? plain(median(ratios(windows, baseline, (window) => window.serverCpu))) : '1',
      plain(middle(windows, (window) => window.storeCpu)),
      range(windows.map((window) => window.perSecond)),
      plain(middle(windows, (window) => window.p50)),
      plain(middle(windows, (window) => window.p99)),
      `${Math.round(middle(windows, (window) => window.loadShare) * 100)}%`,
      String(windows.reduce((sum, window) => sum + window.failures, 0)),
    ]),
  )
