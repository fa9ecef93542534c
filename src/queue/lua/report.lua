-- ARGV: wake-up channel, process, works (1) or failed (0), failures that open the breaker, length of
-- its rest. Gives 1 when the lane rests from now on, 2 when it works again.
local answer = 0
if ARGV[3] == '1' then
  state.failures = 0
  if state.open == 1 then
    state.open, state.probe = 0, 0
    retry_now()
    wake(ARGV[1], ARGV[2])
    answer = 2
  end
else
  if state.open == 0 then
    state.failures = state.failures + 1
  end
  if state.open == 1 or state.failures >= tonumber(ARGV[4]) then
    if state.open == 0 then
      state.open, state.probe = 1, 0
    end
    rest(now + tonumber(ARGV[5]))
    answer = 1
  end
end
save()
return answer
