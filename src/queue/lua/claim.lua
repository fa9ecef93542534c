-- ARGV: the most leases, length of a lease, most leases of the lane at once (0: any), every how many
-- claims a bulk group goes first.
-- Gives when to come again (empty: after a wake-up), then group and fence of each lease.
local most, length = tonumber(ARGV[1]), tonumber(ARGV[2])
local total, bulk_every = tonumber(ARGV[3]), tonumber(ARGV[4])

if state.paused == 1 then
  return { '' }
end
if state.rest > now then
  return { int(state.rest - now) }
end
lapse()
mend()

local leased = redis.call('ZCARD', LEASES)
if state.open == 1 then
  most = state.probe == 0 and math.min(most, 1) or 0
end
local free = total == 0 and most or math.max(0, total - leased)
most = math.min(most, free)

-- The heads of both rows, as many as could be taken of each.
local rows, heads = {}, { [0] = 1, [1] = 1 }
for priority = 0, 1 do
  rows[priority] = most > 0
    and redis.call('ZRANGE', DUE[priority], '-inf', int(now), 'BYSCORE', 'LIMIT', 0, most)
    or {}
end

local answer = { '' }
local till = now + length
for _ = 1, most do
  -- Only what is taken counts: looking in vain would move the bulk's turn at random.
  local priority = (state.claims + 1) % bulk_every == 0 and 1 or 0
  if not rows[priority][heads[priority]] then
    priority = 1 - priority
  end
  local found = rows[priority][heads[priority]]
  if not found then
    break
  end
  heads[priority] = heads[priority] + 1
  state.claims = state.claims + 1
  -- Above every fence before, also above those of a Redis that was emptied: hence the clock.
  state.fence = math.max(state.fence + 1, now)
  if state.open == 1 then
    state.probe = state.fence
  end
  local group = string.match(found, '^%d+:(.*)$')
  redis.call('ZREM', DUE[priority], found)
  redis.call('ZREM', RETRIES[priority], found)
  write_lease(group, state.fence, till, priority, NOT_AGAIN)
  answer[#answer + 1] = group
  answer[#answer + 1] = int(state.fence)
end

-- When there may be more: at once if something is ready and may be taken; else when the next group is
-- due or the next lease lapses.
local taken = (#answer - 1) / 2
local next_at
local function by(at)
  if at and (not next_at or tonumber(at) < next_at) then
    next_at = tonumber(at)
  end
end
local may_more = state.open == 0 and (total == 0 or leased + taken < total)
for priority = 0, 1 do
  local head = redis.call('ZRANGE', DUE[priority], 0, 0, 'WITHSCORES')[2]
  if head and tonumber(head) <= now and not may_more then
    head = redis.call('ZRANGE', DUE[priority], '(' .. int(now), '+inf', 'BYSCORE', 'LIMIT', 0, 1,
      'WITHSCORES')[2]
  end
  by(head)
end
by(redis.call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')[2])
if next_at then
  answer[1] = int(math.max(0, next_at - now))
end
save()
return answer
