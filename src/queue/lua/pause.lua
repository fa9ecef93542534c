-- ARGV: wake-up channel, process, paused (1) or resumed (0).
state.paused = tonumber(ARGV[3])
if state.paused == 0 then
  -- What made it rest or fail is over, a person or a probe says.
  state.rest, state.failures, state.open, state.probe = 0, 0, 0, 0
  retry_now()
  wake(ARGV[1], ARGV[2])
end
save()
return 0
