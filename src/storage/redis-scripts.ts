/**
 * What Redis does in one step. Each script touches the one key it is given, so all of them work in a Cluster.
 *
 * Fields of a record: v value as JSON, e when it expires, w nonce of the write that made it, u when it was used, n nonce of
 * that use, i g m hashes of the uid, grant and member it was set with, and x:{nonce} for each operation that was taken back.
 * A record is there if e is, and lies after the caller's clock: the key itself lives a little longer (short-lived-redis.ts).
 *
 * A nonce is one operation's own. A command that is sent again, because its answer was lost, finds its nonce and knows that
 * it was done. One that was taken back (VOID) finds that too, however late it arrives, and does nothing.
 */
import { createHash } from 'node:crypto'

export interface Script {
  lua: string
  /** What EVALSHA calls it. */
  sha: string
}

const script = (lua: string): Script => ({ lua, sha: createHash('sha1').update(lua).digest('hex') })

/**
 * Writes what every record has, and drops what an earlier one had. In this order, because a server without memory refuses
 * a script at its first write that takes some, and lets everything pass after a write that takes none.
 */
const WRITE = `
redis.call('HSET', KEYS[1], 'w', ARGV[1], 'v', ARGV[2], 'e', ARGV[3])
redis.call('HDEL', KEYS[1], 'u', 'n', 'i', 'g', 'm')`

/** Keeps a key at least so long; a later expiry stands. */
const KEEP = (ttl: string) => `
if redis.call('PTTL', KEYS[1]) < tonumber(${ttl}) then redis.call('PEXPIRE', KEYS[1], ${ttl}) end`

/** nonce, value, expiry, time to live, then fields and values of the index. Writes the record whole. */
export const SET = script(`
if redis.call('HGET', KEYS[1], 'w') == ARGV[1] then return end${WRITE}
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[4])`)

/** nonce, value, expiry, time to live, now. Answers whether this operation wrote it: 1 or 0, and -1 once it was taken back. */
export const ADD = script(`
local held = redis.call('HMGET', KEYS[1], 'e', 'w', 'x:' .. ARGV[1])
if held[3] then return -1 end
if held[1] and held[2] == ARGV[1] then return 1 end
if held[1] and tonumber(held[1]) > tonumber(ARGV[5]) then return 0 end${WRITE}
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1`)

/** nonce, now. Answers 'first', 'again', 'missing', or 'void' once it was taken back. */
export const USE = script(`
local held = redis.call('HMGET', KEYS[1], 'e', 'u', 'n', 'x:' .. ARGV[1])
if held[4] then return 'void' end
if not held[1] or tonumber(held[1]) <= tonumber(ARGV[2]) then return 'missing' end
if held[2] then return held[3] == ARGV[1] and 'first' or 'again' end
redis.call('HSET', KEYS[1], 'u', ARGV[2], 'n', ARGV[1])
return 'first'`)

/** Time to live of the note, then nonces of USE and ADD: undoes what they did, and keeps them from doing it later. */
export const VOID = script(`
for i = 2, #ARGV do
  local held = redis.call('HMGET', KEYS[1], 'n', 'w')
  if held[1] == ARGV[i] then redis.call('HDEL', KEYS[1], 'u', 'n') end
  if held[2] == ARGV[i] then redis.call('HDEL', KEYS[1], 'v', 'e', 'w', 'u', 'n', 'i', 'g', 'm') end
  redis.call('HSET', KEYS[1], 'x:' .. ARGV[i], '1')
end
${KEEP('ARGV[1]')}`)

/** field, hash. Deletes the record if it was set with that uid, grant or member. */
export const DELETE_IF = script(`
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('DEL', KEYS[1]) end`)

/** member, score, lowest score to keep, time to live. Adds to an index and drops what has expired there. */
export const INDEX = script(`
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
${KEEP('ARGV[4]')}`)

/** now, end of a window that would open now, time to live. Answers the count and the end of its window. */
export const COUNT = script(`
local ends = redis.call('HGET', KEYS[1], 'e')
if ends and tonumber(ends) > tonumber(ARGV[1]) then return {redis.call('HINCRBY', KEYS[1], 'c', 1), ends} end
redis.call('HSET', KEYS[1], 'c', 1, 'e', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, ARGV[2]}`)
