#!/usr/bin/env node
// Plain JavaScript that an old Node.js can read, so that it can say what is wrong instead of failing on syntax.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

var needed = [24, 15]
var found = process.versions.node.split('.').map(Number)
var program = new URL('../src/cli.ts', import.meta.url)

if (found[0] < needed[0] || (found[0] === needed[0] && found[1] < needed[1])) {
  console.error(
    'latchkey needs Node.js ' +
      needed.join('.') +
      ' or later; this is ' +
      process.versions.node +
      '.\n' +
      'In a checkout, `npm ci` brings the right one, and `npx latchkey` uses it.',
  )
  process.exitCode = 1
} else if (!existsSync(fileURLToPath(program))) {
  console.error(
    'latchkey: this package holds the resource-server library only, not the server.\n' +
      'Run the command in a checkout of Latchkey, or in its container image.',
  )
  process.exitCode = 1
} else {
  import(program.href)
    .then((cli) =>
      cli.runCommand(process.argv.slice(2), { env: process.env, out: process.stdout, err: process.stderr }),
    )
    .then((status) => {
      process.exitCode = status
    })
}
