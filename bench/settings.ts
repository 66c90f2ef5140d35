/** What the command line may say. */
import { parseArgs } from 'node:util'
import type { SystemName } from './systems.ts'

export interface Settings {
  names: string[]
  systems: SystemName[]
  atATime: number[]
  windows: number
  seconds: number
  warmUp: number
  /** Of the large house; 1 is three million members. */
  scale: number
  write: boolean
  /** A folder for a processor profile of each server, or undefined. */
  profile?: string
}

const known: readonly SystemName[] = ['raw', 'sqlite', 'postgres', 'postgres-redis']

const list = (text: string): string[] => text.split(',').map((part) => part.trim())

/** Reads the arguments; throws what is wrong with them. */
export const readSettings = (args: readonly string[], benches: readonly string[]): Settings => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      systems: { type: 'string', default: known.join(',') },
      'at-a-time': { type: 'string', default: '1,16,64' },
      windows: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '2' },
      'warm-up': { type: 'string', default: '2' },
      scale: { type: 'string', default: '1' },
      write: { type: 'boolean', default: false },
      profile: { type: 'string' },
    },
  })
  const systems = list(values.systems)
  const wrong = [
    ...positionals.filter((name) => !benches.includes(name)),
    ...systems.filter((name) => !(known as readonly string[]).includes(name)),
  ]
  if (wrong.length > 0)
    throw new Error(`unknown: ${wrong.join(', ')}. Benches: ${benches.join(', ')}. Systems: ${known.join(', ')}.`)
  return {
    names: positionals.length > 0 ? positionals : [...benches],
    systems: systems as SystemName[],
    atATime: list(values['at-a-time']).map(Number),
    windows: Number(values.windows),
    seconds: Number(values.seconds),
    warmUp: Number(values['warm-up']),
    scale: Number(values.scale),
    write: values.write,
    ...(values.profile ? { profile: values.profile } : {}),
  }
}
