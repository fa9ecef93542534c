-- ARGV: a fence that the store has seen.
state.fence = math.max(state.fence, tonumber(ARGV[1]))
save()
return 0
