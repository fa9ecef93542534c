-- The generic cell rate algorithm, as in gcra.rs. A bucket is the time when it will be full again.
-- KEYS 8 and 9: the buckets of lane and recipient. ARGV: parts; interval and tolerance of the lane;
-- then, if recipients have a limit, the same of the recipient.
-- Gives 0 when the tokens are taken, else how long to wait; -1 when the lane is paused or rests.
local parts = tonumber(ARGV[1])
-- An expiry runs on the server's clock and the lane's own may be behind it: a minute more than needed.
local SPARE_MS = 60000

if state.paused == 1 or state.rest > now then
  save()
  return '-1'
end

local function ask(key, interval, tolerance)
  local full_at = tonumber(redis.call('GET', key)) or 0
  local cost = interval * parts
  local start = math.max(full_at, now)
  local debt = start - now
  local allowed = math.max(0, tolerance - (cost - interval))
  if debt <= allowed then
    return start + cost, 0
  end
  return nil, debt - allowed
end

local function keep(key, full_at)
  local ms = math.ceil((full_at - now) / 1000) + SPARE_MS
  redis.call('SET', key, string.format('%.3f', full_at), 'PX', int(ms))
end

local lane, wait = ask(KEYS[8], tonumber(ARGV[2]), tonumber(ARGV[3]))
local one, wait_one = nil, 0
if ARGV[4] then
  one, wait_one = ask(KEYS[9], tonumber(ARGV[4]), tonumber(ARGV[5]))
end
-- The longer of two waits: after the shorter one the other would refuse.
local longer = math.max(wait, wait_one)
if longer == 0 then
  keep(KEYS[8], lane)
  if one then
    keep(KEYS[9], one)
  end
end
save()
return int(math.ceil(longer))
