-- What every script over a lane shares. The layout is described in docs/decisions (the queue on
-- Redis). KEYS are always the same seven, all of one lane.
--
-- Times and fences are whole microseconds below 2^53, so that a number of Lua holds them exactly; they
-- are written with '%.0f', because tostring() would round them. Groups stay strings.

local STATE, GROUPS, LEASES = KEYS[1], KEYS[2], KEYS[3]
-- By priority: 0 a person waits, 1 bulk.
local DUE = { [0] = KEYS[4], [1] = KEYS[5] }
local RETRIES = { [0] = KEYS[6], [1] = KEYS[7] }

-- Beside a group's lease: nobody scheduled it meanwhile.
local NOT_AGAIN = 2
-- The most groups that one step moves, so that no script runs for long.
local STEP = 500
-- The last time is remembered this often. When the clock steps back, so much is lost, and what passed
-- until somebody looked; workers look often (RECHECK).
local REMEMBER = 100000

local function int(number)
  return string.format('%.0f', number)
end

local FIELDS = {
  'last', 'shift', 'n', 'fence', 'claims', 'paused', 'rest', 'failures', 'open', 'probe', 'mend',
  'mend0', 'mend1',
}
local state, before = {}, {}
for i, value in ipairs(redis.call('HMGET', STATE, unpack(FIELDS))) do
  local name = FIELDS[i]
  state[name] = tonumber(value) or 0
  before[name] = state[name]
end

-- Writes what changed of the lane's state; fields that this version does not know stay.
local function save()
  local changed = {}
  for _, name in ipairs(FIELDS) do
    if state[name] ~= before[name] then
      changed[#changed + 1] = name
      changed[#changed + 1] = int(state[name])
    end
  end
  if #changed > 0 then
    redis.call('HSET', STATE, unpack(changed))
  end
end

-- The lane's own time never goes back: when the server's clock does, the difference is kept.
local now = clock() + state.shift
if now < state.last then
  state.shift = state.shift + state.last - now
  now = state.last
elseif now - state.last > REMEMBER then
  state.last = now
end

-- A group's record: 'd:n:at:priority:retry' when it is due at a time, 'l:fence:until:priority:again'
-- when it is leased. What a later version appends is ignored.
local function read(group)
  local raw = redis.call('HGET', GROUPS, group)
  if not raw then
    return nil
  end
  local kind, a, b, priority, c = string.match(raw, '^(%a):(%d+):(%d+):(%d):(%d)')
  if kind == 'd' then
    return { due = true, n = a, at = tonumber(b), priority = tonumber(priority), retry = c == '1' }
  end
  return {
    due = false, fence = tonumber(a), till = tonumber(b), priority = tonumber(priority),
    again = tonumber(c),
  }
end

-- Equal times come in the order of their numbers: members of equal score are sorted as text.
local function member(n, group)
  return n .. ':' .. group
end

local function write_due(group, n, at, priority, retry)
  redis.call('ZADD', DUE[priority], int(at), member(n, group))
  if retry then
    redis.call('ZADD', RETRIES[priority], int(at), member(n, group))
  end
  redis.call('HSET', GROUPS, group,
    'd:' .. n .. ':' .. int(at) .. ':' .. priority .. ':' .. (retry and '1' or '0'))
end

local function remove_due(group, entry)
  redis.call('ZREM', DUE[entry.priority], member(entry.n, group))
  if entry.retry then
    redis.call('ZREM', RETRIES[entry.priority], member(entry.n, group))
  end
end

-- Makes a group due that is nowhere.
local function place(group, at, priority, retry)
  state.n = state.n + 1
  write_due(group, string.format('%016.0f', state.n), at, priority, retry and at > now)
end

local function write_lease(group, fence, till, priority, again)
  redis.call('ZADD', LEASES, int(till), group)
  redis.call('HSET', GROUPS, group,
    'l:' .. int(fence) .. ':' .. int(till) .. ':' .. priority .. ':' .. again)
end

-- Schedules a group. True: it is due now and was not before.
local function schedule(group, after, priority, retry)
  local entry = read(group)
  if not entry then
    place(group, now + after, priority, retry)
    return true
  end
  if not entry.due then
    if priority < entry.again then
      write_lease(group, entry.fence, entry.till, entry.priority, priority)
    end
  elseif priority < entry.priority then
    -- It keeps its turn, in the more urgent row.
    remove_due(group, entry)
    write_due(group, entry.n, entry.at, priority, entry.retry)
    return true
  end
  return false
end

-- A lease is over: if it was the probe's, there may be another.
local function lease_ended(fence)
  if state.probe == fence then
    state.probe = 0
  end
end

-- Leases whose time is over are none any more. There are never more leases than slots of all workers.
-- The turn of their groups counts from when the lease lapsed, not from when somebody looked.
local function lapse()
  local gone = redis.call('ZRANGE', LEASES, '-inf', int(now), 'BYSCORE')
  for _, group in ipairs(gone) do
    redis.call('ZREM', LEASES, group)
    local entry = read(group)
    if entry and not entry.due then
      lease_ended(entry.fence)
      place(group, entry.till, math.min(entry.priority, entry.again), false)
    end
  end
end

-- The lease of a group, if this is it and it still holds.
local function held(group, fence)
  local entry = read(group)
  if entry and not entry.due and entry.fence == fence then
    return entry
  end
  return nil
end

-- Goes on with making the retries ready that waited when the lane was found to work again: those
-- that were numbered up to `mend`, in the order of their times, a step at a time.
local function mend()
  if state.mend == 0 then
    return
  end
  local done = true
  for priority = 0, 1 do
    local cursor = 'mend' .. priority
    local from = state[cursor] > now and int(state[cursor]) or '(' .. int(now)
    local found = redis.call('ZRANGE', RETRIES[priority], from, '+inf', 'BYSCORE', 'LIMIT', 0, STEP,
      'WITHSCORES')
    local moved = false
    for i = 1, #found, 2 do
      local n, group = string.match(found[i], '^(%d+):(.*)$')
      if tonumber(n) <= state.mend then
        moved = true
        redis.call('ZREM', DUE[priority], found[i])
        redis.call('ZREM', RETRIES[priority], found[i])
        place(group, now, priority, false)
      end
    end
    if #found == 2 * STEP then
      done = false
      -- Of equal times the older numbers come first, so after a step in vain no more of them follow.
      state[cursor] = tonumber(found[#found]) + (moved and 0 or 1)
    end
  end
  if done then
    state.mend, state.mend0, state.mend1 = 0, 0, 0
  end
end

-- The lane works again: every group is ready that waits for a retry.
local function retry_now()
  state.mend, state.mend0, state.mend1 = state.n, 0, 0
  mend()
end

local function rest(till)
  state.rest = math.max(state.rest, till)
end

-- Wakes whoever waits for the lane in other processes. `from` is the process that says it.
local function wake(channel, from)
  redis.call('PUBLISH', channel, from)
end
