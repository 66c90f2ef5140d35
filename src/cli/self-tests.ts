import { failuresOf, listSelfTests } from '../ops/self-tests.ts'
import { type CommandOptions, environmentsNamed, type Terminal, withDatabase } from './command.ts'

/** Lists what the server found when it tested itself, newest first; status 1 where the newest test of an issuer failed. */
export const printSelfTests = (options: CommandOptions, terminal: Terminal): Promise<number> =>
  withDatabase(options, terminal, async (database, settings) => {
    const issuer =
      options.issuer === undefined ? undefined : environmentsNamed(settings, options.issuer, '--issuer')[0]?.id
    const tests = await listSelfTests(database, issuer)
    const newest = new Map(tests.toReversed().map((test) => [`${test.issuer} ${test.report.target}`, test]))
    const failed = [...newest.values()].some(({ outcome }) => outcome === 'failed')
    if (options.doctor?.json) {
      terminal.out.write(`${JSON.stringify(tests, null, 2)}\n`)
      return failed ? 1 : 0
    }
    for (const { startedAt, issuer, outcome, report } of tests) {
      const { passed, warned, skipped } = report.counts
      const counts = `${passed} passed, ${report.counts.failed} failed, ${warned} warned, ${skipped} not looked at`
      terminal.out.write(`${new Date(startedAt).toISOString()}  ${outcome}  ${issuer}  ${report.target}\n  ${counts}\n`)
      for (const failure of failuresOf(report)) terminal.out.write(`  failed: ${failure}\n`)
    }
    if (tests.length === 0)
      terminal.out.write('No self-test has run: selfTest of an environment says when and as whom.\n')
    return failed ? 1 : 0
  })
