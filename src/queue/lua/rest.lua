-- ARGV: how long.
rest(now + tonumber(ARGV[1]))
save()
return 0
