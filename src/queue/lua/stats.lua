-- Gives depth, leased, age of the oldest ready group (empty: none is), paused, rest that is left.
-- Changes nothing: leases that have lapsed are only counted as what they are.
local lapsed = redis.call('ZCOUNT', LEASES, '-inf', int(now))
local oldest
local function by(found)
  local at = tonumber(found[2])
  if at and at <= now and (not oldest or at < oldest) then
    oldest = at
  end
end
by(redis.call('ZRANGE', DUE[0], 0, 0, 'WITHSCORES'))
by(redis.call('ZRANGE', DUE[1], 0, 0, 'WITHSCORES'))
by(redis.call('ZRANGE', LEASES, 0, 0, 'WITHSCORES'))
return {
  int(redis.call('ZCARD', DUE[0]) + redis.call('ZCARD', DUE[1]) + lapsed),
  int(redis.call('ZCARD', LEASES) - lapsed),
  oldest and int(now - oldest) or '',
  int(state.paused),
  int(math.max(0, state.rest - now)),
}
