/** What apps, members and attackers send: mostly nearly right, since what is far from right is refused at the first look. */
import fc from 'fast-check'

const codes = 'http://terminology.hl7.org/CodeSystem'

const types = ['*', 'Patient', 'Observation', 'Condition', 'Coverage', 'ExplanationOfBenefit', 'Encounter', 'Nonsense']
const queries = [
  '',
  '',
  '',
  `?category=${codes}/observation-category|laboratory`,
  `?category=${codes}/observation-category|vital-signs`,
  `?category=${codes}/condition-category|problem-list-item`,
  '?category=a,b',
  '?category=',
  '?',
  '?code=x|y&category=z',
]

/** One scope: known, nearly known, or nothing of the kind. */
export const scopeText = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(
        fc.constantFrom('patient', 'patient', 'patient', 'patient', 'user', 'system', 'Patient'),
        fc.constantFrom(...types),
        fc.constantFrom('rs', 'rs', 'read', 'read', '*', 'cruds', 'r', 's', 'sr', 'write', 'cud', 'rr', 'READ', 'rsx'),
        fc.constantFrom(...queries),
      )
      .map(([context, type, interactions, query]) => `${context}/${type}.${interactions}${query}`),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...['openid', 'fhirUser', 'offline_access', 'online_access', 'launch', 'launch/patient', 'launch/encounter'],
      ...['profile', 'introspect', 'launches', 'sensitive/hiv', 'udap', 'offline_access/x', 'OPENID'],
    ),
  },
  { weight: 1, arbitrary: fc.string({ maxLength: 40 }) },
)

export const scopeList = fc.array(scopeText, { minLength: 1, maxLength: 8 }).map((scopes) => scopes.join(' '))

const right = 'http://127.0.0.1:8123/callback'

/** Addresses that want to be taken for `http://127.0.0.1/callback`. */
export const redirectText = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...[right, 'http://127.0.0.1/callback', 'http://127.0.0.1:1/callback', 'http://127.0.0.1:65535/callback'],
      ...['http://127.0.0.1:65536/callback', 'http://127.0.0.1:/callback', 'http://127.1:8123/callback'],
      ...['http://127.0.0.1:8123/callback/', `${right}/../callback`, `${right}/..;/x`, `${right}%2f..`, `${right}?a=b`],
      ...[`${right}#`, `${right}#x`, `${right}?`, `${right};x`, 'http://127.0.0.1:8123//callback', `${right}%00`],
      ...['http://127.0.0.1:8123/Callback', 'HTTP://127.0.0.1:8123/callback', 'http://0x7f000001:8123/callback'],
      ...[
        'http://127.0.0.1@evil.example/callback',
        'http://127.0.0.1.evil.example/callback',
        'http:/127.0.0.1/callback',
      ],
      ...['http://evil.example\\@127.0.0.1/callback', 'http://127.0.0.1\\@evil.example/callback', `${right}\\..`],
      ...['http://localhost:8123/callback', 'http://[::1]:8123/callback', 'https://127.0.0.1:8123/callback'],
      ...['//evil.example/callback', '/callback', 'javascript:alert(1)//127.0.0.1/callback', 'data:text/html,x'],
      ...['com.example.app:/callback', 'http://user@127.0.0.1:8123/callback', 'http://127.0.0.1:8123/call%62ack'],
      ...[
        ' http://127.0.0.1:8123/callback',
        `${right} `,
        `${right}\n`,
        `${right}\t`,
        '',
        'http://127。0。0。1/callback',
      ],
    ),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.nat(right.length),
        fc.nat(3),
        fc.oneof(fc.string({ maxLength: 6 }), fc.constantFrom('@', '\\', '%', '#')),
      )
      .map(([at, cut, more]) => right.slice(0, at) + more + right.slice(at + cut)),
  },
  { weight: 1, arbitrary: fc.webUrl({ withQueryParameters: true, withFragments: true }) },
)

/** Any value at all: text, hostile text, long text. */
export const anyText = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom(
    ...['', ' ', '\0', '\r\nset-cookie: a=b', '%00', '%', '[object Object]', '__proto__', 'null', 'true', '{}', '[]'],
    ...["' or 1=1 --", '<script>alert(1)</script>', '{{7*7}}', '<%= 7 %>', '../../etc/passwd', '9'.repeat(400)],
    'é'.repeat(3000),
  ),
)

/** The right value most of the time, so that a wrong one is met alone. */
export const mostly = <T>(value: T, others: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 7, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: others })

/** The fields of a form, with some changed, taken away, doubled or added. */
export const changed = <K extends string>(
  base: Record<K, fc.Arbitrary<string>>,
  names: readonly string[],
): fc.Arbitrary<[string, string][]> => {
  const entries: [string, fc.Arbitrary<string>][] = Object.entries(base)
  return fc
    .tuple(
      fc.tuple(...entries.map(([name, values]) => values.map((value): [string, string] => [name, value]))),
      fc.oneof(
        { weight: 2, arbitrary: fc.constant([]) },
        {
          weight: 1,
          arbitrary: fc.array(
            fc.tuple(fc.constantFrom('drop', 'double', 'replace'), fc.constantFrom(...names), anyText),
            { maxLength: 2 },
          ),
        },
      ),
    )
    .map(([fields, changes]) => {
      let form: [string, string][] = fields
      for (const [what, name, value] of changes) {
        if (what === 'drop' || what === 'replace') form = form.filter(([each]) => each !== name)
        if (what !== 'drop') form = [...form, [name, value]]
      }
      return form
    })
}
