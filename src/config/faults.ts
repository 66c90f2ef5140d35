/**
 * From zod's issues to faults in words: each with its option's path and what is accepted there. No value is ever
 * repeated, because any value may turn out to be a secret in the wrong place.
 */
import type { z } from 'zod'
import type { Fault } from '../errors.ts'

type Path = readonly PropertyKey[]

/** The part of JSON Schema that `z.toJSONSchema` makes of our options. */
export interface SchemaNode {
  type?: string
  title?: string
  examples?: unknown[]
  enum?: unknown[]
  minimum?: number
  maximum?: number
  minItems?: number
  minProperties?: number
  maxItems?: number
  properties?: Record<string, SchemaNode>
  required?: string[]
  propertyNames?: SchemaNode
  additionalProperties?: SchemaNode | boolean
  items?: SchemaNode
  anyOf?: SchemaNode[]
}

/** One place that is wrong, with what `mend` needs to stand in for it. */
export interface Problem {
  path: Path
  kind: 'unknown' | 'name' | 'value'
  message: string
  /** For an unknown option: the known one that was probably meant. */
  meant?: string
}

/** Options of earlier releases, and where to say it now. */
const moved: Record<string, string> = {
  'consent.offlineDays': 'is no option any more; for how long members may share is said by each plan: plans.*.sharing',
}

/** Dotted path of an option: `plans.prairie.languages.0`. */
function dotted(path: Path): string {
  return path.map(String).join('.')
}

/** The issues of one parse as problems, one per place, in the file's words. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], schema: SchemaNode, input: unknown): Problem[] {
  const problems = issues.flatMap((issue) => problemsOfIssue(issue, [], schema, input))
  // A misspelt option that was required is one fault, not two.
  const misspelt = new Set(
    problems.flatMap(({ path, meant }) => (meant ? [dotted([...path.slice(0, -1), meant])] : [])),
  )
  return problems.filter(({ path }) => !misspelt.has(dotted(path)) || valueAt(input, path) !== undefined)
}

function problemsOfIssue(issue: z.core.$ZodIssue, above: Path, schema: SchemaNode, input: unknown): Problem[] {
  const path = [...above, ...issue.path]
  const node = nodeAt(schema, path)
  if (issue.code === 'unrecognized_keys') {
    const known = optionsOf(node)
    return issue.keys.map((key) => {
      const at = [...path, key]
      const now = moved[dotted(at)]
      return { path: at, kind: 'unknown', ...(now ? { message: now } : unknownOption(key, known)) }
    })
  }
  if (issue.code === 'invalid_key') {
    const names = nodeAt(schema, path.slice(0, -1))?.propertyNames
    return [{ path, kind: 'name', message: `the name must be ${names?.title ?? 'another'}` }]
  }
  if (issue.code === 'invalid_union') {
    // The branch of the right kind knows better what is wrong than the union does.
    const near = issue.errors.filter((branch) =>
      branch.every((each) => each.path.length > 0 || each.code === 'unrecognized_keys' || each.code === 'custom'),
    )
    if (near.length === 1) return near[0]?.flatMap((each) => problemsOfIssue(each, path, schema, input)) ?? []
  }
  const own = issue.code === 'custom' ? issue.message : `must be ${accepted(node)}`
  const missing = valueAt(input, path) === undefined
  return [{ path, kind: 'value', message: missing ? `is required: ${accepted(node)}` : own }]
}

function unknownOption(key: string, known: string[]): { message: string; meant?: string } {
  const meant = nearest(key, known)
  if (meant) return { message: `is no option here; did you mean ${meant}?`, meant }
  return { message: `is no option here; accepted are ${known.join(', ')}` }
}

/** What is accepted at a place, in words. */
function accepted(node: SchemaNode | undefined): string {
  if (!node) return 'something else'
  if (node.title) return node.title
  if (node.enum) return `one of ${node.enum.join(', ')}`
  if (node.anyOf) return node.anyOf.map(accepted).join(', or ')
  switch (node.type) {
    case 'integer':
      return `a whole number from ${node.minimum} to ${node.maximum}`
    case 'boolean':
      return 'true or false'
    case 'array': {
      const size = node.minItems ? `at least ${node.minItems}` : `at most ${node.maxItems}`
      return `a list of ${size}, each ${accepted(node.items)}`
    }
    case 'object':
      return node.properties
        ? `a group of options (${Object.keys(node.properties).join(', ')})`
        : 'a map from names to groups of options'
    case 'null':
      return 'null'
    default:
      return 'text'
  }
}

