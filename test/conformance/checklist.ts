/**
 * What documents on the security of OAuth, sign-in and sessions ask for, as far as a test can show it, as data.
 *
 * A test holds a row by citing its id in its name, or its describe's: `[RFC 9700 1]`, `[ASVS 6.2.1, 6.2.9]`. A row is held as well by the
 * tests of the ids in `also`. What is not so needs its reason in `not`. docs/security-checklist.md is made of it (reporter.ts).
 */

export interface ChecklistRow {
  id: string
  part: string
  text: string
  /** Other ids whose tests hold this row too. */
  also?: readonly string[]
  /** Why it is not so, or not yet. */
  not?: string
}

export const checklistParts: Record<string, string> = {
  'RFC 9700': 'RFC 9700, OAuth 2.0 security, and OAuth 2.1',
  'RFC 9207': 'RFC 9207, issuer identification',
  'RFC 8252': 'RFC 8252, native apps',
  'RFC 7636': 'RFC 7636, PKCE',
  'RFC 8725': 'RFC 8725, JWT',
  'RFC 9449': 'RFC 9449, DPoP',
  FAPI: 'FAPI 2.0 security profile, for clients of that profile',
  ASVS: 'OWASP ASVS 5.0',
  OWASP: 'OWASP cheat sheets',
  NIST: 'NIST SP 800-63B-4',
  SMART: 'SMART best practices',
}

