/** A launch that an EHR or a portal made for the app, handed to the doctor with --launch: the context that comes of it. */
import { NoCode, type Tokens } from './app.ts'
import { type Check, failed, passed, Skip, skipped, told } from './check.ts'
import { foreignOrigin } from './discovery-checks.ts'
import { isObject, isOpen, seenIn, textOf } from './documents.ts'
import type { Examination } from './examination.ts'

const section = 'SMART App Launch 2.2, Scopes and Launch Context, Launch context arrives with your access_token'
const bareId = /^[A-Za-z0-9.-]{1,64}$/

/** The launched authorization; where nobody handed over a launch, the usual one, which may have context of its own. */
const contextOf = async ({ app }: Examination): Promise<Tokens> =>
  app.launched().catch((error: unknown) => {
    if (error instanceof Skip && !(error instanceof NoCode)) return app.main()
    throw error
  })

export const launchChecks: readonly Check[] = [
  {
    id: 'launch.ehr',
    title: 'A launch by an EHR or a portal leads to tokens',
    expected: 'tokens, with the scope launch',
    hint: 'The launch must be fresh, for this client, and for the member who signs in.',
    section: 'SMART App Launch 2.2, App Launch, EHR launch',
    needs: 'member',
    async run({ app }) {
      try {
        const scope = textOf((await app.launched()).body, 'scope') ?? ''
        return told(scope.split(' ').includes('launch'), scope)
      } catch (error) {
        if (error instanceof NoCode) return failed(error.message)
        throw error
      }
    },
  },
  {
    id: 'launch.made-up',
    title: 'A launch that nobody made leads nowhere',
    expected: 'an error, and no tokens with the scope launch',
    hint: 'launch must match a value that was issued.',
    section: 'SMART App Launch 2.2, App Launch, Obtain authorization code',
    needs: 'member',
    async run({ app, server }) {
      if (!(await server.capabilities()).includes('launch-ehr')) return skipped('launch-ehr is no capability here')
      const scope = ((await app.parameters()).get('scope') ?? '').replace('launch/patient', 'launch')
      const arrival = await app.attempt({ launch: 'latchkey-doctor-made-up', scope })
      if (arrival.at === 'page')
        return arrival.answer.status < 400 ? failed(seenIn(arrival.answer)) : passed(seenIn(arrival.answer))
      const error = arrival.url.searchParams.get('error')
      return error ? passed(error) : failed('a code')
    },
  },
  {
    id: 'launch.once',
    title: 'A launch is good for one authorization',
    expected: 'an error the second time',
    hint: 'Redeem it once.',
    section: 'SMART App Launch 2.2, App Launch, Obtain authorization code',
    needs: 'member',
    async run({ app }) {
      const { launch, scope } = await app.launched()
      const arrival = await app.attempt({ launch, scope })
      if (arrival.at === 'page')
        return arrival.answer.status < 400 ? failed(seenIn(arrival.answer)) : passed(seenIn(arrival.answer))
      const error = arrival.url.searchParams.get('error')
      return error ? passed(error) : failed('a code')
    },
  },
  {
    id: 'context.patient',
    title: 'A launch brings its patient',
    expected: 'patient in the answer: a bare id',
    hint: 'Say it as soon as the scope launch is granted.',
    section,
    needs: 'member',
    async run({ app }) {
      const { patient } = (await app.launched()).body
      if (patient === undefined) return skipped('this launch has no patient')
      return told(typeof patient === 'string' && bareId.test(patient), 'a patient')
    },
  },
  {
    id: 'context.launch-encounter',
    title: 'A launch brings its encounter',
    expected: 'encounter in the answer, where the launch has one: a bare id',
    hint: 'Say it as soon as the scope launch is granted.',
    section,
    needs: 'member',
    async run({ app }) {
      const { encounter } = (await app.launched()).body
      if (encounter === undefined) return skipped('this launch has no encounter')
      return told(typeof encounter === 'string' && bareId.test(encounter), 'an encounter')
    },
  },
  {
    id: 'context.banner',
    title: 'Whether the app must show a banner is said by true or false',
    expected: 'need_patient_banner, where it is there, is a boolean',
    hint: 'Send true or false, not a text.',
    section,
    needs: 'member',
    async run(examination) {
      const { need_patient_banner: banner } = (await contextOf(examination)).body
      if (banner === undefined) return skipped('no banner is spoken of; it shows in a launch (--launch)')
      return told(typeof banner === 'boolean', JSON.stringify(banner))
    },
  },
  {
    id: 'context.style',
    title: 'The style that apps are handed can be read',
    expected: 'smart_style_url, where it is there, leads to a JSON object for any origin',
    hint: 'Serve it with Access-Control-Allow-Origin: *; a new style has a new address.',
    section: 'SMART App Launch 2.2, Scopes and Launch Context, Styling',
    needs: 'member',
    async run(examination) {
      const { smart_style_url: style } = (await contextOf(examination)).body
      if (style === undefined) return skipped('no style is named; it shows in a launch (--launch)')
      if (typeof style !== 'string' || !URL.canParse(style)) return failed('smart_style_url is no address')
      const answer = await examination.http.send(style, { headers: { origin: foreignOrigin } })
      if (answer.status !== 200 || !isObject(answer.json)) return failed(seenIn(answer))
      return isOpen(answer, foreignOrigin) ? passed('a JSON object') : failed('no Access-Control-Allow-Origin')
    },
  },
]
