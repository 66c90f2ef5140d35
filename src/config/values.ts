/** Kinds of values that options have: text by rule, addresses, names, secrets, and the two ways to group options. */
import { isIP } from 'node:net'
import { z } from 'zod'
import { resourceTypes } from '../smart/resource-types.ts'
import { nearest } from './faults.ts'
import { baseUrlFault, pageUrlFault, pathFault } from './urls.ts'

/** A rule on text: `fault` says what is wrong, or null. */
export function ruled(fault: (text: string) => string | null, title: string, example: string) {
  return z
    .string()
    .max(2000)
    .refine((text) => fault(text) === null, { error: (issue) => fault(String(issue.input)) ?? undefined })
    .meta({ title, examples: [example] })
}

export const words = (max = 200) =>
  z
    .string()
    .min(1)
    .max(max)
    .meta({ title: `text of 1 to ${max} characters` })
export const baseUrl = ruled(
  (text) => (text.startsWith('/') ? pathFault(text) : baseUrlFault(text)),
  'an https address, or a path below publicUrl that starts with a slash',
  '/plan',
)
export const path = ruled(pathFault, 'a path on the issuer’s host that starts with a slash', '/oauth/token')
export const page = ruled(pageUrlFault, 'an https address', 'https://example.org')
/** May start with `{issuer}` or `{publicUrl}`; checked when those are known. */
export const template = z
  .string()
  .min(1)
  .max(2000)
  .meta({ title: 'an absolute address; {issuer} and {publicUrl} are filled in', examples: ['{issuer}/demo/'] })
export const email = z
  .string()
  .max(254)
  .regex(/^[^\s@<>",;]+@[^\s@<>",;]+$/)
  .meta({ title: 'an e-mail address', examples: ['desk@example.org'] })
export const date = ruled(
  (text) => (isDay(text) ? null : 'must be a day of the calendar such as 2025-12-31'),
  'a day of the calendar such as 2025-12-31',
  '2025-12-31',
)
export const fhirId = z
  .string()
  .regex(/^[A-Za-z0-9.-]{1,64}$/)
  .meta({ title: 'a FHIR id: 1 to 64 letters, digits, dots and hyphens', examples: ['id'] })
export const slug = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,39}$/)
  .meta({ title: 'a name of lower-case letters, digits and hyphens that starts with a letter', examples: ['name'] })
export const claimName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_:./-]{0,99}$/)
  .meta({ title: 'the name of a claim', examples: ['claim'] })
/** The name of a resource type. */
export const resourceType = ruled(
  (text) => (resourceTypes.has(text) ? null : unknownResource(text)),
  'a resource type of FHIR R4, for instance Coverage',
  'Patient',
)

export const cidr = ruled(
  (text) => (isCidr(text) ? null : 'must be an IP address or a block such as 10.0.0.0/8'),
  'an IP address or a block such as 10.0.0.0/8',
  '10.0.0.0/8',
)

function unknownResource(text: string): string {
  const meant = nearest(text, [...resourceTypes])
  return `is no resource type of FHIR R4${meant ? `; did you mean ${meant}?` : ''}`
}

function isDay(text: string): boolean {
  const time = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)
}

function isCidr(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

/** Where a secret may be instead of in the file. */
export const secretPlaces = [
  z.strictObject({ file: z.string().min(1).describe('A file whose text is the secret; relative to this file.') }),
  z.strictObject({
    env: z
      .string()
      .regex(/^[A-Za-z_]\w*$/)
      .describe('An environment variable that holds the secret.'),
  }),
] as const

export const secret = z
  .union([z.string().min(1), ...secretPlaces])
  .meta({ title: 'the secret as text, {file: path} or {env: NAME}', examples: ['x'.repeat(32)] })
export type SecretSource = z.infer<typeof secret>

/** A section with defaults of its own: may be left out. */
export const section = <Shape extends z.ZodRawShape>(shape: Shape, about: string) =>
  z.strictObject(shape).describe(about)
/** A map from names to things, at least one unless `min` says otherwise. */
export const named = <Key extends z.ZodString, Value extends z.ZodType>(key: Key, value: Value, min: 0 | 1) =>
  z
    .record(key, value)
    .refine((map) => Object.keys(map).length >= min, { error: 'must name at least one' })
    .meta({ minProperties: min })
