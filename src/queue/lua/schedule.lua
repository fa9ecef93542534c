-- ARGV: wake-up channel, process, then for each group: group, after, priority, retry.
local changed = false
lapse()
for i = 3, #ARGV, 4 do
  local fresh = schedule(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 3] == '1')
  changed = fresh or changed
end
if changed then
  wake(ARGV[1], ARGV[2])
end
save()
return 0
