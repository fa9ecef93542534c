-- ARGV: wake-up channel, process, group, fence, most leases of the lane at once (0: any); then, when
-- the group is due again: after, priority, retry.
lapse()
local group, fence, total = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local entry = held(group, fence)
if not entry then
  save()
  return 0
end
-- Somebody else may wait for the slot, or for the probe's end.
local news = state.probe == fence or (total > 0 and redis.call('ZCARD', LEASES) >= total)
redis.call('ZREM', LEASES, group)
lease_ended(fence)
if ARGV[6] then
  place(group, now + tonumber(ARGV[6]), math.min(tonumber(ARGV[7]), entry.again), ARGV[8] == '1')
  news = true
elseif entry.again ~= NOT_AGAIN then
  -- What made it urgent before is done; only what came meanwhile counts.
  place(group, now, entry.again, false)
  news = true
else
  redis.call('HDEL', GROUPS, group)
end
if news then
  wake(ARGV[1], ARGV[2])
end
save()
return 0