/** The schema of the option at a path. */
function nodeAt(schema: SchemaNode, path: Path): SchemaNode | undefined {
  let nodes = [schema]
  for (const key of path) {
    nodes = nodes.flatMap(branches).flatMap((node) => {
      const inner = node.properties?.[String(key)] ?? node.items ?? node.additionalProperties
      return typeof inner === 'object' ? [inner] : []
    })
  }
  return nodes[0]
}

function branches(node: SchemaNode): SchemaNode[] {
  return node.anyOf ? node.anyOf.flatMap(branches) : [node]
}

function optionsOf(node: SchemaNode | undefined): string[] {
  return node ? branches(node).flatMap((branch) => Object.keys(branch.properties ?? {})) : []
}

/** The known word that a mistyped one is close to, if any. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, steps: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.steps - b.steps)
  const best = ranked[0]
  return best && best.steps <= best.candidate.length * 0.4 ? best.candidate : undefined
}

/** Letters to insert, drop, replace or swap with their neighbour (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const steps = [(row[j - 1] ?? 0) + (same ? 0 : 1), (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1]
      if (swapped) steps.push((before[j - 2] ?? 0) + 1)
      next.push(Math.min(...steps))
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}

/** A plain object of options, and nothing else. */
export function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, key) => {
    if (Array.isArray(value)) return value[Number(key)]
    return isGroup(value) && Object.hasOwn(value, String(key)) ? value[String(key)] : undefined
  }, input)
}

/**
 * A copy of the input in which every problem is replaced by something acceptable, so that the rules between options can
 * be checked in the same run and all faults are told at once. Never used to start a server. With `guess`, what was
 * probably meant stands in; else the default, or any acceptable value.
 */
export function mend(input: unknown, problems: readonly Problem[], schema: SchemaNode, guess: boolean): unknown {
  const copy = structuredClone(input)
  for (const { path, kind, meant } of problems) {
    const group = valueAt(copy, path.slice(0, -1))
    const key = String(path.at(-1))
    const standIn = () => {
      const likely = guess ? likelyMeant(valueAt(copy, path)) : undefined
      return (
        likely ?? acceptable(nodeAt(schema, path), nodeAt(schema, path.slice(0, -1))?.required?.includes(key) ?? true)
      )
    }
    if (Array.isArray(group)) group[Number(key)] = standIn()
    if (!isGroup(group)) continue
    const stand = kind === 'value' ? standIn() : undefined
    const value = group[key]
    delete group[key]
    if (meant !== undefined && !(meant in group)) group[meant] = value
    if (stand !== undefined) group[key] = stand
  }
  return copy
}

/** `yes` means true to many who write YAML, and a slash at the end is soon put there. */
function likelyMeant(value: unknown): unknown {
  if (typeof value !== 'string') return undefined
  if (/^(yes|on)$/i.test(value)) return true
  return value.endsWith('/') ? value.replace(/\/+$/, '') : undefined
}

/** The least that the schema accepts at a place; nothing where nothing is required. */
function acceptable(node: SchemaNode | undefined, required: boolean): unknown {
  if (!node || !required) return undefined
  const known = node.examples?.[0] ?? node.enum?.[0] ?? node.minimum
  if (known !== undefined) return known
  if (node.type === 'string') return 'text'
  if (node.type === 'array') return node.minItems ? [acceptable(node.items, true)] : []
  const names = node.required ?? (node.minProperties ? [String(node.propertyNames?.examples?.[0])] : [])
  return Object.fromEntries(names.map((name) => [name, acceptable(nodeAt(node, [name]), true)]))
}

/** Problems as the faults that people read. */
export function faultsOf(problems: readonly Problem[]): Fault[] {
  return problems.map(({ path, message }) => ({ path: dotted(path) || 'the file', message }))
}
