-- Decides one request over all its scopes and records it if all allow it.
-- KEYS: one list per scope, newest stamp (ms) first; all share one hash tag.
-- ARGV: now in ms (-1 = this server's clock), then limit and window in ms per scope.
-- Answers {now, then per scope: count, oldest, blocker (-1 = has room)}.
local now = tonumber(ARGV[1])
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
for _, key in ipairs(KEYS) do
  local newest = tonumber(redis.call('LINDEX', key, 0) or '-1')
  if newest > now then now = newest end
end

local allowed = true
local blockers = {}
for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local oldest = redis.call('LINDEX', key, -1)
  while oldest and tonumber(oldest) + window <= now do
    redis.call('RPOP', key)
    oldest = redis.call('LINDEX', key, -1)
  end
  blockers[i] = tonumber(redis.call('LINDEX', key, limit - 1) or '-1')
  if blockers[i] >= 0 then allowed = false end
end

local answer = { now }
for i, key in ipairs(KEYS) do
  if allowed then
    redis.call('LPUSH', key, string.format('%.0f', now))
    redis.call('PEXPIRE', key, ARGV[2 * i + 1])
    redis.call('INCR', key .. ':total')
    redis.call('EXPIRE', key .. ':total', 86400)
  end
  table.insert(answer, redis.call('LLEN', key))
  table.insert(answer, tonumber(redis.call('LINDEX', key, -1) or string.format('%.0f', now)))
  table.insert(answer, blockers[i])
end
return answer
