/**
 * The previous release, as it was: checked out into a folder of its own, with its dependencies.
 *
 * `previous-release` beside this file is one line, the full hash of its commit, because a clone may lack tags. Each release
 * replaces it by its own commit: with that, the next one is tested against what is in service.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const file = 'test/upgrade/previous-release'

export interface Checkout {
  folder: string
  dispose(): void
}

/** What is installed for the server itself, as its lock file says it. */
const dependenciesOf = (folder: string): string => {
  const lock = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8'))
  const packages = Object.entries<{ dev?: boolean; version?: string; integrity?: string }>(lock.packages)
  return JSON.stringify(
    packages
      .filter(([path, { dev }]) => path !== '' && !dev)
      .map(([path, { version, integrity }]) => [path, version, integrity]),
  )
}

/** Reads the commit from this clone, and changes nothing in it. */
export const checkoutPrevious = (): Checkout => {
  const commit = readFileSync(join(root, file), 'utf8').trim()
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-previous-'))
  const dispose = () => rmSync(folder, { recursive: true, force: true })
  try {
    const archive = archived(commit)
    execFileSync('tar', ['-x', '-C', folder], { input: archive })
    if (dependenciesOf(folder) === dependenciesOf(root))
      symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    else execFileSync('npm', ['ci', '--omit=dev', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder })
  } catch (error) {
    dispose()
    throw error
  }
  return { folder, dispose }
}

const archived = (commit: string): Buffer => {
  try {
    return execFileSync('git', ['archive', '--format=tar', commit], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 1e9,
    })
  } catch (cause) {
    const message = `The previous release, commit ${commit} (${file}), is not in this clone. If it is a shallow one: git fetch --unshallow`
    throw new Error(message, { cause })
  }
}