/** `id | sentence | other ids`, one a line. */
const lines = `
RFC 9700 1 | A redirect URI is compared exactly; only the port of a loopback address is free. (2.1, 4.1.3) | SMART app-launch.redirect-exact
RFC 9700 2 | An unknown client or redirect URI gets a page of ours, and no redirect. (4.11) |
RFC 9700 3 | A redirect to \`http:\` is for loopback only. (2.6) |
RFC 9700 4 | PKCE is advertised, and \`plain\` is refused. (2.1.1) | SMART app-launch.pkce-no-plain
RFC 9700 5 | PKCE cannot be left out on either side: no code without a challenge, none redeemed without its verifier. (4.8.2) |
RFC 9700 6 | No implicit grant, and no password grant. (2.1.2, 2.4) |
RFC 9700 7 | Refresh tokens rotate or are bound to a key; a reuse ends the family. (4.14.2) |
RFC 9700 8 | A refresh token is bound to what was consented; a refresh widens nothing. (4.14) | SMART app-launch.refresh-scope-subset
RFC 9700 9 | An access token has one audience. (2.3) |
RFC 9700 10 | A code is good once, and a second use ends what it brought. (4.5) |
RFC 9700 11 | After a form with credentials the redirect is 303. (4.12) |
RFC 9700 12 | \`Referrer-Policy: no-referrer\`, and nothing of third parties on the pages of an authorization. (4.2.4) |
RFC 9700 13 | No frame: \`frame-ancestors 'none'\` and \`X-Frame-Options\`. (4.16) |
RFC 9700 14 | No CORS at the authorization endpoint. (2.6) |
RFC 9700 15 | Metadata are published. (2.6) |
RFC 9700 16 | A client id cannot be taken for a member's \`sub\`. (4.15) |
RFC 9700 17 | Tokens are in no query, and the token answer is stored nowhere. | SMART app-launch.no-store
RFC 9700 18 | What a stranger says in forwarded headers counts for nothing. (4.13) |

RFC 9207 success | \`iss\` is in the answer with a code, and is the issuer of the metadata byte for byte. |
RFC 9207 error | \`iss\` is in the answer with an error, too. |
RFC 9207 metadata | \`authorization_response_iss_parameter_supported\` is true. |

RFC 8252 loopback | \`http://127.0.0.1\` is matched on any port, and its path and query exactly. |
RFC 8252 ipv6 | \`http://[::1]\` is matched only where it is registered itself. |
RFC 8252 private-use | A private-use scheme is matched exactly, and is for public apps. |
RFC 8252 localhost | \`http://localhost\` is for sandboxes only. |
RFC 8252 claimed-https | A claimed \`https\` address is matched exactly. |
RFC 8252 consent-each-time | A native app never gets a code without its member being asked. |

RFC 7636 verifier | A verifier has 43 to 128 unreserved characters. |
RFC 7636 s256 | \`S256\` and nothing else. | SMART app-launch.pkce-no-plain
RFC 7636 wrong-verifier | A wrong verifier fails, and does not burn the code; guesses at 256 bits within a minute are no danger. |

RFC 8725 algorithms | The algorithms are a list, and \`none\` and HMAC over a public key are not on it. (3.1, 3.2) |
RFC 8725 typ | Kinds of tokens have types of their own, and one is not taken for another. (3.11) |
RFC 8725 claims | Issuer, audience and times are checked. (3.8, 3.9) |
RFC 8725 kid | A \`kid\` is a name to look up and nothing else. (3.10) |
RFC 8725 no-foreign-keys | Keys and addresses in a token's header (\`jwk\`, \`jku\`, \`x5u\`) are not used. (3.10) |
RFC 8725 encoding | A token in any other than the canonical encoding is refused. |
RFC 8725 jti | Each token has an id of its own. |

RFC 9449 proof | \`htm\`, \`htu\`, \`iat\`, \`jti\` and, at the API, \`ath\` are checked. |
RFC 9449 replay | A proof is good once, also under concurrency. |
RFC 9449 nonce | Where a nonce is required, its lack is \`use_dpop_nonce\` with the nonce in a header. |
RFC 9449 code-binding | \`dpop_jkt\` binds the code to a key. |
RFC 9449 refresh-binding | The refresh token of a public client is bound to the key; with another key it is refused. |
RFC 9449 two-headers | Two proofs in one request are refused. |
RFC 9449 private-key | A private key in a proof is refused. |
RFC 9449 nodes | All nodes know the nonces of each. |

FAPI par | Authorization requests are pushed, or refused. |
FAPI confidential | Clients are confidential, and authenticate by \`private_key_jwt\`. |
FAPI pkce | \`S256\` is required. |
FAPI sender-constrained | Tokens are bound to a key. |
FAPI code-lifetime | A code lives a minute at most. | SMART app-launch.code-short-lived
FAPI iss | \`iss\` is in the answers. | RFC 9207 success, RFC 9207 error
FAPI aud | The audience of an assertion is the issuer, as one string. |
FAPI algorithms | PS256, ES256 and EdDSA, and no others. |
FAPI clock-skew | 10 seconds of skew are accepted, and more than 60 are not. |
FAPI code-reuse | A code is not good a second time, also long after. | RFC 9700 10
FAPI expired-code | A code that has expired is refused. | ASVS 10.4.3
FAPI code-client | A code is bound to its client. |
FAPI long-state | A long \`state\` comes back whole. | SMART app-launch.state-returned
FAPI redirect-variants | A redirect URI with a query, path or fragment added is refused. | RFC 9700 1
FAPI key-rotation | After a rotation of keys, tokens of before and after are verified. |
FAPI prompt-none | \`prompt=none\` never grants silently. |
FAPI max-age | \`max_age\` asks for the password again, and \`auth_time\` says when. |
FAPI logout | RP-initiated logout asks, ends the session and leads to registered addresses only. |

ASVS 10.4.1 | A redirect URI is matched exactly. | RFC 9700 1
ASVS 10.4.2 | A code that is used again is refused, and ends the tokens it brought. | RFC 9700 10
ASVS 10.4.3 | A code lives a minute at most. | SMART app-launch.code-short-lived
ASVS 10.4.4 | A client uses only the grant types that are its own. |
ASVS 10.4.5 | A refresh token that is presented again after its grace ends the family. | RFC 9700 7
ASVS 10.4.6 | PKCE, and no \`plain\`. | RFC 9700 4
ASVS 10.4.7 | Dynamic registration cannot be abused: it is gated, bounded, and sets only what policy allows. |
ASVS 10.4.8 | Refresh tokens have an absolute end, also when they are used all the time. |
ASVS 10.4.9 | Members end refresh tokens, and what was made of them, on a page. |
ASVS 10.4.10 | Clients authenticate at the token, PAR, and revocation endpoints. |
ASVS 10.4.11 | A client gets only the scopes that it was approved for. |
ASVS 10.6.2 | Nobody can be signed out by a link from elsewhere. |
ASVS 10.7.1 | Consent is asked at every authorization. |
ASVS 10.7.2 | The consent page says what is shared, with whom and until when. |
ASVS 10.7.3 | Members see, change and end what they consented to. |
ASVS 6.1.1 | Throttling cannot be used to lock members out. |
ASVS 6.2.1 | A new password has 15 characters or more. |
ASVS 6.2.4 | A new password is none of the common ones. |
ASVS 6.2.5 | No rules of composition. |
ASVS 6.2.7 | A password can be pasted, and managers can fill it in. |
ASVS 6.2.8 | A password is neither cut nor changed in case. |
ASVS 6.2.9 | A password of 64 characters, and more, is good. |
ASVS 6.2.10 | Nobody must change a password because of its age. |
ASVS 6.2.12 | A new password is in no list of breached ones. |
ASVS 6.3.1 | Guessing is slowed down. |
ASVS 6.3.8 | Neither text, status nor time tells whether somebody has an account. |
ASVS 6.4.3 | A reset of the password leaves the second factor. |
ASVS 6.5.1 | A one-time code is good once. |
ASVS 6.5.5 | An out-of-band code lives ten minutes at most. |
ASVS 7.2.4 | Signing in makes a new session. |
ASVS 7.3.1 | A session ends after idling. |
ASVS 7.3.2 | A session has an absolute end. |
ASVS 7.4.1 | What was ended is ended at the server: tokens that carry everything themselves are refused by whoever follows the feed. |
ASVS 7.4.2 | A member who is locked has no session any more. |
ASVS 7.4.3 | After a change of factors, other sessions can be ended. |
ASVS 7.4.5 | Administrators can end sessions. |
ASVS 7.5.1 | A change of factors asks for the password again. |
ASVS 7.5.2 | Members see and end their sessions. |
ASVS 7.6.1 | How long sessions of the app and of the server last fits together. | SMART app-launch.online-access
ASVS 9.1.2 | The algorithms of tokens are a list. | RFC 8725 algorithms
ASVS 9.1.3 | Keys come from where they are known to be, never from a token's header. | RFC 8725 no-foreign-keys
ASVS 9.2.2 | The type of a token is checked. | RFC 8725 typ
ASVS 9.2.4 | No client can make a token for another audience. |

OWASP argon2id | Passwords are hashed with argon2id, 19 MiB and two passes at least, each with a salt. |
OWASP rehash | A hash with weaker parameters is made anew at the next sign-in. |
OWASP bounded-hashing | Hashing is bounded: at most so many at once, a queue, and 503 after that. |
OWASP ssrf-addresses | Fetches go to \`https\` and to no special-use address, checked when connecting, for both families. |
OWASP ssrf-redirects | Fetches follow no redirects. |
OWASP ssrf-caps | Fetches are bounded in size and time, and no answer repeats what was fetched. |
OWASP logo | A logo is never fetched by the server, and pages show pictures of our own only. |

NIST min-length | A single-factor password has 15 characters or more. | ASVS 6.2.1
NIST no-composition | No rules of composition, and no periodic change. | ASVS 6.2.5
NIST blocklist | New passwords are compared with a list of common and breached ones. | ASVS 6.2.4
NIST max-length | 64 characters are accepted. | ASVS 6.2.9
NIST no-hints | No hints, and no questions about a person's life. |
NIST forced-change | A password that is known to be stolen must be changed. |
NIST throttle | At most 100 consecutive failures of an account, and a success resets. |
NIST phishing-resistant | Something that cannot be phished is offered. |
NIST reauthentication | The password is asked again after 24 hours, and an hour of idling, at the latest. | ASVS 7.3.1, ASVS 7.3.2
NIST no-email-codes | No code by mail is a factor. |

SMART pkce | \`S256\` is supported, and \`plain\` is not. | SMART app-launch.pkce-s256, SMART app-launch.pkce-no-plain
SMART authorize-methods | GET and POST at the authorization endpoint. | SMART app-launch.get-authorize, SMART app-launch.post-authorize
SMART aud | \`aud\` is supported. | SMART app-launch.aud
SMART cors | CORS for apps in browsers: discovery, token endpoint, FHIR API. | SMART app-launch.cors-discovery, SMART app-launch.cors-registered
SMART token-answer | The token answer is JSON that no cache keeps. | SMART app-launch.token-response, SMART app-launch.no-store
SMART assertions | Assertions live five minutes at most, are good once, are for us, and may be RS384 or ES384. | SMART asymmetric.exp-five-minutes, SMART asymmetric.jti-once, SMART asymmetric.rfc7523, SMART asymmetric.rs384, SMART asymmetric.es384
SMART reminders | Members are reminded of which apps have access. |
SMART refresh-reuse | A refresh token that is used twice ends the authorization. | RFC 9700 7
SMART binding | Refresh tokens can be bound to a key. | RFC 9449 refresh-binding
SMART scope-words | Scopes are told in plain, short words, with more on demand, in each language. |
`

