-- ARGV: group, fence, length of a lease. Gives 1 when the lease holds.
lapse()
local group, fence = ARGV[1], tonumber(ARGV[2])
local entry = held(group, fence)
if entry then
  write_lease(group, fence, now + tonumber(ARGV[3]), entry.priority, entry.again)
end
save()
return entry and 1 or 0
