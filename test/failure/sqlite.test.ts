/** The one server of a SQLite file dies, or its disk is full. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DeployedNode, type Deployment, startDeployment } from '../support/deployment.ts'
import { expectNoBreach, expectReadiness, limit, rounds, startWork } from './stage.ts'

describe('the only server, on SQLite', () => {
  let deployment: Deployment
  let node: DeployedNode
  beforeAll(async () => {
    deployment = await startDeployment({ nodes: 1 })
    node = deployment.nodes[0] as DeployedNode
  })
  afterAll(() => deployment?.close())

  const expectSound = () => {
    const store = new DatabaseSync(join(deployment.folder, 'latchkey.db'), { readOnly: true })
    expect(store.prepare('pragma integrity_check').all()).toEqual([{ integrity_check: 'ok' }])
    expect(store.prepare('pragma foreign_key_check').all()).toEqual([])
    store.close()
  }

  it('is killed under load and starts again: the store is whole, nothing acknowledged is lost', {
    timeout: limit(20, 2),
  }, async () => {
    const load = await startWork(deployment)
    for (let round = 0; round < rounds(2); round++) {
      await load.more(30)
      await node.kill()
      expectSound()
      await node.start()
    }
    await load.more(20)
    await expectNoBreach(load)
    expectSound()
  })

  it('has no room under load: 503 until there is some, without a restart (R43)', { timeout: limit(20) }, async () => {
    const pid = node.pid()
    // No file of the process may grow, nor be written beyond its first bytes: what a full disk is to SQLite.
    const room = (bytes: string) => execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`])
    const load = await startWork(deployment)
    for (let round = 0; round < rounds(1); round++) {
      await load.more(30)
      room('4096')
      await expectReadiness(deployment.nodes, false)
      await pause(2000)
      room('unlimited')
      await expectReadiness(deployment.nodes, true)
      await load.more(20)
    }
    await expectNoBreach(load)
    expect(node.pid()).toBe(pid)
    expectSound()
  })
})
