/**
 * A person at a real browser. Whatever goes wrong unseen fails the story: an error in the console, a script's error, a
 * violation of our content policy, a request to another machine. What a story expects of these, it says beforehand.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type axe from 'axe-core'
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium as driver,
  type Page,
} from 'playwright-core'
import { chromium } from './machine.ts'

const here = /^(?:\[::1\]|127\.0\.0\.1|localhost)$/
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Names resolve to nothing outside of this machine, whoever asks. */
const resolver = '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1, EXCLUDE ::1'

export const launchBrowser = (): Promise<Browser> =>
  driver.launch({
    executablePath: chromium ?? '',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', resolver],
  })

export interface Person {
  context: BrowserContext
  page: Page
  /** Every address that the page went to or asked for, in order. */
  requests: string[]
  /** Closes the browser's window. Throws where something went wrong unseen. */
  leave(): Promise<void>
}

export interface PersonOptions extends Omit<BrowserContextOptions, 'viewport'> {
  width?: number
  height?: number
  /** What this story expects to go wrong, for instance `/status of 401/`. */
  expects?: RegExp[]
}

/** A person with a browser of their own: own cookies, own language, own size of window. */
export const newPerson = async (
  browser: Browser,
  { width = 1280, height = 900, expects = [], locale = 'en-US', ...more }: PersonOptions = {},
): Promise<Person> => {
  const context = await browser.newContext({ locale, viewport: { width, height }, ...more })
  context.setDefaultTimeout(10_000)
  const problems: string[] = []
  const requests: string[] = []
  const note = (problem: string): void => {
    if (!expects.some((expected) => expected.test(problem))) problems.push(problem)
  }
  context.on('console', (message) => {
    if (message.type() === 'error') note(`console: ${message.text()} (${message.location().url})`)
  })
  context.on('weberror', (error) => note(`script: ${error.error().stack ?? error.error().message}`))
  context.on('request', (request) => {
    const url = new URL(request.url())
    requests.push(request.url())
    if (/^https?:$/.test(url.protocol) && !here.test(url.hostname)) note(`request to ${url.host}`)
  })
  const page = await context.newPage()
  return {
    context,
    page,
    requests,
    async leave() {
      await context.close()
      if (problems.length > 0) throw new Error(`problems in the browser:\n${problems.join('\n')}`)
    },
  }
}

/** Runs a story with a person of its own. */
export const withPerson = async <T>(
  browser: Browser,
  options: PersonOptions,
  story: (person: Person) => Promise<T>,
): Promise<T> => {
  const person = await newPerson(browser, options)
  try {
    const result = await story(person)
    await person.leave()
    return result
  } finally {
    await person.context.close()
  }
}

const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

/**
 * What axe finds wrong with a page, in one line each; `contrast` is for a page whose other colours were looked at whole. It runs in a world beside the page's own scripts, so that the page's
 * content policy stays as it is.
 */
export const accessibilityFaults = async (page: Page, what: 'all' | 'contrast' = 'all'): Promise<string[]> => {
  const session = await page.context().newCDPSession(page)
  try {
    const { frameTree } = await session.send('Page.getFrameTree')
    const { executionContextId: contextId } = await session.send('Page.createIsolatedWorld', {
      frameId: frameTree.frame.id,
    })
    const runOnly = what === 'all' ? { type: 'tag', values: tags } : { type: 'rule', values: ['color-contrast'] }
    const options = JSON.stringify({ runOnly, resultTypes: ['violations'] })
    const { result, exceptionDetails } = await session.send('Runtime.evaluate', {
      expression: `${axeSource}\n;axe.run(document, ${options})`,
      contextId,
      awaitPromise: true,
      returnByValue: true,
    })
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    const { violations }: axe.AxeResults = result.value
    return violations.flatMap(({ id, help, nodes }) =>
      nodes.map(
        ({ target, any }) => `${id}: ${help}: ${target.join(' ')} (${any.map((each) => each.message).join('; ')})`,
      ),
    )
  } finally {
    await session.detach()
  }
}

/** How far the page is wider than the window, and what sticks out; nothing where all fits. */
export const overflow = (page: Page): Promise<string[]> =>
  page.evaluate(`(() => {
    const { scrollWidth, clientWidth } = document.documentElement
    if (scrollWidth <= clientWidth) return []
    const wide = [...document.querySelectorAll('body *')].filter((each) => each.getBoundingClientRect().right > clientWidth + 1)
    return [scrollWidth + ' > ' + clientWidth, ...wide.slice(0, 5).map((each) => each.outerHTML.slice(0, 120))]
  })()`)
