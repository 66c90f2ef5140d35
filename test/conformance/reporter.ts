/**
 * A reporter of Vitest that makes docs/conformance.md and docs/security-checklist.md of a run of all tests. In CI the run fails
 * as well where a document is not what is committed. A run of some tests only has ids checked.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node'
import { checklistDocument, conformanceDocument, faultsOf, type TestOutcome, testsById } from './documents.ts'

const outcomeOf = (test: TestCase, root: string): TestOutcome => {
  const suites: string[] = []
  for (let at = test.parent; at.type === 'suite'; at = at.parent) suites.unshift(at.name)
  const { state } = test.result()
  return {
    file: relative(root, test.module.moduleId),
    suites,
    name: test.name,
    state: state === 'pending' ? 'skipped' : state,
  }
}

export const conformanceReporter = (): Reporter => {
  let vitest: Vitest | undefined

  /** Every file of every project, and every test in it. */
  const isWhole = async (modules: readonly TestModule[]): Promise<boolean> => {
    if (!vitest || vitest.config.testNamePattern) return false
    const all = await vitest.globTestSpecifications()
    return modules.length === all.length && vitest.projects.length === vitest.config.projects?.length
  }

  return {
    onInit(started) {
      vitest = started
    },

    async onTestRunEnd(modules, _errors, reason) {
      if (!vitest || reason === 'interrupted') return
      const { root } = vitest.config
      const cited = testsById(
        modules.flatMap((module) => [...module.children.allTests()]).map((test) => outcomeOf(test, root)),
      )
      const whole = await isWhole(modules)
      const faults = faultsOf(cited, whole)
      const documents = whole
        ? ([
            ['docs/conformance.md', conformanceDocument(cited)],
            ['docs/security-checklist.md', checklistDocument(cited)],
          ] as const)
        : []
      for (const [file, text] of documents) {
        const path = `${root}/${file}`
        if (existsSync(path) && readFileSync(path, 'utf8') === text) continue
        writeFileSync(path, text)
        if (process.env.CI === 'true') faults.push(`${file} was stale: commit what a run of all tests writes`)
      }
      for (const fault of faults) console.error(`conformance: ${fault}`)
      if (faults.length > 0) process.exitCode = 1
    },
  }
}
