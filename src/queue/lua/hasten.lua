-- ARGV: wake-up channel, process, groups.
lapse()
for i = 3, #ARGV do
  local group = ARGV[i]
  local entry = read(group)
  if entry and entry.due then
    if entry.at > now then
      remove_due(group, entry)
      place(group, now, entry.priority, false)
    end
  else
    schedule(group, 0, 0, false)
  end
end
wake(ARGV[1], ARGV[2])
save()
return 0
