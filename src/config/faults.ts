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
  default?: unknown
  examples?: unknown[]
  const?: unknown
  enum?: unknown[]
  minimum?: number
  maximum?: number
  minItems?: number
  maxItems?: number
  properties?: Record<string, SchemaNode>
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

/** Dotted path of an option: `plans.prairie.languages.0`. */
export function dotted(path: Path): string {
  return path.map(String).join('.')
}

/** The issues of one parse as problems, one per place, in the file's words. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], schema: SchemaNode, input: unknown): Problem[] {
  return issues.flatMap((issue) => problemsOfIssue(issue, [], schema, input))
}

function problemsOfIssue(issue: z.core.$ZodIssue, above: Path, schema: SchemaNode, input: unknown): Problem[] {
  const path = [...above, ...issue.path]
  const node = nodeAt(schema, path)
  if (issue.code === 'unrecognized_keys') {
    const known = optionsOf(node)
    return issue.keys.map((key) => ({ path: [...path, key], kind: 'unknown', ...unknownOption(key, known) }))
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
export function nodeAt(schema: SchemaNode, path: Path): SchemaNode | undefined {
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
  return best && best.steps <= Math.max(1, Math.floor(best.candidate.length / 3)) ? best.candidate : undefined
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** A plain object of options, and nothing else. */
export function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, key) => {
    if (Array.isArray(value)) return value[Number(key)]
    return isGroup(value) && Object.hasOwn(value, String(key)) ? value[String(key)] : undefined
  }, input)
}

/**
 * A copy of the input in which every problem is replaced by something acceptable, so that the rules between options can
 * be checked in the same run and all faults are told at once. Never used to start a server.
 */
export function mend(input: unknown, problems: readonly Problem[], schema: SchemaNode): unknown {
  const copy = structuredClone(input)
  for (const { path, kind, meant } of problems) {
    const group = valueAt(copy, path.slice(0, -1))
    const key = String(path.at(-1))
    if (Array.isArray(group)) group[Number(key)] = standIn(nodeAt(schema, path), group[Number(key)])
    if (!isGroup(group)) continue
    const value = group[key]
    delete group[key]
    if (meant !== undefined && !(meant in group)) group[meant] = value
    const stand = kind === 'value' ? standIn(nodeAt(schema, path), value) : undefined
    if (stand !== undefined) group[key] = stand
  }
  return copy
}

function standIn(node: SchemaNode | undefined, value: unknown): unknown {
  if (!node) return undefined
  if (node.type === 'boolean' && typeof value === 'string') return /^(yes|on|y)$/i.test(value)
  const known = node.default ?? node.examples?.[0] ?? node.enum?.[0] ?? node.minimum
  return known ?? (node.type === 'string' ? 'text' : undefined)
}

/** Problems as the faults that people read; an environment variable that set the value is named. */
export function faultsOf(problems: readonly Problem[], setBy: ReadonlyMap<string, string>): Fault[] {
  return problems.map(({ path, message }) => {
    const variable = setBy.get(dotted(path))
    return {
      path: dotted(path) || 'the file',
      message: variable ? `${message} (it is set by the variable ${variable})` : message,
    }
  })
}