const passwords =
  'Members get their passwords from the operator, by command; nobody sets one on a page yet. The rule comes with the page where members do.'
const factors = 'Signing in has one factor in this release. Second factors come with a later one.'
const resets = 'There is no reset of passwords in this release; the operator sets them.'

/** Why something is not so, or not yet, by id. */
const reasons: Record<string, string> = {
  'NIST no-email-codes': `${factors} Mail is sent to tell, never to prove who somebody is.`,
  'ASVS 6.2.10': 'Nothing looks at the age of a password: there is no such rule to test.',
  'ASVS 6.2.1': passwords,
  'ASVS 6.2.4': passwords,
  'ASVS 6.2.12': passwords,
  'ASVS 6.4.3': `${factors} ${resets}`,
  'ASVS 6.5.1': factors,
  'ASVS 6.5.5': factors,
  'ASVS 7.4.3': factors,
  'ASVS 7.4.5':
    'There is no console for administrators in this release. Locking a member by command ends all sessions (ASVS 7.4.2).',
  'ASVS 7.5.1': factors,
  'ASVS 7.5.2':
    'Members see and end connections, and sign out of the session at hand. A list of their sessions comes with second factors.',
  'NIST min-length': passwords,
  'NIST blocklist': passwords,
  'NIST forced-change': resets,
  'NIST phishing-resistant': factors,
}

export const checklist: readonly ChecklistRow[] = lines
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => {
    const [id = '', text = '', also = ''] = line.split('|').map((each) => each.trim())
    return {
      id,
      part: Object.keys(checklistParts).find((part) => id.startsWith(`${part} `)) ?? '',
      text,
      ...(also && { also: also.split(', ') }),
      ...(reasons[id] && { not: reasons[id] }),
    }
  })
